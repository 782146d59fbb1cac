//! `verbatim transcribe`: files -> transcripts, here and now, without a server or a database.

mod output;
mod stages;

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc::Receiver;
use verbatim_media::{MediaError, identify, measure_duration};
use verbatim_whisper::{Language, Options, Vad};

use self::output::Plan;
pub use self::output::PlanError;
use crate::app::{load_models, load_structurer};
use crate::config::{Format, TranscribeSettings};
use crate::inference::{Inference, InferenceError};
use crate::job::JobId;
use crate::pipeline::{Decoding, Event, Place, Recording, Source, assemble};
use crate::result::TranscriptionResult;
use crate::store::StoredWindow;
use crate::structure::Structurer;
use crate::terminal::complain;

/// What may go wrong with one file; the others are done all the same.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error(transparent)]
    Media(#[from] MediaError),
    #[error(transparent)]
    Engine(#[from] InferenceError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Transcribes every file. False if one failed; the others are done all the same. Nothing is begun if
/// the outputs make no sense ([`PlanError`]).
pub fn run(settings: &TranscribeSettings, stdout: &mut impl Write) -> anyhow::Result<bool> {
    let plan = Plan::new(&settings.files, &settings.format, settings.output.as_deref())?;
    let models_dir = &settings.model.models_dir;
    let loaded = load_models(&settings.model, &settings.engine);
    let (transcriber, vad) = loaded.map_err(|error| models_dir.explain(error))?;
    // No other format shows it.
    let structurer = if settings.format.contains(&Format::Json) {
        load_structurer(&settings.structure, models_dir).map_err(|error| models_dir.explain(error))?
    } else {
        Structurer::default()
    };
    let inference = Inference::start(transcriber, settings.engine.parallelism());
    let run = Run {
        runtime: runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?,
        inference: inference.context("cannot start the threads")?,
        options: settings.options(),
        vad: Arc::new(vad),
        whisper: settings.model.whisper_model.name().to_owned(),
        structurer,
        max_duration: settings.max_media_duration,
        structuring: Cell::default(),
    };
    let mut all_well = true;
    for (index, file) in settings.files.iter().enumerate() {
        match run.transcribe(file, settings.language).and_then(|result| plan.write(index, &result, stdout)) {
            Ok(()) => {}
            // Whoever reads has gone away, and nobody else will come.
            Err(FileError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(error.into());
            }
            Err(error) => {
                all_well = false;
                complain(format_args!("{}: {error}", file.display()));
            }
        }
    }
    if settings.stages {
        stages::write(&mut io::stderr(), run.structuring.get())
            .context("cannot write where the time went")?;
    }
    Ok(all_well)
}

/// What every file is transcribed with.
struct Run {
    /// Waits for the source and the engine, both of which have threads of their own.
    runtime: Runtime,
    inference: Inference,
    options: Options,
    vad: Arc<Vad>,
    whisper: String,
    structurer: Structurer,
    max_duration: Duration,
    /// How long structure has taken, of all threads and files.
    structuring: Cell<Duration>,
}

impl Run {
    fn transcribe(&self, path: &Path, language: Option<Language>) -> Result<TranscriptionResult, FileError> {
        let file_size = path.metadata()?.len();
        let media = identify(path, self.max_duration)?;
        let source = Source {
            path: path.to_owned(),
            tracks: Some(media.tracks.clone()),
            max_duration: self.max_duration,
            vad: self.vad.clone(),
            known: HashSet::new(),
        };
        // Decoding begins while the file is measured: for a short clip, programs take as long to start as it takes to be
        // heard.
        let events = source.start()?;
        let duration = media.duration.or_else(|| measure_duration(path, &media.tracks));
        let filename = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let bar = bar(&filename, duration);
        let job = JobId::new();
        let options = Options { language, ..self.options.clone() };
        let mut decoding = Decoding::new(self.inference.clone(), job, options, None);
        let windows = self.runtime.block_on(windows(events, &mut decoding, &bar));
        bar.finish_and_clear();
        let recording = Recording {
            job,
            filename,
            file_size,
            file_type: media.file_type,
            language,
            task: self.options.task,
            whisper: self.whisper.clone(),
            structurer: Ok(self.structurer.clone()),
        };
        let (windows, before) = (windows?, stages::own_time());
        let result = assemble(recording, &windows, Timestamp::now());
        self.structuring.set(self.structuring.get() + stages::own_time().saturating_sub(before));
        Ok(result)
    }
}

/// All windows of a recording, in order.
async fn windows(
    mut events: Receiver<Event>,
    decoding: &mut Decoding,
    bar: &ProgressBar,
) -> Result<Vec<StoredWindow>, FileError> {
    let mut done = Vec::new();
    let mut at_end = false;
    loop {
        if decoding.can_detect(at_end) {
            decoding.detect().await?;
        }
        tokio::select! {
            event = events.recv(), if !at_end && decoding.has_room() => match event {
                Some(Event::Window { window, .. }) => {
                    if let Some(window) = window {
                        decoding.push(window);
                    }
                }
                Some(Event::End { damage, .. }) => {
                    if let Some(damage) = damage {
                        bar.suspend(|| complain(format_args!("{damage} What comes before is kept.")));
                    }
                    at_end = true;
                }
                Some(Event::Failed(error)) => return Err(error.into()),
                None => return Err(MediaError::Tool("Reading the sound broke off (an internal error).".to_owned()).into()),
            },
            Some((Place { index, start, end }, transcript)) = decoding.next() => {
                bar.inc((end - start) as u64);
                done.push(StoredWindow { index, start, end, transcript: transcript? });
            }
            else => break,
        }
    }
    done.sort_by_key(|window| window.index);
    Ok(done)
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use tokio::sync::mpsc;
    use verbatim_whisper::{Encoded, Error, LanguageProbabilities, Window, WindowTranscript};

    use super::*;
    use crate::inference::{Engine, Parallelism};

    /// For a recording without a window.
    struct NoEngine;

    impl Engine for NoEngine {
        type Session = ();

        fn is_multilingual(&self) -> bool {
            false
        }

        fn encode(&self, _: &Window) -> Encoded {
            unreachable!("there is no window")
        }

        fn detect_language(&self, _: &Encoded) -> LanguageProbabilities {
            unreachable!("there is no window")
        }

        fn add(&self, (): &mut (), _: u64, _: &Encoded, _: &Options) -> Result<(), Error> {
            unreachable!("there is no window")
        }

        fn remove(&self, (): &mut (), _: u64) {}

        fn step(&self, (): &mut ()) -> Vec<(u64, WindowTranscript)> {
            Vec::new()
        }
    }

    /// What comes of a source that says these things and then is gone.
    async fn heard(said: Vec<Event>) -> Result<Vec<StoredWindow>, FileError> {
        let (source, events) = mpsc::channel(said.len().max(1));
        for event in said {
            source.send(event).await.unwrap();
        }
        drop(source);
        let one = NonZeroUsize::MIN;
        let inference = Inference::start(NoEngine, Parallelism { threads: one, batch_size: one }).unwrap();
        let mut decoding = Decoding::new(inference, JobId::new(), Options::default(), None);
        windows(events, &mut decoding, &ProgressBar::hidden()).await
    }

    #[tokio::test]
    async fn a_source_that_vanishes_is_not_the_end_of_the_recording() {
        assert_eq!(heard(vec![Event::End { read: 1.0, damage: None }]).await.unwrap(), []);
        let silence = Event::Window { index: 0, end: 1.0, window: None, read: 1.0 };
        for said in [vec![], vec![silence]] {
            let error = heard(said).await.unwrap_err();
            assert_eq!(error.to_string(), "Reading the sound broke off (an internal error).");
        }
    }
}
