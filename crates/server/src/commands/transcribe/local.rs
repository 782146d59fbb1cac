//! Transcribes recordings in this process: what `verbatim transcribe` and `verbatim watch` share.

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use verbatim_media::{MediaError, PcmStream, Tools, identify, measure_duration};
use verbatim_speech::{DecodeOptions, Language};
use verbatim_structure::{Structurer, StructurerOptions};
use verbatim_vad::Vad;

use super::stages;
use crate::app::start_without_fingerprint;
use crate::commands::terminal::print_error;
use crate::jobs::JobId;
use crate::jobs::formats::subtitles::Layout;
use crate::jobs::formats::{Cues, Format, RenderOptions, render};
use crate::jobs::result::TranscriptionResult;
use crate::recognizer::{Recognizer, RecognizerError};
use crate::settings::LocalSettings;
use crate::store::{Analyses, StoredWindow};
use crate::work::{Place, Recording, Sink, Source, SourceEvent, Transcribing, Transcription, assemble};

/// What can go wrong with one file. The other files are transcribed all the same.
#[derive(Debug, thiserror::Error)]
pub(in crate::commands) enum FileError {
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Engine(#[from] RecognizerError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A recording, and the name that its result gives it.
#[derive(Debug)]
pub(in crate::commands) struct Input<'a> {
    pub(in crate::commands) path: &'a Path,
    pub(in crate::commands) name: String,
}

impl<'a> Input<'a> {
    /// A file under its own name.
    pub(in crate::commands) fn file(path: &'a Path) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self { path, name }
    }
}

/// What came of a recording.
#[derive(Debug)]
pub(in crate::commands) struct Transcribed {
    pub(in crate::commands) result: TranscriptionResult,
    /// Seconds of audio.
    pub(in crate::commands) seconds: f64,
}

/// The engine with its models, and what the transcription of all files shares.
#[derive(Debug)]
pub(in crate::commands) struct LocalTranscriber {
    /// Only waits: the source and the recognizer have threads of their own.
    runtime: Runtime,
    recognizer: Arc<dyn Recognizer>,
    language: Option<Language>,
    options: DecodeOptions,
    vad: Arc<Vad>,
    /// Finds the phrases that subtitles keep together.
    structurer: Structurer,
    /// Whether a format shows what the structurer finds.
    shows_structure: bool,
    layout: Layout,
    max_duration: Duration,
    /// The processor time of structuring, over all threads and files.
    structuring: Cell<Duration>,
}

impl LocalTranscriber {
    /// Loads the models, for transcripts in these formats. Blocks for about a second.
    pub(in crate::commands) fn start(settings: &LocalSettings, formats: &[Format]) -> anyhow::Result<Self> {
        let models_dir = &settings.model.models_dir;
        let (started, structurer) = thread::scope(|scope| {
            // The first file asks for them again, and says what is wrong with them.
            scope.spawn(|| drop(Tools::installed()));
            let structure = structure_to_load(settings, formats);
            let structurer =
                scope.spawn(move || structure.map(|options| Structurer::load(&options)).transpose());
            let started = start_without_fingerprint(&settings.model, &settings.engine);
            (started, structurer.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let (recognizer, vad) = started.map_err(|error| models_dir.explain(error))?;
        let structurer = structurer.map_err(|error| models_dir.explain(error))?.unwrap_or_default();
        Ok(Self {
            runtime: runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?,
            recognizer,
            language: settings.language,
            options: settings.options(),
            vad,
            structurer,
            shows_structure: formats.iter().any(|format| format.shows_structure()),
            layout: settings.layout,
            max_duration: settings.max_media_duration,
            structuring: Cell::default(),
        })
    }

    /// Transcribes a recording, with a progress bar on standard error.
    pub(in crate::commands) fn transcribe(&self, input: &Input<'_>) -> Result<Transcribed, FileError> {
        let path = input.path;
        let file_size = path.metadata()?.len();
        let media = identify(path, self.max_duration)?;
        let source = Source { vad: self.vad.clone(), known: HashSet::new(), analyses: Vec::new() };
        let (file, tracks, longest) = (path.to_owned(), media.tracks.clone(), self.max_duration);
        // Decoding starts before the duration is measured: for a short file, starting programs takes as long as
        // transcribing.
        let events = source.start(move || PcmStream::open_tracks(&file, tracks, longest))?;
        let duration = media.duration.or_else(|| measure_duration(path, &media.tracks));
        let bar = bar(&input.name, duration);
        let job = JobId::new();
        let options = DecodeOptions { language: self.language, ..self.options.clone() };
        let transcription = Transcription {
            recognizer: self.recognizer.clone(),
            job,
            options,
            detected: None,
            stop: CancellationToken::new(),
        };
        let windows = self.runtime.block_on(windows(events, transcription, &bar));
        bar.finish_and_clear();
        let recording = Recording {
            job,
            filename: input.name.clone(),
            file_size,
            file_type: media.file_type,
            language: self.language,
            task: self.options.task,
            whisper: self.recognizer.model().name.clone(),
            structurer: Ok(if self.shows_structure {
                self.structurer.clone()
            } else {
                Structurer::default()
            }),
        };
        let ((windows, seconds), before) = (windows?, stages::own_time());
        let result = assemble(recording, &windows, Vec::new(), Timestamp::now());
        self.structuring.set(self.structuring.get() + stages::own_time().saturating_sub(before));
        Ok(Transcribed { result, seconds })
    }

    /// A transcript in one of the formats.
    pub(in crate::commands) fn render(
        &self,
        result: &TranscriptionResult,
        format: Format,
    ) -> io::Result<String> {
        let options =
            RenderOptions { cues: Cues::Broadcast(self.layout), structurer: Some(&self.structurer) };
        Ok(render(result, format, &options)?)
    }

    /// The processor time of structuring so far.
    pub(super) fn structuring(&self) -> Duration {
        self.structuring.get()
    }
}

/// The models of structure that the formats need; `None` if they need none. Subtitles need only those that find the
/// phrases of English, and those only if there may be English.
fn structure_to_load(settings: &LocalSettings, formats: &[Format]) -> Option<StructurerOptions> {
    let options = settings.structure.options(&settings.model.models_dir);
    let may_be_english =
        settings.language.is_none_or(|spoken| settings.task.written(spoken) == Language::ENGLISH);
    if formats.iter().any(|format| format.shows_structure()) {
        Some(options)
    } else if may_be_english && formats.iter().any(|format| format.is_subtitles()) {
        Some(StructurerOptions { topics: None, ..options })
    } else {
        None
    }
}

/// Transcribes all windows of a recording. Gives them in order, and the seconds of audio that were read.
async fn windows(
    events: Receiver<SourceEvent>,
    transcription: Transcription,
    bar: &ProgressBar,
) -> Result<(Vec<StoredWindow>, f64), FileError> {
    let mut collect = WindowCollector { bar, windows: Vec::new(), seconds: 0.0 };
    transcription.run(events, &mut collect).await?;
    collect.windows.sort_by_key(|window| window.index);
    Ok((collect.windows, collect.seconds))
}

/// Collects the windows of a recording in memory.
struct WindowCollector<'a> {
    bar: &'a ProgressBar,
    windows: Vec<StoredWindow>,
    /// Seconds of audio, once all was read.
    seconds: f64,
}

impl Sink for WindowCollector<'_> {
    type Error = FileError;

    async fn take(&mut self, event: Transcribing) -> Result<(), FileError> {
        match event {
            Transcribing::Transcribed(Place { index, start, end }, transcript) => {
                self.bar.inc((end - start) as u64);
                self.windows.push(StoredWindow { index, start, end, transcript, analyses: Analyses::new() });
            }
            Transcribing::ReadAll { seconds, damage } => {
                self.seconds = seconds;
                if let Some(damage) = damage {
                    self.bar.suspend(|| print_error(format_args!("{damage} What comes before is kept.")));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A progress bar of seconds of audio, on standard error; drawn only on a terminal.
fn bar(name: &str, seconds: Option<f64>) -> ProgressBar {
    let template = match seconds {
        Some(_) => "{msg} {bar:30} {percent} % {eta} left",
        None => "{msg} {spinner} {pos} s",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(seconds.unwrap_or(0.0).ceil() as u64);
    let bar = bar.with_style(style).with_message(name.to_owned());
    // Draws the bar before the first window is done, and keeps the spinner turning.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::sync::mpsc;
    use verbatim_speech::{LanguageProbabilities, WindowTranscript};

    use super::*;
    use crate::recognizer::{RecognizerInput, RecognizerModel};
    use crate::signals::{Liveness, Running};

    /// A recognizer for recordings without windows.
    #[derive(Debug)]
    struct NoRecognizer(RecognizerModel);

    #[async_trait]
    impl Recognizer for NoRecognizer {
        fn model(&self) -> &RecognizerModel {
            &self.0
        }

        fn capacity(&self) -> usize {
            1
        }

        async fn detect(
            &self,
            _: JobId,
            _: Arc<RecognizerInput>,
        ) -> Result<LanguageProbabilities, RecognizerError> {
            unreachable!("there is no window")
        }

        async fn transcribe(
            &self,
            _: JobId,
            _: Arc<RecognizerInput>,
            _: Arc<DecodeOptions>,
        ) -> Result<WindowTranscript, RecognizerError> {
            unreachable!("there is no window")
        }

        fn stop(&self) {}

        fn liveness(&self) -> Liveness {
            Running::default().watch()
        }
    }

    /// The outcome for a source that sends these events and then ends.
    async fn collected(sent: Vec<SourceEvent>) -> Result<Vec<StoredWindow>, FileError> {
        let (source, events) = mpsc::channel(sent.len().max(1));
        for event in sent {
            source.send(event).await.unwrap();
        }
        drop(source);
        let model = RecognizerModel {
            name: "none".to_owned(),
            fingerprint: String::new(),
            languages: Arc::new([Language::ENGLISH]),
        };
        let transcription = Transcription {
            recognizer: Arc::new(NoRecognizer(model)),
            job: JobId::new(),
            options: DecodeOptions::default(),
            detected: None,
            stop: CancellationToken::new(),
        };
        windows(events, transcription, &ProgressBar::hidden()).await.map(|(windows, _)| windows)
    }

    #[tokio::test]
    async fn a_source_that_ends_without_an_end_event_is_an_error() {
        assert_eq!(collected(vec![SourceEvent::End { read: 1.0, damage: None }]).await.unwrap(), []);
        let silence = SourceEvent::Window { index: 0, end: 1.0, window: None, read: 1.0 };
        for sent in [vec![], vec![silence]] {
            let error = collected(sent).await.unwrap_err();
            assert_eq!(error.to_string(), "Reading the sound broke off (an internal error).");
        }
    }
}
