//! Takes the form of `POST /process` and its synchronous kin: streams the file to disk with flat
//! memory, and checks everything else, the cheap things first.

use std::collections::HashSet;
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::extract::{Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use tokio::time::timeout;
use url::Url;
use verbatim_speech::{Language, Task};

use super::ApiState;
use super::error::ApiError;
use super::filename::sanitise;
use super::form::{Form, Part};
use crate::config::UploadLimits;
use crate::files::{Upload, UploadWriter};
use crate::job::JobId;
use crate::units::format_size;
use crate::wishes::Wishes;

/// What a form may hold besides the file, in bytes: its other fields, boundaries and headers.
const FORM_OVERHEAD: u64 = 1 << 20;

/// How long a refused client that still sends is listened to.
const LINGER: Duration = Duration::from_secs(10);

/// What a client may say about its file, in the query or in the form; the query wins.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) wishes: Wishes,
    pub(super) webhook_url: Option<String>,
}

impl Parameters {
    fn knows(name: &str) -> bool {
        name == "webhook_url" || Wishes::NAMES.contains(&name)
    }

    /// Takes one that is known by its name.
    fn take(&mut self, state: &ApiState, name: &str, text: &str) -> Result<(), ApiError> {
        if name == "webhook_url" {
            self.webhook_url = webhook_url(text)?;
            return Ok(());
        }
        self.wishes.take(name, text).map_err(ApiError::Invalid)?;
        check_model(state, &self.wishes)
    }

    fn or(self, other: Self) -> Self {
        Self { wishes: self.wishes.or(other.wishes), webhook_url: self.webhook_url.or(other.webhook_url) }
    }
}

/// A whole upload, safe on disk, which goes away again unless it is kept.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) job: JobId,
    pub(super) upload: Upload,
    pub(super) filename: String,
    pub(super) parameters: Parameters,
}

/// Reads the request to its end. Whatever is refused, and a client that hangs up, leaves nothing.
pub(super) async fn receive(state: &ApiState, request: Request) -> Result<Received, ApiError> {
    let (head, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let (boundary, query) = match check_head(state, &head) {
        Ok(checked) => checked,
        // This client waits for leave to send its body, and gets none.
        Err(error) if head.headers.contains_key(header::EXPECT) => return Err(error),
        Err(error) => {
            linger(body);
            return Err(error);
        }
    };
    let reading = read_form(state, &mut body, boundary, query);
    let received = state.stopping.run_until_cancelled(reading).await.unwrap_or_else(|| Err(stopping()));
    if received.is_err() {
        linger(body);
    }
    received
}

/// Listens to a refused client for a while. Closing at once would reset the connection, and a client
/// that still sends would never read why.
fn linger(mut body: BodyDataStream) {
    tokio::spawn(timeout(LINGER, async move { while let Some(Ok(_)) = body.next().await {} }));
}

pub(super) fn stopping() -> ApiError {
    ApiError::Unavailable("The server is stopping; send the file again once it is back.".into())
}

/// All that can be known before the body is read.
fn check_head(state: &ApiState, head: &Parts) -> Result<(String, Parameters), ApiError> {
    let parameters = query(state, head)?;
    let boundary = boundary(&head.headers)?;
    check_length(state, &head.headers)?;
    Ok((boundary, parameters))
}

fn query(state: &ApiState, head: &Parts) -> Result<Parameters, ApiError> {
    let unreadable = |reason: &str| ApiError::Invalid(format!("The query cannot be read: {reason}."));
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&head.uri)
        .map_err(|error| unreadable(&error.body_text()))?;
    let mut parameters = Parameters::default();
    let mut seen = HashSet::new();
    for (name, text) in pairs.iter().filter(|(name, _)| Parameters::knows(name)) {
        if !seen.insert(name) {
            return Err(unreadable(&format!("{name} is in it twice")));
        }
        parameters.take(state, name, text)?;
    }
    Ok(parameters)
}

fn boundary(headers: &HeaderMap) -> Result<String, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    multer::parse_boundary(content_type.unwrap_or_default()).map_err(|_| missing_file())
}

fn missing_file() -> ApiError {
    ApiError::Invalid("There is no file: send it as the field “file” of a multipart/form-data form.".into())
}

fn too_large(limits: &UploadLimits) -> ApiError {
    let most = format_size(limits.max_file_size);
    ApiError::Refused(format!("The file is too large: at most {most} are taken."))
}

/// By what the request says of itself, before anything of it is read.
fn check_length(state: &ApiState, headers: &HeaderMap) -> Result<(), ApiError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let length: u64 = length.unwrap_or(0);
    if length > state.limits.max_file_size.saturating_add(FORM_OVERHEAD) {
        return Err(too_large(&state.limits));
    }
    Ok(state.uploads.require_room(length)?)
}

async fn read_form(
    state: &ApiState,
    body: &mut BodyDataStream,
    boundary: String,
    query: Parameters,
) -> Result<Received, ApiError> {
    let mut form = Form::new(body, boundary, state.limits.max_file_size.saturating_add(FORM_OVERHEAD));
    let job = JobId::new();
    let mut file = None;
    let mut parameters = Parameters::default();
    while let Some((disposition, mut part)) = form.next_part().await? {
        match disposition.name.as_str() {
            "file" if file.is_some() => {
                return Err(ApiError::Invalid("There are two files; send one a request.".into()));
            }
            "file" => {
                let filename = sanitise(disposition.filename.as_deref().unwrap_or_default());
                let mut writer = state.uploads.begin(job).await?;
                write_file(&mut part, &mut writer, &state.limits).await?;
                file = Some((writer, filename));
            }
            name if Parameters::knows(name) => {
                parameters.take(state, name, &part.text(name).await?)?;
            }
            _ => while part.chunk().await?.is_some() {},
        }
    }
    let (writer, filename) = file.ok_or_else(missing_file)?;
    let upload = writer.finish().await?;
    Ok(Received { job, upload, filename, parameters: query.or(parameters) })
}

async fn write_file(
    part: &mut Part<'_>,
    writer: &mut UploadWriter,
    limits: &UploadLimits,
) -> Result<(), ApiError> {
    while let Some(chunk) = part.chunk().await? {
        if writer.written() + chunk.len() as u64 > limits.max_file_size {
            return Err(too_large(limits));
        }
        writer.write(&chunk).await?;
    }
    if writer.written() == 0 {
        return Err(ApiError::Refused("The file is empty.".into()));
    }
    Ok(())
}

/// That the model can do what is wished for.
fn check_model(state: &ApiState, wishes: &Wishes) -> Result<(), ApiError> {
    let model = &state.models_loaded.whisper;
    if let Some(language) = wishes.language.filter(|language| !state.languages.contains(language)) {
        return Err(ApiError::Invalid(format!("The model {model} does not know the language {language}.")));
    }
    if wishes.task == Some(Task::Translate) && *state.languages == [Language::ENGLISH] {
        return Err(ApiError::Invalid(format!("The model {model} knows only English; it cannot translate.")));
    }
    Ok(())
}

/// An empty text is none, as for [`Wishes::take`].
fn webhook_url(text: &str) -> Result<Option<String>, ApiError> {
    const MOST_BYTES: usize = 2048;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > MOST_BYTES {
        return Err(ApiError::Invalid(format!("The webhook_url is longer than {MOST_BYTES} bytes.")));
    }
    let is_callable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    match Url::parse(text) {
        Ok(url) if is_callable(&url) => Ok(Some(text.to_owned())),
        _ => Err(ApiError::Invalid(format!(
            "The webhook_url “{text}” cannot be called; it must be a whole address that begins with \
             http:// or https://."
        ))),
    }
}
