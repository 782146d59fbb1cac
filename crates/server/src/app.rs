//! The composition root: builds the service from its settings, starts it, and ends it in order.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant as Moment, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use verbatim_media::{MediaError, Tools, require_tools};
use verbatim_whisper::{Language, Model, Transcriber, Vad};

use crate::api::{self, ApiState, ModelsLoaded, Prober};
use crate::config::{
    ENGLISH, EngineSettings, ModelSettings, ServeSettings, SpacyModel, StorageSettings, StructureSettings,
};
use crate::data_dir::{self, PairError};
use crate::files::{SweepError, Uploads};
use crate::inference::Inference;
use crate::models::{WhisperModel, hash_model};
use crate::pipeline::Pipeline;
use crate::process::{ProcessLock, RequeueError};
use crate::signals::{Bells, Running, Trouble};
use crate::store::{JobStore, SqliteStore, StoreError};
use crate::structure::{Embedder, EmbedderError, English, Structurer};
use crate::webhook::{ClientError, Webhooks};
use crate::worker::{Rhythm, Stop, Workers};

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
    Embedder(#[from] EmbedderError),
    #[error(
        "there is no spaCy pipeline in {}; SPACY_MODEL names a folder of MODELS_DIR, or is none to do without",
        path.display()
    )]
    NoPipeline { path: PathBuf },
    #[error(transparent)]
    Pipeline(#[from] verbatim_spacy::LoadError),
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Webhooks(#[from] ClientError),
    #[error("cannot listen on {address}: {error}; choose another address with HOST and PORT")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// The service while it runs.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    store: Arc<SqliteStore>,
    inference: Inference,
    stop: Stop,
    workers: JoinHandle<()>,
    webhooks: JoinHandle<()>,
    server: JoinHandle<io::Result<()>>,
    /// Last, so that nobody takes this process for ended before it is.
    _process: Arc<ProcessLock>,
}

impl App {
    /// Starts everything. Once this returns, requests are answered and jobs are worked on.
    pub async fn start(settings: ServeSettings) -> Result<Self, AppError> {
        let started = Instant::now();
        let address = settings.listen.address();
        let listener =
            TcpListener::bind(address).await.map_err(|error| AppError::Listen { address, error })?;
        let address = listener.local_addr()?;
        // What is only read comes first: a service that lacks it leaves nothing behind.
        tokio::task::spawn_blocking(require_tools).await.map_err(io::Error::other)??;
        let Engine { inference, vad, languages, model_hash } =
            start_engine(settings.model.clone(), settings.engine.clone()).await?;
        let (structure, models_dir) = (settings.structure.clone(), settings.model.models_dir.clone());
        let structurer = tokio::task::spawn_blocking(move || load_structurer(&structure, &models_dir));
        let structurer = structurer.await.map_err(io::Error::other)??;
        let Storage { store, uploads, process } = open_storage(&settings.storage).await?;
        let webhooks = Webhooks::new(store.clone(), settings.webhook.clone())?;

        let (bells, stop, running) = (Bells::default(), Stop::default(), Running::default());
        let trouble = Trouble::default();
        let name = settings.model.whisper_model.name().to_owned();
        let state = ApiState {
            store: store.clone(),
            uploads: uploads.clone(),
            prober: Prober::new(Tools::installed()?),
            limits: settings.limits,
            models_loaded: models_loaded(&name, &structurer),
            languages,
            max_workers: settings.max_concurrent_jobs,
            bells: bells.clone(),
            engine: inference.alive(),
            worker: running.watch(),
            trouble: trouble.clone(),
            stopping: stop.soft.clone(),
            started,
        };
        let workers = Workers {
            pipeline: Arc::new(Pipeline {
                store: store.clone(),
                uploads: uploads.clone(),
                inference: inference.clone(),
                vad,
                whisper: name,
                model_hash,
                structurer,
                max_media_duration: settings.limits.max_media_duration,
                options: settings.engine.options(),
            }),
            store: store.clone(),
            uploads,
            bells: bells.clone(),
            rhythm: Rhythm::default(),
            stop: stop.clone(),
            engine: inference.alive(),
            process: process.clone(),
            trouble,
        };
        let count = settings.max_concurrent_jobs;
        let workers = tokio::spawn(async move {
            let _running = running;
            workers.run(count).await;
        });
        let webhooks = tokio::spawn(webhooks.run(bells.ended, stop.soft.clone()));
        let server = tokio::spawn(serve_http(listener, state, stop.soft.clone()));
        Ok(Self { address, store, inference, stop, workers, webhooks, server, _process: process })
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
        self.inference.stop();
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

/// Where jobs and their uploads are.
struct Storage {
    store: Arc<SqliteStore>,
    uploads: Uploads,
    process: Arc<ProcessLock>,
}

/// Opens the database and its folder of uploads, and puts in order what processes that have ended left there.
async fn open_storage(settings: &StorageSettings) -> Result<Storage, AppError> {
    let (data_dir, database) = (&settings.data_dir, &settings.database_path);
    data_dir::expect_database(data_dir, database)?;
    let store = Arc::new(SqliteStore::open(database).await?);
    let failed = |error| AppError::Uploads { dir: data_dir.clone(), error };
    let disk = |error: io::Error| failed(SweepError::Disk(error));
    let uploads = Uploads::open(data_dir).map_err(disk)?;
    let unfinished = store.unfinished().await?;
    data_dir::pair(data_dir, database, &store.identity().await?, &unfinished)?;
    let process = Arc::new(ProcessLock::take(data_dir).map_err(disk)?);
    process.requeue_jobs_of_ended(store.as_ref(), Timestamp::now()).await.map_err(|error| match error {
        RequeueError::Disk(error) => disk(error),
        RequeueError::Store(error) => error.into(),
    })?;
    let orphans = uploads.sweep(store.as_ref()).await.map_err(failed)?;
    if !orphans.is_empty() {
        tracing::info!(?orphans, "uploads without a job were moved to DATA_DIR/orphans, for a day");
    }
    Ok(Storage { store, uploads, process })
}

/// The engine on threads of its own, and what is known of its model.
struct Engine {
    inference: Inference,
    vad: Arc<Vad>,
    /// Those that the model knows.
    languages: Arc<[Language]>,
    model_hash: String,
}

async fn start_engine(settings: ModelSettings, engine: EngineSettings) -> Result<Engine, AppError> {
    let start = move || {
        let hashing = {
            let (whisper, vad) = (settings.whisper_path(), settings.vad_path());
            std::thread::Builder::new()
                .name("model-hash".to_owned())
                .spawn(move || hash_model(&whisper, &vad))?
        };
        let (transcriber, vad) = load_models(&settings, &engine)?;
        let languages = Language::all().filter(|language| transcriber.model().knows(*language)).collect();
        let inference = Inference::start(transcriber, engine.parallelism()).map_err(io::Error::other)?;
        let hash = hashing.join().unwrap_or_else(|_| Err(io::Error::other("hashing the model panicked")))?;
        let model_hash = format!("{hash} {:?}", engine.compute());
        Ok(Engine { inference, vad: Arc::new(vad), languages, model_hash })
    };
    tokio::task::spawn_blocking(start).await.map_err(io::Error::other)?
}

/// Loads the models; blocks for about a second.
pub(crate) fn load_models(
    settings: &ModelSettings,
    engine: &EngineSettings,
) -> Result<(Transcriber, Vad), AppError> {
    let (path, model) = (settings.whisper_path(), &settings.whisper_model);
    if !path.exists() {
        return Err(if model.is_path() {
            AppError::NoModel { path }
        } else {
            AppError::NotFetched { path, model: model.clone() }
        });
    }
    let begun = Instant::now();
    let vad = Vad::load(&settings.vad_path())?;
    let transcriber = Transcriber::new(Model::load(&path, engine.compute())?);
    let seconds = begun.elapsed().as_secs_f32();
    tracing::info!(model = model.name(), seconds, "model loaded");
    Ok((transcriber, vad))
}

fn models_loaded(whisper: &str, structurer: &Structurer) -> ModelsLoaded {
    ModelsLoaded {
        whisper: whisper.to_owned(),
        vad: "silero_vad_v6".to_owned(),
        spacy: structurer.english.as_ref().map(|english| english.name().to_owned()),
        embedder: structurer.embedder.as_ref().map(|_| Embedder::NAME.to_owned()),
    }
}

/// Loads what transcripts are structured with: of the models that are wanted, those that are here.
pub(crate) fn load_structurer(
    settings: &StructureSettings,
    models_dir: &Path,
) -> Result<Structurer, AppError> {
    let topics = settings.topics();
    let path = settings.embedder_path(models_dir);
    let embedder = match topics {
        None => None,
        Some(_) if path.exists() => Some(Arc::new(Embedder::load(&path)?)),
        Some(_) => {
            let path = path.display();
            tracing::info!("there is no model in {path}; topics are told apart by their words alone");
            None
        }
    };
    Ok(Structurer { english: load_english(settings.spacy_model.as_ref(), models_dir)?, embedder, topics })
}

fn load_english(asked: Option<&SpacyModel>, models_dir: &Path) -> Result<Option<Arc<English>>, AppError> {
    let name = match asked {
        Some(SpacyModel::None) => return Ok(None),
        Some(SpacyModel::Named(name)) => name,
        None => ENGLISH,
    };
    let path = models_dir.join(name);
    if path.exists() {
        return Ok(Some(Arc::new(English::load(&path, name)?)));
    }
    if asked.is_some() {
        return Err(AppError::NoPipeline { path });
    }
    let path = path.display();
    tracing::info!(
        "there is no spaCy pipeline in {path}; English is cut into sentences by rule, without entities"
    );
    Ok(None)
}
