//! The parameters of an upload, from the query or from the form. The query takes precedence.

use std::collections::HashSet;

use axum::extract::Query;
use axum::http::request::Parts;
use url::Url;

use crate::api::intake::{Fields, Intake, IntakeError, Submission};
use crate::jobs::JobOptions;

/// The parameter that names a file whose body has no form. In a form, the file's part has a name.
const FILENAME: &str = "filename";

/// The parameters of one upload.
#[derive(Debug, Default)]
pub(in crate::api) struct Parameters {
    query: Values,
    form: Values,
}

/// The parameters from one source: the query, or the form.
#[derive(Debug, Default)]
struct Values {
    options: JobOptions,
    webhook_url: Option<String>,
    /// The name of a file that is the body itself.
    filename: String,
    /// The address of a file that is to be fetched.
    url: Option<String>,
}

impl Parameters {
    /// Reads the query. Fails if a parameter is wrong or occurs twice.
    pub(super) fn from_query(head: &Parts) -> Result<Self, IntakeError> {
        let unreadable = |reason: &str| IntakeError::Invalid(format!("The query cannot be read: {reason}."));
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&head.uri)
            .map_err(|error| unreadable(&error.body_text()))?;
        let mut query = Values::default();
        let mut seen = HashSet::new();
        for (name, text) in pairs.iter().filter(|(name, _)| is_known(name) || *name == FILENAME) {
            if !seen.insert(name) {
                return Err(unreadable(&format!("{name} is in it twice")));
            }
            query.set(name, text)?;
        }
        Ok(Self { query, form: Values::default() })
    }
}

impl Fields for Parameters {
    const FILE: &'static str = "file";
    const RAW_BODY: bool = true;

    fn is_known(&self, name: &str) -> bool {
        is_known(name)
    }

    fn set(&mut self, _: &Intake, name: &str, text: &str) -> Result<(), IntakeError> {
        self.form.set(name, text)
    }

    fn options(&self) -> JobOptions {
        self.query.options.clone().or(self.form.options.clone())
    }

    fn url(&self) -> Option<&str> {
        self.query.url.as_deref().or(self.form.url.as_deref())
    }

    fn filename(&self) -> &str {
        &self.query.filename
    }
}

impl From<Parameters> for Submission {
    fn from(Parameters { query, form }: Parameters) -> Self {
        Self { options: query.options.or(form.options), webhook_url: query.webhook_url.or(form.webhook_url) }
    }
}

impl Values {
    fn set(&mut self, name: &str, text: &str) -> Result<(), IntakeError> {
        match name {
            "webhook_url" => self.webhook_url = address(name, text)?,
            "url" => self.url = address(name, text)?,
            FILENAME => self.filename = text.to_owned(),
            _ => self.options.set(name, text).map_err(IntakeError::Invalid)?,
        }
        Ok(())
    }
}

fn is_known(name: &str) -> bool {
    matches!(name, "webhook_url" | "url") || JobOptions::NAMES.contains(&name)
}

/// Validates an address. An empty text gives `None`, as in [`JobOptions::set`].
fn address(name: &str, text: &str) -> Result<Option<String>, IntakeError> {
    const MAX_BYTES: usize = 2048;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > MAX_BYTES {
        return Err(IntakeError::Invalid(format!("The {name} is longer than {MAX_BYTES} bytes.")));
    }
    let is_callable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    match Url::parse(text) {
        Ok(url) if is_callable(&url) => Ok(Some(text.to_owned())),
        _ => Err(IntakeError::Invalid(format!(
            "The {name} “{text}” cannot be called; it must be a whole address that begins with \
             http:// or https://."
        ))),
    }
}
