//! Jobs as a resource: listed, watched, cancelled, repeated, deleted, and kept for as long as is set.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use verbatim::jobs::{JobId, JobStatus};
use verbatim::store::{Outcome, ProcessId};

use crate::process::Server;
use crate::service::Service;
use crate::speech::novel;
use crate::support::app::{ApiAlone, eventually, json, problem};
use crate::support::{clips, form};

const LEASE: Duration = Duration::from_secs(60);

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sent {
    pub(crate) id: Option<u64>,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

/// Reads the events of an answer to its end, or until `enough` says so.
pub(crate) async fn read_events(mut response: Response, enough: impl Fn(&[Sent]) -> bool) -> Vec<Sent> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut text, mut events) = (String::new(), Vec::new());
    while let Some(chunk) = response.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            events.extend(parse_event(event));
            text = rest.to_owned();
        }
        if enough(&events) {
            break;
        }
    }
    events
}

/// `None` for a comment.
fn parse_event(text: &str) -> Option<Sent> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Some(Sent {
        id: field("id").map(|id| id.parse().unwrap()),
        kind: field("event").unwrap_or_default().to_owned(),
        data: serde_json::from_str(field("data")?).unwrap(),
    })
}

async fn submit(client: &crate::support::app::Client, file: &Path, query: &str) -> String {
    let (status, body) = json(client.post(&format!("/process{query}"), form::file(file)).await).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["job_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn jobs_are_listed_page_by_page_and_found_by_name_and_status() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let silence = std::fs::read(clips::silence(dir.path())).unwrap();
    let mut ids = Vec::new();
    for name in ["one.wav", "Two.wav", "three.wav"] {
        ids.push(api.submit(form::named(name, silence.clone())).await.to_string());
    }
    let cancelled =
        api.client.http.post(api.client.url(&format!("/jobs/{}/cancel", ids[1]))).send().await.unwrap();
    assert_eq!(json(cancelled).await.1["status"], "cancelled");
    let listed = |query: &'static str| {
        let client = api.client.clone();
        async move { json(client.get(&format!("/jobs{query}")).await).await.1 }
    };
    let names = |list: &Value| -> Vec<String> {
        list["jobs"].as_array().unwrap().iter().map(|job| job["filename"].as_str().unwrap().into()).collect()
    };
    let all = listed("").await;
    let mut found = names(&all);
    found.sort();
    assert_eq!(
        (found, &all["next_cursor"]),
        (vec!["Two.wav".into(), "one.wav".into(), "three.wav".into()], &Value::Null)
    );
    assert_eq!(names(&listed("?q=TWO").await), ["Two.wav"]);
    assert_eq!(names(&listed("?status=cancelled").await), ["Two.wav"]);
    assert_eq!(listed("?status=pending,processing").await["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(listed("?since=2999-01-01T00:00:00Z").await["jobs"], json!([]));

    let (mut seen, mut path) = (Vec::new(), "/jobs?limit=2".to_owned());
    loop {
        let (_, page) = json(api.client.get(&path).await).await;
        seen.extend(names(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/jobs?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, names(&all));

    let (_, job) = json(api.client.get(&format!("/jobs/{}", ids[1])).await).await;
    assert_eq!((&job["status"], &job["queue_position"]), (&json!("cancelled"), &Value::Null));
    let (_, status) = json(api.client.get(&format!("/status/{}", ids[1])).await).await;
    assert_eq!(
        (&status["status"], &status["error_message"]),
        (&json!("failed"), &json!("The job was cancelled."))
    );
    let (_, waiting) = json(api.client.get(&format!("/jobs/{}", ids[2])).await).await;
    assert_eq!((&waiting["queue_position"], &waiting["estimated_seconds"]), (&json!(2), &Value::Null));
    for (query, says) in [("?status=done", "“done”"), ("?limit=many", "“many”"), ("?cursor=7", "next_cursor")]
    {
        assert!(problem(api.client.get(&format!("/jobs{query}")).await, 422).await.contains(says));
    }
}

#[tokio::test]
async fn what_has_ended_is_not_cancelled_and_only_what_failed_is_repeated() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let id = api.submit(form::file(&clips::silence(dir.path()))).await;
    let post = |action: &'static str| {
        let request = api.client.http.post(api.client.url(&format!("/jobs/{id}/{action}")));
        async move { request.send().await.unwrap() }
    };
    assert!(problem(post("retry").await, 409).await.contains("this one is pending"));
    let claim = api.store.claim(ProcessId::new(), Timestamp::now(), LEASE).await.unwrap().unwrap();
    let outcome = Outcome::Failed { message: "The disk went away.".into(), detail: None, partial: None };
    api.store.finish(&claim.lease, &outcome, Timestamp::now()).await.unwrap();
    assert!(problem(post("cancel").await, 409).await.contains("it is failed"));
    let (_, again) = json(post("retry").await).await;
    assert_eq!((&again["status"], &again["error_message"]), (&json!("pending"), &Value::Null));

    let claim = api.store.claim(ProcessId::new(), Timestamp::now(), LEASE).await.unwrap().unwrap();
    api.store
        .finish(&claim.lease, &Outcome::Completed { result: "{}".into() }, Timestamp::now())
        .await
        .unwrap();
    assert!(problem(post("retry").await, 409).await.contains("this one is completed"));
    assert!(problem(post("cancel").await, 409).await.contains("it is completed"));
    let unknown = format!("/jobs/{}/retry", JobId::new());
    problem(api.client.http.post(api.client.url(&unknown)).send().await.unwrap(), 404).await;
}

#[tokio::test]
async fn a_job_whose_file_is_not_kept_cannot_be_repeated() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let id = api.submit(form::file(&clips::silence(dir.path()))).await;
    api.store.cancel(id, "The job was cancelled.", Timestamp::now()).await.unwrap();
    for file in api.files() {
        std::fs::remove_file(file).unwrap();
    }
    let retry = api.client.http.post(api.client.url(&format!("/jobs/{id}/retry"))).send().await.unwrap();
    assert!(problem(retry, 409).await.contains("UPLOAD_RETENTION"));
    assert_eq!(api.store.get(id).await.unwrap().unwrap().status, JobStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_is_deleted_with_its_ffmpeg_and_its_windows_within_a_second() {
    let dir = TempDir::new().unwrap();
    // Two processes on one database: the one that is asked is not the one that works.
    let server = Server::start(dir.path()).await;
    let id = server.submit(&novel(dir.path(), 1200), "").await;
    eventually("a window", || async { !server.windows_transcribed(id).is_empty() }).await;
    let other = Server::start(dir.path()).await;
    let begun = Instant::now();
    let deleted = other.client.http.delete(other.client.url(&format!("/jobs/{id}"))).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    problem(other.client.get(&format!("/status/{id}")).await, 404).await;
    eventually("the job to stop", || async { server.says("job was cancelled or taken over") }).await;
    let took = begun.elapsed();
    let done = server.windows_transcribed(id).len();
    let next = server.submit(&clips::dashwood(), "").await;
    server.end_of(next).await;
    assert!(server.windows_transcribed(id).len() <= done, "nothing of it is transcribed any more");
    assert_eq!(crate::process::descendants(server.pid()), Vec::<u32>::new(), "ffmpeg is gone");
    println!("stopped after {took:?}");
    let uploads = std::fs::read_dir(dir.path().join("data/uploads")).unwrap().count();
    assert_eq!(uploads, 0, "no upload is left");
    let again = other.client.http.delete(other.client.url(&format!("/jobs/{id}"))).send().await.unwrap();
    problem(again, 404).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_on_without_loss_or_repeat_from_any_place() {
    let (service, dir) = (Service::start().await, TempDir::new().unwrap());
    let id = submit(&service.client, &novel(dir.path(), 100), "").await;
    let path = format!("/jobs/{id}/events");
    let live = read_events(service.client.get(&path).await, |_| false).await;
    let numbers: Vec<u64> = live.iter().map(|event| event.id.unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "every event, in order");
    assert_eq!(live[0].data, json!({"status": "pending"}));
    let last = live.last().unwrap();
    assert_eq!((last.kind.as_str(), &last.data), ("status", &json!({"status": "completed"})));

    // The segments, put into the order of the recording, are the result's.
    let mut segments: Vec<&Value> =
        live.iter().filter(|event| event.kind == "segment").map(|event| &event.data).collect();
    segments.sort_by_key(|segment| segment["window"].as_u64());
    let result = service.completed(&id).await;
    let expected = result["result"]["whisper_segments"].as_array().unwrap();
    assert_eq!(segments.len(), expected.len());
    for (segment, expected) in segments.iter().zip(expected) {
        for field in ["start", "end", "text", "words", "language"] {
            assert_eq!(segment[field], expected[field], "{field}");
        }
    }
    let (_, stored) = json(service.client.get(&format!("/jobs/{id}/segments")).await).await;
    assert_eq!(
        (&stored["status"], &stored["segments"]),
        (&json!("completed"), &result["result"]["whisper_segments"])
    );

    for after in [0, 1, numbers.len() - 2] {
        let request = service.client.http.get(service.client.url(&path)).header("last-event-id", after);
        let rest = read_events(request.send().await.unwrap(), |_| false).await;
        assert_eq!(rest, live[after..], "after {after}");
        let query = service.client.get(&format!("{path}?last_event_id={after}")).await;
        assert_eq!(read_events(query, |_| false).await, rest);
    }
    let request = service.client.http.get(service.client.url(&path)).header("last-event-id", numbers.len());
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT, "an EventSource asks no more");
    service.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_segments_go_on_after_a_crash() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path()).await;
    let id = server.submit(&novel(dir.path(), 240), "").await;
    let has_segments = |events: &[Sent]| events.iter().filter(|event| event.kind == "segment").count() >= 2;
    let first = read_events(server.client.get(&format!("/jobs/{id}/events")).await, has_segments).await;
    let (_, so_far) = json(server.client.get(&format!("/jobs/{id}/segments")).await).await;
    assert!(so_far["segments"].as_array().unwrap().len() >= 2, "{so_far}");
    server.kill();

    let server = Server::start(dir.path()).await;
    let last = first.last().unwrap().id.unwrap();
    let url = server.client.url(&format!("/jobs/{id}/events"));
    let request = server.client.http.get(url).header("last-event-id", last);
    let rest = read_events(request.send().await.unwrap(), |_| false).await;
    let numbers: Vec<u64> = first.iter().chain(&rest).map(|event| event.id.unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(rest.last().unwrap().data["status"], "completed");
    let (_, result) = server.end_of(id).await;
    let segments = first.iter().chain(&rest).filter(|event| event.kind == "segment").count();
    assert_eq!(segments, result["result"]["whisper_segments"].as_array().unwrap().len());
}

#[tokio::test]
async fn who_follows_a_job_that_is_deleted_is_told() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let id = api.submit(form::file(&clips::silence(dir.path()))).await;
    let following = api.client.get(&format!("/jobs/{id}/events")).await;
    let deleted = api.client.http.delete(api.client.url(&format!("/jobs/{id}"))).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let events = read_events(following, |_| false).await;
    assert_eq!(events.last().unwrap().data, json!({"status": "deleted"}));
    api.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_and_results_are_kept_for_as_long_as_is_set() {
    let dir = TempDir::new().unwrap();
    let uploads = || std::fs::read_dir(dir.path().join("data/uploads")).unwrap().count();
    let hours = [("UPLOAD_RETENTION", Path::new("2h"))];
    let server = Server::start_with(dir.path(), &hours).await;
    let id = server.submit(&clips::dashwood(), "").await;
    server.end_of(id).await;
    drop(server);
    let server = Server::start_with(dir.path(), &hours).await;
    assert_eq!(uploads(), 1, "also over a restart");
    drop(server);

    // Jobs are swept at the start, and every ten seconds.
    let server = Server::start_with(dir.path(), &[]).await;
    eventually("the upload to be removed", || async { uploads() == 0 }).await;
    assert_eq!(server.end_of(id).await.0, StatusCode::OK, "results are kept for ever");
    drop(server);
    let server = Server::start_with(dir.path(), &[("RESULT_RETENTION", Path::new("1ms"))]).await;
    let gone =
        || async { server.client.get(&format!("/result/{id}")).await.status() == StatusCode::NOT_FOUND };
    eventually("the job to be removed", gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_job_whose_file_is_kept_is_repeated_to_its_end() {
    let dir = TempDir::new().unwrap();
    let server = Server::start_with(dir.path(), &[("UPLOAD_RETENTION", Path::new("1h"))]).await;
    let id = server.submit(&novel(dir.path(), 240), "").await;
    eventually("a window", || async { !server.windows_transcribed(id).is_empty() }).await;
    let post =
        |action: &str| server.client.http.post(server.client.url(&format!("/jobs/{id}/{action}"))).send();
    assert_eq!(json(post("cancel").await.unwrap()).await.1["status"], "cancelled");
    assert_eq!(json(post("retry").await.unwrap()).await.1["status"], "pending");
    let (status, result) = server.end_of(id).await;
    assert_eq!(status, StatusCode::OK, "{result}");
    assert!(result["result"]["transcript"].as_str().unwrap().len() > 100);
}

#[tokio::test]
async fn a_request_that_is_sent_again_under_its_key_makes_no_second_job() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let clip = clips::silence(dir.path());
    let post = |key: &'static str, query: &'static str, file: &Path| {
        let request = api.client.http.post(api.client.url(&format!("/process{query}")));
        request.header("idempotency-key", key).multipart(form::file(file)).send()
    };
    let (status, first) = json(post("a", "?language=en", &clip).await.unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    let (_, again) = json(post("a", "?language=en", &clip).await.unwrap()).await;
    assert_eq!(again, first, "the first answer");
    assert_eq!(api.files().len(), 1);
    for (query, file) in [("?language=de", &clip), ("?language=en", &clips::video(dir.path()))] {
        let refused = problem(post("a", query, file).await.unwrap(), 422).await;
        assert!(refused.contains("“a” belongs to another request"), "{refused}");
    }
    let (_, other) = json(post("b", "?language=en", &clip).await.unwrap()).await;
    assert_ne!(other["job_id"], first["job_id"]);
    assert_eq!(api.store.unfinished().await.unwrap().len(), 2);
    problem(post(" ", "", &clip).await.unwrap(), 400).await;
}

#[tokio::test]
async fn a_key_whose_request_is_not_answered_yet_is_refused() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let clip = clips::silence(dir.path());
    let post = || {
        let request = api.client.http.post(api.client.url("/process-audio"));
        request.header("idempotency-key", "k").multipart(form::file(&clip)).send()
    };
    let first = tokio::spawn(post());
    eventually("the job", || async { !api.store.unfinished().await.unwrap().is_empty() }).await;
    assert!(problem(post().await.unwrap(), 409).await.contains("still being answered"));
    let claim = api.store.claim(ProcessId::new(), Timestamp::now(), LEASE).await.unwrap().unwrap();
    api.store
        .finish(&claim.lease, &Outcome::Completed { result: r#"{"a":1}"#.into() }, Timestamp::now())
        .await
        .unwrap();
    api.notifiers.ended.notify();
    assert_eq!(json(first.await.unwrap().unwrap()).await.1, json!({"a": 1}));
    assert_eq!(json(post().await.unwrap()).await.1, json!({"a": 1}), "the first answer");
}

#[tokio::test]
async fn a_body_may_be_the_file_itself() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let clip = std::fs::read(clips::silence(dir.path())).unwrap();
    let post = |query: &'static str, media_type: &'static str, body: Vec<u8>| {
        let request = api.client.http.post(api.client.url(&format!("/process{query}")));
        request.header("content-type", media_type).body(body).send()
    };
    let (status, body) =
        json(post("?filename=a%2Fmemo.wav&language=en", "audio/wav", clip.clone()).await.unwrap()).await;
    assert_eq!((status, &body["filename"]), (StatusCode::OK, &json!("memo.wav")), "{body}");
    assert_eq!(body["file_size"], clip.len());
    let (_, body) = json(post("", "application/octet-stream", clip.clone()).await.unwrap()).await;
    assert_eq!(body["filename"], "upload");
    let before = api.files().len();
    for media_type in ["application/x-www-form-urlencoded", "application/json", "text/plain"] {
        let refused = problem(post("", media_type, clip.clone()).await.unwrap(), 422).await;
        assert!(refused.contains("as the body itself with its media type"), "{refused}");
    }
    assert_eq!(problem(post("", "audio/wav", Vec::new()).await.unwrap(), 400).await, "The file is empty.");
    problem(post("", "audio/wav", b"no sound".to_vec()).await.unwrap(), 400).await;
    problem(post("", "audio/wav", vec![0; 10_000_001]).await.unwrap(), 400).await;
    assert_eq!(api.files().len(), before, "nothing is left of them");
}
