//! Who transcribes what `verbatim watch` finds: this process, or a server.

use std::io;
use std::path::Path;

use anyhow::Context;
use tokio::runtime::Runtime;
use verbatim_media::MediaError;

use super::record::{Outcome, Record, RecordError};
use super::scan::Found;
use crate::commands::client::{
    ClientError, RememberedUploads, Server, SourceFile, exists, result, until_completed, upload, waiting,
};
use crate::commands::transcribe::{FileError, Input, LocalTranscriber, fetch_missing};
use crate::jobs::JobId;
use crate::jobs::formats::Format;
use crate::recognizer::RecognizerError;
use crate::settings::{WatchSettings, uploads_file};

/// Why there is no transcript of a recording, as a sentence.
#[derive(Debug)]
pub(super) enum WatchError {
    /// The recording is at fault: it is not tried again until it changes.
    Recording(String),
    /// This machine is at fault, such as a full disk: it is tried again.
    Machine(String),
    /// The server is at fault, or the way there: all recordings are tried again.
    Server(String),
}

/// Transcribes recordings.
pub(super) enum Transcriber {
    Local(Box<LocalTranscriber>),
    Remote(Box<Remote>),
}

/// A server, and what is asked of it.
pub(super) struct Remote {
    server: Server,
    options: Vec<(&'static str, String)>,
    remembered: RememberedUploads,
    runtime: Runtime,
}

impl Transcriber {
    /// Makes a client of the server in the settings. Without one, loads the models.
    pub(super) fn start(settings: &WatchSettings, formats: &[Format]) -> anyhow::Result<Self> {
        if let Some(url) = &settings.server {
            return Ok(Self::Remote(Box::new(Remote {
                server: Server::new(url, &settings.connection)?,
                options: settings.typed.named().to_vec(),
                remembered: RememberedUploads::new(uploads_file()),
                runtime: waiting().context("cannot start")?,
            })));
        }
        fetch_missing(&settings.local)?;
        Ok(Self::Local(Box::new(LocalTranscriber::start(&settings.local, formats)?)))
    }

    /// The transcript of a recording in every format.
    pub(super) fn transcribe(
        &self,
        input: &Path,
        file: &Found,
        formats: &[Format],
        record: &mut Record,
    ) -> Result<Vec<(Format, String)>, WatchError> {
        let path = input.join(&file.relative);
        match self {
            Self::Local(local) => {
                let result = local.transcribe(&Input::file(&path))?.result;
                let texts = formats.iter().map(|format| Ok((*format, local.render(&result, *format)?)));
                texts.collect::<Result<_, io::Error>>().map_err(WatchError::from)
            }
            Self::Remote(remote) => remote.runtime.block_on(remote.transcribe(&path, file, formats, record)),
        }
    }
}

impl Remote {
    async fn transcribe(
        &self,
        path: &Path,
        file: &Found,
        formats: &[Format],
        record: &mut Record,
    ) -> Result<Vec<(Format, String)>, WatchError> {
        let job = match self.submitted(file, record).await? {
            Some(job) => job,
            None => {
                let source = SourceFile::open(path)?;
                let job = upload(&self.server, &source, &self.options, &self.remembered).await?;
                // A restart waits for this job instead of sending the recording again.
                record.set(file, Outcome::Submitted { server: self.server.name(), job: job.to_string() })?;
                job
            }
        };
        until_completed(&self.server, job).await?;
        let mut texts = Vec::new();
        for format in formats {
            texts.push((*format, result::fetch(&self.server, job, *format).await?));
        }
        Ok(texts)
    }

    /// The job of an earlier start, if the server still has it.
    async fn submitted(&self, file: &Found, record: &Record) -> Result<Option<JobId>, ClientError> {
        match record.job(file, &self.server.name()) {
            Some(job) if exists(&self.server, job).await? => Ok(Some(job)),
            _ => Ok(None),
        }
    }
}

impl From<FileError> for WatchError {
    fn from(error: FileError) -> Self {
        let sentence = error.to_string();
        match error {
            FileError::Media(MediaError::Unsupported(_))
            | FileError::Engine(RecognizerError::Refused(_) | RecognizerError::Panicked(_)) => {
                Self::Recording(sentence)
            }
            _ => Self::Machine(sentence),
        }
    }
}

impl From<ClientError> for WatchError {
    fn from(error: ClientError) -> Self {
        let sentence = error.to_string();
        match error {
            error if error.is_of_recording() => Self::Recording(sentence),
            // It is still being written, which a pause may show.
            ClientError::File { .. } | ClientError::Changed(_) => Self::Machine(sentence),
            _ => Self::Server(sentence),
        }
    }
}

impl From<io::Error> for WatchError {
    fn from(error: io::Error) -> Self {
        Self::Machine(error.to_string())
    }
}

impl From<RecordError> for WatchError {
    fn from(error: RecordError) -> Self {
        Self::Machine(error.to_string())
    }
}
