//! `verbatim transcribe`: transcribes files directly, without a server or a database.

mod fetch;
mod local;
mod stages;
mod stdin;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;

pub(super) use self::fetch::fetch_missing;
use self::local::Transcribed;
pub(super) use self::local::{FileError, Input, LocalTranscriber};
use self::stdin::Spooled;
use super::output::{self, Plan};
use super::terminal::{print_error, print_note};
use crate::settings::TranscribeSettings;

/// The name of standard input in results and of its transcripts.
const STDIN: &str = "stdin";

/// Transcribes every file. False if one failed; the others are transcribed all the same. If the outputs are
/// contradictory ([`PlanError`](super::PlanError)), nothing is transcribed.
pub fn run(settings: &TranscribeSettings, stdout: &mut impl Write) -> anyhow::Result<bool> {
    let names: Vec<PathBuf> = settings.files.iter().map(|file| name(file)).collect();
    let plan = Plan::new(&names, &settings.format, settings.output.as_deref())?;
    fetch_missing(&settings.local)?;
    let transcriber = LocalTranscriber::start(&settings.local, &settings.format)?;
    let (begun, mut done) = (Instant::now(), Done::default());
    for (index, file) in settings.files.iter().enumerate() {
        let written = transcribe(&transcriber, file, settings)
            .and_then(|transcribed| write(&transcriber, &plan, index, &transcribed, stdout));
        match written {
            Ok(seconds) => done.add(seconds),
            // The reader has closed standard output, so nothing more can be written.
            Err(FileError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(error.into());
            }
            Err(error) => print_error(format_args!("{}: {error}", file.display())),
        }
    }
    if done.files > 0 && (settings.files.len() > 1 || io::stderr().is_terminal()) {
        print_note(done.summary(settings.files.len(), begun.elapsed()));
    }
    if settings.stages {
        stages::write(&mut io::stderr(), transcriber.structuring())
            .context("cannot write where the time went")?;
    }
    Ok(done.files == settings.files.len())
}

/// Transcribes a file, or standard input.
fn transcribe(
    transcriber: &LocalTranscriber,
    file: &Path,
    settings: &TranscribeSettings,
) -> Result<Transcribed, FileError> {
    if !TranscribeSettings::is_stdin(file) {
        return transcriber.transcribe(&Input::file(file));
    }
    if io::stdin().is_terminal() {
        let error = "standard input is a terminal; name a file, or send a recording through a pipe";
        return Err(io::Error::other(error).into());
    }
    let dir = TranscribeSettings::temporary_dir();
    let spooled = Spooled::read(io::stdin().lock(), &dir, settings.max_file_size)?;
    transcriber.transcribe(&Input { path: &spooled.path(), name: STDIN.to_owned() })
}

/// Writes a transcript in every format. Gives the seconds of audio that it is of.
fn write(
    transcriber: &LocalTranscriber,
    plan: &Plan,
    index: usize,
    transcribed: &Transcribed,
    stdout: &mut impl Write,
) -> Result<f64, FileError> {
    for (format, path) in plan.outputs(index) {
        output::write(path, &transcriber.render(&transcribed.result, format)?, stdout)?;
    }
    Ok(transcribed.seconds)
}

/// The name that an input's transcripts are named after.
fn name(file: &Path) -> PathBuf {
    if TranscribeSettings::is_stdin(file) { STDIN.into() } else { file.to_owned() }
}

/// What has been transcribed so far.
#[derive(Debug, Default)]
struct Done {
    files: usize,
    /// Seconds of audio.
    seconds: f64,
}

impl Done {
    fn add(&mut self, seconds: f64) {
        self.files += 1;
        self.seconds += seconds;
    }

    /// How much was transcribed, of how many files, how long it took, and how many times faster than real time that is.
    fn summary(&self, of: usize, took: Duration) -> String {
        let files = match (self.files, of) {
            (1, 1) => "1 file".to_owned(),
            (done, of) if done == of => format!("{of} files"),
            (done, of) => format!("{done} of {of} files"),
        };
        let (seconds, took) = (self.seconds, took.as_secs_f64());
        let speed = seconds / took.max(f64::MIN_POSITIVE);
        format!("{files}: {seconds:.1} s of audio in {took:.1} s, {speed:.1} times real time")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_how_much_was_transcribed_and_how_fast() {
        let summary = |files, of| Done { files, seconds: 90.0 }.summary(of, Duration::from_secs(20));
        assert_eq!(summary(1, 1), "1 file: 90.0 s of audio in 20.0 s, 4.5 times real time");
        assert_eq!(summary(2, 2), "2 files: 90.0 s of audio in 20.0 s, 4.5 times real time");
        assert_eq!(summary(1, 3), "1 of 3 files: 90.0 s of audio in 20.0 s, 4.5 times real time");
    }
}
