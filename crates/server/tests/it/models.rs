//! Fetching model files, from a local server of the hub's layout.

use std::collections::VecDeque;
use std::fs;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use verbatim::models::{Hub, HubError, KnownModel, Manifest, State as ModelState, check, quick_check};

/// How the server treats requests for `model.bin`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    /// As the hub does: a redirect to where the files are, and ranges.
    Hub,
    IgnoresRanges,
    /// The connection breaks after the first 100 kB of every answer.
    Breaks,
    SendsOtherBytes,
    SendsTooMuch,
    SaysNotFound,
}

/// An answer to one request that is not the file.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Status(u16),
    /// With `Retry-After`.
    AskLater(&'static str),
    /// As of a network that wants a login first.
    LoginPage,
    /// Another file's.
    Short,
    /// The rest of another file.
    ShortRest,
    /// Ten bytes of the rest.
    LittleOfTheRest,
    /// The part of the file that starts at byte 7.
    OtherRange,
    /// The connection is closed before an answer.
    HangsUp,
}

#[derive(Clone)]
struct Server {
    manner: Manner,
    /// The answers to the first requests for `model.bin`.
    failures: Arc<Mutex<VecDeque<Failure>>>,
    weights: Bytes,
    /// Path and range of each request for a file's content.
    requests: Arc<Mutex<Vec<String>>>,
}

/// A model on a server, and an empty folder for it.
struct Fixture {
    hub: Hub,
    model: KnownModel,
    server: Server,
    dir: TempDir,
}

impl Fixture {
    async fn new(manner: Manner) -> Self {
        let weights: Vec<u8> =
            (0..350_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let manifest = format!(
            "[[model]]\nname = 'small'\ndirectory = 'small'\nrepository = 'some/model'\nrevision = 'abc'\n\
             [[model.files]]\nname = 'model.bin'\nbytes = {}\nsha256 = '{:x}'\n\
             [[model.files]]\nname = 'config.json'\n",
            weights.len(),
            Sha256::digest(&weights)
        );
        let model = Manifest::parse(&manifest).unwrap().models.remove(0);
        let (failures, requests) = (Arc::default(), Arc::default());
        let server = Server { manner, failures, weights: weights.into(), requests };
        let router = Router::new()
            .route("/hub/some/model/resolve/abc/{file}", get(to_cdn))
            .route("/cdn/{file}", get(content))
            .with_state(server.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/hub/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { hub: Hub::new(endpoint, Duration::ZERO).unwrap(), model, server, dir: TempDir::new().unwrap() }
    }

    async fn fetch(&self) -> Result<(), HubError> {
        self.hub.fetch(&self.model, self.dir.path(), |_, _| ProgressBar::hidden()).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("small").join(name)
    }

    /// A server that fails so at first, and some bytes that were fetched before.
    async fn failing(failures: &[Failure]) -> Self {
        let fixture = Self::new(Manner::Hub).await;
        fixture.server.failures.lock().unwrap().extend(failures);
        fixture.leave_part(&fixture.server.weights[..FETCHED_BEFORE]);
        fixture
    }

    fn assert_part_is_kept(&self) {
        assert_eq!(self.files(), ["model.bin.part"]);
        assert_eq!(fs::read(self.path("model.bin.part")).unwrap(), self.server.weights[..FETCHED_BEFORE]);
    }

    fn leave_part(&self, content: &[u8]) {
        fs::create_dir_all(self.dir.path().join("small")).unwrap();
        fs::write(self.path("model.bin.part"), content).unwrap();
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("small")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn requests(&self) -> Vec<String> {
        self.server.requests.lock().unwrap().clone()
    }

    fn assert_whole(&self) {
        assert_eq!(self.files(), ["config.json", "model.bin"]);
        assert_eq!(fs::read(self.path("model.bin")).unwrap(), self.server.weights);
        assert_eq!(check(&self.model, self.dir.path()).unwrap(), ModelState::Present);
    }
}

const FETCHED_BEFORE: usize = 123_456;

/// The request for the rest.
const RESUMED: &str = "model.bin bytes=123456-";

async fn to_cdn(Path(file): Path<String>) -> Redirect {
    Redirect::temporary(&format!("/cdn/{file}"))
}

async fn content(State(server): State<Server>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    let range = headers.get(header::RANGE).map(|range| range.to_str().unwrap().to_owned());
    server.requests.lock().unwrap().push(format!("{file} {}", range.as_deref().unwrap_or("whole")));
    if file != "model.bin" {
        return "{}".into_response();
    }
    let whole = &server.weights;
    let failure = server.failures.lock().unwrap().pop_front();
    if let Some(failure) = failure {
        return failure.answer(whole);
    }
    let start: usize = match &range {
        Some(range) if server.manner != Manner::IgnoresRanges => {
            range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap()
        }
        _ => 0,
    };
    let status = if start > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let content_range = format!("bytes {start}-{}/{}", whole.len() - 1, whole.len());
    let rest = whole.slice(start..);
    let body = match server.manner {
        Manner::SaysNotFound => return StatusCode::NOT_FOUND.into_response(),
        Manner::SendsOtherBytes => Body::from(vec![0; rest.len()]),
        // In pieces, so that no length is said before.
        Manner::SendsTooMuch => {
            let more = Bytes::from_static(b"more");
            Body::from_stream(stream::iter([rest, more].map(Ok::<_, std::convert::Infallible>)))
        }
        Manner::Breaks if rest.len() > 100_000 => {
            // The pause between lets the first chunk go out.
            let cut = async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("the cable is cut"))
            };
            Body::from_stream(stream::iter([Ok(rest.slice(..100_000))]).chain(stream::once(cut)))
        }
        Manner::Hub | Manner::IgnoresRanges | Manner::Breaks => Body::from(rest),
    };
    (status, [(header::CONTENT_RANGE, content_range)], body).into_response()
}

fn partial(range: String, content: Bytes) -> Response {
    (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, range)], content).into_response()
}

impl Failure {
    fn answer(self, whole: &Bytes) -> Response {
        let range = format!("bytes 7-{}/{}", whole.len() - 1, whole.len());
        match self {
            Self::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
            Self::AskLater(when) => {
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, when)]).into_response()
            }
            Self::LoginPage => Html("<p>Welcome to our café! Please log in.").into_response(),
            Self::Short => whole.slice(..1000).into_response(),
            Self::ShortRest => partial("bytes 123456-123465/123466".to_owned(), Bytes::from_static(&[7; 10])),
            Self::LittleOfTheRest => {
                let rest = whole.slice(FETCHED_BEFORE..FETCHED_BEFORE + 10);
                partial(format!("bytes 123456-123465/{}", whole.len()), rest)
            }
            Self::OtherRange => partial(range, whole.slice(7..)),
            // Without the message that a panic has.
            Self::HangsUp => resume_unwind(Box::new(())),
        }
    }
}

#[tokio::test]
async fn a_failure_that_may_pass_costs_nothing_of_what_was_fetched() {
    for failure in [
        Failure::Status(503),
        Failure::Status(429),
        Failure::Status(500),
        Failure::AskLater("0"),
        Failure::HangsUp,
    ] {
        let fixture = Fixture::failing(&[failure; 3]).await;
        fixture.fetch().await.unwrap();
        fixture.assert_whole();
        assert_eq!(fixture.requests()[..4], [RESUMED; 4], "{failure:?}");
    }
}

#[tokio::test]
async fn a_failure_that_does_not_pass_is_told_and_costs_nothing_of_what_was_fetched() {
    for (failure, tries, says) in [
        (Failure::Status(503), 6, "503 Service Unavailable"),
        (Failure::AskLater("7200"), 1, "to be asked again in 7200 s"),
        (Failure::Status(403), 1, "403 Forbidden"),
        (Failure::Status(404), 1, "404 Not Found"),
        (Failure::LoginPage, 1, "a web page"),
        (Failure::Short, 1, "a file of 1000 bytes, not 350000"),
        (Failure::ShortRest, 1, "a file of 123466 bytes, not 350000"),
    ] {
        let fixture = Fixture::failing(&[failure; 9]).await;
        let error = fixture.fetch().await.unwrap_err().to_string();
        assert!(error.contains(says), "{failure:?}: {error}");
        fixture.assert_part_is_kept();
        assert_eq!(fixture.requests(), vec![RESUMED; tries], "{failure:?}");
        fixture.server.failures.lock().unwrap().clear();
        fixture.fetch().await.unwrap();
        fixture.assert_whole();
        assert_eq!(fixture.requests()[tries], RESUMED);
    }
}

#[tokio::test]
async fn a_part_that_the_server_cannot_go_on_from_is_fetched_anew() {
    for failure in [Failure::Status(416), Failure::OtherRange] {
        let fixture = Fixture::failing(&[failure]).await;
        fixture.fetch().await.unwrap();
        fixture.assert_whole();
        assert_eq!(fixture.requests()[..2], [RESUMED, "model.bin whole"], "{failure:?}");
    }
    let fixture = Fixture::new(Manner::Hub).await;
    fixture.leave_part(&[7; 400_000]);
    fixture.fetch().await.unwrap();
    fixture.assert_whole();
    assert_eq!(fixture.requests()[0], "model.bin whole");
}

#[tokio::test]
async fn a_server_that_sends_less_than_the_rest_is_asked_for_what_is_missing() {
    let fixture = Fixture::failing(&[Failure::LittleOfTheRest]).await;
    fixture.fetch().await.unwrap();
    fixture.assert_whole();
    assert_eq!(fixture.requests()[..2], [RESUMED, "model.bin bytes=123466-"]);
}

#[tokio::test]
async fn two_who_fetch_the_same_model_at_once_do_not_get_in_each_others_way() {
    let fixture = Fixture::new(Manner::Breaks).await;
    let (first, second) = tokio::join!(fixture.fetch(), fixture.fetch());
    first.unwrap();
    second.unwrap();
    fixture.assert_whole();
    let asked_for = |what| fixture.requests().iter().filter(|request| *request == what).count();
    assert_eq!((asked_for("model.bin whole"), asked_for("config.json whole")), (1, 1));
}

#[tokio::test]
async fn a_model_is_fetched_over_the_redirect_and_only_once() {
    let fixture = Fixture::new(Manner::Hub).await;
    assert_eq!(quick_check(&fixture.model, fixture.dir.path()).unwrap(), ModelState::Missing);
    fixture.fetch().await.unwrap();
    fixture.assert_whole();
    fixture.fetch().await.unwrap();
    assert_eq!(fixture.requests(), ["model.bin whole", "config.json whole"]);
}

#[tokio::test]
async fn a_download_goes_on_where_the_last_one_stopped() {
    let fixture = Fixture::new(Manner::Hub).await;
    fixture.leave_part(&fixture.server.weights[..FETCHED_BEFORE]);
    fixture.fetch().await.unwrap();
    fixture.assert_whole();
    assert_eq!(fixture.requests()[0], RESUMED);
}

#[tokio::test]
async fn a_whole_part_only_needs_its_name() {
    let fixture = Fixture::new(Manner::SaysNotFound).await;
    fixture.leave_part(&fixture.server.weights);
    fixture.fetch().await.unwrap();
    fixture.assert_whole();
}

#[tokio::test]
async fn a_server_that_ignores_ranges_sends_the_whole() {
    let fixture = Fixture::new(Manner::IgnoresRanges).await;
    fixture.leave_part(&fixture.server.weights[..FETCHED_BEFORE]);
    fixture.fetch().await.unwrap();
    fixture.assert_whole();
}

#[tokio::test]
async fn a_connection_that_breaks_is_taken_up_again() {
    let fixture = Fixture::new(Manner::Breaks).await;
    fixture.fetch().await.unwrap();
    fixture.assert_whole();
    let requests = fixture.requests();
    assert_eq!(requests[0], "model.bin whole");
    assert!(requests.contains(&"model.bin bytes=300000-".to_owned()), "{requests:?}");
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_removed() {
    for manner in [Manner::SendsOtherBytes, Manner::SendsTooMuch] {
        let fixture = Fixture::new(manner).await;
        let error = fixture.fetch().await.unwrap_err();
        assert!(matches!(error, HubError::Wrong { .. }), "{manner:?}: {error}");
        assert!(error.to_string().contains("model.bin"), "{error}");
        assert_eq!(fixture.files(), [""; 0], "{manner:?}");
    }
}

#[tokio::test]
async fn a_part_of_another_file_is_found_out() {
    let fixture = Fixture::new(Manner::Hub).await;
    fixture.leave_part(&[7; 1000]);
    let error = fixture.fetch().await.unwrap_err();
    assert!(matches!(error, HubError::Wrong { .. }), "{error}");
    fixture.fetch().await.unwrap();
    fixture.assert_whole();
}

#[tokio::test]
async fn a_file_that_the_hub_does_not_have_is_said_to_be_missing() {
    let fixture = Fixture::new(Manner::SaysNotFound).await;
    let error = fixture.fetch().await.unwrap_err();
    assert!(matches!(error, HubError::Status { status: StatusCode::NOT_FOUND, .. }), "{error}");
    assert!(error.to_string().contains("/some/model/resolve/abc/model.bin"), "{error}");
    assert_eq!(fixture.files(), [""; 0]);
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_said_to_be_out_of_reach() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let mut fixture = Fixture::new(Manner::Hub).await;
    fixture.hub = Hub::new(endpoint, Duration::ZERO).unwrap();
    let error = fixture.fetch().await.unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn damage_is_found_by_size_and_by_hash() {
    let fixture = Fixture::new(Manner::Hub).await;
    fixture.fetch().await.unwrap();
    let (model, dir, path) = (&fixture.model, fixture.dir.path(), fixture.path("model.bin"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[200_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(quick_check(model, dir).unwrap(), ModelState::Present, "the size is right");
    let ModelState::Damaged(reason) = check(model, dir).unwrap() else { panic!("a wrong bit is damage") };
    assert!(reason.contains("sha256"), "{reason}");
    fs::write(&path, &bytes[1..]).unwrap();
    let ModelState::Damaged(reason) = quick_check(model, dir).unwrap() else {
        panic!("a missing byte is damage")
    };
    assert!(reason.contains("349999 bytes, not 350000"), "{reason}");
    // Fetching puts it right.
    fixture.fetch().await.unwrap();
    fixture.assert_whole();
}
