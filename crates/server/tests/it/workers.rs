//! The pipeline and its workers without HTTP, on a store and a folder of their own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinHandle;
use verbatim::blobs::{Blobs, DiskBlobs};
use verbatim::jobs::JobOptions;
use verbatim::jobs::{FileType, Job, JobId, JobStatus, NewJob};
use verbatim::recognizer::cpu::CpuRecognizer;
use verbatim::recognizer::{Recognizer, RecognizerPool};
use verbatim::signals::{Faults, Notifiers};
use verbatim::store::{self, JobStore};
use verbatim::work::Pipeline;
use verbatim::work::ProcessLock;
use verbatim::work::{Intervals, Retention, Stop, Workers};
use verbatim_media::probe;
use verbatim_speech::{DecodeOptions, Language};

use crate::speech::{TestEngine, structurer, vad};
use crate::support::app::eventually;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Fast enough that no test waits, slow enough that a busy machine keeps its leases.
const INTERVALS: Intervals = Intervals {
    lease: Duration::from_secs(15),
    heartbeat: Duration::from_millis(50),
    poll: Duration::from_millis(50),
    cancelled: Duration::from_millis(500),
    clean_up: Duration::from_millis(50),
};

/// Workers on a store and a folder of their own.
pub(crate) struct Service {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) blobs: DiskBlobs,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) notifiers: Notifiers,
    pub(crate) stop: Stop,
    pub(crate) recognizer: CpuRecognizer,
    pub(crate) workers: JoinHandle<()>,
}

impl Service {
    pub(crate) async fn start(dir: &Path, engine: &TestEngine) -> Self {
        Self::with(dir, engine, |_| {}).await
    }

    /// With its pipeline changed before it starts.
    pub(crate) async fn with(dir: &Path, engine: &TestEngine, change: impl FnOnce(&mut Pipeline)) -> Self {
        Self::start_with(dir, engine, INTERVALS, change).await
    }

    /// With leases that are renewed only so often.
    pub(crate) async fn with_heartbeat(dir: &Path, engine: &TestEngine, heartbeat: Duration) -> Self {
        Self::start_with(dir, engine, Intervals { heartbeat, ..INTERVALS }, |_| {}).await
    }

    async fn start_with(
        dir: &Path,
        engine: &TestEngine,
        intervals: Intervals,
        change: impl FnOnce(&mut Pipeline),
    ) -> Self {
        let store = store::open(&dir.join("jobs.db")).await.unwrap();
        let blobs = DiskBlobs::open(&dir.join("data")).unwrap();
        let (notifiers, stop, recognizer) = (Notifiers::default(), Stop::default(), engine.start());
        let mut pipeline = Pipeline {
            options: DecodeOptions::default(),
            store: store.clone(),
            blobs: Arc::new(blobs.clone()),
            recognizers: RecognizerPool::of(Arc::new(recognizer.clone())),
            vad: vad(),
            structurer: structurer(),
            analyses: Vec::new(),
            max_media_duration: DAY,
            changed: notifiers.changed.clone(),
        };
        change(&mut pipeline);
        let pipeline = Arc::new(pipeline);
        let workers = Workers {
            pipeline: pipeline.clone(),
            store: store.clone(),
            blobs: Arc::new(blobs.clone()),
            notifiers: notifiers.clone(),
            intervals,
            retention: Retention::default(),
            stop: stop.clone(),
            process: Arc::new(ProcessLock::take(&dir.join("data")).unwrap()),
            faults: Faults::default(),
        };
        let workers = tokio::spawn(workers.run(2));
        Self { store, blobs, pipeline, notifiers, stop, recognizer, workers }
    }

    pub(crate) async fn submit(&self, file: &Path, language: Option<Language>) -> JobId {
        self.submit_with(file, JobOptions { language, ..JobOptions::default() }).await
    }

    /// Puts a file in place and a job for it into the queue.
    pub(crate) async fn submit_with(&self, file: &Path, options: JobOptions) -> JobId {
        let id = JobId::new();
        let mut upload = self.blobs.begin(id).await.unwrap();
        upload.write(&std::fs::read(file).unwrap()).await.unwrap();
        upload.finish().await.unwrap().keep();
        let info = probe(file, DAY).ok();
        let job = NewJob {
            id,
            filename: file.file_name().unwrap().to_str().unwrap().to_owned(),
            file_size: file.metadata().unwrap().len(),
            file_type: FileType::Audio,
            duration: info.as_ref().and_then(|info| info.duration),
            tracks: info.map(|info| info.tracks),
            options,
            webhook_url: None,
            content_hash: None,
        };
        self.store.insert(job, Timestamp::now()).await.unwrap();
        self.notifiers.queued.notify();
        id
    }

    pub(crate) async fn job(&self, id: JobId) -> Job {
        self.store.get(id).await.unwrap().unwrap()
    }

    pub(crate) async fn end_of(&self, id: JobId) -> Job {
        let mut ended = self.notifiers.ended.subscribe();
        let end = async {
            while !self.job(id).await.status.has_ended() {
                // Another service notifies nobody here.
                let _ = tokio::time::timeout(Duration::from_millis(100), ended.wait()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(180), end).await.expect("the job was to end");
        self.job(id).await
    }

    /// The result of a job that must complete.
    pub(crate) async fn result(&self, id: JobId) -> Value {
        let job = self.end_of(id).await;
        assert_eq!(job.status, JobStatus::Completed, "{:?}", job.error_message);
        serde_json::from_str(&self.store.result(id).await.unwrap().unwrap()).unwrap()
    }

    pub(crate) async fn failure(&self, id: JobId) -> String {
        let job = self.end_of(id).await;
        assert!(matches!(job.status, JobStatus::Failed | JobStatus::Cancelled), "{:?}", job.status);
        job.error_message.unwrap()
    }

    /// Waits until that many windows of a job are stored.
    pub(crate) async fn until_windows(&self, id: JobId, count: usize) {
        let stored = || async { self.store.windows(id).await.unwrap().len() >= count };
        eventually(&format!("{count} windows"), stored).await;
    }

    pub(crate) async fn until_no_uploads(&self) {
        eventually("the uploads to be gone", || async { self.blobs.list().unwrap().is_empty() }).await;
    }

    pub(crate) async fn shut_down(self) {
        self.stop.soft.cancel();
        self.recognizer.stop();
        self.workers.await.unwrap();
        self.store.close().await;
    }
}
