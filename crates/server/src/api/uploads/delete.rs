//! `DELETE /uploads/{id}`: gives an upload up and removes what has arrived.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::error::UploadError;
use super::find::{Found, find};
use crate::api::intake::Intake;
use crate::jobs::JobId;

pub(super) async fn delete(intake: &Intake, id: JobId) -> Result<Response, UploadError> {
    match find(intake, id).await? {
        Found::Job(job) => Err(UploadError::IsJob(job.id)),
        Found::Partial(partial) => {
            partial.remove().await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
    }
}
