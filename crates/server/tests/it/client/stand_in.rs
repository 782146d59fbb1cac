//! A server as the command line's client sees it: uploads by tus, jobs, events and results over real TCP, with failures on
//! request. Nothing is transcribed; the jobs' states are what a test makes them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Multipart, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use verbatim::jobs::JobId;

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection breaks after so many bytes of the body, which are kept.
    Break(usize),
    /// As [`Self::Break`], but the connection stays open, and nothing more is read.
    Hang(usize),
    /// All bytes are kept, but the answer is lost.
    LoseAnswer,
    /// The upload has become a job, and the answer was lost.
    LoseJob,
    /// An answer with this status, which keeps nothing.
    Status(u16),
    /// The upload is removed.
    Forget,
    /// Success, without saying how much there is.
    NoOffset,
}

/// One connection to the events of a job.
#[derive(Debug, Clone)]
pub(super) struct Events {
    pub(super) text: String,
    /// The job has this state before the text is sent.
    pub(super) state: Value,
    /// Whether the connection breaks behind the text, instead of ending.
    pub(super) breaks: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Upload {
    pub(super) length: usize,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) bytes: Vec<u8>,
}

/// What a server has, and what it is to do.
#[derive(Debug, Default)]
pub(super) struct Inner {
    /// A server without uploads, lists and events.
    pub(super) is_old: bool,
    /// A server that answers everything with this page.
    pub(super) page: Option<&'static str>,
    /// The key without which nothing is answered.
    pub(super) key: Option<&'static str>,
    /// For requests that send bytes of uploads, in turn.
    pub(super) failures: VecDeque<Failure>,
    /// For connections to events, in turn; without any, there are no events.
    pub(super) events: VecDeque<Events>,
    /// States that a job takes in turn when its status is asked for; the last stays.
    pub(super) states: VecDeque<Value>,
    /// Failures of requests for results and lists, in turn.
    pub(super) busy: VecDeque<u16>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// As `/status` gives them, in the order in which they were made.
    pub(super) jobs: Vec<Value>,
    /// Method and path of every request, with what says more about it.
    pub(super) requests: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct StandIn {
    inner: Arc<Mutex<Inner>>,
    /// Told when [`Failure::Hang`] has been reached.
    hangs: Arc<Notify>,
}

/// A stand-in that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) server: StandIn,
    pub(super) address: SocketAddr,
}

impl Running {
    pub(super) async fn start(inner: Inner) -> Self {
        let server = StandIn { inner: Arc::new(Mutex::new(inner)), hangs: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = server.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { server, address }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn get(&self) -> MutexGuard<'_, Inner> {
        self.server.get()
    }

    /// Waits until a request hangs.
    pub(super) async fn until_hanging(&self) {
        self.server.hangs.notified().await;
    }

    /// The requests so far; forgets them.
    pub(super) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.get().requests)
    }
}

impl StandIn {
    fn get(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn router(&self) -> Router {
        let new = Router::new()
            .route("/uploads", post(create))
            .route("/uploads/{id}", get(|| async {}).head(offset).patch(append))
            .route("/jobs", get(list))
            .route("/jobs/{id}", axum::routing::delete(delete))
            .route("/jobs/{id}/events", get(events))
            .route("/jobs/{id}/{action}", post(act));
        let new = new.layer(middleware::from_fn_with_state(self.clone(), only_if_new));
        Router::new()
            .route("/process", post(process).layer(DefaultBodyLimit::disable()))
            .route("/status/{id}", get(status))
            .route("/result/{id}", get(result))
            .merge(new)
            .layer(middleware::from_fn_with_state(self.clone(), guard))
            .with_state(self.clone())
    }

    fn add_job(&self, id: &str, filename: &str) {
        self.get().jobs.push(job(id, filename, json!({})));
    }
}

/// A job as `/status` gives it.
pub(super) fn job(id: &str, filename: &str, state: Value) -> Value {
    let mut job = json!({
        "job_id": id, "filename": filename, "status": "completed", "created_at": "2026-11-23T15:00:00.000Z",
        "progress_percentage": 100, "current_step": "Done", "error_message": null, "has_result": true,
    });
    merge(&mut job, state);
    job
}

fn merge(job: &mut Value, state: Value) {
    let Value::Object(state) = state else { return };
    job.as_object_mut().unwrap().extend(state);
}

pub(super) fn problem(status: u16, detail: &str) -> Response {
    let body = json!({"title": "A problem", "status": status, "detail": detail});
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

/// As a server does that dies: without an answer, and without the message of a panic.
fn hang_up() -> ! {
    resume_unwind(Box::new(()))
}

async fn guard(State(server): State<StandIn>, request: Request, next: Next) -> Response {
    if !server.get().takes(&request) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let page = server.get().page;
    match page {
        Some(page) => Html(page).into_response(),
        None => next.run(request).await,
    }
}

impl Inner {
    /// Notes a request. False if it does not bring the key.
    fn takes(&mut self, request: &Request) -> bool {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let query = request.uri().query().map(str::to_owned);
        let more = header("upload-offset").or(header("last-event-id")).or(query).unwrap_or_default();
        let path = request.uri().path().split('/').filter(|part| JobId::parse(part).is_none());
        let line = format!("{} {} {more}", request.method(), path.collect::<Vec<_>>().join("/"));
        self.requests.push(line.trim_end().to_owned());
        self.key.is_none_or(|key| header("authorization") == Some(format!("Bearer {key}")))
    }
}

async fn only_if_new(State(server): State<StandIn>, request: Request, next: Next) -> Response {
    if server.get().is_old { StatusCode::NOT_FOUND.into_response() } else { next.run(request).await }
}

async fn create(State(server): State<StandIn>, headers: HeaderMap) -> Response {
    let header = |name: &str| headers[name].to_str().unwrap();
    assert_eq!(header("tus-resumable"), "1.0.0");
    let pairs = header("upload-metadata").split(',').map(|pair| {
        let (name, value) = pair.split_once(' ').unwrap();
        (name.to_owned(), String::from_utf8(STANDARD.decode(value).unwrap()).unwrap())
    });
    let (length, metadata) = (header("upload-length").parse().unwrap(), pairs.collect());
    let id = JobId::new().to_string();
    server.get().uploads.insert(id.clone(), Upload { length, metadata, bytes: Vec::new() });
    (StatusCode::CREATED, [(header::LOCATION, format!("/uploads/{id}"))]).into_response()
}

async fn offset(State(server): State<StandIn>, Path(id): Path<String>) -> Response {
    match server.get().uploads.get(&id) {
        Some(upload) => (StatusCode::OK, [("upload-offset", upload.bytes.len().to_string())]).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn append(
    State(server): State<StandIn>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let failure = server.get().failures.pop_front();
    let mut body = body.into_data_stream();
    if let Some(Failure::Status(_) | Failure::Forget) = failure {
        // A connection that is closed before all was read may take the answer with it.
        while let Some(Ok(_)) = body.next().await {}
    }
    match failure {
        Some(Failure::Status(status)) => return problem(status, "The server is busy."),
        Some(Failure::Forget) => {
            server.get().uploads.remove(&id);
            return problem(404, "There is no such upload.");
        }
        _ => {}
    }
    let offset: usize = headers["upload-offset"].to_str().unwrap().parse().unwrap();
    let promised: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(headers["content-type"], "application/offset+octet-stream");
    if server.get().uploads[&id].bytes.len() != offset {
        return problem(409, "The upload has another offset.");
    }
    let mut taken = 0;
    while let Some(Ok(chunk)) = body.next().await {
        let room = match failure {
            Some(Failure::Break(most) | Failure::Hang(most)) => chunk.len().min(most - taken),
            _ => chunk.len(),
        };
        taken += room;
        server.get().uploads.get_mut(&id).unwrap().bytes.extend(&chunk[..room]);
        match failure {
            Some(Failure::Break(most)) if taken == most => hang_up(),
            Some(Failure::Hang(most)) if taken == most => {
                server.hangs.notify_one();
                std::future::pending::<()>().await;
            }
            _ => {}
        }
    }
    assert_eq!(taken, promised, "the length that was said before");
    let upload = server.get().uploads[&id].clone();
    if upload.bytes.len() == upload.length {
        server.add_job(&id, &upload.metadata["filename"]);
    }
    match failure {
        Some(Failure::LoseAnswer) => hang_up(),
        Some(Failure::LoseJob) => {
            server.get().uploads.remove(&id);
            hang_up()
        }
        Some(Failure::NoOffset) => StatusCode::NO_CONTENT.into_response(),
        _ => (StatusCode::NO_CONTENT, [("upload-offset", upload.bytes.len().to_string())]).into_response(),
    }
}

async fn process(State(server): State<StandIn>, mut form: Multipart) -> Response {
    let id = JobId::new().to_string();
    let mut upload = Upload::default();
    while let Some(field) = form.next_field().await.unwrap() {
        let name = field.name().unwrap().to_owned();
        if name == "file" {
            upload.metadata.insert("filename".to_owned(), field.file_name().unwrap().to_owned());
            upload.bytes = field.bytes().await.unwrap().to_vec();
        } else {
            upload.metadata.insert(name, field.text().await.unwrap());
        }
    }
    server.add_job(&id, &upload.metadata["filename"]);
    server.get().uploads.insert(id.clone(), upload);
    Json(json!({"job_id": id, "status": "pending"})).into_response()
}

async fn status(State(server): State<StandIn>, Path(id): Path<String>) -> Response {
    let mut inner = server.get();
    let state = if inner.states.len() > 1 { inner.states.pop_front() } else { inner.states.front().cloned() };
    let Some(job) = inner.jobs.iter_mut().find(|job| job["job_id"] == *id) else {
        return problem(404, &format!("There is no job {id}."));
    };
    merge(job, state.unwrap_or(Value::Null));
    Json(job.clone()).into_response()
}

async fn result(
    State(server): State<StandIn>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut inner = server.get();
    if let Some(status) = inner.busy.pop_front() {
        return problem(status, "The server is busy.");
    }
    let job = inner.jobs.iter().find(|job| job["job_id"] == *id).unwrap();
    let name = job["filename"].as_str().unwrap();
    if inner.is_old {
        let result = super::transcription(name);
        return Json(json!({"job_id": id, "status": "completed", "result": result})).into_response();
    }
    match query["format"].as_str() {
        "json" => Json(json!({"transcript": name})).into_response(),
        format => format!("{name} as {format}\n").into_response(),
    }
}

async fn list(State(server): State<StandIn>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let mut inner = server.get();
    if let Some(status) = inner.busy.pop_front() {
        return problem(status, "The server is busy.");
    }
    let skip: usize = query.get("cursor").map_or(0, |cursor| cursor.parse().unwrap());
    // Pages of two at most, whatever the client asks for.
    let limit = query["limit"].parse::<usize>().unwrap().min(2);
    let wanted = |job: &&Value| {
        query.get("status").is_none_or(|status| job["status"] == *status)
            && query.get("q").is_none_or(|text| job["filename"].as_str().unwrap().contains(text))
    };
    let all: Vec<&Value> = inner.jobs.iter().rev().filter(wanted).collect();
    let next = (all.len() > skip + limit).then(|| (skip + limit).to_string());
    let page: Vec<&Value> = all.into_iter().skip(skip).take(limit).collect();
    Json(json!({"jobs": page, "next_cursor": next})).into_response()
}

async fn events(State(server): State<StandIn>, Path(id): Path<String>) -> Response {
    let mut inner = server.get();
    let Some(events) = inner.events.pop_front() else { return StatusCode::NOT_FOUND.into_response() };
    let job = inner.jobs.iter_mut().find(|job| job["job_id"] == *id).unwrap();
    merge(job, events.state);
    let text = Ok(Bytes::from(events.text));
    // The pause between lets the text go out.
    let broken = async {
        tokio::task::yield_now().await;
        Err(std::io::Error::other("the cable is cut"))
    };
    let body = match events.breaks {
        true => Body::from_stream(stream::iter([text]).chain(stream::once(broken))),
        false => Body::from_stream(stream::iter([text])),
    };
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response()
}

async fn act(State(server): State<StandIn>, Path((id, action)): Path<(String, String)>) -> Response {
    let mut inner = server.get();
    let Some(job) = inner.jobs.iter_mut().find(|job| job["job_id"] == *id) else {
        return problem(404, &format!("There is no job {id}."));
    };
    match (action.as_str(), job["status"].as_str().unwrap()) {
        ("cancel", "completed") => problem(409, "The job has completed."),
        ("cancel", _) => {
            merge(job, json!({"status": "cancelled"}));
            Json(job.clone()).into_response()
        }
        ("retry", _) => {
            merge(job, json!({"status": "pending"}));
            Json(job.clone()).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn delete(State(server): State<StandIn>, Path(id): Path<String>) -> Response {
    let mut inner = server.get();
    let before = inner.jobs.len();
    inner.jobs.retain(|job| job["job_id"] != *id);
    match inner.jobs.len() < before {
        true => StatusCode::NO_CONTENT.into_response(),
        false => problem(404, &format!("There is no job {id}.")),
    }
}
