//! The command line as a client: the binary as people call it, against a server that fails on request.

mod jobs;
mod service;
mod stand_in;
mod watch;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use verbatim::jobs::JobId;

use self::stand_in::{Events, Failure, Inner, Running};

/// The bytes of a recording: more than one chunk of everything on the way.
const SIZE: usize = 3_000_000;

/// A server, and a folder with the user's state and a recording.
struct Fixture {
    running: Running,
    dir: TempDir,
    content: Vec<u8>,
}

impl Fixture {
    async fn new(inner: Inner) -> Self {
        let dir = TempDir::new().unwrap();
        let mut content = vec![0; SIZE];
        StdRng::seed_from_u64(7).fill_bytes(&mut content);
        fs::write(dir.path().join("talk.mp3"), &content).unwrap();
        Self { running: Running::start(inner).await, dir, content }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program with this command line, as a client of the server.
    fn command(&self, words: &str) -> Command {
        command(self.dir.path(), &self.running.url(), words)
    }

    async fn run(&self, words: &str) -> Output {
        self.command(words).output().await.unwrap()
    }

    /// What a command prints that succeeds without a word on standard error.
    async fn prints(&self, words: &str) -> String {
        let run = self.run(words).await;
        assert_eq!((run.status.code(), text(&run.stderr)), (Some(0), ""), "{words}: {}", text(&run.stdout));
        text(&run.stdout).to_owned()
    }

    /// What a command says on standard error that fails with this exit code.
    async fn fails(&self, words: &str, code: i32) -> String {
        let run = self.run(words).await;
        assert_eq!(run.status.code(), Some(code), "{words}: {}{}", text(&run.stdout), text(&run.stderr));
        text(&run.stderr).to_owned()
    }

    /// That the server has the recording, byte for byte, as the only upload with a job.
    fn assert_uploaded(&self, printed: &str) {
        let inner = self.running.get();
        let [job] = &inner.jobs[..] else { panic!("{:?}", inner.jobs) };
        assert_eq!(printed, format!("{}\n", job["job_id"].as_str().unwrap()));
        let upload = &inner.uploads[printed.trim_end()];
        assert_eq!(upload.metadata["filename"], "talk.mp3");
        assert!(upload.bytes == self.content, "{} bytes", upload.bytes.len());
    }

    /// The uploads that are remembered.
    fn remembered(&self) -> usize {
        let text = fs::read(self.path("state/verbatim/uploads.json")).unwrap();
        let uploads: Value = serde_json::from_slice(&text).unwrap();
        uploads["uploads"].as_array().unwrap().len()
    }
}

/// The program with this command line, in a folder that also has the user's state, as a client of this server.
fn command(dir: &Path, server: &str, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verbatim"));
    command
        .args(words.split(' '))
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("VERBATIM_SERVER", server)
        .kill_on_drop(true);
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A result as the API gives it, of a recording of this name.
fn transcription(filename: &str) -> Value {
    json!({
        "transcript": "Hello.", "language_detection": {"language": "en", "confidence": 0.5}, "topics": [],
        "source_type": "audio", "filename": filename, "file_size": 7,
        "whisper_segments": [{
            "id": 0, "seek": 0, "start": 0.0, "end": 1.5, "text": " Hello.", "tokens": [1], "temperature": 0.0,
            "avg_logprob": -0.25, "compression_ratio": 1.0, "no_speech_prob": 0.0, "suspect": false,
        }],
        "models_used": {"whisper": "base", "spacy": null}, "job_id": "x",
        "processing_completed_at": "2026-11-23T15:00:00.000Z",
    })
}

fn failures(failures: &[Failure]) -> Inner {
    Inner { failures: failures.iter().copied().collect(), ..Inner::default() }
}

#[tokio::test]
async fn a_file_is_sent_with_its_options_and_the_id_of_its_job_is_printed() {
    let fixture = Fixture::new(Inner::default()).await;
    let words = "submit talk.mp3 --language German --task translate --model large-v3 --word-timestamps no \
                 --hotwords Größe --temperature 0,0.5 --webhook-url http://example.com/hook";
    let printed = fixture.prints(words).await;
    fixture.assert_uploaded(&printed);
    let metadata = fixture.running.get().uploads[printed.trim_end()].metadata.clone();
    let options = metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let expected = [
        ("filename", "talk.mp3"),
        ("hotwords", "Größe"),
        ("language", "de"),
        ("model", "large-v3"),
        ("task", "translate"),
        ("temperature", "0,0.5"),
        ("webhook_url", "http://example.com/hook"),
        ("word_timestamps", "false"),
    ];
    assert_eq!(options.collect::<Vec<_>>(), expected);
    assert_eq!(fixture.running.take_requests(), ["POST /uploads", "PATCH /uploads 0"]);
    assert_eq!(fixture.remembered(), 0);
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off_whatever_broke_it() {
    for (broken, rest) in [
        (&[Failure::Break(1_000_000)][..], &["HEAD /uploads", "PATCH /uploads 1000000"][..]),
        (&[Failure::Break(0)], &["HEAD /uploads", "PATCH /uploads 0"]),
        (&[Failure::Status(503)], &["HEAD /uploads", "PATCH /uploads 0"]),
        (&[Failure::Status(423)], &["HEAD /uploads", "PATCH /uploads 0"]),
        (&[Failure::Status(409)], &["HEAD /uploads", "PATCH /uploads 0"]),
        (&[Failure::LoseAnswer], &["HEAD /uploads"]),
        (&[Failure::LoseJob], &["HEAD /uploads", "GET /status"]),
        (
            &[Failure::Break(700_000), Failure::Status(502), Failure::Break(1_300_000)],
            &[
                "HEAD /uploads",
                "PATCH /uploads 700000",
                "HEAD /uploads",
                "PATCH /uploads 700000",
                "HEAD /uploads",
                "PATCH /uploads 2000000",
            ],
        ),
    ] {
        let fixture = Fixture::new(failures(broken)).await;
        let run = fixture.run("submit talk.mp3").await;
        assert!(run.status.success(), "{broken:?}: {}", text(&run.stderr));
        if broken != [Failure::LoseJob] {
            fixture.assert_uploaded(text(&run.stdout));
        }
        let told = text(&run.stderr).matches("it is tried again in").count();
        assert_eq!(told, broken.len(), "{broken:?}: {}", text(&run.stderr));
        assert_eq!(fixture.running.take_requests()[2..], *rest, "{broken:?}");
        assert_eq!(fixture.remembered(), 0);
    }
}

#[tokio::test]
async fn an_upload_goes_on_when_the_program_is_started_again() {
    let fixture = Fixture::new(failures(&[Failure::Hang(1_000_000)])).await;
    let mut first = fixture.command("submit talk.mp3").stderr(Stdio::null()).spawn().unwrap();
    fixture.running.until_hanging().await;
    first.kill().await.unwrap();
    assert_eq!(fixture.remembered(), 1);
    let mode = fs::metadata(fixture.path("state/verbatim/uploads.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fixture.running.take_requests();

    // Other options are another job; and the same file is told by its content's size and time, not by its name alone.
    let printed = fixture.prints("submit --language de talk.mp3").await;
    assert_eq!(fixture.running.take_requests(), ["POST /uploads", "PATCH /uploads 0"]);
    fixture.running.get().uploads.remove(printed.trim_end()).unwrap();
    fixture.running.get().jobs.clear();
    assert_eq!(fixture.remembered(), 1);

    let printed = fixture.prints("submit ./talk.mp3").await;
    fixture.assert_uploaded(&printed);
    assert_eq!(fixture.running.take_requests(), ["HEAD /uploads", "PATCH /uploads 1000000"]);
    assert_eq!(fixture.remembered(), 0);
}

#[tokio::test]
async fn an_upload_that_the_server_has_forgotten_begins_anew() {
    let fixture = Fixture::new(failures(&[Failure::Hang(1_000_000)])).await;
    let mut first = fixture.command("submit talk.mp3").stderr(Stdio::null()).spawn().unwrap();
    fixture.running.until_hanging().await;
    first.kill().await.unwrap();
    fixture.running.get().uploads.clear();
    fixture.running.take_requests();
    let printed = fixture.prints("submit talk.mp3").await;
    fixture.assert_uploaded(&printed);
    let requests = ["HEAD /uploads", "GET /status", "POST /uploads", "PATCH /uploads 0"];
    assert_eq!(fixture.running.take_requests(), requests);
    assert_eq!(fixture.remembered(), 0);
}

#[tokio::test]
async fn an_upload_that_does_not_get_on_is_given_up_with_the_servers_sentence_and_can_go_on_later() {
    let busy = [Failure::Break(1_000_000)].into_iter().chain([Failure::Status(503); 20]).collect::<Vec<_>>();
    let fixture = Fixture::new(failures(&busy)).await;
    let told = fixture.fails("submit --retry-for 1 talk.mp3", 1).await;
    let last = told.lines().last().unwrap();
    let server = fixture.running.url();
    assert_eq!(last, format!("verbatim: talk.mp3: {server} refuses (503): The server is busy."), "{told}");
    assert_eq!(fixture.remembered(), 1);
    fixture.running.get().failures.clear();
    fixture.running.take_requests();
    let printed = fixture.prints("submit talk.mp3").await;
    fixture.assert_uploaded(&printed);
    assert_eq!(fixture.running.take_requests()[1], "PATCH /uploads 1000000");
}

#[tokio::test]
async fn what_the_server_refuses_is_told_at_once_and_stops_no_other_file() {
    for failure in [Failure::Status(400), Failure::Status(507), Failure::Forget, Failure::NoOffset] {
        let fixture = Fixture::new(failures(&[failure])).await;
        fs::write(fixture.path("other.mp3"), "more sound").unwrap();
        let run = fixture.run("submit talk.mp3 missing.mp3 state other.mp3").await;
        assert_eq!(run.status.code(), Some(1));
        assert_eq!(text(&run.stdout).lines().count(), 1, "{}", text(&run.stdout));
        let told: Vec<_> = text(&run.stderr).lines().collect();
        let server = fixture.running.url();
        let why = match failure {
            Failure::Status(status) => format!("{server} refuses ({status}): The server is busy."),
            Failure::Forget => format!("the upload is not at {server} any more"),
            _ => format!("{server} is not a server of Verbatim"),
        };
        assert!(told[0].starts_with(&format!("verbatim: talk.mp3: {why}")), "{told:?}");
        assert!(told[1].starts_with("verbatim: cannot read missing.mp3: No such file"), "{told:?}");
        assert_eq!(told[2], "verbatim: state is not a file");
        assert_eq!(told.len(), 3, "{told:?}");
        let inner = fixture.running.get();
        assert_eq!(inner.jobs.last().unwrap()["filename"], "other.mp3");
    }
}

#[tokio::test]
async fn an_older_server_gets_the_file_as_one_form() {
    let fixture = Fixture::new(Inner { is_old: true, ..Inner::default() }).await;
    let printed = fixture.prints("submit talk.mp3 --language de --temperature 0").await;
    fixture.assert_uploaded(&printed);
    let metadata = fixture.running.get().uploads[printed.trim_end()].metadata.clone();
    assert_eq!((&*metadata["language"], &*metadata["temperature"]), ("de", "0"));
    assert_eq!(fixture.running.take_requests(), ["POST /uploads", "POST /process"]);
}

fn sent(text: &str, breaks: bool, state: Value) -> Events {
    Events { text: text.to_owned(), state, breaks }
}

#[tokio::test]
async fn a_job_is_followed_by_its_events_over_broken_connections() {
    let processing = json!({"status": "processing", "progress_percentage": 40});
    let events = [
        sent("event: status\nid: 1\ndata: {\"status\": \"processing\"}\n\n", false, processing.clone()),
        sent(
            "event: progress\nid: 2\ndata: {\"percentage\": 50, \"step\": \"Transcribing audio\"}\n\n\
             event: segment\nid: 3\ndata: not JSON\n\nevent: progress\nid: 4\ndata: {\"perc",
            true,
            processing.clone(),
        ),
        sent("", true, processing),
        sent(
            ": hello\n\nevent: status\nid: 5\ndata: {\"status\":\"completed\"}\n\n",
            false,
            json!({"status": "completed", "progress_percentage": 100}),
        ),
    ];
    let fixture = Fixture::new(Inner { events: events.into(), ..Inner::default() }).await;
    let run = fixture.run("submit --wait talk.mp3").await;
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert_eq!(text(&run.stdout), "talk.mp3 as txt\n", "nothing but the transcript");
    let id = fixture.running.get().jobs[0]["job_id"].as_str().unwrap().to_owned();
    assert!(text(&run.stderr).starts_with(&format!("{id} talk.mp3\n")), "{}", text(&run.stderr));
    let expected = [
        "GET /jobs/events",
        "GET /status",
        "GET /jobs/events 1",
        "GET /status",
        "GET /jobs/events 3",
        "GET /status",
        "GET /jobs/events 3",
        "GET /status",
        "GET /result format=txt",
    ];
    assert_eq!(fixture.running.take_requests()[2..], expected);
}

#[tokio::test]
async fn a_job_without_events_is_asked_for_until_it_has_ended_and_its_results_are_written() {
    let states = [
        json!({"status": "pending", "progress_percentage": 0}),
        json!({"status": "processing", "progress_percentage": 70}),
        json!({"status": "completed", "progress_percentage": 100}),
    ];
    let fixture = Fixture::new(Inner { states: states.into(), busy: [503].into(), ..Inner::default() }).await;
    let run = fixture.run("submit --wait --format srt,json --output out/of talk.mp3").await;
    assert!(run.status.success(), "{}", text(&run.stderr));
    fixture.assert_uploaded(text(&run.stdout));
    let read = |name: &str| fs::read_to_string(fixture.path(name)).unwrap();
    assert_eq!(read("out/of/talk.srt"), "talk.mp3 as srt\n");
    assert_eq!(read("out/of/talk.json"), "{\"transcript\":\"talk.mp3\"}\n");
    assert_eq!(fs::read_dir(fixture.path("out/of")).unwrap().count(), 2);
    let requests = fixture.running.take_requests();
    assert_eq!(requests.iter().filter(|request| *request == "GET /status").count(), 3);
    assert_eq!(requests.iter().filter(|request| *request == "GET /jobs/events").count(), 1);
}

#[tokio::test]
async fn a_job_that_fails_is_told_and_the_others_are_written() {
    let failed = json!({"status": "failed", "error_message": "The file has no sound.\u{1b}[2J"});
    let ended = "event: status\ndata: {\"status\": \"failed\"}\n\n";
    let completed = "event: status\ndata: {\"status\": \"completed\"}\n\n";
    let events = [sent(ended, false, failed), sent(completed, false, json!({"status": "completed"}))];
    let fixture = Fixture::new(Inner { events: events.into(), ..Inner::default() }).await;
    fs::write(fixture.path("other.mp3"), "more sound").unwrap();
    let run = fixture.run("submit --wait talk.mp3 other.mp3").await;
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(text(&run.stdout), "other.mp3 as txt\n");
    let id = fixture.running.get().jobs[0]["job_id"].as_str().unwrap().to_owned();
    let last = text(&run.stderr).lines().last().unwrap();
    assert_eq!(last, format!("verbatim: talk.mp3: the job {id} failed: The file has no sound.\u{fffd}[2J"));
}

#[tokio::test]
async fn results_of_an_older_server_are_rendered_here() {
    let fixture = Fixture::new(Inner { is_old: true, ..Inner::default() }).await;
    let run = fixture.run("submit --wait --format txt,srt,json --output . talk.mp3").await;
    assert!(run.status.success(), "{}", text(&run.stderr));
    let read = |name: &str| fs::read_to_string(fixture.path(name)).unwrap();
    assert_eq!(read("talk.txt"), "Hello.\n");
    assert_eq!(read("talk.srt"), "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n");
    assert_eq!(serde_json::from_str::<Value>(&read("talk.json")).unwrap(), transcription("talk.mp3"));
}

#[tokio::test]
async fn a_key_is_sent_with_every_request_and_never_printed() {
    let fixture = Fixture::new(Inner { key: Some("s3cret-Key"), ..Inner::default() }).await;
    let refused = fixture.fails("submit talk.mp3", 1).await;
    assert!(refused.contains("(401 Unauthorized); is the key right? VERBATIM_API_KEY"), "{refused}");
    for (flag, variable) in [(" --key s3cret-Key", "wrong"), ("", "s3cret-Key")] {
        let words = format!("--log-level trace submit --wait talk.mp3{flag}");
        let run = fixture.command(&words).env("VERBATIM_API_KEY", variable).output().await.unwrap();
        assert!(run.status.success(), "{}", text(&run.stderr));
        assert!(!text(&run.stderr).contains("s3cret"), "{}", text(&run.stderr));
    }
    let help = fixture.command("submit --help").env("VERBATIM_API_KEY", "s3cret-Key").output().await.unwrap();
    assert!(text(&help.stdout).contains("VERBATIM_API_KEY") && !text(&help.stdout).contains("s3cret"));
    let odd = fixture.command("jobs").env("VERBATIM_API_KEY", "s3cret Käy").output().await.unwrap();
    assert_eq!(odd.status.code(), Some(2));
    assert!(text(&odd.stderr).contains("VERBATIM_API_KEY (--key)") && !text(&odd.stderr).contains("s3cret"));
}

#[tokio::test]
async fn a_server_that_is_none_is_named_in_one_sentence() {
    let page = Inner { page: Some("<html><body>Please log in</body></html>"), ..Inner::default() };
    let fixture = Fixture::new(page).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let id = JobId::new();
    for words in ["submit talk.mp3", "jobs", &format!("result {id}"), &format!("result {id} --wait")] {
        let told = fixture.fails(words, 1).await;
        let says = format!("{} is not a server of Verbatim", fixture.running.url());
        assert!(told.contains(&says) && told.lines().count() == 1, "{words}: {told}");
        let told = fixture.fails(&format!("{words} --server http://{gone}"), 1).await;
        let says = format!("http://{gone} cannot be reached: ");
        assert!(told.contains(&says) && told.lines().count() == 1, "{words}: {told}");
    }
    for words in ["submit talk.mp3 --server nowhere", "submit --format srt talk.mp3", "submit", "result"] {
        assert!(!fixture.fails(words, 2).await.is_empty(), "{words}");
    }
    assert_eq!(fs::read_dir(fixture.dir.path()).unwrap().count(), 1, "nothing is left behind");
}

#[tokio::test]
async fn output_that_nobody_reads_ends_a_client_quietly() {
    let (inner, ids) = jobs::with_jobs();
    let fixture = Fixture::new(inner).await;
    for words in
        ["submit talk.mp3", "submit --wait talk.mp3", "jobs", "jobs --json", &format!("result {}", ids[0])]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        // Not `output`, which would read the standard output itself.
        let run = fixture.command(words).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let run = run.wait_with_output().await.unwrap();
        assert_eq!(run.status.code(), Some(141), "{words}: {}", text(&run.stderr));
        assert!(!text(&run.stderr).contains("verbatim:"), "{words}: {}", text(&run.stderr));
    }
}

/// Reads a file that a test expects.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
