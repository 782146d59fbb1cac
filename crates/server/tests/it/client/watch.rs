//! `verbatim watch`: against a server, and with the engine of its own process.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::stand_in::{Failure, Inner};
use super::{Fixture, read, text};
use crate::speech::models_dir;
use crate::support::clips;

/// A server, and recordings in a folder `in`.
async fn fixture(inner: Inner) -> Fixture {
    let fixture = Fixture::new(inner).await;
    fs::create_dir_all(fixture.path("in/2026")).unwrap();
    fs::rename(fixture.path("talk.mp3"), fixture.path("in/talk.mp3")).unwrap();
    fs::write(fixture.path("in/2026/Größe.wav"), "more sound").unwrap();
    fixture
}

/// All files below a folder but those that `watch` keeps for itself.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.retain(|name| !name.starts_with(".verbatim-watch."));
    found.sort();
    found
}

const ONCE: &str = "watch in out --once --settle 0 --format txt,srt";

#[tokio::test]
async fn recordings_become_transcripts_in_the_same_folders_and_each_once() {
    let fixture = fixture(Inner::default()).await;
    for name in ["in/.hidden.mp3", "in/half.mp3.part", "in/notes.txt", "in/2026/copy.tmp", "in/edit.mp3~"] {
        fs::write(fixture.path(name), "no recording").unwrap();
    }
    let printed = fixture.prints(&format!("{ONCE} --language German --no-word-timestamps")).await;
    let transcripts = ["2026/Größe.srt", "2026/Größe.txt", "talk.srt", "talk.txt"];
    assert_eq!(files(&fixture.path("out")), transcripts);
    let mut paths: Vec<_> = printed.lines().map(|line| line.rsplit_once("/out/").unwrap().1).collect();
    paths.sort_unstable();
    assert_eq!(paths, transcripts);
    assert_eq!(read(&fixture.path("out/2026/Größe.srt")), "Größe.wav as srt\n");
    for upload in fixture.running.get().uploads.values() {
        let options: Vec<_> = upload.metadata.iter().map(|(name, text)| (&**name, &**text)).collect();
        assert_eq!(options[1..], [("language", "German"), ("word_timestamps", "false")]);
    }

    // Not again, even if somebody has taken the transcripts away.
    fixture.running.take_requests();
    fs::remove_file(fixture.path("out/talk.txt")).unwrap();
    assert_eq!(fixture.prints(ONCE).await, "");
    assert_eq!(fixture.running.take_requests(), [""; 0]);

    // What has changed is done again, and what is new is done.
    fs::write(fixture.path("in/talk.mp3"), "another recording").unwrap();
    fs::write(fixture.path("in/talk.wav"), "of the same name").unwrap();
    let printed = fixture.prints(ONCE).await;
    assert_eq!(printed.lines().count(), 4, "{printed}");
    assert_eq!(read(&fixture.path("out/talk.txt")), "talk.mp3 as txt\n");
    assert_eq!(read(&fixture.path("out/talk.wav.txt")), "talk.wav as txt\n");
}

#[tokio::test]
async fn a_transcript_that_is_newer_than_its_recording_is_enough() {
    let fixture = fixture(Inner::default()).await;
    fs::create_dir(fixture.path("out")).unwrap();
    for name in ["out/talk.txt", "out/talk.srt"] {
        fs::write(fixture.path(name), "by hand").unwrap();
    }
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(fixture.path("in/talk.mp3")).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(fixture.prints(ONCE).await.lines().count(), 2);
    assert_eq!(read(&fixture.path("out/talk.txt")), "by hand");
    fs::remove_file(fixture.path("out/talk.txt")).unwrap();
    assert_eq!(fixture.prints(ONCE).await, "");
}

#[tokio::test]
async fn a_recording_that_fails_is_told_once_and_not_sent_again_until_it_changes() {
    let failures = [Failure::Status(400)].into();
    let fixture = fixture(Inner { failures, ..Inner::default() }).await;
    let run = fixture.run(ONCE).await;
    assert_eq!(run.status.code(), Some(1));
    let server = fixture.running.url();
    let why = format!("verbatim: 2026/Größe.wav: {server} refuses (400): The server is busy.\n");
    assert_eq!(text(&run.stderr), why);
    assert_eq!(files(&fixture.path("out")), ["talk.srt", "talk.txt"]);
    assert_eq!(fixture.prints(ONCE).await, "");
    fs::write(fixture.path("in/2026/Größe.wav"), "with sound now").unwrap();
    assert_eq!(fixture.prints(ONCE).await.lines().count(), 2);
}

#[tokio::test]
async fn recordings_wait_for_a_server_that_is_away() {
    let fixture = fixture(Inner::default()).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = fixture.fails(&format!("{ONCE} --server http://{gone}"), 1).await;
    assert!(told.contains("cannot be reached") && told.lines().count() == 1, "{told}");
    assert_eq!(files(&fixture.path("out")), [""; 0]);
    let printed = fixture.prints("watch in out --once --settle 0.2 --interval 0.1").await;
    assert_eq!(printed.lines().count(), 2, "once they have settled: {printed}");
}

#[tokio::test]
async fn a_job_that_was_sent_is_waited_for_at_the_next_start_instead_of_being_sent_again() {
    let processing = json!({"status": "processing", "progress_percentage": 10});
    let fixture = fixture(Inner { states: [processing].into(), ..Inner::default() }).await;
    fs::remove_file(fixture.path("in/2026/Größe.wav")).unwrap();
    let mut first = fixture.command(ONCE).stderr(Stdio::null()).spawn().unwrap();
    let asked = || async { fixture.running.get().requests.iter().any(|request| request == "GET /status") };
    crate::support::app::eventually("the job to be asked for", asked).await;
    let second = fixture.fails(ONCE, 1).await;
    assert!(second.contains("another `verbatim watch` writes to") && second.lines().count() == 1, "{second}");
    first.kill().await.unwrap();
    fixture.running.get().states = [json!({"status": "completed"})].into();
    fixture.running.take_requests();
    assert_eq!(fixture.prints(ONCE).await.lines().count(), 2);
    let requests = fixture.running.take_requests();
    assert!(!requests.iter().any(|request| request.contains("/uploads")), "{requests:?}");

    // A job that the server no longer has is sent again.
    fs::write(fixture.path("in/new.mp3"), "sound").unwrap();
    fixture.running.get().states = [json!({"status": "processing"})].into();
    let mut first = fixture.command(ONCE).stderr(Stdio::null()).spawn().unwrap();
    crate::support::app::eventually("the job to be asked for", asked).await;
    first.kill().await.unwrap();
    {
        let mut inner = fixture.running.get();
        inner.jobs.clear();
        inner.states = [json!({"status": "completed"})].into();
    }
    assert_eq!(fixture.prints(ONCE).await.lines().count(), 2);
    assert_eq!(read(&fixture.path("out/new.txt")), "new.mp3 as txt\n");
}

#[tokio::test]
async fn recordings_are_transcribed_here_where_no_server_is_named() {
    let fixture = fixture(Inner::default()).await;
    fs::remove_file(fixture.path("in/talk.mp3")).unwrap();
    fs::copy(clips::novel(), fixture.path("in/2026/novel.wav")).unwrap();
    let here = |words: &str| {
        let mut command = fixture.command(words);
        command.env_remove("VERBATIM_SERVER").env("MODELS_DIR", models_dir()).env("WHISPER_MODEL", "tiny.en");
        command
    };
    // In the same folder: transcripts are not taken for recordings.
    let words = "watch in in --once --settle 0 --threads 1";
    let run = here(words).output().await.unwrap();
    assert_eq!(run.status.code(), Some(1));
    let told: Vec<_> = text(&run.stderr).lines().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("verbatim: 2026/Größe.wav: The file is not audio or video"), "{told:?}");
    assert!(read(&fixture.path("in/2026/novel.txt")).to_lowercase().contains("young man"));
    assert_eq!(text(&run.stdout).lines().count(), 1);
    let again = here(words).output().await.unwrap();
    assert_eq!((again.status.code(), text(&again.stdout), text(&again.stderr)), (Some(0), "", ""));
    assert_eq!(fixture.running.take_requests(), [""; 0]);
}
