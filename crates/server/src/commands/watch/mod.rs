//! `verbatim watch`: transcribes every recording that appears in a folder, here or by a server.
//!
//! Folders are looked through again and again, which works on every file system. [`scan()`] finds recordings, [`Settling`]
//! waits until they are whole, [`Record`] remembers in the folder of transcripts which are done, [`HeldBack`] those that
//! could not be done yet.

mod held;
mod record;
mod scan;
mod settle;
mod transcriber;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::Context;

use self::held::HeldBack;
use self::record::{Outcome, Record};
use self::scan::{Found, scan};
use self::settle::Settling;
use self::transcriber::{Transcriber, WatchError};
use super::output;
use super::terminal::print_error;
use crate::jobs::formats::Format;
use crate::settings::WatchSettings;

/// Stands for all recordings where they are held back.
const ALL: &str = "";

/// Watches until the process is ended, or with `--once` until all is done. Prints the path of every transcript. False if
/// a recording could not be transcribed; the others are transcribed all the same.
pub fn run(settings: &WatchSettings, out: &mut impl Write) -> anyhow::Result<bool> {
    let real = |path: &Path| path.canonicalize().with_context(|| format!("cannot read {}", path.display()));
    let input = real(&settings.input)?;
    fs::create_dir_all(&settings.output)
        .with_context(|| format!("cannot create {}", settings.output.display()))?;
    let output = real(&settings.output)?;
    let record = Record::open(&output)?;
    let mut formats = settings.format.clone();
    formats.sort();
    formats.dedup();
    let transcriber = Transcriber::start(settings, &formats)?;
    let settling = Settling::new(settings.settle);
    let held = HeldBack::new((!settings.once).then_some(settings.interval));
    Watch { input, output, formats, transcriber, record, settling, held, all_ok: true }.run(settings, out)
}

struct Watch {
    input: PathBuf,
    output: PathBuf,
    formats: Vec<Format>,
    transcriber: Transcriber,
    record: Record,
    settling: Settling,
    held: HeldBack,
    /// Whether every recording so far could be transcribed.
    all_ok: bool,
}

/// How one look at the folder has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There is nothing to be done now.
    Idle,
    /// Some files may still be written.
    Unsettled,
    /// Files were done; others may have come meanwhile.
    Worked,
}

impl Watch {
    fn run(mut self, settings: &WatchSettings, out: &mut impl Write) -> anyhow::Result<bool> {
        loop {
            match self.round(out)? {
                Round::Idle if settings.once => return Ok(self.all_ok),
                Round::Unsettled if settings.once => thread::sleep(settings.interval.min(settings.settle)),
                Round::Worked if settings.once => {}
                Round::Idle | Round::Unsettled | Round::Worked => thread::sleep(settings.interval),
            }
        }
    }

    /// Looks at the folder once, and does what is to be done.
    fn round(&mut self, out: &mut impl Write) -> anyhow::Result<Round> {
        let now = Instant::now();
        if self.held.is_held(Path::new(ALL), now) {
            return Ok(Round::Idle);
        }
        let found = match scan(&self.input, &self.output) {
            Ok(found) => found,
            Err(error) => {
                self.hold(Path::new(ALL), &format!("cannot read {}: {error}", self.input.display()));
                return Ok(Round::Idle);
            }
        };
        let is_open =
            |file: &Found| !self.record.is_finished(file) && !self.held.is_held(&file.relative, now);
        let open: Vec<Found> = found.into_iter().filter(is_open).collect();
        let ready = self.settling.settled(&open, now);
        for file in &ready {
            match self.transcribe(file) {
                Ok(written) => {
                    self.held.release(&file.relative);
                    self.held.release(Path::new(ALL));
                    for path in written {
                        writeln!(out, "{}", path.display())?;
                    }
                    out.flush()?;
                }
                Err(WatchError::Recording(sentence)) => {
                    self.all_ok = false;
                    print_error(format_args!("{}: {sentence}", file.relative.display()));
                    if let Err(error) = self.record.set(file, Outcome::Failed { error: sentence }) {
                        self.hold(&file.relative, &error.to_string());
                    }
                }
                Err(WatchError::Machine(sentence)) => {
                    let sentence = format!("{}: {sentence}", file.relative.display());
                    self.hold(&file.relative, &sentence);
                }
                Err(WatchError::Server(sentence)) => {
                    self.hold(Path::new(ALL), &sentence);
                    return Ok(Round::Idle);
                }
            }
        }
        Ok(match (open.is_empty(), ready.is_empty()) {
            (true, _) => Round::Idle,
            (false, true) => Round::Unsettled,
            (false, false) => Round::Worked,
        })
    }

    /// Holds a recording back, or all of them, and tells why if that is new.
    fn hold(&mut self, path: &Path, sentence: &str) {
        self.all_ok = false;
        if self.held.hold(path, sentence, Instant::now()) {
            print_error(sentence);
        }
    }

    /// Transcribes a recording. Gives its transcripts, none if they were there already.
    fn transcribe(&mut self, file: &Found) -> Result<Vec<PathBuf>, WatchError> {
        let stem = self.record.stem(file);
        let folder = self.output.join(file.relative.parent().unwrap_or(Path::new("")));
        let path = |format: Format| folder.join(output::file_name(stem.as_ref(), format));
        if !self.record.knows(file) && self.formats.iter().all(|format| is_newer(&path(*format), file)) {
            self.record.set(file, Outcome::Done)?;
            return Ok(Vec::new());
        }
        let texts = self.transcriber.transcribe(&self.input, file, &self.formats, &mut self.record)?;
        let mut written = Vec::new();
        for (format, text) in texts {
            let path = path(format);
            output::write(Some(&path), &text, &mut std::io::sink())?;
            written.push(path);
        }
        self.record.set(file, Outcome::Done)?;
        Ok(written)
    }
}

/// Whether a transcript is there that was written after its recording.
fn is_newer(transcript: &Path, recording: &Found) -> bool {
    let modified = fs::metadata(transcript).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified >= recording.modified.into())
}
