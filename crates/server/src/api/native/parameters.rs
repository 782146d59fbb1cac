//! What a client of the contract's routes may say about its file, in the query or in the form; the query wins.

use std::collections::HashSet;

use axum::extract::Query;
use axum::http::request::Parts;
use url::Url;

use crate::api::intake::{Fields, Intake, IntakeError, Submission};
use crate::jobs::JobOptions;

#[derive(Debug, Default)]
pub(super) struct Parameters {
    query: Given,
    form: Given,
}

/// What one place says.
#[derive(Debug, Default)]
struct Given {
    options: JobOptions,
    webhook_url: Option<String>,
}

impl Parameters {
    /// Those of the query.
    pub(super) fn of_query(intake: &Intake, head: &Parts) -> Result<Self, IntakeError> {
        let unreadable = |reason: &str| IntakeError::Invalid(format!("The query cannot be read: {reason}."));
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&head.uri)
            .map_err(|error| unreadable(&error.body_text()))?;
        let mut query = Given::default();
        let mut seen = HashSet::new();
        for (name, text) in pairs.iter().filter(|(name, _)| is_known(name)) {
            if !seen.insert(name) {
                return Err(unreadable(&format!("{name} is in it twice")));
            }
            query.take(intake, name, text)?;
        }
        Ok(Self { query, form: Given::default() })
    }
}

impl Fields for Parameters {
    const FILE: &'static str = "file";

    fn knows(&self, name: &str) -> bool {
        is_known(name)
    }

    fn take(&mut self, intake: &Intake, name: &str, text: &str) -> Result<(), IntakeError> {
        self.form.take(intake, name, text)
    }
}

impl From<Parameters> for Submission {
    fn from(Parameters { query, form }: Parameters) -> Self {
        Self { options: query.options.or(form.options), webhook_url: query.webhook_url.or(form.webhook_url) }
    }
}

impl Given {
    fn take(&mut self, intake: &Intake, name: &str, text: &str) -> Result<(), IntakeError> {
        if name == "webhook_url" {
            self.webhook_url = webhook_url(text)?;
            return Ok(());
        }
        self.options.take(name, text).map_err(IntakeError::Invalid)?;
        intake.check_options(&self.options)
    }
}

fn is_known(name: &str) -> bool {
    name == "webhook_url" || JobOptions::NAMES.contains(&name)
}

/// An empty text is none, as for [`JobOptions::take`].
fn webhook_url(text: &str) -> Result<Option<String>, IntakeError> {
    const MOST_BYTES: usize = 2048;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > MOST_BYTES {
        return Err(IntakeError::Invalid(format!("The webhook_url is longer than {MOST_BYTES} bytes.")));
    }
    let is_callable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    match Url::parse(text) {
        Ok(url) if is_callable(&url) => Ok(Some(text.to_owned())),
        _ => Err(IntakeError::Invalid(format!(
            "The webhook_url “{text}” cannot be called; it must be a whole address that begins with \
             http:// or https://."
        ))),
    }
}
