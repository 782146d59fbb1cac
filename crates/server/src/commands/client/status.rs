//! A job as a server tells of it.

use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::error::ClientError;
use super::server::Server;
use crate::commands::terminal::printable;
use crate::jobs::{JobId, JobStatus};

/// What `/status/{id}` and `/jobs` tell of a job, as far as the command line shows it. What is missing is empty: servers
/// may be of other versions.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct JobState {
    pub(super) job_id: String,
    pub(super) filename: String,
    pub(super) status: String,
    pub(super) created_at: String,
    pub(super) progress_percentage: f64,
    pub(super) current_step: Option<String>,
    pub(super) error_message: Option<String>,
}

impl JobState {
    /// Whether the job will not change any more.
    pub(super) fn has_ended(&self) -> bool {
        has_ended(&self.status)
    }

    /// An error unless the job has completed: why it failed, or how far it is.
    pub(super) fn completed(&self, job: JobId) -> Result<(), ClientError> {
        let job = job.to_string();
        match JobStatus::parse(&self.status) {
            Some(JobStatus::Completed) => Ok(()),
            Some(ended @ (JobStatus::Failed | JobStatus::Cancelled)) => {
                let status = if ended == JobStatus::Failed { "failed" } else { "was cancelled" };
                let sentence = self.error_message.as_deref().unwrap_or("the server does not say why.");
                Err(ClientError::JobEnded { job, status: status.to_owned(), sentence: printable(sentence) })
            }
            _ => {
                let status = printable(&self.status);
                Err(ClientError::Unfinished { job, status, percentage: self.progress_percentage as u8 })
            }
        }
    }
}

/// Whether a job of this status will not change any more. One that is not known here goes on.
pub(super) fn has_ended(status: &str) -> bool {
    JobStatus::parse(status).is_some_and(JobStatus::has_ended)
}

/// Asks for the state of a job, once.
pub(super) async fn state(server: &Server, job: JobId) -> Result<JobState, ClientError> {
    let request = server.request(Method::GET, server.url(&format!("/status/{job}")));
    let response = server.succeed(request).await?;
    server.json(response, "the status of a job").await
}

/// Whether the server has a job of this id.
pub(in crate::commands) async fn exists(server: &Server, job: JobId) -> Result<bool, ClientError> {
    match state(server, job).await {
        Ok(_) => Ok(true),
        Err(ClientError::Refused { status: StatusCode::NOT_FOUND | StatusCode::GONE, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(json: &str) -> JobState {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn only_a_completed_job_has_a_result_and_the_others_say_why_not() {
        let job = JobId::new();
        let why_not = |json: &str| state(json).completed(job).map_err(|error| error.to_string());
        assert_eq!(why_not(r#"{"status": "completed", "error_message": null, "new": []}"#), Ok(()));
        let failed = why_not(r#"{"status": "failed", "error_message": "The file has no sound."}"#);
        assert_eq!(failed, Err(format!("the job {job} failed: The file has no sound.")));
        let cancelled = why_not(r#"{"status": "cancelled"}"#).unwrap_err();
        assert!(cancelled.contains("was cancelled: the server does not say why"), "{cancelled}");
        let running = why_not(r#"{"status": "processing", "progress_percentage": 41.5}"#).unwrap_err();
        assert!(running.contains("is processing (41 %)"), "{running}");
        assert!(!state(r#"{"status": "uploading"}"#).has_ended());
    }
}
