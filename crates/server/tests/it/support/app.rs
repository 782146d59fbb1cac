//! A server on a port of its own with a database and a data folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reqwest::multipart::Form;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use verbatim::api::{ApiState, Intake, KeysInUse, Outlook, Prober, StructureModels, router};
use verbatim::blobs::DiskBlobs;
use verbatim::jobs::JobId;
use verbatim::recognizer::{Recognizer, RecognizerError, RecognizerInput, RecognizerModel, RecognizerPool};
use verbatim::settings::UploadLimits;
use verbatim::signals::{Faults, Liveness, Notifiers, Running};
use verbatim::store::{self, JobStore};
use verbatim::work::LanguageDetector;
use verbatim_media::Tools;
use verbatim_speech::{DecodeOptions, Language, LanguageProbabilities, WindowTranscript};
use verbatim_structure::Structurer;
use verbatim_vad::Vad;

const LIMITS: UploadLimits =
    UploadLimits { max_file_size: 10_000_000, max_media_duration: Duration::from_secs(24 * 3600) };

/// The API without a worker: jobs stay where a test puts them.
#[derive(Debug)]
pub(crate) struct ApiAlone {
    pub(crate) client: Client,
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) notifiers: Notifiers,
    /// Dropped by a test to see what becomes of the API without an engine.
    pub(crate) engine: Option<Running>,
    pub(crate) worker: Option<Running>,
    pub(crate) faults: Faults,
    pub(crate) stopping: CancellationToken,
    dir: TempDir,
    _serving: DropGuard,
}

impl ApiAlone {
    pub(crate) async fn start() -> Self {
        Self::with_limits(LIMITS).await
    }

    pub(crate) async fn with_limits(limits: UploadLimits) -> Self {
        // As of the base model, which came before Cantonese.
        let languages = Language::all().filter(|language| language.code() != "yue").collect();
        Self::with(limits, languages, Tools::installed().expect("ffmpeg runs")).await
    }

    /// With other programs in the place of ffprobe and ffmpeg.
    pub(crate) async fn with_tools(tools: Tools) -> Self {
        Self::with(LIMITS, Arc::new([Language::ENGLISH]), tools).await
    }

    /// With a model that knows these languages.
    pub(crate) async fn with_languages(languages: Arc<[Language]>) -> Self {
        Self::with(LIMITS, languages, Tools::installed().expect("ffmpeg runs")).await
    }

    async fn with(limits: UploadLimits, languages: Arc<[Language]>, tools: Tools) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let store = store::open(&dir.path().join("jobs.db")).await.expect("a database");
        let (engine, worker) = (Running::default(), Running::default());
        let recognizers = RecognizerPool::of(Arc::new(NoEngine::new("base", languages, engine.watch())));
        let (notifiers, faults) = (Notifiers::default(), Faults::default());
        let stopping = CancellationToken::new();
        let state = ApiState {
            intake: Intake {
                store: store.clone(),
                blobs: Arc::new(DiskBlobs::open(&dir.path().join("data")).expect("a data folder")),
                prober: Prober::new(tools),
                limits,
                recognizers: recognizers.clone(),
                notifiers: notifiers.clone(),
                fetcher: None,
                keys: KeysInUse::default(),
                stopping: stopping.clone(),
            },
            structurer: Structurer::default(),
            structure_models: StructureModels {
                vad: "silero_vad_v6".into(),
                spacy: Some("en_core_web_sm".into()),
                embedder: None,
            },
            max_workers: 4,
            worker: worker.watch(),
            faults: faults.clone(),
            outlook: Outlook::default(),
            detector: LanguageDetector {
                recognizers,
                vad: Arc::new(Vad::load(&vad_file()).expect("a voice activity model")),
                max_media_duration: limits.max_media_duration,
                slots: Arc::new(Semaphore::new(1)),
            },
            started: Instant::now(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = CancellationToken::new();
        let until = serving.clone();
        tokio::spawn(async move {
            let server = axum::serve(listener, router(state));
            until.run_until_cancelled(server.into_future()).await
        });
        Self {
            client: Client::new(address),
            store,
            notifiers,
            engine: Some(engine),
            worker: Some(worker),
            faults,
            stopping,
            dir,
            _serving: serving.drop_guard(),
        }
    }

    /// The database, as another process has it open.
    pub(crate) async fn database(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.dir.path().join("jobs.db"));
        options.connect().await.expect("a connection")
    }

    /// Submits a file that is media and gives its job.
    pub(crate) async fn submit(&self, form: Form) -> JobId {
        let (status, body) = json(self.client.post("/process", form).await).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        JobId::parse(body["job_id"].as_str().expect("a job id")).expect("a job id")
    }

    /// The names of all files in the data folder.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files_below(&self.dir.path().join("data"))
    }

    /// Waits until the data folder holds this many files.
    pub(crate) async fn until_files(&self, count: usize) {
        eventually(&format!("{count} files"), || async { self.files().len() == count }).await;
    }

    /// That a refusal has left neither file nor job.
    pub(crate) async fn assert_nothing_left(&self) {
        assert_eq!(self.files(), Vec::<PathBuf>::new());
        assert_eq!(self.store.unfinished().await.expect("the database answers"), []);
    }
}

fn vad_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/silero_vad_v6.onnx")
}

/// A recognizer that has a model, and transcribes nothing.
#[derive(Debug)]
struct NoEngine {
    model: RecognizerModel,
    liveness: Liveness,
}

impl NoEngine {
    fn new(name: &str, languages: Arc<[Language]>, liveness: Liveness) -> Self {
        Self {
            model: RecognizerModel { name: name.into(), fingerprint: format!("of {name}"), languages },
            liveness,
        }
    }
}

#[async_trait]
impl Recognizer for NoEngine {
    fn model(&self) -> &RecognizerModel {
        &self.model
    }

    fn capacity(&self) -> usize {
        1
    }

    async fn detect(
        &self,
        _: JobId,
        _: Arc<RecognizerInput>,
    ) -> Result<LanguageProbabilities, RecognizerError> {
        Err(RecognizerError::Gone)
    }

    async fn transcribe(
        &self,
        _: JobId,
        _: Arc<RecognizerInput>,
        _: Arc<DecodeOptions>,
    ) -> Result<WindowTranscript, RecognizerError> {
        Err(RecognizerError::Gone)
    }

    fn stop(&self) {}

    fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }
}

/// Speaks HTTP to one server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { address, http: reqwest::Client::new() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.expect("an answer")
    }

    /// Sends a body by hand: a form whose boundary is `x`.
    pub(crate) async fn send(&self, method: &str, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, self.url(path)).body(body);
        request.header("content-type", "multipart/form-data; boundary=x").send().await.expect("an answer")
    }

    pub(crate) async fn post(&self, path: &str, form: Form) -> Response {
        self.http.post(self.url(path)).multipart(form).send().await.expect("an answer")
    }
}

/// An answer's status and JSON body.
pub(crate) async fn json(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.expect("a body");
    let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}, not JSON: {text}"));
    (status, body)
}

/// Asserts that an answer is a problem with this status, and gives its sentence.
pub(crate) async fn problem(response: Response, status: u16) -> String {
    let content_type = response.headers().get("content-type").cloned();
    let (code, body) = json(response).await;
    assert_eq!(code.as_u16(), status, "{body}");
    assert_eq!(content_type.expect("a content type"), "application/problem+json");
    assert_eq!(body["status"], status);
    assert_eq!(body["title"], code.canonical_reason().expect("a known status"));
    assert_eq!(body.as_object().expect("an object").len(), 3, "{body}");
    body["detail"].as_str().expect("a sentence").to_owned()
}

/// Asks until it is so; fails after half a minute.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}
