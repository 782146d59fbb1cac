//! Webhook calls, against a receiver that records them and answers as it is told.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use verbatim::jobs::JobOptions;
use verbatim::jobs::{FileType, JobId, JobStatus, NewJob};
use verbatim::settings::WebhookSettings;
use verbatim::signals::Notifier;
use verbatim::store::ProcessId;
use verbatim::store::{self, JobStore, Outcome};
use verbatim::webhooks::Webhooks;

use crate::support::app::eventually;

/// Long enough for anything here, and only waited for when a test fails.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How the receiver answers a call.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status(StatusCode),
    Redirect(String),
    /// Not at all, until the receiver hangs up.
    Silence,
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Answers `Status(OK)` once it runs out of answers.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    calls: Arc<watch::Sender<Vec<Call>>>,
    /// Ends every [`Answer::Silence`].
    hang_up: CancellationToken,
}

impl Receiver {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let receiver = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            calls: Arc::new(watch::Sender::default()),
            hang_up: CancellationToken::new(),
        };
        let router = Router::new().fallback(record).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// Waits until this many calls have come in, and returns all of them.
    pub(crate) async fn wait_for(&self, calls: usize) -> Vec<Call> {
        let mut watch = self.calls.subscribe();
        let enough = watch.wait_for(|seen| seen.len() >= calls);
        let seen = tokio::time::timeout(TIMEOUT, enough).await.expect("more calls were to come");
        seen.unwrap().clone()
    }

    fn count(&self) -> usize {
        self.calls.borrow().len()
    }
}

async fn record(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let call = Call { path: uri.to_string(), headers, body: String::from_utf8(body.to_vec()).unwrap() };
    receiver.calls.send_modify(|calls| calls.push(call));
    let answer = receiver.answers.lock().unwrap().pop_front();
    match answer.unwrap_or(Answer::Status(StatusCode::OK)) {
        Answer::Status(status) => (status, "a body that nobody reads").into_response(),
        Answer::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response(),
        Answer::Silence => {
            receiver.hang_up.cancelled().await;
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn settings() -> WebhookSettings {
    WebhookSettings { timeout: TIMEOUT, max_retries: 3, retry_delay: Duration::ZERO }
}

/// A running delivery, and the store that it works from.
struct Delivering {
    store: Arc<dyn JobStore>,
    ended: Notifier,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Delivering {
    async fn start(dir: &Path, settings: WebhookSettings) -> Self {
        let store = store::open(&dir.join("jobs.db")).await.unwrap();
        let (ended, stop) = (Notifier::default(), CancellationToken::new());
        let webhooks = Webhooks::new(store.clone(), settings).unwrap();
        let task = tokio::spawn(webhooks.run(ended.clone(), stop.clone()));
        Self { store, ended, stop, task }
    }

    /// A job that has completed just now.
    async fn end_job(&self, url: String) -> JobId {
        let id = end_job(self.store.as_ref(), url, Timestamp::now()).await;
        self.ended.notify();
        id
    }

    /// Waits until no call is due any more, whether delivered or given up.
    async fn wait_until_done(&self) {
        let done = async {
            while self.store.next_delivery_at().await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, done).await.expect("the outbox was to become empty");
    }

    async fn shut_down(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        self.store.close().await;
    }
}

async fn end_job(store: &dyn JobStore, url: String, now: Timestamp) -> JobId {
    let id = JobId::new();
    let job = NewJob {
        id,
        filename: "talk.mp3".to_owned(),
        file_size: 4,
        file_type: FileType::Audio,
        duration: None,
        tracks: None,
        options: JobOptions::default(),
        webhook_url: Some(url),
        content_hash: None,
    };
    store.insert(job, now).await.unwrap();
    let claim = store.claim(ProcessId::new(), now, Duration::from_secs(15)).await.unwrap().unwrap();
    let outcome = Outcome::Completed { result: r#"{"transcript":"Grüße"}"#.to_owned() };
    store.finish(&claim.lease, &outcome, now).await.unwrap();
    id
}

#[tokio::test]
async fn a_call_carries_the_payload_and_who_sends_it() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([]).await;
    let delivering = Delivering::start(dir.path(), settings()).await;
    let id = delivering.end_job(format!("{}/hook?key=1", receiver.url)).await;
    delivering.wait_until_done().await;
    let calls = receiver.wait_for(1).await;
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].path, "/hook?key=1");
    assert_eq!(calls[0].headers["content-type"], "application/json");
    assert_eq!(calls[0].headers["user-agent"], concat!("Verbatim/", env!("CARGO_PKG_VERSION")));
    let job = delivering.store.get(id).await.unwrap().unwrap();
    let body: serde_json::Value = serde_json::from_str(&calls[0].body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "job_id": id,
            "status": "completed",
            "completed_at": verbatim::jobs::rfc3339(job.completed_at.unwrap()),
            "result": {"transcript": "Grüße"},
        })
    );
    delivering.shut_down().await;
}

#[tokio::test]
async fn a_failed_call_is_to_be_made_again_after_the_delay() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Answer::Status(StatusCode::INTERNAL_SERVER_ERROR)]).await;
    let an_hour = WebhookSettings { retry_delay: Duration::from_secs(3600), ..settings() };
    let begun = Timestamp::now();
    let delivering = Delivering::start(dir.path(), an_hour).await;
    let id = delivering.end_job(receiver.url.clone()).await;
    receiver.wait_for(1).await;
    let an_hour = SignedDuration::from_hours(1);
    // Until the call has failed, the next one is due when its lease expires: within a minute.
    let next = || async { delivering.store.next_delivery_at().await.unwrap().unwrap() };
    eventually("the failure to be written down", || async { next().await >= begun + an_hour }).await;
    assert!(next().await <= Timestamp::now() + an_hour);
    assert_eq!(receiver.count(), 1);
    let job = delivering.store.get(id).await.unwrap().unwrap();
    assert_eq!(job.status, JobStatus::Completed, "a delivery never touches its job");
    delivering.shut_down().await;
}

#[tokio::test]
async fn a_call_that_is_made_again_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Answer::Status(StatusCode::INTERNAL_SERVER_ERROR)]).await;
    let delivering = Delivering::start(dir.path(), settings()).await;
    delivering.end_job(receiver.url.clone()).await;
    delivering.wait_until_done().await;
    let calls = receiver.wait_for(2).await;
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].body, calls[1].body);
    delivering.shut_down().await;
}

#[tokio::test]
async fn a_receiver_that_never_accepts_is_called_as_often_as_configured() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(vec![Answer::Status(StatusCode::NOT_FOUND); 10]).await;
    let delivering = Delivering::start(dir.path(), WebhookSettings { max_retries: 4, ..settings() }).await;
    delivering.end_job(receiver.url.clone()).await;
    delivering.wait_until_done().await;
    assert_eq!(receiver.count(), 4);
    delivering.shut_down().await;
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = Receiver::start([]).await;
    let receiver = Receiver::start(vec![Answer::Redirect(elsewhere.url.clone()); 10]).await;
    let delivering = Delivering::start(dir.path(), settings()).await;
    delivering.end_job(receiver.url.clone()).await;
    delivering.wait_until_done().await;
    assert_eq!((receiver.count(), elsewhere.count()), (3, 0));
    delivering.shut_down().await;
}

#[tokio::test]
async fn a_silent_receiver_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let silent = Receiver::start(vec![Answer::Silence; 100]).await;
    let prompt = Receiver::start([]).await;
    let delivering = Delivering::start(dir.path(), WebhookSettings { max_retries: 1, ..settings() }).await;
    for _ in 0..5 {
        delivering.end_job(silent.url.clone()).await;
    }
    silent.wait_for(5).await;
    delivering.end_job(prompt.url.clone()).await;
    prompt.wait_for(1).await;
    silent.hang_up.cancel();
    delivering.wait_until_done().await;
    assert_eq!((silent.count(), prompt.count()), (5, 1));
    delivering.shut_down().await;
}

#[tokio::test]
async fn a_silent_receiver_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let silent = Receiver::start(vec![Answer::Silence; 100]).await;
    let timeout = Duration::from_millis(200);
    let delivering =
        Delivering::start(dir.path(), WebhookSettings { timeout, max_retries: 2, ..settings() }).await;
    delivering.end_job(silent.url.clone()).await;
    delivering.wait_until_done().await;
    assert!(silent.count() <= 2);
    delivering.shut_down().await;
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_tried_and_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let nobody = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let delivering = Delivering::start(dir.path(), settings()).await;
    delivering.end_job(nobody).await;
    delivering.end_job("https://localhost:1/".to_owned()).await;
    delivering.wait_until_done().await;
    delivering.shut_down().await;
}

#[tokio::test]
async fn what_a_restart_interrupts_is_delivered_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Answer::Status(StatusCode::BAD_GATEWAY)]).await;
    let an_hour = WebhookSettings { retry_delay: Duration::from_secs(3600), ..settings() };
    let before = Delivering::start(dir.path(), an_hour).await;
    let url = receiver.url.clone();
    let waiting = before.end_job(url.clone()).await;
    receiver.wait_for(1).await;
    before.shut_down().await;

    // The clock moves on while the service is down, and a job of another process ends.
    let store = store::open(&dir.path().join("jobs.db")).await.unwrap();
    let due = store.next_delivery_at().await.unwrap().expect("the failed call is to be made again");
    let taken = store.due_deliveries(due, Duration::ZERO, 1).await.unwrap();
    assert_eq!((taken[0].job, taken[0].attempts), (waiting, 1));
    store.delivery_failed(taken[0].id, "the clock", Some(Timestamp::now())).await.unwrap();
    let missed = end_job(store.as_ref(), url, Timestamp::now()).await;
    store.close().await;

    let after = Delivering::start(dir.path(), settings()).await;
    let calls = receiver.wait_for(3).await;
    after.wait_until_done().await;
    for id in [waiting, missed] {
        assert!(calls[1..].iter().any(|call| call.body.contains(&id.to_string())));
    }
    after.shut_down().await;
}
