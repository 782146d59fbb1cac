//! `verbatim transcribe`: files -> transcripts, here and now, without a server or a database.

mod output;

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio::sync::mpsc::Receiver;
use verbatim_whisper::{DecodeRequest, Encoded, Language, LanguageProbabilities, Transcriber, Vad, Window};

use self::output::Plan;
pub use self::output::PlanError;
use crate::app::load_models;
use crate::config::TranscribeSettings;
use crate::inference::BATCH;
use crate::job::JobId;
use crate::media::{MediaError, probe_blocking};
use crate::pipeline::{Event, LANGUAGE_WINDOWS, Recording, Source, assemble, decode_in};
use crate::result::{ModelsUsed, TranscriptionResult};
use crate::store::StoredWindow;

/// What may go wrong with one file; the others are done all the same.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Engine(#[from] verbatim_whisper::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Transcribes every file. False if one failed; the others are done all the same. Nothing is begun if
/// the outputs make no sense ([`PlanError`]).
pub fn run(settings: &TranscribeSettings, stdout: &mut impl Write) -> anyhow::Result<bool> {
    let plan = Plan::new(&settings.files, &settings.format, settings.output.as_deref())?;
    if let Some(threads) = settings.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize);
        pool.build_global().context("cannot start the threads")?;
    }
    let (transcriber, vad) = load_models(&settings.model)?;
    let run = Run {
        transcriber,
        vad: Arc::new(vad),
        models: ModelsUsed { whisper: settings.model.whisper_model.clone(), spacy: None },
        max_duration: settings.max_media_duration,
    };
    let mut all_well = true;
    for (index, file) in settings.files.iter().enumerate() {
        match run.transcribe(file, settings.language).and_then(|result| plan.write(index, &result, stdout)) {
            Ok(()) => {}
            // Whoever reads has gone away, and nobody else will come.
            Err(FileError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            Err(error) => {
                all_well = false;
                eprintln!("verbatim: {}: {error}", file.display());
            }
        }
    }
    Ok(all_well)
}

/// What every file is transcribed with.
struct Run {
    transcriber: Transcriber,
    vad: Arc<Vad>,
    models: ModelsUsed,
    max_duration: Duration,
}

impl Run {
    fn transcribe(&self, path: &Path, language: Option<Language>) -> Result<TranscriptionResult, FileError> {
        let file_size = path.metadata()?.len();
        let media = probe_blocking(path, self.max_duration)?;
        let filename = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let bar = bar(&filename, media.duration);
        let source = Source {
            path: path.to_owned(),
            max_duration: self.max_duration,
            vad: self.vad.clone(),
            known: HashSet::new(),
        };
        let windows = self.windows(source.start()?, language, &bar);
        bar.finish_and_clear();
        let recording = Recording {
            job: JobId::new(),
            filename,
            file_size,
            file_type: media.file_type,
            language,
            models: self.models.clone(),
        };
        Ok(assemble(recording, &windows?, Timestamp::now()))
    }

    /// All windows of a recording, transcribed in batches; the first ones tell the language if nobody has.
    fn windows(
        &self,
        mut events: Receiver<Event>,
        language: Option<Language>,
        bar: &ProgressBar,
    ) -> Result<Vec<StoredWindow>, FileError> {
        let english_only = (!self.transcriber.model().is_multilingual()).then_some(Language::ENGLISH);
        let mut language = language.or(english_only);
        let mut done = Vec::new();
        loop {
            let count = if language.is_some() { BATCH } else { LANGUAGE_WINDOWS };
            let batch = take(&mut events, count, bar)?;
            if batch.is_empty() {
                return Ok(done);
            }
            let encoded = self.transcriber.encode(&batch.iter().collect::<Vec<_>>());
            let spoken = *language.get_or_insert_with(|| self.detect(&encoded));
            let options = decode_in(spoken);
            let request = |encoded| DecodeRequest { encoded, options: &options };
            let transcripts = self.transcriber.decode(&encoded.iter().map(request).collect::<Vec<_>>())?;
            for (window, transcript) in batch.iter().zip(transcripts) {
                let (start, end) = (window.start(), window.end());
                bar.set_position(end as u64);
                done.push(StoredWindow { index: window.index, start, end, transcript });
            }
        }
    }

    fn detect(&self, encoded: &[Encoded]) -> Language {
        let probabilities = self.transcriber.detect_language(&encoded.iter().collect::<Vec<_>>());
        let mean = LanguageProbabilities::mean(&probabilities);
        mean.best().map_or(Language::ENGLISH, |(language, _)| language)
    }
}

/// Up to `count` windows; none at the end.
fn take(events: &mut Receiver<Event>, count: usize, bar: &ProgressBar) -> Result<Vec<Window>, FileError> {
    let mut windows = Vec::new();
    while windows.len() < count {
        match events.blocking_recv() {
            Some(Event::Window { window, .. }) => windows.extend(window),
            Some(Event::End { damage, .. }) => {
                if let Some(damage) = damage {
                    bar.suspend(|| eprintln!("verbatim: {damage} What comes before is kept."));
                }
                break;
            }
            Some(Event::Failed(error)) => return Err(error.into()),
            None => break,
        }
    }
    Ok(windows)
}

/// Seconds of sound; on standard error, and only on a terminal.
fn bar(name: &str, seconds: Option<f64>) -> ProgressBar {
    let template = match seconds {
        Some(_) => "{msg} {bar:30} {percent} % {eta} left",
        None => "{msg} {spinner} {pos} s",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(seconds.unwrap_or(0.0).ceil() as u64);
    let bar = bar.with_style(style).with_message(name.to_owned());
    // Shows itself before the first window is done, and goes on turning.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
