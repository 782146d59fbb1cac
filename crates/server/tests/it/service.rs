//! The whole service in this process, on a port of its own with a database and a data folder of its own.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use serde_json::Value;
use tempfile::TempDir;
use verbatim::app::{App, AppError, Recognition};
use verbatim::settings::{EngineSettings, ModelSettings, ServeSettings};

use crate::speech::models_dir;
use crate::support::app::{Client, json};
use crate::support::form;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    settings: ServeSettings,
}

/// All of it: API, workers, the real base model, webhooks.
pub(crate) struct Service {
    app: App,
    pub(crate) client: Client,
    dir: TempDir,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(App::start).await
    }

    /// With another recognizer than our engine.
    pub(crate) async fn with_recognizer(
        recognizer: impl FnOnce(&ModelSettings, &EngineSettings) -> Result<Recognition, AppError> + Send + 'static,
    ) -> Self {
        Self::with(|settings| App::start_with(settings, recognizer)).await
    }

    async fn with<F: Future<Output = Result<App, AppError>>>(start: impl FnOnce(ServeSettings) -> F) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let models = models_dir().display().to_string();
        let (data, database) = (path("data"), path("jobs.db"));
        let options = Options::parse_from([
            "verbatim",
            "--port=0",
            "--whisper-model=base",
            "--models-dir",
            &models,
            "--data-dir",
            &data,
            "--database-path",
            &database,
        ]);
        let app = start(options.settings).await.expect("the service starts");
        let client = Client::new(app.address());
        Self { app, client, dir }
    }

    /// Uploads all, then waits for each: the `result` objects.
    pub(crate) async fn transcribe(&self, recordings: &[PathBuf]) -> Vec<Value> {
        let mut jobs = Vec::new();
        for path in recordings {
            let (status, body) = json(self.client.post("/process", form::file(path)).await).await;
            assert_eq!(status.as_u16(), 200, "{}: {body}", path.display());
            jobs.push(body["job_id"].as_str().expect("a job id").to_owned());
        }
        let mut results = Vec::new();
        for job in jobs {
            results.push(self.completed(&job).await["result"].take());
        }
        let uploads = std::fs::read_dir(self.dir.path().join("data/uploads")).expect("a folder of uploads");
        assert_eq!(uploads.count(), 0, "uploads are left");
        results
    }

    /// Waits until the job has completed: the whole answer of `/result`.
    pub(crate) async fn completed(&self, job: &str) -> Value {
        let ended = async {
            loop {
                let (status, body) = json(self.client.get(&format!("/result/{job}")).await).await;
                match status.as_u16() {
                    200 => break body,
                    202 => tokio::time::sleep(Duration::from_millis(50)).await,
                    _ => panic!("{status}: {body}"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(300), ended).await.expect("the job ends")
    }

    pub(crate) async fn shut_down(self) {
        self.app.shut_down().await;
    }
}
