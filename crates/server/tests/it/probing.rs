//! Uploads that a hanging ffprobe or ffmpeg is given: how long they are waited for, how many at once, and who ends them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::available_parallelism;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinSet;
use verbatim_media::{Timeouts, Tools};
use verbatim_testing::media::stand_in::{self, is_alive, task};

use crate::support::app::{ApiAlone, eventually, problem};
use crate::support::form::named;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Long enough for a program that does not hang, short enough to be waited for.
const SOON: Timeouts = Timeouts {
    probe: Duration::from_millis(1000),
    stall: Duration::from_millis(1000),
    exit: Duration::from_millis(300),
};

/// As long as no test runs.
const NEVER: Timeouts = Timeouts { probe: DAY, stall: DAY, exit: DAY };

/// The stand-in in `dir` as a service finds it.
fn tools(dir: &Path, timeouts: Timeouts) -> Tools {
    stand_in::install(dir);
    Tools::find(dir.as_os_str()).expect("the stand-in runs").with_timeouts(timeouts)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_takes_too_long_to_probe_is_refused() {
    let dir = TempDir::new().unwrap();
    let api = ApiAlone::with_tools(tools(dir.path(), SOON)).await;
    for (path, words) in
        [("/process", "probe-hangs"), ("/process", "decoder-hangs"), ("/process-audio", "decoder-hangs")]
    {
        let response = api.client.post(path, named("a.wav", words.into())).await;
        let sentence = problem(response, 400).await;
        assert!(sentence.contains("looking into it takes too long"), "{sentence}");
        api.assert_nothing_left().await;
        assert_eq!(stand_in::running(dir.path()), [0_u32; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_disconnects_ends_the_probe_of_its_file() {
    let dir = TempDir::new().unwrap();
    let api = ApiAlone::with_tools(tools(dir.path(), NEVER)).await;
    for words in ["probe-hangs", "decoder-hangs"] {
        let client = api.client.clone();
        let sent = tokio::spawn(async move { client.post("/process", named("a.wav", words.into())).await });
        let is_probed = || async { !stand_in::running(dir.path()).is_empty() };
        eventually("a probe of the file", is_probed).await;
        sent.abort();
        eventually("its end", || async { stand_in::running(dir.path()).is_empty() }).await;
        api.until_files(0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_ends_the_probes_of_files() {
    let dir = TempDir::new().unwrap();
    let api = ApiAlone::with_tools(tools(dir.path(), NEVER)).await;
    let count = at_once() + 2;
    let mut sent = JoinSet::new();
    for _ in 0..count {
        let client = api.client.clone();
        sent.spawn(async move { client.post("/process", named("a.wav", "decoder-hangs".into())).await });
    }
    api.until_files(count).await;
    eventually("a probe of a file", || async { !stand_in::running(dir.path()).is_empty() }).await;
    api.stopping.cancel();
    while let Some(response) = sent.join_next().await {
        let sentence = problem(response.unwrap(), 503).await;
        assert_eq!(sentence, "The server is stopping; send the file again once it is back.");
    }
    eventually("the end of the probes", || async { stand_in::running(dir.path()).is_empty() }).await;
    api.assert_nothing_left().await;
}

fn at_once() -> usize {
    available_parallelism().unwrap().get()
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_queue_to_be_probed() {
    let dir = TempDir::new().unwrap();
    let api = ApiAlone::with_tools(tools(dir.path(), NEVER)).await;
    let count = 3 * at_once() + 2;
    let mut sent = JoinSet::new();
    for _ in 0..count {
        let client = api.client.clone();
        sent.spawn(async move { client.post("/process", named("a.wav", "probe-hangs".into())).await });
    }
    // All are here whole, and as many are probed as may be.
    api.until_files(count).await;
    let is_probed = || async { stand_in::running(dir.path()).len() >= at_once() };
    eventually("probes of files", is_probed).await;
    assert_eq!(stand_in::running(dir.path()).len(), at_once());
    // Each that ends makes room for another.
    for pid in stand_in::running(dir.path()) {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    for _ in 0..at_once() {
        problem(sent.join_next().await.unwrap().unwrap(), 400).await;
    }
    eventually("the next probes", is_probed).await;
    assert_eq!(stand_in::running(dir.path()).len(), at_once());
}

#[tokio::test]
async fn a_service_that_is_killed_takes_its_children_along() {
    let dir = TempDir::new().unwrap();
    stand_in::install(dir.path());
    let input = task(dir.path(), "probe-hangs");
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let mut service = Command::new(env!("CARGO_BIN_EXE_verbatim"))
        .args(["transcribe", input.to_str().unwrap()])
        .env("PATH", dir.path())
        .env("MODELS_DIR", models)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The trial runs come before, and end by themselves.
    let mut reading = None;
    let is_reading = || {
        let reads = |pid: &u32| {
            fs::read_link(format!("/proc/{pid}/fd/0"))
                .is_ok_and(|stdin| stdin == input.canonicalize().unwrap())
        };
        reading = stand_in::running(dir.path()).into_iter().find(reads);
        let found = reading.is_some();
        async move { found }
    };
    eventually("a probe of the file", is_reading).await;
    let child = reading.unwrap();
    service.kill().unwrap();
    service.wait().unwrap();
    eventually("the end of the child", || async { !is_alive(child) }).await;
}
