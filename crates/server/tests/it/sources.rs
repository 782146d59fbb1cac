//! Where the sound of a job comes from: which track, which channels, which address.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::process::Server;
use crate::support::app::{ApiAlone, json, problem};
use crate::support::clips::{self, make};
use crate::support::form;

/// English and German as two tracks of one film; the English one is the default.
fn film(dir: &Path) -> PathBuf {
    let (english, german) = (clips::dashwood(), clips::german(dir));
    let options = format!(
        "-i {} -i {} -f lavfi -i color=size=64x64:rate=5:duration=3 -map 2:v -map 0:a -map 1:a -c:a flac \
         -metadata:s:a:0 language=eng -metadata:s:a:1 language=ger -disposition:a:0 default -disposition:a:1 0",
        english.display(),
        german.display(),
    );
    make(dir, "film.mkv", &options)
}

/// English on the left and German on the right.
fn two_sides(dir: &Path) -> PathBuf {
    let (english, german) = (clips::dashwood(), clips::german(dir));
    let options = format!(
        "-i {} -i {} -t 8 -filter_complex [0:a]aresample=16000,aformat=channel_layouts=mono,apad[a];[1:a]aresample=16000,aformat=channel_layouts=mono,apad[b];[a][b]join=inputs=2:channel_layout=stereo[c] \
         -map [c]",
        english.display(),
        german.display(),
    );
    make(dir, "sides.flac", &options)
}

async fn transcribed(server: &Server, file: &Path, query: &str) -> Value {
    let job = server.submit(file, query).await;
    let (status, body) = server.end_of(job).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["result"].clone()
}

async fn server(dir: &Path) -> Server {
    Server::start_with(dir, &[("WHISPER_MODEL", Path::new("base"))]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_track_that_is_asked_for_is_transcribed() {
    let dir = TempDir::new().unwrap();
    let (server, film) = (server(dir.path()).await, film(dir.path()));
    for (query, language) in [
        ("", "en"),
        ("?audio_track=1", "en"),
        ("?audio_track=2", "de"),
        ("?audio_track=German", "de"),
        ("?audio_track=eng", "en"),
    ] {
        let result = transcribed(&server, &film, query).await;
        assert_eq!(result["language_detection"]["language"], language, "{query}");
    }
    let refused = server.client.post("/process?audio_track=fr", form::file(&film)).await;
    let sentence = problem(refused, 400).await;
    assert!(sentence.contains("no audio track “fr”; it has: 1 (eng), 2 (ger)."), "{sentence}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_are_transcribed_on_their_own_and_what_they_share_once() {
    let dir = TempDir::new().unwrap();
    let (server, sides) = (server(dir.path()).await, two_sides(dir.path()));
    let result = transcribed(&server, &sides, "?channels=separate").await;
    let segments = result["whisper_segments"].as_array().unwrap();
    let of_channel = |channel: u64| -> Vec<&Value> {
        segments.iter().filter(|segment| segment["channel"] == channel).collect()
    };
    let languages = |channel: u64| {
        of_channel(channel).iter().all(|one| one["language"] == ["en", "de"][channel as usize])
    };
    assert!(!of_channel(0).is_empty() && !of_channel(1).is_empty(), "{segments:?}");
    assert_eq!(of_channel(0).len() + of_channel(1).len(), segments.len());
    assert!(languages(0) && languages(1), "{segments:?}");
    let starts: Vec<f64> = segments.iter().map(|segment| segment["start"].as_f64().unwrap()).collect();
    assert!(starts.is_sorted(), "{starts:?}");
    let ids: Vec<u64> = segments.iter().map(|segment| segment["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (0..ids.len() as u64).collect::<Vec<_>>());

    let mixed = transcribed(&server, &sides, "?channels=mixed").await;
    assert!(
        mixed["whisper_segments"].as_array().unwrap().iter().all(|segment| segment.get("channel").is_none())
    );
    let mono = format!("-i {} -ac 2 -b:a 96k", clips::dashwood().display());
    let twice = make(dir.path(), "twice.mp3", &mono);
    let once = transcribed(&server, &twice, "?channels=separate").await;
    let expected = transcribed(&server, &twice, "").await;
    assert_eq!(once["transcript"], expected["transcript"]);
    assert!(
        once["whisper_segments"].as_array().unwrap().iter().all(|segment| segment.get("channel").is_none())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_that_is_asked_for_transcribes_wherever_in_the_form_it_is_named() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path()).await;
    let german = clips::german(dir.path());
    let default = form::file(&german).text("language", "de");
    assert!(
        problem(server.client.post("/process", default).await, 422).await.contains("tiny.en does not know")
    );
    let form = Form::new().text("language", "de").text("model", "base");
    let form = form.part("file", Part::bytes(std::fs::read(&german).unwrap()).file_name("zug.wav"));
    let (status, accepted) = json(server.client.post("/process", form).await).await;
    assert_eq!(status, StatusCode::OK, "{accepted}");
    let job = verbatim::jobs::JobId::parse(accepted["job_id"].as_str().unwrap()).unwrap();
    assert_eq!(server.end_of(job).await.1["result"]["models_used"]["whisper"], "base");
    let (_, health) = json(server.client.get("/health").await).await;
    assert_eq!(health["models_loaded"]["recognizers"], json!(["base"]), "one at a time");
    let refused = server.client.post("/process?model=huge", form::file(&german)).await;
    let sentence = problem(refused, 422).await;
    assert!(
        sentence.contains("no model “huge” here; there are:") && sentence.contains("tiny.en"),
        "{sentence}"
    );
}

/// A web server with a recording at `/talk%20one.wav`, and other things beside it.
async fn web(recording: Vec<u8>) -> String {
    let recording = Bytes::from(recording);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/talk%20one.wav", get(move || async move { recording }))
        .route("/moved", get(|| async { Redirect::temporary("/talk%20one.wav") }))
        .route("/away", get(|| async { Redirect::temporary("http://169.254.169.254/") }))
        .route("/round", get(|| async { Redirect::temporary("/round") }))
        .route("/page", get(|| async { "no sound" }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_fetched_from_its_address() {
    let dir = TempDir::new().unwrap();
    let settings = [("ALLOW_URLS", Path::new("true")), ("ALLOWED_NETWORKS", Path::new("127.0.0.0/8"))];
    let server = Server::start_with(dir.path(), &settings).await;
    let web = web(std::fs::read(clips::dashwood()).unwrap()).await;
    let post = |body: String| {
        let request = server.client.http.post(server.client.url("/process"));
        request.header("content-type", "application/x-www-form-urlencoded").body(body).send()
    };
    let (status, accepted) = json(post(format!("url={web}/moved&language=en")).await.unwrap()).await;
    assert_eq!((status, &accepted["filename"]), (StatusCode::OK, &json!("talk one.wav")), "{accepted}");
    let job = verbatim::jobs::JobId::parse(accepted["job_id"].as_str().unwrap()).unwrap();
    let (_, body) = server.end_of(job).await;
    assert!(body["result"]["transcript"].as_str().unwrap().contains("Dashwood"), "{body}");
    let query = server.client.http.post(server.client.url(&format!("/process?url={web}/talk%2520one.wav")));
    assert_eq!(query.send().await.unwrap().status(), StatusCode::OK, "in the query, without a body");

    for (address, says) in [
        ("/nothing", "404 Not Found"),
        ("/away", "169.254.169.254 is in a network that this service may not connect to"),
        ("/round", "it redirects more than 5 times"),
        ("/page", "not audio or video"),
    ] {
        let sentence = problem(post(format!("url={web}{address}")).await.unwrap(), 400).await;
        assert!(sentence.contains(says), "{address}: {sentence}");
    }
    for address in
        ["http://10.0.0.1/a.wav", "http://[fd00::1]/", "http://169.254.169.254/latest", "http://[::1]/"]
    {
        let sentence = problem(post(format!("url={address}")).await.unwrap(), 400).await;
        assert!(sentence.contains("is in a network that this service may not connect to"), "{sentence}");
    }
    problem(post("url=ftp://example.com/a".to_owned()).await.unwrap(), 422).await;
    problem(post("language=en".to_owned()).await.unwrap(), 422).await;
    let both = server.client.post(&format!("/process?url={web}/moved"), form::file(&clips::dashwood())).await;
    assert!(problem(both, 422).await.contains("a file and a url"));
    let uploads = std::fs::read_dir(dir.path().join("data/uploads")).unwrap().count();
    assert!(uploads <= 1, "nothing is left of what was refused");
}

#[tokio::test]
async fn addresses_are_not_fetched_unless_that_is_allowed() {
    let api = ApiAlone::start().await;
    let request = api.client.http.post(api.client.url("/process?url=http://127.0.0.1:1/a.wav"));
    assert!(problem(request.send().await.unwrap(), 422).await.contains("ALLOW_URLS=true"));
    api.assert_nothing_left().await;
}
