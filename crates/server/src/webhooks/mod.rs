//! Delivers the webhook calls in the store's outbox, each at least once, also across restarts.
//!
//! A delivery never changes its job. An attempt fails unless it is answered with 2xx before the timeout. Redirects are
//! not followed, so that a receiver cannot direct the service to another address.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http_client;
use crate::settings::WebhookSettings;
use crate::signals::Notifier;
use crate::store::{Delivery, JobStore, StoreResult};

/// The most calls in progress at the same time. Many, because a call mostly waits, and a slow receiver must not delay
/// the others.
const CONCURRENT_CALLS: usize = 32;

/// The longest time between two queries of the outbox. Other processes also end jobs, without a notification here.
const POLL: Duration = Duration::from_secs(5);

/// The lease of a call is its timeout and this margin, which leaves time to store the outcome. After that, another
/// process may make the call.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// How long calls in progress may continue at a shutdown. Calls that do not end in time are made again later.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot make the HTTP client for webhooks, are the system's certificates (ca-certificates) installed? {0}"
)]
pub struct ClientError(String);

/// Makes the webhook calls that are in the outbox.
#[derive(Debug, Clone)]
pub struct Webhooks {
    store: Arc<dyn JobStore>,
    client: reqwest::Client,
    settings: WebhookSettings,
}

impl Webhooks {
    /// Fails if the HTTP client cannot be made.
    pub fn new(store: Arc<dyn JobStore>, settings: WebhookSettings) -> Result<Self, ClientError> {
        let client = http_client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(settings.timeout)
            .build()
            .map_err(|error| ClientError(with_causes(&error)))?;
        Ok(Self { store, client, settings })
    }

    /// Delivers until `stop` is cancelled. `ended` notifies when a job has ended, so that a new call may be due.
    pub async fn run(self, ended: Notifier, stop: CancellationToken) {
        let mut ended = ended.subscribe();
        let mut calls = JoinSet::new();
        while !stop.is_cancelled() {
            let wait = self.start_due(&mut calls).await.unwrap_or_else(|error| {
                tracing::error!("webhooks wait: {error}");
                POLL
            });
            tokio::select! {
                () = stop.cancelled() => {}
                () = ended.wait() => {}
                () = tokio::time::sleep(wait) => {}
                Some(_) = calls.join_next() => {}
            }
        }
        let all = async { while calls.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_GRACE, all).await.is_err() {
            tracing::warn!("webhook calls were cut off by the shutdown; they will be made again");
        }
    }

    /// Starts calls that are due, up to [`CONCURRENT_CALLS`] in progress. Gives the time until the outbox is queried
    /// again.
    async fn start_due(&self, calls: &mut JoinSet<()>) -> StoreResult<Duration> {
        let free = CONCURRENT_CALLS.saturating_sub(calls.len());
        if free == 0 {
            return Ok(POLL);
        }
        let lease = self.settings.timeout + LEASE_MARGIN;
        for delivery in self.store.due_deliveries(Timestamp::now(), lease, free as u32).await? {
            let webhooks = self.clone();
            calls.spawn(async move { webhooks.deliver(delivery).await });
        }
        if calls.len() >= CONCURRENT_CALLS {
            return Ok(POLL);
        }
        let due = self.store.next_delivery_at().await?;
        let wait = due.map(|due| due.duration_since(Timestamp::now()).try_into().unwrap_or(Duration::ZERO));
        Ok(wait.unwrap_or(POLL).min(POLL))
    }

    /// Makes a call and stores its outcome.
    async fn deliver(&self, delivery: Delivery) {
        let Delivery { id, job, url, body, attempts } = delivery;
        let attempt = attempts + 1;
        let stored = match self.call(&url, body).await {
            Ok(()) => {
                tracing::info!(%job, attempt, "webhook delivered");
                self.store.delivered(id, Timestamp::now()).await
            }
            Err(error) => {
                let again = attempt < self.settings.max_retries;
                tracing::warn!(%job, attempt, again, "webhook failed: {error}");
                let retry_at = again.then(|| Timestamp::now() + self.settings.retry_delay);
                self.store.delivery_failed(id, &error, retry_at).await
            }
        };
        if let Err(error) = stored {
            tracing::error!(%job, "how the webhook went could not be written down: {error}");
        }
    }

    /// Makes one attempt. The error is a text without the address, which may hold secrets.
    async fn call(&self, url: &str, body: String) -> Result<(), String> {
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body);
        let response = request.send().await.map_err(|error| {
            if error.is_timeout() {
                format!("no answer within {} s", self.settings.timeout.as_secs_f64())
            } else {
                with_causes(&error.without_url())
            }
        })?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else if status.is_redirection() {
            Err(format!("the answer was {status}, and redirects are not followed"))
        } else {
            Err(format!("the answer was {status}"))
        }
    }
}

/// The text of an error and of all its causes. The text of a reqwest error leaves out its causes.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
