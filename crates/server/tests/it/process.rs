//! The real binary as a process of its own, to be killed and started again.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use verbatim::jobs::JobId;

use crate::speech::models_dir;
use crate::support::app::{Client, eventually, json};
use crate::support::form;

/// `verbatim serve` on a port of its own. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) log: PathBuf,
    pub(crate) client: Client,
}

impl Server {
    /// Starts on what earlier servers have left in this folder.
    pub(crate) async fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[]).await
    }

    /// With other settings than the usual ones.
    pub(crate) async fn start_with(dir: &Path, settings: &[(&str, &Path)]) -> Self {
        let log = dir.join(format!("log-{}.jsonl", JobId::new()));
        let child = serve(dir, settings).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut server = Self { child, log, client: Client::new(SocketAddr::from(([0; 4], 0))) };
        eventually("the server to listen", || async { server.address().is_some() }).await;
        server.client.address = server.address().unwrap();
        server
    }

    fn address(&self) -> Option<SocketAddr> {
        let lines = lines(&self.log);
        let listening = lines.iter().find(|line| line["message"] == "listening")?;
        listening["address"].as_str()?.parse().ok()
    }

    pub(crate) async fn submit(&self, file: &Path, query: &str) -> JobId {
        let (status, body) =
            json(self.client.post(&format!("/process{query}"), form::file(file)).await).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        JobId::parse(body["job_id"].as_str().unwrap()).unwrap()
    }

    pub(crate) async fn status(&self, job: JobId) -> Value {
        json(self.client.get(&format!("/status/{job}")).await).await.1
    }

    /// Asks until the job has ended, and gives the last answer of `/result`.
    pub(crate) async fn end_of(&self, job: JobId) -> (StatusCode, Value) {
        let begun = Instant::now();
        loop {
            let (status, body) = json(self.client.get(&format!("/result/{job}")).await).await;
            if status != StatusCode::ACCEPTED {
                return (status, body);
            }
            assert!(begun.elapsed() < Duration::from_secs(180), "the job does not end: {body}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The windows of a job that this process has transcribed, by index.
    pub(crate) fn windows_transcribed(&self, job: JobId) -> Vec<u64> {
        let of_job = |line: &Value| {
            let is_it = line["message"] == "window transcribed" && line["job"] == job.to_string();
            is_it.then(|| line["window"].as_u64().unwrap())
        };
        lines(&self.log).iter().filter_map(of_job).collect()
    }

    /// Whether a line of the log has this message.
    pub(crate) fn says(&self, message: &str) -> bool {
        lines(&self.log).iter().any(|line| line["message"] == message)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As `kill -TERM`; gives the exit status and how long that took.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        (self.child.wait().unwrap(), begun.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that a process has started and that still run.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let children =
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).ok());
    children
        .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .collect()
}

/// A server as [`Server::start_with`] starts it.
pub(crate) fn serve(dir: &Path, settings: &[(&str, &Path)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verbatim"));
    command
        .arg("serve")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("PORT", "0")
        .env("DATABASE_PATH", database(dir))
        .env("DATA_DIR", dir.join("data"))
        .env("MODELS_DIR", models_dir())
        .env("WHISPER_MODEL", "tiny.en")
        .env("LOG_LEVEL", "debug")
        .env("LOG_FORMAT", "json")
        // Few windows in the air, so that there is something left to do after an interruption.
        .env("BATCH_SIZE", "2")
        .envs(settings.iter().copied());
    command
}

pub(crate) fn database(dir: &Path) -> PathBuf {
    dir.join("jobs.db")
}

/// The log so far; the last line may be half written.
fn lines(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
