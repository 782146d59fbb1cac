//! Receives the form of a request: the file to a blob, its other fields to the dialect.

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

/// What a form may hold besides the file, in bytes: its other fields, boundaries and headers.
const FORM_OVERHEAD: u64 = 1 << 20;

/// For how long what a refused client still sends is read.
const LINGER: Duration = Duration::from_secs(10);

/// The fields of a dialect's form.
pub(in crate::api) trait Fields: Sized {
    /// What the field of the file is called.
    const FILE: &'static str;

    /// Whether a field of this name means anything. Others are passed over, however long they are.
    fn knows(&self, name: &str) -> bool;

    /// Takes a field that is known.
    fn take(&mut self, intake: &Intake, name: &str, text: &str) -> Result<(), IntakeError>;
}

/// A whole upload, which goes away again unless it is kept.
#[derive(Debug)]
pub(in crate::api) struct Received<F> {
    pub(in crate::api) job: JobId,
    pub(in crate::api) upload: Box<dyn Blob>,
    pub(in crate::api) filename: String,
    pub(in crate::api) fields: F,
}

impl Intake {
    /// Reads a request to its end. `fields` makes the fields of what stands before its body, such as the query. Whatever
    /// is refused, and a client that disconnects, leaves nothing.
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
            // This client waits for leave to send its body, and gets none.
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

    /// All that can be known before the body is read. Gives the form's boundary.
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
                name if fields.knows(name) => fields.take(self, name, &part.text(name).await?)?,
                _ => while part.chunk().await?.is_some() {},
            }
        }
        let (writer, filename) = file.ok_or_else(missing_file::<F>)?;
        Ok(Received { job, upload: writer.finish().await?, filename, fields })
    }
}

/// Goes on reading from a refused client for a while. Closing at once would reset the connection, and a client
/// that still sends would never read why.
fn linger(mut body: BodyDataStream) {
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
