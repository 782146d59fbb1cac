//! Settings of the commands that speak to a server: where it is, with which key, and what is asked of it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use url::Url;
use verbatim_speech::{Language, Task};

use super::user_dir::user_dir;
use super::{http_url, language, one_to, path};
use crate::jobs::formats::Format;
use crate::jobs::options::{self, Temperatures};
use crate::jobs::{JobId, JobStatus};
use crate::units;

/// Which server, and how to speak to it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerSettings {
    /// The server, as in http://127.0.0.1:8000 or https://example.com/verbatim
    #[arg(long, env = "VERBATIM_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8000", value_parser = http_url)]
    pub server: Url,

    #[command(flatten)]
    pub connection: ConnectionSettings,
}

/// How to speak to a server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct ConnectionSettings {
    /// The key that the server, or a proxy before it, asks for. Other users of this machine can see the flag, but not
    /// the variable
    #[arg(long, env = "VERBATIM_API_KEY", hide_env_values = true, value_name = "KEY", value_parser = ApiKey::parse)]
    pub key: Option<ApiKey>,

    /// How long to try again while the connection is broken or the server is busy, as in 90 or 5m
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = units::parse_duration_or_zero)]
    pub retry_for: Duration,
}

/// A key for a server. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Accepts what a header can carry. The error is the end of a sentence, without the key.
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(
                "the key is empty, or has characters other than ASCII letters, digits and marks".into()
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// The key itself, for the header.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// What is asked of a server for a job. What is not given is left to the server's own settings.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of the job")]
pub struct JobSettings {
    /// The language spoken, as a code (de) or a name (German) [default: detect it]
    #[arg(long, value_parser = language)]
    pub language: Option<Language>,

    /// transcribe, or translate into English
    #[arg(long, value_parser = options::parse_task)]
    pub task: Option<Task>,

    /// The Whisper model, by the name that the server knows it by
    #[arg(long, value_name = "NAME", value_parser = model)]
    pub model: Option<String>,

    /// Whether the result tells when each word was said
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = units::parse_switch)]
    pub word_timestamps: Option<bool>,

    /// Text that the model is to believe came before every stretch of speech: names, spelling, style
    #[arg(long, value_name = "TEXT", value_parser = options::parse_text)]
    pub initial_prompt: Option<String>,

    /// Words that the model is to expect, in their spelling
    #[arg(long, value_name = "TEXT", value_parser = options::parse_text)]
    pub hotwords: Option<String>,

    /// How freely to choose words, from 0 to 1; of several, separated by commas, each is tried until a text will do
    #[arg(long, value_name = "NUMBERS", value_parser = Temperatures::parse)]
    pub temperature: Option<Temperatures>,

    /// An http or https address that the server calls when the job has ended
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub webhook_url: Option<Url>,
}

impl JobSettings {
    /// The options that were given, by their names in the API.
    pub fn named(&self) -> Vec<(&'static str, String)> {
        let numbers = |temperatures: &Temperatures| {
            temperatures.numbers().iter().map(f32::to_string).collect::<Vec<_>>().join(",")
        };
        let task = |task| match task {
            Task::Transcribe => "transcribe",
            Task::Translate => "translate",
        };
        [
            ("language", self.language.map(|language| language.code().to_owned())),
            ("task", self.task.map(|given| task(given).to_owned())),
            ("model", self.model.clone()),
            ("word_timestamps", self.word_timestamps.map(|on| on.to_string())),
            ("initial_prompt", self.initial_prompt.clone()),
            ("hotwords", self.hotwords.clone()),
            ("temperature", self.temperature.as_ref().map(numbers)),
            ("webhook_url", self.webhook_url.as_ref().map(Url::to_string)),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((name, text?)))
        .collect()
    }
}

#[derive(Debug, Clone, Args)]
pub struct SubmitSettings {
    /// Audio or video files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Wait until the jobs have ended, and write their results
    #[arg(long)]
    pub wait: bool,

    /// With --wait: what to write; several, separated by commas, need --output
    #[arg(long, value_enum, value_delimiter = ',', default_value = "txt", requires = "wait")]
    pub format: Vec<Format>,

    /// With --wait: where to write, a folder, or for one file in one format a file's name [default: the terminal]
    #[arg(long, short, value_parser = path, requires = "wait")]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub job: JobSettings,

    #[command(flatten)]
    pub server: ServerSettings,
}

#[derive(Debug, Clone, Args)]
pub struct JobsSettings {
    /// Only jobs in this status: pending, processing, completed, failed or cancelled
    #[arg(long, value_parser = status)]
    pub status: Option<JobStatus>,

    /// Only jobs whose file name holds this
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,

    /// How many jobs to show at most, the newest first
    #[arg(long, value_name = "NUMBER", default_value = "50", value_parser = one_to::<1_000_000>)]
    pub limit: u32,

    /// Print each job as JSON, one a line
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub server: ServerSettings,
}

#[derive(Debug, Clone, Args)]
pub struct JobIdsSettings {
    /// Ids of jobs, as `verbatim submit` and `verbatim jobs` show them
    #[arg(required = true, value_name = "ID", value_parser = job_id)]
    pub ids: Vec<JobId>,

    #[command(flatten)]
    pub server: ServerSettings,
}

#[derive(Debug, Clone, Args)]
pub struct ResultSettings {
    /// The id of a job, as `verbatim submit` and `verbatim jobs` show it
    #[arg(value_name = "ID", value_parser = job_id)]
    pub id: JobId,

    /// Wait until the job has ended
    #[arg(long)]
    pub wait: bool,

    /// What to write; several, separated by commas, need --output
    #[arg(long, value_enum, value_delimiter = ',', default_value = "txt")]
    pub format: Vec<Format>,

    /// Where to write: a folder, or for one format a file's name [default: the terminal]
    #[arg(long, short, value_parser = path)]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub server: ServerSettings,
}

/// The file that remembers unfinished uploads, in the user's state folder: `$XDG_STATE_HOME/verbatim/uploads.json`, or
/// `~/.local/state/verbatim/uploads.json`. `None` if the user has neither folder.
pub fn uploads_file() -> Option<PathBuf> {
    user_dir("XDG_STATE_HOME", ".local/state").map(|state| state.join("verbatim/uploads.json"))
}

fn model(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("the name is empty".into()),
        name => Ok(name.to_owned()),
    }
}

fn status(text: &str) -> Result<JobStatus, String> {
    JobStatus::parse(&text.to_ascii_lowercase())
        .ok_or_else(|| format!("“{text}” is not one of pending, processing, completed, failed, cancelled"))
}

fn job_id(text: &str) -> Result<JobId, String> {
    JobId::parse(text).ok_or_else(|| {
        format!("“{text}” is not the id of a job, such as 1f0c6a52-6f0e-4c55-9a55-0d6d0a1f7a57")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// The settings of a command without its environment.
    #[derive(Debug, Parser)]
    struct Given {
        #[command(flatten)]
        job: JobSettings,
    }

    #[test]
    fn options_are_named_as_in_the_api_and_only_those_that_were_given() {
        let named = |arguments: &[&str]| {
            let given = Given::try_parse_from(["submit"].iter().chain(arguments)).unwrap();
            given.job.named()
        };
        assert_eq!(named(&[]), []);
        let all = named(&[
            "--language=German",
            "--task=Translate",
            "--model=large-v3",
            "--word-timestamps=no",
            "--initial-prompt= Ein Vortrag. ",
            "--hotwords=Altona, Blankenese",
            "--temperature=0,0.2",
            "--webhook-url=https://example.com/hook",
        ]);
        let expected = [
            ("language", "de"),
            ("task", "translate"),
            ("model", "large-v3"),
            ("word_timestamps", "false"),
            ("initial_prompt", "Ein Vortrag."),
            ("hotwords", "Altona, Blankenese"),
            ("temperature", "0,0.2"),
            ("webhook_url", "https://example.com/hook"),
        ];
        assert_eq!(all, expected.map(|(name, text)| (name, text.to_owned())));
    }

    #[test]
    fn a_key_is_taken_as_it_is_and_never_printed() {
        let key = ApiKey::parse(" s3cret-Key_1 ").unwrap();
        assert_eq!(key.secret(), "s3cret-Key_1");
        assert!(!format!("{key:?}").contains("s3cret"));
        for wrong in ["", " ", "zwei Wörter", "a b", "a\nb"] {
            let sentence = ApiKey::parse(wrong).unwrap_err();
            assert!(!sentence.contains("Wörter"), "{sentence}");
        }
    }
}
