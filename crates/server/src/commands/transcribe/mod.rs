//! `verbatim transcribe`: transcribes files directly, without a server or a database.

mod output;
mod stages;

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, Write};
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

use self::output::Plan;
pub use self::output::PlanError;
use crate::app::start_without_fingerprint;
use crate::commands::terminal::print_error;
use crate::jobs::JobId;
use crate::jobs::formats::{Cues, RenderOptions};
use crate::jobs::result::TranscriptionResult;
use crate::recognizer::{Recognizer, RecognizerError};
use crate::settings::TranscribeSettings;
use crate::store::{Analyses, StoredWindow};
use crate::work::{Place, Recording, Sink, Source, SourceEvent, Transcribing, Transcription, assemble};

/// What can go wrong with one file. The other files are transcribed all the same.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Engine(#[from] RecognizerError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Transcribes every file. False if one failed; the others are transcribed all the same. If the outputs are
/// contradictory ([`PlanError`]), nothing is transcribed.
pub fn run(settings: &TranscribeSettings, stdout: &mut impl Write) -> anyhow::Result<bool> {
    let plan = Plan::new(&settings.files, &settings.format, settings.output.as_deref())?;
    let models_dir = &settings.model.models_dir;
    let (started, structurer) = thread::scope(|scope| {
        // The first file asks for them again, and says what is wrong with them.
        scope.spawn(|| drop(Tools::installed()));
        let structure = structure_to_load(settings);
        let structurer = scope.spawn(move || structure.map(|options| Structurer::load(&options)).transpose());
        let started = start_without_fingerprint(&settings.model, &settings.engine);
        (started, structurer.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let (recognizer, vad) = started.map_err(|error| models_dir.explain(error))?;
    let structurer = structurer.map_err(|error| models_dir.explain(error))?.unwrap_or_default();
    let run = Run {
        runtime: runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?,
        recognizer,
        options: settings.options(),
        vad,
        structurer: if settings.format.iter().any(|format| format.shows_structure()) {
            structurer.clone()
        } else {
            Structurer::default()
        },
        max_duration: settings.max_media_duration,
        structuring: Cell::default(),
    };
    let rendering = RenderOptions { cues: Cues::Broadcast(settings.layout), structurer: Some(&structurer) };
    let mut all_ok = true;
    for (index, file) in settings.files.iter().enumerate() {
        let written = run
            .transcribe(file, settings.language)
            .and_then(|result| plan.write(index, &result, &rendering, stdout));
        match written {
            Ok(()) => {}
            // The reader has closed standard output, so nothing more can be written.
            Err(FileError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(error.into());
            }
            Err(error) => {
                all_ok = false;
                print_error(format_args!("{}: {error}", file.display()));
            }
        }
    }
    if settings.stages {
        stages::write(&mut io::stderr(), run.structuring.get())
            .context("cannot write where the time went")?;
    }
    Ok(all_ok)
}

/// The models of structure that the formats need; `None` if they need none. Subtitles need only those that find the
/// phrases of English, and those only if there may be English.
fn structure_to_load(settings: &TranscribeSettings) -> Option<StructurerOptions> {
    let options = settings.structure.options(&settings.model.models_dir);
    let may_be_english =
        settings.language.is_none_or(|spoken| settings.task.written(spoken) == Language::ENGLISH);
    if settings.format.iter().any(|format| format.shows_structure()) {
        Some(options)
    } else if may_be_english && settings.format.iter().any(|format| format.is_subtitles()) {
        Some(StructurerOptions { topics: None, ..options })
    } else {
        None
    }
}

/// What the transcription of all files shares.
struct Run {
    /// Only waits: the source and the recognizer have threads of their own.
    runtime: Runtime,
    recognizer: Arc<dyn Recognizer>,
    options: DecodeOptions,
    vad: Arc<Vad>,
    /// Without models if no format shows what it finds.
    structurer: Structurer,
    max_duration: Duration,
    /// The processor time of structuring, over all threads and files.
    structuring: Cell<Duration>,
}

impl Run {
    fn transcribe(&self, path: &Path, language: Option<Language>) -> Result<TranscriptionResult, FileError> {
        let file_size = path.metadata()?.len();
        let media = identify(path, self.max_duration)?;
        let source = Source { vad: self.vad.clone(), known: HashSet::new(), analyses: Vec::new() };
        let (file, tracks, longest) = (path.to_owned(), media.tracks.clone(), self.max_duration);
        // Decoding starts before the duration is measured: for a short file, starting programs takes as long as
        // transcribing.
        let events = source.start(move || PcmStream::open_tracks(&file, tracks, longest))?;
        let duration = media.duration.or_else(|| measure_duration(path, &media.tracks));
        let filename = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let bar = bar(&filename, duration);
        let job = JobId::new();
        let options = DecodeOptions { language, ..self.options.clone() };
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
            filename,
            file_size,
            file_type: media.file_type,
            language,
            task: self.options.task,
            whisper: self.recognizer.model().name.clone(),
            structurer: Ok(self.structurer.clone()),
        };
        let (windows, before) = (windows?, stages::own_time());
        let result = assemble(recording, &windows, Vec::new(), Timestamp::now());
        self.structuring.set(self.structuring.get() + stages::own_time().saturating_sub(before));
        Ok(result)
    }
}

/// Transcribes all windows of a recording. Gives them in order.
async fn windows(
    events: Receiver<SourceEvent>,
    transcription: Transcription,
    bar: &ProgressBar,
) -> Result<Vec<StoredWindow>, FileError> {
    let mut collect = WindowCollector { bar, windows: Vec::new() };
    transcription.run(events, &mut collect).await?;
    collect.windows.sort_by_key(|window| window.index);
    Ok(collect.windows)
}

/// Collects the windows of a recording in memory.
struct WindowCollector<'a> {
    bar: &'a ProgressBar,
    windows: Vec<StoredWindow>,
}

impl Sink for WindowCollector<'_> {
    type Error = FileError;

    async fn take(&mut self, event: Transcribing) -> Result<(), FileError> {
        match event {
            Transcribing::Transcribed(Place { index, start, end }, transcript) => {
                self.bar.inc((end - start) as u64);
                self.windows.push(StoredWindow { index, start, end, transcript, analyses: Analyses::new() });
            }
            Transcribing::ReadAll { damage: Some(damage), .. } => {
                self.bar.suspend(|| print_error(format_args!("{damage} What comes before is kept.")));
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
        windows(events, transcription, &ProgressBar::hidden()).await
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
