//! The command line as a client of the whole service, with the real engine.

use std::fs;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use super::{command, read, text};
use crate::service::Service;
use crate::support::clips;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_sent_transcribed_collected_and_deleted() {
    let (service, dir) = (Service::start().await, TempDir::new().unwrap());
    let server = format!("http://{}", service.client.address);
    fs::copy(clips::novel(), dir.path().join("novel.wav")).unwrap();
    fs::write(dir.path().join("broken.mp3"), "This is no sound.").unwrap();
    let run = async |words: &str| -> Output { command(dir.path(), &server, words).output().await.unwrap() };
    let prints = async |words: &str| {
        let run = run(words).await;
        assert!(run.status.success(), "{words}: {}", text(&run.stderr));
        text(&run.stdout).to_owned()
    };

    let words =
        "submit --wait --language English --hotwords Norland --format txt,srt,json --output out novel.wav";
    let id = prints(words).await;
    let id = id.trim_end();
    let transcript = read(&dir.path().join("out/novel.txt"));
    assert!(transcript.to_lowercase().contains("young man"), "{transcript}");
    assert!(read(&dir.path().join("out/novel.srt")).starts_with("1\n00:00:0"));
    let result: Value = serde_json::from_str(&read(&dir.path().join("out/novel.json"))).unwrap();
    assert_eq!((&result["job_id"], &result["filename"]), (&id.into(), &"novel.wav".into()));

    let listed: Value =
        serde_json::from_str(&prints("jobs --json --search novel --status completed").await).unwrap();
    assert_eq!((&listed["job_id"], &listed["hotwords"]), (&id.into(), &"Norland".into()));
    assert_eq!(prints("jobs --search nothing").await.lines().count(), 1);
    assert_eq!(prints(&format!("result {id}")).await, transcript);

    let refused = run("submit broken.mp3").await;
    assert_eq!(refused.status.code(), Some(1));
    let says = format!("verbatim: broken.mp3: {server} refuses (400): The file is not audio or video");
    assert!(text(&refused.stderr).starts_with(&says), "{}", text(&refused.stderr));
    let ended = run(&format!("cancel {id}")).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("refuses (409): "), "{}", text(&ended.stderr));

    fs::create_dir(dir.path().join("in")).unwrap();
    fs::rename(dir.path().join("novel.wav"), dir.path().join("in/again.wav")).unwrap();
    assert_eq!(prints("watch in transcripts --once --settle 0").await.lines().count(), 1);
    let watched = read(&dir.path().join("transcripts/again.txt"));
    assert!(watched.to_lowercase().contains("young man"), "{watched}");

    assert_eq!(prints(&format!("delete {id}")).await.trim_end(), id);
    let gone = run(&format!("result {id}")).await;
    assert!(text(&gone.stderr).contains("refuses (404): "), "{}", text(&gone.stderr));
    service.shut_down().await;
}
