//! `/process-audio` and `/process-video`: the wait for a job's end, and what ends it early.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Response;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use verbatim::jobs::JobStatus;
use verbatim::store::ProcessId;
use verbatim::store::{Lease, Outcome};

use crate::support::app::{ApiAlone, eventually, json, problem};
use crate::support::{clips, form};

/// Sends a file, and claims its job as a worker would.
async fn send_and_claim(api: &ApiAlone, path: &'static str) -> (JoinHandle<Response>, Lease) {
    let dir = TempDir::new().unwrap();
    let clip = if path == "/process-video" { clips::video(dir.path()) } else { clips::silence(dir.path()) };
    let (client, form) = (api.client.clone(), form::file(&clip));
    let answer = tokio::spawn(async move { client.post(path, form).await });
    let mut queued = api.notifiers.queued.subscribe();
    let claimed = async {
        loop {
            let (process, lease) = (ProcessId::new(), Duration::from_secs(60));
            let claim = api.store.claim(process, Timestamp::now(), lease).await.unwrap();
            match claim {
                Some(claim) => return claim.lease,
                None => queued.wait().await,
            }
        }
    };
    (answer, tokio::time::timeout(Duration::from_secs(30), claimed).await.expect("a job in time"))
}

async fn finish(api: &ApiAlone, lease: &Lease, outcome: Outcome) {
    api.store.finish(lease, &outcome, Timestamp::now()).await.unwrap();
    api.notifiers.ended.notify();
}

#[tokio::test]
async fn the_answer_is_the_result_object() {
    let api = ApiAlone::start().await;
    for path in ["/process-audio", "/process-video"] {
        let (answer, lease) = send_and_claim(&api, path).await;
        finish(&api, &lease, Outcome::Completed { result: r#"{"transcript":"Hello."}"#.into() }).await;
        let (status, body) = json(answer.await.unwrap()).await;
        assert_eq!(status.as_u16(), 200);
        assert_eq!(body, serde_json::json!({ "transcript": "Hello." }));
    }
}

#[tokio::test]
async fn the_answer_comes_without_a_bell_too() {
    let api = ApiAlone::start().await;
    let (answer, lease) = send_and_claim(&api, "/process-audio").await;
    let outcome = Outcome::Completed { result: "{}".into() };
    api.store.finish(&lease, &outcome, Timestamp::now()).await.unwrap();
    assert_eq!(answer.await.unwrap().status().as_u16(), 200);
}

#[tokio::test]
async fn a_failed_job_is_a_problem_with_its_sentence() {
    let api = ApiAlone::start().await;
    let (answer, lease) = send_and_claim(&api, "/process-audio").await;
    let message = "The file breaks off.".to_owned();
    finish(&api, &lease, Outcome::Failed { message: message.clone(), detail: None, partial: None }).await;
    assert_eq!(problem(answer.await.unwrap(), 500).await, message);
}

#[tokio::test]
async fn the_other_kind_is_refused_and_leaves_nothing() {
    let (api, dir) = (ApiAlone::start().await, TempDir::new().unwrap());
    let video = form::file(&clips::video(dir.path()));
    let detail = problem(api.client.post("/process-audio", video).await, 400).await;
    assert!(detail.contains("/process-video"), "{detail}");
    let audio = form::file(&clips::silence(dir.path()));
    let detail = problem(api.client.post("/process-video", audio).await, 400).await;
    assert!(detail.contains("/process-audio"), "{detail}");
    api.assert_nothing_left().await;
}

#[tokio::test]
async fn a_client_that_disconnects_cancels_its_job() {
    let api = ApiAlone::start().await;
    let (answer, lease) = send_and_claim(&api, "/process-audio").await;
    answer.abort();
    eventually("the job's end", || async { api.store.unfinished().await.unwrap().is_empty() }).await;
    let job = api.store.get(lease.job).await.unwrap().unwrap();
    assert_eq!(job.status, JobStatus::Cancelled);
    let (_, body) = json(api.client.get(&format!("/status/{}", lease.job)).await).await;
    assert_eq!(body["status"], "failed", "the contract has no other");
    assert!(job.error_message.unwrap().contains("hung up"));
    // Workers remove its upload, in its time.
    assert!(api.store.give_up_upload(lease.job, Timestamp::now()).await.unwrap());
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_keeps_the_job() {
    let api = ApiAlone::start().await;
    let (answer, lease) = send_and_claim(&api, "/process-audio").await;
    api.stopping.cancel();
    let detail = problem(answer.await.unwrap(), 503).await;
    assert!(detail.contains(&lease.job.to_string()), "{detail}");
    assert_eq!(api.store.unfinished().await.unwrap(), [lease.job]);
    assert_eq!(api.files().len(), 1);
}
