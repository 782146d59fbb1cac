//! Follows a job to its end: by its events, or by asking again and again where a server has none.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use tokio::time::timeout;

use super::error::ClientError;
use super::events::{Event, EventReader};
use super::retry::Retries;
use super::server::Server;
use super::status::{JobState, has_ended, state};
use crate::commands::terminal::printable;
use crate::jobs::JobId;

/// How long a stream of events may be silent before the job is asked for: connections may end without a word.
const SILENCE: Duration = Duration::from_secs(60);

/// The first pause between two questions; they double.
const FIRST_POLL: Duration = Duration::from_millis(250);

/// The longest pause between two questions.
const LONGEST_POLL: Duration = Duration::from_secs(5);

/// The data of an event, as far as it is shown. What is missing does not count.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EventData {
    status: Option<String>,
    percentage: Option<f64>,
    step: Option<String>,
}

/// How a stream of events has ended.
#[derive(Debug, PartialEq, Eq)]
enum Listened {
    /// The job has ended, by its events.
    JobEnded,
    /// The stream broke off, or has said nothing for long. True if there was an event in it.
    Closed(bool),
    /// The server has no such stream.
    NoEvents,
}

/// Waits until a job has ended, with a progress bar on standard error. Gives its last state. The server may be away for
/// as long as it is tried again.
pub(super) async fn follow(server: &Server, job: JobId) -> Result<JobState, ClientError> {
    let bar = bar(job);
    let followed = Following { server, job, bar: &bar, events: EventReader::default() }.run().await;
    bar.finish_and_clear();
    followed
}

/// Waits as [`follow`] does. Fails unless the job has completed.
pub(in crate::commands) async fn until_completed(server: &Server, job: JobId) -> Result<(), ClientError> {
    follow(server, job).await?.completed(job)
}

struct Following<'a> {
    server: &'a Server,
    job: JobId,
    bar: &'a ProgressBar,
    events: EventReader,
}

impl Following<'_> {
    async fn run(&mut self) -> Result<JobState, ClientError> {
        let mut has_events = true;
        let mut poll = FIRST_POLL;
        let mut retries = self.server.retries();
        let mut last = None;
        loop {
            let listened = if has_events { self.listen(&mut retries).await? } else { Listened::NoEvents };
            has_events = listened != Listened::NoEvents;
            // Whatever the events say, the state is what counts.
            let state = self.server.retrying(self.bar, async || state(self.server, self.job).await).await?;
            self.show(Some(state.progress_percentage), state.current_step.as_deref());
            if state.has_ended() {
                return Ok(state);
            }
            let now = (state.status.clone(), state.progress_percentage.to_bits());
            if listened == Listened::Closed(true) || last.as_ref() != Some(&now) {
                poll = FIRST_POLL;
                last = Some(now);
            }
            tokio::time::sleep(poll).await;
            poll = (poll * 2).min(LONGEST_POLL);
        }
    }

    /// Listens to the events of the job until they end.
    async fn listen(&mut self, retries: &mut Retries) -> Result<Listened, ClientError> {
        let url = self.server.url(&format!("/jobs/{}/events", self.job));
        let mut request = self.server.patient_request(Method::GET, url).header(ACCEPT, "text/event-stream");
        if let Some(id) = self.events.last_id() {
            request = request.header("Last-Event-ID", id);
        }
        self.events.restart();
        let asked = timeout(SILENCE, self.server.send(request)).await;
        let response = match asked {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                self.server.pause(retries, error, self.bar).await?;
                return Ok(Listened::Closed(false));
            }
            Err(_) => return Ok(Listened::Closed(false)),
        };
        if !is_event_stream(&response) {
            return match response.status() {
                // The state tells whether the job is there.
                status if status.is_success() || is_unknown(status) => Ok(Listened::NoEvents),
                _ => {
                    let refusal = self.server.refusal(response).await;
                    self.server.pause(retries, refusal, self.bar).await?;
                    Ok(Listened::Closed(false))
                }
            };
        }
        retries.progressed(Instant::now());
        let mut heard = false;
        let mut stream = response.bytes_stream();
        while let Ok(Some(Ok(bytes))) = timeout(SILENCE, stream.next()).await {
            let events = self.events.push(&bytes);
            let events = events.map_err(|_| self.server.garbled("the events of a job have endless lines"))?;
            for event in events {
                heard = true;
                if self.take(&event) {
                    return Ok(Listened::JobEnded);
                }
            }
        }
        Ok(Listened::Closed(heard))
    }

    /// Shows what an event tells. True if it tells that the job has ended. An event that cannot be read tells nothing.
    fn take(&self, event: &Event) -> bool {
        let data: EventData = serde_json::from_str(&event.data).unwrap_or_default();
        match event.name.as_str() {
            "progress" => self.show(data.percentage, data.step.as_deref()),
            "status" => return data.status.as_deref().is_some_and(has_ended),
            _ => {}
        }
        false
    }

    fn show(&self, percentage: Option<f64>, step: Option<&str>) {
        if let Some(percentage) = percentage {
            self.bar.set_position(percentage.clamp(0.0, 100.0) as u64);
        }
        if let Some(step) = step {
            self.bar.set_message(printable(step));
        }
    }
}

fn is_event_stream(response: &Response) -> bool {
    let content_type =
        response.headers().get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    response.status().is_success()
        && content_type.is_some_and(|content_type| content_type.starts_with(b"text/event-stream"))
}

/// Whether an answer may mean that a server does not have the route.
fn is_unknown(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_ACCEPTABLE)
}

/// A progress bar of a job, on standard error; drawn only on a terminal.
fn bar(job: JobId) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {percent} % {msg}");
    let bar = ProgressBar::new(100).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(job.to_string());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
