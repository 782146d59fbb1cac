//! Uploads as one form, for servers that take no others.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use indicatif::ProgressBar;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;

use super::error::ClientError;
use super::server::Server;
use super::source::SourceFile;
use super::tus::unless_stalled;
use crate::jobs::JobId;

#[derive(Debug, Deserialize)]
struct Accepted {
    job_id: String,
}

/// Submits a file as the form of `POST /process`. It is not tried again: whether the server has made a job of it would not
/// be known.
pub(super) async fn submit(
    server: &Server,
    source: &SourceFile,
    options: &[(&'static str, String)],
    bar: &ProgressBar,
) -> Result<JobId, ClientError> {
    let sent = Arc::new(AtomicU64::new(0));
    let body = source.body(0, source.size, sent.clone(), bar.clone()).await?;
    let file = Part::stream_with_length(body, source.size).file_name(source.name.clone());
    let mut form = Form::new();
    for (name, text) in options {
        form = form.text(*name, text.clone());
    }
    let request =
        server.patient_request(Method::POST, server.url("/process")).multipart(form.part("file", file));
    let submitted = unless_stalled(server, server.succeed(request), &sent, source.size).await;
    let response = submitted.or_else(|error| source.expect_unchanged().and(Err(error)))?;
    let accepted: Accepted = server.json(response, "the answer to an upload").await?;
    JobId::parse(&accepted.job_id).ok_or_else(|| server.garbled("it gives a job no id"))
}
