//! `verbatim result`, and the results of `verbatim submit --wait`: fetches what came of a job, and writes it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use indicatif::ProgressBar;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::ClientError;
use super::follow::follow;
use super::server::Server;
use super::status::state;
use super::waiting;
use crate::commands::output::{self, Plan};
use crate::jobs::JobId;
use crate::jobs::formats::{Format, RenderOptions, render};
use crate::jobs::result::TranscriptionResult;
use crate::settings::ResultSettings;

/// Writes the result of a job in every format.
pub fn run(settings: &ResultSettings, out: &mut impl Write) -> anyhow::Result<()> {
    let server = Server::new(&settings.server.server, &settings.server.connection)?;
    // Of one job without a name yet: in a folder, its outputs are named after its recording.
    Plan::new(&[PathBuf::from(settings.id.to_string())], &settings.format, settings.output.as_deref())?;
    waiting()?.block_on(async {
        let state = match settings.wait {
            true => follow(&server, settings.id).await?,
            false => state(&server, settings.id).await?,
        };
        state.completed(settings.id)?;
        // A name from elsewhere: without folders, which could lead anywhere.
        let name = Path::new(&state.filename).file_name().map(PathBuf::from);
        let name = name.unwrap_or_else(|| settings.id.to_string().into());
        let plan = Plan::new(&[name], &settings.format, settings.output.as_deref())?;
        write(&server, settings.id, &plan, 0, out).await
    })
}

/// Writes the result of a job that has completed, in the formats and to the outputs of the plan's input with this index.
pub(super) async fn write(
    server: &Server,
    job: JobId,
    plan: &Plan,
    input: usize,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    for (format, file) in plan.outputs(input) {
        output::write(file, &fetch(server, job, format).await?, out)?;
    }
    Ok(())
}

/// The result of a job that has completed, in a format. Tries again where the connection breaks.
pub(in crate::commands) async fn fetch(
    server: &Server,
    job: JobId,
    format: Format,
) -> Result<String, ClientError> {
    let bar = ProgressBar::hidden();
    server.retrying(&bar, async || fetch_once(server, job, format).await).await
}

/// A result in its envelope, as servers send it that are not asked for a format, or do not know formats.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
}

async fn fetch_once(server: &Server, job: JobId, format: Format) -> Result<String, ClientError> {
    let mut url = server.url(&format!("/result/{job}"));
    url.query_pairs_mut().append_pair("format", &api_name(format));
    let response = server.succeed(server.request(Method::GET, url)).await?;
    if response.status() == StatusCode::ACCEPTED {
        return Err(server.garbled("a job that has completed has no result"));
    }
    let content_type =
        response.headers().get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    let is_json = content_type.is_some_and(|content_type| content_type.starts_with(b"application/json"));
    let body = response.text().await.map_err(|error| server.http_error(&error))?;
    if !is_json {
        return Ok(body);
    }
    let result = serde_json::from_str(&body).map_or(&*body, |envelope: Envelope<'_>| envelope.result.get());
    rendered(result, format).map_err(|error| server.garbled(format!("a result cannot be read, {error}")))
}

/// A result that came as JSON, in the format that was asked for.
fn rendered(result: &str, format: Format) -> Result<String, io::Error> {
    if format == Format::Json {
        return Ok(format!("{}\n", result.trim_end()));
    }
    let result: TranscriptionResult = serde_json::from_str(result)?;
    Ok(render(&result, format, &RenderOptions::default())?)
}

/// The name of a format in the API, which is that of the command line.
fn api_name(format: Format) -> String {
    format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
