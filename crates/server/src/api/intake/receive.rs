//! Receives the form of a request: writes the file to a blob and gives the other fields to the dialect.

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::filename::sanitise;
use super::form::{Form, Part};
use super::{Intake, IntakeError, stopping};
use crate::blobs::{Blob, BlobWriter};
use crate::jobs::JobId;
use crate::settings::UploadLimits;
use crate::units::format_size;

/// The bytes that a form may hold besides the file: its other fields, boundaries and headers.
const FORM_OVERHEAD: u64 = 1 << 20;

/// How long the rest of a refused request is read.
const LINGER: Duration = Duration::from_secs(10);

/// The fields of a dialect's form.
pub(in crate::api) trait Fields: Sized {
    /// The name of the field that holds the file.
    const FILE: &'static str;

    /// Whether the dialect has a field of this name. Other fields are skipped, whatever their length.
    fn is_known(&self, name: &str) -> bool;

    /// Sets a known field from its text.
    fn set(&mut self, intake: &Intake, name: &str, text: &str) -> Result<(), IntakeError>;
}

/// A complete upload and its fields. The upload is removed on drop unless it is kept: see [`Blob`].
#[derive(Debug)]
pub(in crate::api) struct Received<F> {
    pub(in crate::api) job: JobId,
    pub(in crate::api) upload: Box<dyn Blob>,
    pub(in crate::api) filename: String,
    pub(in crate::api) fields: F,
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
        let checked = fields(&head).and_then(|fields| Ok((self.check_head::<F>(&head.headers)?, fields)));
        let (boundary, fields) = match checked {
            Ok(checked) => checked,
            // This client waits for `100 Continue` before it sends its body, so there is nothing to read.
            Err(error) if head.headers.contains_key(header::EXPECT) => return Err(error),
            Err(error) => {
                linger(body);
                return Err(error);
            }
        };
        let reading = self.read_form(&mut body, boundary, fields);
        let received = self.stopping.run_until_cancelled(reading).await.unwrap_or_else(|| Err(stopping()));
        if received.is_err() {
            linger(body);
        }
        received
    }

    /// Checks what can be checked before the body is read. Gives the form's boundary.
    fn check_head<F: Fields>(&self, headers: &HeaderMap) -> Result<String, IntakeError> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = multer::parse_boundary(content_type.unwrap_or_default());
        let boundary = boundary.map_err(|_| missing_file::<F>())?;
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let length: u64 = length.unwrap_or(0);
        if length > self.limits.max_file_size.saturating_add(FORM_OVERHEAD) {
            return Err(too_large(&self.limits));
        }
        self.blobs.require_room(length)?;
        Ok(boundary)
    }

    async fn read_form<F: Fields>(
        &self,
        body: &mut BodyDataStream,
        boundary: String,
        mut fields: F,
    ) -> Result<Received<F>, IntakeError> {
        let mut form = Form::new(body, boundary, self.limits.max_file_size.saturating_add(FORM_OVERHEAD));
        let job = JobId::new();
        let mut file = None;
        while let Some((disposition, mut part)) = form.next_part().await? {
            match disposition.name.as_str() {
                name if name == F::FILE && file.is_some() => {
                    return Err(IntakeError::Invalid("There are two files; send one a request.".into()));
                }
                name if name == F::FILE => {
                    let filename = sanitise(disposition.filename.as_deref().unwrap_or_default());
                    let mut writer = self.blobs.begin(job).await?;
                    write_file(&mut part, writer.as_mut(), &self.limits).await?;
                    file = Some((writer, filename));
                }
                name if fields.is_known(name) => fields.set(self, name, &part.text(name).await?)?,
                _ => while part.chunk().await?.is_some() {},
            }
        }
        let (writer, filename) = file.ok_or_else(missing_file::<F>)?;
        Ok(Received { job, upload: writer.finish().await?, filename, fields })
    }
}

/// Reads the rest of a refused request for [`LINGER`] and discards it. Closing at once would reset the connection, and
/// a client that is still sending would not get the error.
pub(in crate::api) fn linger(mut body: BodyDataStream) {
    tokio::spawn(timeout(LINGER, async move { while let Some(Ok(_)) = body.next().await {} }));
}

fn missing_file<F: Fields>() -> IntakeError {
    let name = F::FILE;
    IntakeError::Invalid(format!(
        "There is no file: send it as the field “{name}” of a multipart/form-data form."
    ))
}

fn too_large(limits: &UploadLimits) -> IntakeError {
    let most = format_size(limits.max_file_size);
    IntakeError::Refused(format!("The file is too large: at most {most} are taken."))
}

async fn write_file(
    part: &mut Part<'_>,
    writer: &mut dyn BlobWriter,
    limits: &UploadLimits,
) -> Result<(), IntakeError> {
    while let Some(chunk) = part.chunk().await? {
        if writer.written() + chunk.len() as u64 > limits.max_file_size {
            return Err(too_large(limits));
        }
        writer.write(&chunk).await?;
    }
    if writer.written() == 0 {
        return Err(IntakeError::Refused("The file is empty.".into()));
    }
    Ok(())
}
