//! The contract's own way through the whole service: upload, watch, collect, be called.

use insta::assert_json_snapshot;
use serde_json::Value;
use tempfile::TempDir;

use crate::service::Service;
use crate::speech::novel;
use crate::support::app::{json, problem};
use crate::support::{clips, form};
use crate::webhook::Receiver;

/// Says the names of cards.
const CARDS: &str = "/usr/share/pocketsphinx/test/data/cards/005.wav";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_is_uploaded_watched_collected_and_announced() {
    let (service, receiver, dir) =
        (Service::start().await, Receiver::start([]).await, TempDir::new().unwrap());
    let hook = format!("{}/hook?key=1", receiver.url);
    let form = form::file(&clips::video(dir.path())).text("webhook_url", hook);
    let (_, accepted) = json(service.client.post("/process?language=english", form).await).await;
    let id = accepted["job_id"].as_str().unwrap();
    assert_eq!(accepted["status"], "pending");

    let seen = watch(&service, id).await;
    let percentages: Vec<_> =
        seen.iter().map(|status| status["progress_percentage"].as_u64().unwrap()).collect();
    assert!(percentages.is_sorted(), "{percentages:?}");
    let last = seen.last().unwrap();
    assert_eq!((&last["status"], &last["has_result"]), (&"completed".into(), &true.into()));
    assert_eq!(percentages.last(), Some(&100));
    for status in &seen[..seen.len() - 1] {
        assert!(status["progress_percentage"].as_u64() < Some(100), "100 is for completed jobs: {status}");
    }

    let collected = service.completed(id).await;
    let result = &collected["result"];
    assert_eq!(result["job_id"], id);
    assert_eq!(result["processing_completed_at"], collected["completed_at"]);
    assert_eq!(last["completed_at"], collected["completed_at"]);
    assert_eq!(result["file_size"], accepted["file_size"]);
    assert!(result["transcript"].as_str().unwrap().to_lowercase().contains("young man"), "{result}");
    assert_json_snapshot!("result_of_a_video", result, {
        ".transcript" => "[text]", ".topics[].sentences[]" => "[text]", ".topics[].seconds" => "[s]",
        ".topics[].end" => "[s]", ".topics[].summary" => "[text]", ".topics[].title" => "[text]",
        ".topics[].keywords" => "[phrases]",
        ".keywords[].phrase" => "[phrase]", ".keywords[].lemma" => "[phrase]", ".keywords[].seconds" => "[s]",
        ".sentences[].text" => "[text]", ".sentences[].start" => "[s]", ".sentences[].end" => "[s]",
        ".file_size" => "[bytes]", ".job_id" => "[id]", ".processing_completed_at" => "[time]",
        ".language_detection.confidence" => "[p]", ".whisper_segments[].text" => "[text]",
        ".whisper_segments[].start" => "[s]", ".whisper_segments[].end" => "[s]",
        ".whisper_segments[].tokens" => "[tokens]", ".whisper_segments[].avg_logprob" => "[p]",
        ".whisper_segments[].compression_ratio" => "[ratio]", ".whisper_segments[].no_speech_prob" => "[p]",
        ".whisper_segments[].words" => "[words]",
    });

    // The model may spell what stands before it otherwise on another processor.
    let keyword = &result["keywords"][0];
    for form in ["phrase", "lemma"] {
        assert!(keyword[form].as_str().unwrap().ends_with("young man"), "{keyword}");
    }
    let seconds = keyword["seconds"].as_array().unwrap();
    assert!(matches!(&seconds[..], [at] if (at.as_f64().unwrap() - 1.3).abs() < 0.3), "{keyword}");

    let call = &receiver.wait_for(1).await[0];
    assert_eq!(call.path, "/hook?key=1");
    assert_eq!(call.headers["content-type"], "application/json");
    assert!(call.headers["user-agent"].to_str().unwrap().starts_with("Verbatim/"));
    assert_eq!(
        serde_json::from_str::<Value>(&call.body).unwrap(),
        collected,
        "the webhook says what /result says"
    );
    service.shut_down().await;
}

/// Every status of a job until it has ended.
async fn watch(service: &Service, id: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        let (_, status) = json(service.client.get(&format!("/status/{id}")).await).await;
        let has_ended = ["completed", "failed"].contains(&status["status"].as_str().unwrap());
        if seen.last() != Some(&status) {
            seen.push(status);
        }
        if has_ended {
            return seen;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_at_the_same_time_keep_their_words_apart() {
    let (service, dir) = (Service::start().await, TempDir::new().unwrap());
    let (cards, long) = (std::path::PathBuf::from(CARDS), novel(dir.path(), 40));
    let files = [&cards, &long, &cards, &clips::novel(), &cards].map(ToOwned::to_owned);
    let results = service.transcribe(&files).await;
    let text = |index: usize| results[index]["transcript"].as_str().unwrap().to_lowercase();
    assert_eq!((text(0), text(0)), (text(2), text(4)), "the same recording gives the same words");
    assert!(!text(0).contains("dashwood") && !text(0).is_empty(), "{}", text(0));
    assert!(text(1).contains("dashwood") && text(1).contains("respectable"), "{}", text(1));
    assert!(text(3).contains("young man") && !text(3).contains("dashwood"), "{}", text(3));
    service.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_synchronous_answer_is_the_same_result() {
    let (service, dir) = (Service::start().await, TempDir::new().unwrap());
    for (path, file) in [("/process-audio", clips::novel()), ("/process-video", clips::video(dir.path()))] {
        let (status, body) = json(service.client.post(path, form::file(&file)).await).await;
        assert_eq!(status.as_u16(), 200, "{body}");
        let collected = service.completed(body["job_id"].as_str().unwrap()).await;
        assert_eq!(collected["result"], body);
    }
    let novel = form::file(&clips::novel()).text("word_timestamps", "false");
    let (_, body) = json(service.client.post("/process-audio", novel).await).await;
    let segments = body["whisper_segments"].as_array().unwrap();
    assert!(!segments.is_empty() && segments.iter().all(|segment| segment.get("words").is_none()), "{body}");
    let text = form::named("words.wav", b"no sound".to_vec());
    problem(service.client.post("/process-audio", text).await, 400).await;
    service.shut_down().await;
}
