//! The composition root: builds the service from its settings, starts it, and ends it in order.

mod data_dir;
mod engine;
mod storage;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant as Moment, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use verbatim_media::{MediaError, Tools, require_tools};
use verbatim_structure::{Embedder, LoadError, Structurer};

use self::data_dir::PairError;
pub use self::engine::Recognition;
pub(crate) use self::engine::start_without_fingerprint;
use self::storage::Storage;
use crate::api::{self, ApiState, Fetcher, Intake, KeysInUse, Outlook, Prober, StructureModels};
use crate::blobs::SweepError;
use crate::recognizer::{PoolLimits, RecognizerPool};
use crate::settings::{EngineSettings, ModelSettings, PoolSettings, ServeSettings, WhisperModel};
use crate::signals::{Faults, Notifiers, Running};
use crate::store::{JobStore, StoreError};
use crate::webhooks::{ClientError, Webhooks};
use crate::work::{Intervals, LanguageDetector, Pipeline, ProcessLock, Retention, Stop, Workers};

/// How long windows that are being computed may take to end at a shutdown.
const SOFT_GRACE: Duration = Duration::from_secs(8);

/// How long a shutdown may take in all: less than the ten seconds that service managers give before they
/// kill. What is left of it behind [`SOFT_GRACE`] is for giving jobs back to the queue.
const SHUTDOWN: Duration = Duration::from_secs(9);

/// How long closing the database may take on top of that.
const CLOSING: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    DataDir(#[from] PairError),
    #[error("cannot use {} for uploads: {error}", dir.display())]
    Uploads { dir: PathBuf, error: SweepError },
    #[error("there is no model in {}; fetch it with `verbatim models fetch {model}`", path.display())]
    NotFetched { path: PathBuf, model: WhisperModel },
    #[error("there is no model at {}; WHISPER_MODEL has to name a folder or a ggml-*.bin", path.display())]
    NoModel { path: PathBuf },
    #[error(transparent)]
    Model(#[from] verbatim_whisper::Error),
    #[error(transparent)]
    Vad(#[from] verbatim_vad::Error),
    #[error(transparent)]
    Structure(#[from] LoadError),
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Webhooks(#[from] ClientError),
    #[error("files cannot be fetched from addresses: {0}")]
    Fetcher(#[from] reqwest::Error),
    #[error("cannot listen on {address}: {error}; choose another address with HOST and PORT")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// The service while it runs.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    store: Arc<dyn JobStore>,
    recognizers: RecognizerPool,
    stop: Stop,
    workers: JoinHandle<()>,
    webhooks: JoinHandle<()>,
    server: JoinHandle<io::Result<()>>,
    /// Last, so that nobody takes this process for ended before it is.
    _process: Arc<ProcessLock>,
}

impl App {
    /// Starts everything, with our own engine. Once this returns, requests are answered and jobs are worked on.
    pub async fn start(settings: ServeSettings) -> Result<Self, AppError> {
        let limits = pool_limits(settings.pool);
        Self::start_with(settings, move |model, engine| engine::start(model, engine, limits)).await
    }

    /// As [`start`](Self::start), with the recognizers and the voice activity detection that `recognition` gives. It may
    /// block.
    pub async fn start_with(
        settings: ServeSettings,
        recognition: impl FnOnce(&ModelSettings, &EngineSettings) -> Result<Recognition, AppError>
        + Send
        + 'static,
    ) -> Result<Self, AppError> {
        let started = Instant::now();
        let address = settings.listen.address();
        let listener =
            TcpListener::bind(address).await.map_err(|error| AppError::Listen { address, error })?;
        let address = listener.local_addr()?;
        // What is only read comes first: a service that lacks it leaves nothing behind.
        tokio::task::spawn_blocking(require_tools).await.map_err(io::Error::other)??;
        let (model, engine) = (settings.model.clone(), settings.engine.clone());
        let loaded = tokio::task::spawn_blocking(move || recognition(&model, &engine));
        let options = settings.structure.options(&settings.model.models_dir);
        let structurer = tokio::task::spawn_blocking(move || Structurer::load(&options));
        let (recognizers, vad) = loaded.await.map_err(io::Error::other)??;
        let structurer = structurer.await.map_err(io::Error::other)??;
        let Storage { store, blobs, process } = storage::open(&settings.storage).await?;
        let webhooks = Webhooks::new(store.clone(), settings.webhook.clone())?;

        let (notifiers, stop, running) = (Notifiers::default(), Stop::default(), Running::default());
        let faults = Faults::default();
        let state = ApiState {
            intake: Intake {
                store: store.clone(),
                blobs: blobs.clone(),
                prober: Prober::new(Tools::installed()?),
                limits: settings.limits,
                recognizers: recognizers.clone(),
                notifiers: notifiers.clone(),
                fetcher: fetcher(&settings)?,
                keys: KeysInUse::default(),
                stopping: stop.soft.clone(),
            },
            structure_models: structure_models(&structurer),
            structurer: structurer.clone(),
            max_workers: settings.max_concurrent_jobs,
            worker: running.watch(),
            faults: faults.clone(),
            outlook: Outlook::default(),
            detector: LanguageDetector {
                recognizers: recognizers.clone(),
                vad: vad.clone(),
                max_media_duration: settings.limits.max_media_duration,
                slots: Arc::new(Semaphore::new(settings.max_concurrent_jobs as usize)),
            },
            started,
        };
        let workers = Workers {
            pipeline: Arc::new(Pipeline {
                store: store.clone(),
                blobs: blobs.clone(),
                recognizers: recognizers.clone(),
                vad,
                structurer,
                analyses: Vec::new(),
                max_media_duration: settings.limits.max_media_duration,
                changed: notifiers.changed.clone(),
                options: settings.engine.options(),
            }),
            store: store.clone(),
            blobs: blobs.clone(),
            notifiers: notifiers.clone(),
            intervals: Intervals::default(),
            retention: Retention {
                results: settings.retention.result_retention,
                uploads: settings.retention.upload_retention,
            },
            stop: stop.clone(),
            process: process.clone(),
            faults,
        };
        let count = settings.max_concurrent_jobs;
        let workers = tokio::spawn(async move {
            let _running = running;
            workers.run(count).await;
        });
        let webhooks = tokio::spawn(webhooks.run(notifiers.ended, stop.soft.clone()));
        tokio::spawn(api::finish_uploads(state.intake.clone()));
        let server = tokio::spawn(serve_http(listener, state, stop.soft.clone()));
        let idle = recognizers.clone();
        let until = stop.soft.clone();
        tokio::spawn(async move { until.run_until_cancelled(idle.watch_idle()).await });
        Ok(Self { address, store, recognizers, stop, workers, webhooks, server, _process: process })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends within ten seconds: nothing new is begun, windows that are being computed end and are
    /// stored, and jobs that have not ended go back to the queue.
    pub async fn shut_down(mut self) {
        let begun = Moment::now();
        self.stop.soft.cancel();
        self.recognizers.stop();
        if timeout_at(begun + SOFT_GRACE, &mut self.workers).await.is_err() {
            tracing::warn!("windows that are being computed take too long; they will be computed again");
            self.stop.hard.cancel();
            if timeout_at(begun + SHUTDOWN, &mut self.workers).await.is_err() {
                tracing::warn!("jobs could not be given back; they go on once their leases have expired");
            }
        }
        let requests = async { tokio::join!(&mut self.webhooks, &mut self.server) };
        if timeout_at(begun + SHUTDOWN, requests).await.is_err() {
            tracing::warn!("requests or webhook calls were cut off");
        }
        self.webhooks.abort();
        self.server.abort();
        if timeout(CLOSING, self.store.close()).await.is_err() {
            tracing::warn!("the database was left open; nothing in it is lost");
        }
    }
}

async fn serve_http(listener: TcpListener, state: ApiState, stop: CancellationToken) -> io::Result<()> {
    axum::serve(listener, api::router(state)).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn fetcher(settings: &ServeSettings) -> Result<Option<Fetcher>, AppError> {
    let networks = settings.urls.allow_urls.then(|| settings.urls.allowed_networks.clone());
    Ok(networks.map(Fetcher::new).transpose()?)
}

fn pool_limits(settings: PoolSettings) -> PoolLimits {
    PoolLimits {
        max_loaded: settings.max_loaded_models as usize,
        idle_timeout: Some(settings.model_idle_timeout).filter(|timeout| !timeout.is_zero()),
    }
}

fn structure_models(structurer: &Structurer) -> StructureModels {
    StructureModels {
        vad: "silero_vad_v6".to_owned(),
        spacy: structurer.english.as_ref().map(|english| english.name().to_owned()),
        embedder: structurer.embedder.as_ref().map(|_| Embedder::NAME.to_owned()),
    }
}
