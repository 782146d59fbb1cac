//! What goes over the wire, field for field: every endpoint in every state of a job.

use std::time::Duration;

use insta::{assert_json_snapshot, with_settings};
use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use verbatim::jobs::JobId;
use verbatim::signals::Work;
use verbatim::store::ProcessId;
use verbatim::store::{Lease, Outcome, Progress};

use crate::support::app::{ApiAlone, json, problem};
use crate::support::{clips, form};

const LEASE: Duration = Duration::from_secs(60);

/// Asserts the status and snapshots the body, times and ids redacted where there are any.
macro_rules! assert_wire {
    ($name:expr, $response:expr, $status:expr) => {{
        let (status, body) = json($response).await;
        assert_eq!(status, $status, "{body}");
        assert_json_snapshot!($name, redacted(body));
    }};
}

/// Ids and times in their right form are replaced; in any other form they stay and show.
fn redacted(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => fields.values_mut().for_each(|field| *field = redacted(field.take())),
        Value::Array(items) => items.iter_mut().for_each(|item| *item = redacted(item.take())),
        Value::String(text) if JobId::parse(text).is_some() => *text = "[id]".into(),
        Value::String(text) if is_contract_time(text) => *text = "[time]".into(),
        _ => {}
    }
    value
}

/// `2024-01-15T10:30:00.000Z`, to the letter.
fn is_contract_time(text: &str) -> bool {
    text.len() == 24
        && text.ends_with('Z')
        && text.as_bytes()[19] == b'.'
        && text.parse::<Timestamp>().is_ok()
}

async fn claim(api: &ApiAlone) -> Lease {
    api.store.claim(ProcessId::new(), Timestamp::now(), LEASE).await.unwrap().expect("a job that waits").lease
}

async fn finish(api: &ApiAlone, lease: &Lease, outcome: Outcome) {
    api.store.finish(lease, &outcome, Timestamp::now()).await.unwrap();
    api.notifiers.ended.notify();
}

#[tokio::test]
async fn a_job_from_upload_to_result() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let form = form::file(&clips::video(dir.path()))
        .text("language", "English")
        .text("webhook_url", "https://example.com/webhook?key=1");
    let response = api.client.post("/process", form).await;
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let (status, body) = json(response).await;
    assert_eq!(status, StatusCode::OK);
    let id = body["job_id"].as_str().unwrap().to_owned();
    assert_eq!(location, format!("/status/{id}"));
    assert_json_snapshot!("accepted", redacted(body), { ".file_size" => "[bytes]" });

    let (status_path, result_path) = (format!("/status/{id}"), format!("/result/{id}"));
    let (_, body) = json(api.client.get(&status_path).await).await;
    assert_json_snapshot!("status_pending", redacted(body), { ".file_size" => "[bytes]" });
    assert_wire!("result_pending", api.client.get(&result_path).await, 202);

    let lease = claim(&api).await;
    let progress = Progress { percentage: 45, step: "Transcribing audio".into() };
    api.store.set_progress(&lease, &progress, Timestamp::now()).await.unwrap();
    let (_, body) = json(api.client.get(&status_path).await).await;
    assert_json_snapshot!("status_processing", redacted(body), { ".file_size" => "[bytes]" });
    assert_wire!("result_processing", api.client.get(&result_path).await, 202);
    assert_wire!("jobs_processing", api.client.get("/jobs/processing").await, 200);

    let result = r#"{"transcript":"Hello.",  "as":{"it":"is stored"}}"#;
    finish(&api, &lease, Outcome::Completed { result: result.into() }).await;
    let (_, body) = json(api.client.get(&status_path).await).await;
    assert_json_snapshot!("status_completed", redacted(body), { ".file_size" => "[bytes]" });
    let text = api.client.get(&result_path).await.text().await.unwrap();
    assert!(text.contains(result), "the stored result is sent letter for letter: {text}");
    assert_wire!("result_completed", api.client.get(&result_path).await, 200);
    assert_wire!("jobs_processing_none", api.client.get("/jobs/processing").await, 200);
}

#[tokio::test]
async fn a_job_that_fails() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let silence = clips::silence(dir.path());
    let partial = || Some(r#"{"transcript":"Hel"}"#.to_owned());
    for (name, detail, partial) in [
        ("failed", None, None),
        ("failed_with_detail", Some("ffmpeg stopped at 0.5 s.".into()), None),
        ("failed_half_way", None, partial()),
    ] {
        let id = api.submit(form::file(&silence)).await;
        let lease = claim(&api).await;
        let message = "The file breaks off.".into();
        finish(&api, &lease, Outcome::Failed { message, detail, partial }).await;
        assert_wire!(format!("result_{name}"), api.client.get(&format!("/result/{id}")).await, 500);
        assert_wire!(format!("status_{name}"), api.client.get(&format!("/status/{id}")).await, 200);
    }
}

#[tokio::test]
async fn the_list_of_endpoints_is_true() {
    let api = ApiAlone::start().await;
    let response = api.client.get("/").await;
    let (_, body) = json(response).await;
    for endpoint in body["endpoints"].as_array().unwrap() {
        let path = endpoint["path"].as_str().unwrap().replace("{job_id}", "none");
        // What no endpoint takes is refused for its method, not for its path.
        let wrong = api.client.send("PUT", &path, "").await;
        let allowed = wrong.headers()["allow"].to_str().unwrap().to_owned();
        let method = endpoint["method"].as_str().unwrap();
        assert!(allowed.split(',').any(|allowed| allowed.trim() == method), "{method} {path}: {allowed}");
        problem(wrong, 405).await;
    }
    assert_json_snapshot!("index", body, { ".version" => "[version]" });
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let api = ApiAlone::start().await;
    let id = JobId::new().to_string();
    for path in [
        format!("/status/{id}"),
        format!("/result/{id}"),
        "/status/1".into(),
        "/result/..%2F..%2Fetc%2Fpasswd".into(),
        "/status/%FF".into(),
        format!("/status/{}", id.replace('-', "")),
        "/nothing/here".into(),
    ] {
        let detail = problem(api.client.get(&path).await, 404).await;
        assert!(detail.starts_with("There is no"), "{detail}");
    }
}

#[tokio::test]
async fn an_id_may_be_written_in_capitals() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let id = api.submit(form::file(&clips::silence(dir.path()))).await.to_string();
    let (status, body) = json(api.client.get(&format!("/status/{}", id.to_uppercase())).await).await;
    assert_eq!((status, body["job_id"].as_str()), (StatusCode::OK, Some(id.as_str())));
}

#[tokio::test]
async fn health_tells_what_is_not_well() {
    let (mut api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    api.submit(form::file(&clips::silence(dir.path()))).await;
    let redactions = |body: Value, name: &str| {
        with_settings!({ sort_maps => false }, {
            assert_json_snapshot!(name.to_owned(), body, {
                ".version" => "[version]", ".kernels" => "[what the processor has]", ".uptime_seconds" => "[s]", ".disk.free_bytes" => "[bytes]",
                ".sandbox" => "[what the kernel knows]"
            });
        });
    };
    let (status, body) = json(api.client.get("/health").await).await;
    assert_eq!(status, StatusCode::OK);
    redactions(body, "health");

    api.faults.note(Work::Claiming, Some("no job could be claimed: the database failed".into()));
    let (status, body) = json(api.client.get("/health").await).await;
    assert_eq!((status, body["status"].as_str()), (StatusCode::OK, Some("degraded")));
    let told = "No job could be claimed: the database failed.";
    assert_eq!(body["background_processor"]["error"], told);
    api.faults.note(Work::Claiming, None);

    api.worker = None;
    let (status, body) = json(api.client.get("/health").await).await;
    assert_eq!((status, body["status"].as_str()), (StatusCode::OK, Some("degraded")));

    api.engine = None;
    let (status, body) = json(api.client.get("/health").await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    redactions(body, "health_without_engine");
}

/// A writer that takes its time, in another process, holds up neither health nor whoever asks how far a job is.
#[tokio::test]
async fn health_waits_for_no_writer() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let id = api.submit(form::file(&clips::silence(dir.path()))).await;
    let mut writer = api.database().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut writer).await.unwrap();
    let insert = "INSERT INTO results (job_id, body) SELECT id, '{}' FROM jobs";
    sqlx::query(insert).execute(&mut writer).await.unwrap();
    // Without a limit of its own this would end when the lock is given up for, ten seconds later, with a 503.
    let (status, body) = json(api.client.get("/health").await).await;
    assert_eq!((status, body["status"].as_str()), (StatusCode::OK, Some("healthy")), "{body}");
    let (status, _) = json(api.client.get(&format!("/status/{id}")).await).await;
    assert_eq!(status, StatusCode::OK);
    sqlx::query("ROLLBACK").execute(&mut writer).await.unwrap();
}
