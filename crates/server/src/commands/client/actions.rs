//! `verbatim cancel`, `verbatim retry` and `verbatim delete`: what is done to jobs of a server.

use std::io::Write;

use indicatif::ProgressBar;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::error::ClientError;
use super::server::Server;
use super::{status, waiting};
use crate::commands::terminal::print_error;
use crate::jobs::JobId;
use crate::settings::JobIdsSettings;

/// What is done to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ends it before it is done.
    Cancel,
    /// Does it again after it failed or was cancelled.
    Retry,
    /// Deletes it with its result.
    Delete,
}

impl Action {
    /// The method, and what follows the job's own path.
    fn route(self, job: JobId) -> (Method, String) {
        match self {
            Self::Cancel => (Method::POST, format!("/jobs/{job}/cancel")),
            Self::Retry => (Method::POST, format!("/jobs/{job}/retry")),
            Self::Delete => (Method::DELETE, format!("/jobs/{job}")),
        }
    }

    /// What a server that does not know it cannot do.
    fn what(self) -> &'static str {
        match self {
            Self::Cancel => "cancel jobs",
            Self::Retry => "retry jobs",
            Self::Delete => "delete jobs",
        }
    }
}

/// Does the same to every job, and prints the id of each that it was done to. False if it could not be done to one of
/// them.
pub fn run(action: Action, settings: &JobIdsSettings, out: &mut impl Write) -> anyhow::Result<bool> {
    let server = Server::new(&settings.server.server, &settings.server.connection)?;
    waiting()?.block_on(async {
        let mut all_done = true;
        for job in &settings.ids {
            let bar = ProgressBar::hidden();
            match server.retrying(&bar, async || act(&server, action, *job).await).await {
                Ok(id) => {
                    writeln!(out, "{id}")?;
                    out.flush()?;
                }
                Err(error) => {
                    all_done = false;
                    print_error(format_args!("{job}: {error}"));
                }
            }
        }
        Ok(all_done)
    })
}

/// An answer may name a job: a job that is done again may be a new one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    job_id: Option<String>,
}

/// Gives the id of the job that there is now.
async fn act(server: &Server, action: Action, job: JobId) -> Result<JobId, ClientError> {
    let (method, path) = action.route(job);
    let response = server.send(server.request(method, server.url(&path))).await?;
    match response.status() {
        status if status.is_success() => {
            let body = response.text().await.unwrap_or_default();
            let answer: Answer = serde_json::from_str(&body).unwrap_or_default();
            Ok(answer.job_id.and_then(|id| JobId::parse(&id)).unwrap_or(job))
        }
        // Either there is no such job, or no such route.
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            let refusal = server.refusal(response).await;
            match status::exists(server, job).await? {
                true => Err(ClientError::TooOld { server: server.name(), what: action.what() }),
                false => Err(refusal),
            }
        }
        _ => Err(server.refusal(response).await),
    }
}
