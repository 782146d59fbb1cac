//! Receives the body of a request: writes the file to a blob and gives the other fields of a form to the dialect.

use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use url::form_urlencoded;

use super::digest::RequestDigest;
use super::filename::sanitise;
use super::form::{Form, Part, STALL_TIMEOUT};
use super::keys::KeyInUse;
use super::{Intake, IntakeError, stopping};
use crate::blobs::{Blob, BlobWriter};
use crate::jobs::{JobId, JobOptions};
use crate::settings::UploadLimits;
use crate::units::format_size;

/// The bytes that a form may hold besides the file: its other fields, boundaries and headers.
const FORM_OVERHEAD: u64 = 1 << 20;

/// The longest body that has no file, in bytes.
const MAX_FIELDS_BYTES: usize = 64 << 10;

/// How long the rest of a refused request is read.
const LINGER: Duration = Duration::from_secs(10);

/// What a dialect makes of the fields of a request.
pub(in crate::api) trait Fields: Sized {
    /// The name of the form's field that holds the file.
    const FILE: &'static str;

    /// Whether the body may be the file itself instead of a form.
    const RAW_BODY: bool = false;

    /// Whether the dialect has a field of this name. Other fields are skipped, whatever their length.
    fn is_known(&self, name: &str) -> bool;

    /// Sets a known field from its text.
    fn set(&mut self, intake: &Intake, name: &str, text: &str) -> Result<(), IntakeError>;

    /// The options that the fields so far ask for.
    fn options(&self) -> JobOptions;

    /// The address of the file, if it is to be fetched.
    fn url(&self) -> Option<&str> {
        None
    }

    /// The file's name, if it is not in a form.
    fn filename(&self) -> &str {
        ""
    }

    /// Bytes to store before those of the file.
    fn prefix(&self) -> &[u8] {
        &[]
    }
}

/// A complete upload and its fields. The upload is removed on drop unless it is kept: see [`Blob`].
#[derive(Debug)]
pub(in crate::api) struct Received<F> {
    pub(in crate::api) job: JobId,
    pub(in crate::api) upload: Box<dyn Blob>,
    pub(in crate::api) filename: String,
    pub(in crate::api) fields: F,
    /// SHA-256, in hexadecimal; `None` if the upload came in several requests.
    pub(in crate::api) content_hash: Option<String>,
    /// The request's `Idempotency-Key`.
    pub(super) key: Option<KeyInUse>,
    /// SHA-256 of all that was asked, in hexadecimal.
    pub(super) request_hash: String,
}

impl<F> Received<F> {
    /// An upload that came in several requests.
    pub(in crate::api) fn in_parts(job: JobId, upload: Box<dyn Blob>, filename: String, fields: F) -> Self {
        Self { job, upload, filename, fields, content_hash: None, key: None, request_hash: String::new() }
    }
}

/// How the file comes.
enum BodyKind {
    /// As a form with this boundary.
    Form(String),
    /// The body is the file.
    Raw,
    /// From an address, which is in the query or in the body, as curl sends the fields of a form without a file.
    Fetch,
}

/// A file that was written to its blob, but not finished.
struct WrittenFile {
    writer: Box<dyn BlobWriter>,
    filename: String,
    hash: String,
}

impl Intake {
    /// Reads a request to its end. `fields` makes the initial fields from the head of the request, such as its query.
    /// If the request is refused or the client disconnects, no file is left behind.
    pub(in crate::api) async fn receive<F: Fields>(
        &self,
        request: Request,
        fields: impl FnOnce(&Parts) -> Result<F, IntakeError>,
    ) -> Result<Received<F>, IntakeError> {
        let (head, body) = request.into_parts();
        let mut body = body.into_data_stream();
        let checked = match fields(&head) {
            Ok(fields) => self.check_head(&head.headers, fields).await,
            Err(error) => Err(error),
        };
        let (kind, fields, key) = match checked {
            Ok(checked) => checked,
            // This client waits for `100 Continue` before it sends its body, so there is nothing to read.
            Err(error) if head.headers.contains_key(header::EXPECT) => return Err(error),
            Err(error) => {
                linger(body);
                return Err(error);
            }
        };
        let reading = self.read(&mut body, &head, kind, fields, key);
        let received = self.stopping.run_until_cancelled(reading).await.unwrap_or_else(|| Err(stopping()));
        if received.is_err() {
            linger(body);
        }
        received
    }

    /// Checks what can be checked before the body is read.
    async fn check_head<F: Fields>(
        &self,
        headers: &HeaderMap,
        fields: F,
    ) -> Result<(BodyKind, F, Option<KeyInUse>), IntakeError> {
        self.check_so_far(&fields).await?;
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = match multer::parse_boundary(content_type.unwrap_or_default()) {
            Ok(boundary) => BodyKind::Form(boundary),
            Err(_) if F::RAW_BODY && content_type.is_some_and(may_be_a_file) && fields.url().is_some() => {
                return Err(file_and_url());
            }
            Err(_) if F::RAW_BODY && content_type.is_some_and(may_be_a_file) => BodyKind::Raw,
            Err(_) if fields.url().is_some() => BodyKind::Fetch,
            Err(_) if F::RAW_BODY && content_type.is_some_and(is_url_encoded) => BodyKind::Fetch,
            Err(_) => return Err(missing_file::<F>()),
        };
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let length: u64 = length.unwrap_or(0);
        if length > self.limits.max_file_size.saturating_add(FORM_OVERHEAD) {
            return Err(too_large(&self.limits));
        }
        self.blobs.require_room(length)?;
        Ok((kind, fields, self.keys.take(headers)?))
    }

    /// Refuses options early. Fields come in any order, so that nothing is judged by the default model while another one
    /// may still be named.
    async fn check_so_far<F: Fields>(&self, fields: &F) -> Result<(), IntakeError> {
        let options = fields.options();
        if options.model.is_none() && fields.is_known("model") {
            return Ok(());
        }
        self.check_options(&options).await
    }

    async fn read<F: Fields>(
        &self,
        body: &mut BodyDataStream,
        head: &Parts,
        kind: BodyKind,
        mut fields: F,
        key: Option<KeyInUse>,
    ) -> Result<Received<F>, IntakeError> {
        let (job, mut digest) = (JobId::new(), RequestDigest::new(head));
        let file = match kind {
            BodyKind::Form(boundary) => self.read_form(body, boundary, job, &mut fields, &mut digest).await?,
            BodyKind::Raw => {
                self.check_options(&fields.options()).await?;
                let filename = sanitise(fields.filename());
                self.write_file(&mut RawBody(body), job, filename, fields.prefix()).await?
            }
            BodyKind::Fetch => {
                self.read_url_encoded(body, &mut fields, &mut digest).await?;
                self.fetch_file(job, &fields).await?
            }
        };
        Ok(Received {
            job,
            upload: file.writer.finish().await?,
            request_hash: digest.finish(&file.filename, &file.hash),
            filename: file.filename,
            fields,
            content_hash: Some(file.hash),
            key,
        })
    }

    async fn read_form<F: Fields>(
        &self,
        body: &mut BodyDataStream,
        boundary: String,
        job: JobId,
        fields: &mut F,
        digest: &mut RequestDigest,
    ) -> Result<WrittenFile, IntakeError> {
        let mut form = Form::new(body, boundary, self.limits.max_file_size.saturating_add(FORM_OVERHEAD));
        let mut file = None;
        while let Some((disposition, mut part)) = form.next_part().await? {
            match disposition.name.as_str() {
                name if name == F::FILE && file.is_some() => {
                    return Err(IntakeError::Invalid("There are two files; send one a request.".into()));
                }
                name if name == F::FILE => {
                    let filename = sanitise(disposition.filename.as_deref().unwrap_or_default());
                    file = Some(self.write_file(&mut part, job, filename, fields.prefix()).await?);
                }
                name if fields.is_known(name) => {
                    let text = part.text(name).await?;
                    digest.field(name, &text);
                    fields.set(self, name, &text)?;
                    self.check_so_far(fields).await?;
                }
                _ => while part.chunk().await?.is_some() {},
            }
        }
        self.check_options(&fields.options()).await?;
        match file {
            Some(_) if fields.url().is_some() => Err(file_and_url()),
            Some(file) => Ok(file),
            None => self.fetch_file(job, fields).await,
        }
    }

    /// Reads fields from a body without a file.
    async fn read_url_encoded<F: Fields>(
        &self,
        body: &mut BodyDataStream,
        fields: &mut F,
        digest: &mut RequestDigest,
    ) -> Result<(), IntakeError> {
        let (mut bytes, mut body) = (Vec::new(), RawBody(body));
        while let Some(chunk) = body.next().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_FIELDS_BYTES {
                return Err(missing_file::<F>());
            }
        }
        for (name, text) in form_urlencoded::parse(&bytes) {
            if fields.is_known(&name) {
                digest.field(&name, &text);
                fields.set(self, &name, &text)?;
            }
        }
        self.check_options(&fields.options()).await
    }

    async fn fetch_file<F: Fields>(&self, job: JobId, fields: &F) -> Result<WrittenFile, IntakeError> {
        let address = fields.url().ok_or_else(missing_file::<F>)?;
        let fetcher = self.fetcher.as_ref().ok_or_else(|| {
            IntakeError::Invalid("This server fetches no addresses; ALLOW_URLS=true lets it.".into())
        })?;
        let mut fetched = fetcher.fetch(address).await?;
        let length = fetched.length.unwrap_or(0);
        if length > self.limits.max_file_size {
            return Err(too_large(&self.limits));
        }
        self.blobs.require_room(length)?;
        let filename = fetched.filename.clone();
        self.write_file(&mut fetched, job, filename, &[]).await
    }

    async fn write_file(
        &self,
        chunks: &mut impl Chunks,
        job: JobId,
        filename: String,
        prefix: &[u8],
    ) -> Result<WrittenFile, IntakeError> {
        let mut writer = self.blobs.begin(job).await?;
        let mut hasher = Sha256::new();
        if !prefix.is_empty() {
            hasher.update(prefix);
            writer.write(prefix).await?;
        }
        while let Some(chunk) = chunks.next().await? {
            if writer.written() + chunk.len() as u64 > self.limits.max_file_size {
                return Err(too_large(&self.limits));
            }
            hasher.update(&chunk);
            writer.write(&chunk).await?;
        }
        if writer.written() == prefix.len() as u64 {
            return Err(IntakeError::Refused("The file is empty.".into()));
        }
        Ok(WrittenFile { writer, filename, hash: format!("{:x}", hasher.finalize()) })
    }
}

/// The bytes of a file as they arrive.
pub(super) trait Chunks {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, IntakeError>;
}

impl Chunks for Part<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, IntakeError> {
        self.chunk().await
    }
}

/// A body that is the file itself.
struct RawBody<'b>(&'b mut BodyDataStream);

impl Chunks for RawBody<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, IntakeError> {
        let chunk = timeout(STALL_TIMEOUT, self.0.next()).await;
        let chunk = chunk.map_err(|_| IntakeError::Stalled(STALL_TIMEOUT.as_secs()))?;
        chunk.transpose().map_err(|error| IntakeError::Refused(format!("The request broke off: {error}.")))
    }
}

fn is_url_encoded(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim() == "application/x-www-form-urlencoded"
}

/// Whether a body of this media type may be a file. Forms, and what curl says if nobody says anything, may not.
fn may_be_a_file(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let of_media = essence.starts_with("audio/") || essence.starts_with("video/");
    of_media || matches!(essence.as_str(), "application/octet-stream" | "application/ogg" | "application/mp4")
}

/// Reads the rest of a refused request for [`LINGER`] and discards it. Closing at once would reset the connection, and
/// a client that is still sending would not get the error.
pub(in crate::api) fn linger(mut body: BodyDataStream) {
    tokio::spawn(timeout(LINGER, async move { while let Some(Ok(_)) = body.next().await {} }));
}

fn file_and_url() -> IntakeError {
    IntakeError::Invalid("There are a file and a url; send one of them.".into())
}

fn missing_file<F: Fields>() -> IntakeError {
    let name = F::FILE;
    let or_raw = match F::RAW_BODY {
        true => ", or as the body itself with its media type, such as audio/mpeg",
        false => "",
    };
    IntakeError::Invalid(format!(
        "There is no file: send it as the field “{name}” of a multipart/form-data form{or_raw}."
    ))
}

fn too_large(limits: &UploadLimits) -> IntakeError {
    let most = format_size(limits.max_file_size);
    IntakeError::Refused(format!("The file is too large: at most {most} are taken."))
}
