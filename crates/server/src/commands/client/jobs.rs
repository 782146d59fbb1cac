//! `verbatim jobs`: lists the jobs of a server.

use std::io::Write;

use indicatif::ProgressBar;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::error::ClientError;
use super::server::Server;
use super::status::JobState;
use super::waiting;
use crate::commands::terminal::printable;
use crate::settings::JobsSettings;

/// The most jobs in one request.
const PAGE: u32 = 100;

/// A page of the list of jobs, the newest first.
#[derive(Debug, Deserialize)]
struct Page {
    jobs: Vec<Value>,
    /// What to ask for the next page with; null at the last.
    #[serde(default)]
    next_cursor: Option<Value>,
}

/// Prints the jobs as a table, or as a line of JSON each.
pub fn run(settings: &JobsSettings, out: &mut impl Write) -> anyhow::Result<()> {
    let server = Server::new(&settings.server.server, &settings.server.connection)?;
    let jobs = waiting()?.block_on(list(&server, settings))?;
    if settings.json {
        for job in jobs {
            writeln!(out, "{job}")?;
        }
        return Ok(());
    }
    let states = jobs.into_iter().map(|job| {
        serde_json::from_value(job).map_err(|error| server.garbled(format!("a job cannot be read, {error}")))
    });
    write_table(&states.collect::<Result<Vec<JobState>, _>>()?, out)?;
    Ok(())
}

/// The jobs that were asked for, page by page.
async fn list(server: &Server, settings: &JobsSettings) -> Result<Vec<Value>, ClientError> {
    let (mut jobs, mut cursor) = (Vec::new(), None);
    let limit = settings.limit as usize;
    while jobs.len() < limit {
        let left = (limit - jobs.len()).min(PAGE as usize);
        let bar = ProgressBar::hidden();
        let page =
            server.retrying(&bar, async || page(server, settings, left, cursor.as_deref()).await).await?;
        let is_empty = page.jobs.is_empty();
        jobs.extend(page.jobs);
        cursor = page.next_cursor.and_then(|next| match next {
            Value::Null => None,
            Value::String(text) => Some(text),
            number => Some(number.to_string()),
        });
        // A page without jobs that has a next one could go on forever.
        if cursor.is_none() || is_empty {
            break;
        }
    }
    jobs.truncate(limit);
    Ok(jobs)
}

async fn page(
    server: &Server,
    settings: &JobsSettings,
    limit: usize,
    cursor: Option<&str>,
) -> Result<Page, ClientError> {
    let mut url = server.url("/jobs");
    let mut query = url.query_pairs_mut();
    query.append_pair("limit", &limit.to_string());
    let status = settings.status.map(|status| status.as_str());
    for (name, text) in [("status", status), ("q", settings.search.as_deref()), ("cursor", cursor)] {
        if let Some(text) = text {
            query.append_pair(name, text);
        }
    }
    drop(query);
    let response = server.send(server.request(Method::GET, url)).await?;
    match response.status() {
        StatusCode::NOT_FOUND => Err(ClientError::TooOld { server: server.name(), what: "list its jobs" }),
        status if status.is_success() => server.json(response, "the list of jobs").await,
        _ => Err(server.refusal(response).await),
    }
}

/// Writes a line for each job: id, status, progress, when it was created, and its recording.
fn write_table(jobs: &[JobState], out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "{:<36}  {:<10}  {:>8}  {:<24}  name", "id", "status", "progress", "created")?;
    for job in jobs {
        let [id, status, created, name] =
            [&job.job_id, &job.status, &job.created_at, &job.filename].map(|text| printable(text));
        let progress = format!("{} %", job.progress_percentage as u8);
        writeln!(out, "{id:<36}  {status:<10}  {progress:>8}  {created:<24}  {name}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_job_whatever_its_name_holds() {
        let job = |status: &str, progress_percentage, filename: &str| JobState {
            job_id: "1f0c6a52-6f0e-4c55-9a55-0d6d0a1f7a57".to_owned(),
            filename: filename.to_owned(),
            status: status.to_owned(),
            created_at: "2026-11-23T15:00:00.000Z".to_owned(),
            progress_percentage,
            ..JobState::default()
        };
        let mut table = Vec::new();
        let jobs =
            [job("processing", 41.5, "Vortrag über Äpfel.mp4"), job("failed", 0.0, "a\u{1b}[2Jb\n.mp3")];
        write_table(&jobs, &mut table).unwrap();
        assert_snapshot!(String::from_utf8(table).unwrap(), @r"
        id                                    status      progress  created                   name
        1f0c6a52-6f0e-4c55-9a55-0d6d0a1f7a57  processing      41 %  2026-11-23T15:00:00.000Z  Vortrag über Äpfel.mp4
        1f0c6a52-6f0e-4c55-9a55-0d6d0a1f7a57  failed           0 %  2026-11-23T15:00:00.000Z  a�[2Jb�.mp3
        ");
    }
}
