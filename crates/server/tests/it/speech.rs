//! Real models, real speech, and an engine that fails where a test wants it to.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use verbatim::recognizer::RecognizerModel;
use verbatim::recognizer::cpu::{CpuRecognizer, Engine, Parallelism};
use verbatim_media::PcmStream;
use verbatim_speech::{
    DecodeOptions, Language, LanguageProbabilities, SAMPLE_RATE, Window, WindowTranscript,
};
use verbatim_structure::{Embedder, English, Structurer, TopicOptions};
use verbatim_vad::Vad;
use verbatim_whisper::{ComputeType, Encoded, Error, Model, Session, Transcriber};

use crate::support::clips::make;

static TINY_EN: LazyLock<Transcriber> = LazyLock::new(|| load("tiny.en"));
static BASE: LazyLock<Transcriber> = LazyLock::new(|| load("base"));
static VAD: LazyLock<Arc<Vad>> =
    LazyLock::new(|| Arc::new(Vad::load(&models_dir().join("silero_vad_v6.onnx")).unwrap()));

/// Where `make models` puts the models.
pub(crate) fn models_dir() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    assert!(dir.is_dir(), "{} is missing: run `make models`", dir.display());
    dir.canonicalize().unwrap()
}

fn load(name: &str) -> Transcriber {
    Transcriber::new(Model::load(&models_dir().join(name), ComputeType::Auto).unwrap())
}

/// As the service has it if nothing is set.
pub(crate) fn structurer() -> Structurer {
    static STRUCTURER: LazyLock<Structurer> = LazyLock::new(|| {
        let dir = models_dir();
        Structurer {
            english: Some(Arc::new(English::load(&dir.join("en_core_web_sm"), "en_core_web_sm").unwrap())),
            embedder: Some(Arc::new(Embedder::load(&dir.join("all-minilm-l6-v2")).unwrap())),
            topics: Some(TopicOptions::default()),
        }
    });
    STRUCTURER.clone()
}

pub(crate) fn vad() -> Arc<Vad> {
    VAD.clone()
}

/// At least so many seconds of a novel, read aloud, as an MP3.
pub(crate) fn novel(dir: &Path, seconds: u32) -> PathBuf {
    let clips = Path::new("/usr/share/pocketsphinx/test/data/librivox");
    let mut sorted: Vec<PathBuf> =
        std::fs::read_dir(clips).expect("pocketsphinx-testdata").map(|entry| entry.unwrap().path()).collect();
    sorted.retain(|path| path.extension().is_some_and(|extension| extension == "wav"));
    sorted.sort();
    let list: String = sorted.iter().map(|clip| format!("file '{}'\n", clip.display())).collect();
    let list_path = dir.join("clips.txt");
    // The clips last 24 s together.
    std::fs::write(&list_path, list.repeat(seconds.div_ceil(24) as usize)).unwrap();
    make(dir, "novel.mp3", &format!("-f concat -safe 0 -i {} -b:a 64k", list_path.display()))
}

/// So many seconds of the novel as samples.
pub(crate) fn samples(seconds: usize) -> Vec<f32> {
    let dir = tempfile::TempDir::new().unwrap();
    let stream = PcmStream::open(&novel(dir.path(), seconds as u32), Duration::from_secs(3600)).unwrap();
    stream.flat_map(|chunk| chunk.unwrap()).take(seconds * SAMPLE_RATE).collect()
}

/// The first seconds of the novel as a window.
pub(crate) fn window(index: usize) -> Window {
    static SAMPLES: LazyLock<Vec<f32>> = LazyLock::new(|| {
        let clip = "/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0880.wav";
        let stream = PcmStream::open(Path::new(clip), Duration::from_secs(60)).unwrap();
        stream.flat_map(|chunk| chunk.unwrap()).take(3 * SAMPLE_RATE).collect()
    });
    Window::new(index, 0.0, SAMPLES.clone())
}

/// A window whose encoding panics.
pub(crate) fn poisoned_window(index: usize) -> Window {
    Window::new(index, 0.0, vec![POISON; SAMPLE_RATE])
}

const POISON: f32 = 0.123;

/// The prompt that makes decoding panic.
pub(crate) const PANIC: &str = "panic";

/// Returns once something has come about.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for {what}");
}

/// The real engine, observed, and held up or broken where a test wants it.
#[derive(Debug, Clone)]
pub(crate) struct TestEngine {
    name: &'static str,
    transcriber: &'static LazyLock<Transcriber>,
    pub(crate) log: Arc<Log>,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Windows encoded.
    pub(crate) encoded: AtomicUsize,
    /// The options of all windows, in the order in which their decoding began.
    pub(crate) begun: Mutex<Vec<DecodeOptions>>,
    /// The window to panic on, counted from 0 over all whose decoding began.
    pub(crate) panic_at: Mutex<Option<usize>>,
    /// Windows in the batch that came to the decoding's gate last.
    pub(crate) decoding: AtomicUsize,
    /// Where the engine's thread waits before each token.
    pub(crate) gate: Gate,
    /// Where it waits before it encodes a window.
    pub(crate) encoding_gate: Gate,
}

/// Holds the engine's thread up while it is closed.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// How often the thread may still pass; None is no limit.
    let_through: Mutex<Option<usize>>,
    opened: Condvar,
    /// How often the thread came.
    came: AtomicUsize,
}

impl Log {
    /// The prompts of all windows, in the order in which their decoding began.
    pub(crate) fn prompts(&self) -> Vec<String> {
        let begun = self.begun.lock().unwrap();
        begun.iter().map(|options| options.initial_prompt.clone().unwrap_or_default()).collect()
    }

    /// Holds up every decoding from here on.
    pub(crate) fn close_gate(&self) {
        self.gate.close();
    }

    pub(crate) fn open_gate(&self) {
        self.gate.open();
    }

    /// Lets the engine decode one token of its batch, and returns once it is held up again.
    pub(crate) async fn step(&self) {
        let before = self.gate.came.load(Ordering::Relaxed);
        *self.gate.let_through.lock().unwrap() = Some(1);
        self.gate.opened.notify_all();
        until("the engine's next step", || self.gate.came.load(Ordering::Relaxed) > before).await;
    }

    /// Whether the engine's thread came to the gate, so that it is held up if that is closed.
    pub(crate) fn is_at_gate(&self) -> bool {
        self.gate.was_reached()
    }
}

impl Gate {
    /// Holds up whoever comes from here on.
    pub(crate) fn close(&self) {
        *self.let_through.lock().unwrap() = Some(0);
    }

    pub(crate) fn open(&self) {
        *self.let_through.lock().unwrap() = None;
        self.opened.notify_all();
    }

    /// Whether anyone came, open or not.
    pub(crate) fn was_reached(&self) -> bool {
        self.came.load(Ordering::Relaxed) > 0
    }

    fn pass(&self) {
        self.came.fetch_add(1, Ordering::Relaxed);
        let left = self.let_through.lock().unwrap();
        let mut left = self.opened.wait_while(left, |left| *left == Some(0)).unwrap();
        *left = left.map(|left| left - 1);
    }
}

/// Windows that a [`TestEngine`]'s thread decodes beside each other.
pub(crate) const ROOM: usize = 4;

impl TestEngine {
    pub(crate) fn tiny_en() -> Self {
        Self { name: "tiny.en", transcriber: &TINY_EN, log: Arc::default() }
    }

    pub(crate) fn base() -> Self {
        Self { name: "base", transcriber: &BASE, log: Arc::default() }
    }

    pub(crate) fn model(&self) -> RecognizerModel {
        let known = |language: &Language| self.transcriber.model().knows(*language);
        RecognizerModel {
            name: self.name.to_owned(),
            fingerprint: format!("of {}", self.name),
            languages: Language::all().filter(known).collect(),
        }
    }

    /// On one thread, so that the order of things is certain.
    pub(crate) fn start(&self) -> CpuRecognizer {
        let batch_size = NonZeroUsize::new(ROOM).unwrap();
        CpuRecognizer::start(
            self.clone(),
            self.model(),
            Parallelism { threads: NonZeroUsize::MIN, batch_size },
        )
        .unwrap()
    }
}

/// A session, and whether it is to panic.
#[derive(Debug, Default)]
pub(crate) struct TestSession {
    session: Session,
    panics: bool,
}

impl Engine for TestEngine {
    type Session = TestSession;
    type Encoded = Encoded;
    type Error = Error;

    fn encode(&self, window: &Window) -> Encoded {
        assert!(window.samples[0] != POISON, "poisoned");
        self.log.encoding_gate.pass();
        self.log.encoded.fetch_add(1, Ordering::Relaxed);
        self.transcriber.encode(window)
    }

    fn detect_language(&self, encoded: &Encoded) -> LanguageProbabilities {
        self.transcriber.detect_language(encoded)
    }

    fn add(
        &self,
        session: &mut TestSession,
        key: u64,
        encoded: &Encoded,
        options: &DecodeOptions,
    ) -> Result<(), Error> {
        let panics = options.initial_prompt.as_deref() == Some(PANIC);
        let mut begun = self.log.begun.lock().unwrap();
        session.panics |= panics || *self.log.panic_at.lock().unwrap() == Some(begun.len());
        begun.push(options.clone());
        drop(begun);
        self.transcriber.add(&mut session.session, key, encoded, options)
    }

    fn remove(&self, session: &mut TestSession, key: u64) {
        session.session.remove(key);
    }

    fn step(&self, session: &mut TestSession) -> Vec<(u64, WindowTranscript)> {
        self.log.decoding.store(session.session.len(), Ordering::Relaxed);
        self.log.gate.pass();
        assert!(!session.panics, "told to panic");
        self.transcriber.step(&mut session.session)
    }
}
