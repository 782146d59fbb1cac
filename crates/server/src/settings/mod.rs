//! Parses and validates the command line and the environment. No other module reads the environment.

mod client;
mod engine;
mod log;
mod models_dir;
mod structure;
mod transcribe;
mod user_dir;
mod watch;
mod whisper_model;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use url::Url;
use verbatim_speech::Language;

use crate::http_client::Networks;
use crate::units;
pub use client::{
    ApiKey, ConnectionSettings, JobIdsSettings, JobSettings, JobsSettings, ResultSettings, ServerSettings,
    SubmitSettings, uploads_file,
};
pub use engine::{ComputeType, EngineSettings, ModelSettings, PoolSettings};
pub use log::{LogFilter, LogFormat};
pub use models_dir::ModelsDir;
pub use structure::{StructureCommand, StructureSettings};
pub use transcribe::{LocalSettings, TranscribeSettings};
pub use watch::{TypedOptions, WatchSettings};
pub use whisper_model::WhisperModel;

/// Transcribes audio and video on your own machine.
#[derive(Debug, Parser)]
#[command(name = "verbatim", version, disable_version_flag = true, arg_required_else_help = true)]
pub struct Cli {
    /// Print the version
    #[arg(long, short = 'V')]
    pub version: bool,

    /// With --version: also which instructions of this processor compute what, and what confines ffmpeg
    #[arg(long, requires = "version")]
    pub verbose: bool,

    #[command(flatten)]
    pub log: LogSettings,

    /// `None` only where the version is asked for.
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// The error if there is neither a command nor `--version`.
    pub fn missing_command() -> clap::Error {
        Self::command().error(ErrorKind::MissingSubcommand, "a command is missing, such as serve; see --help")
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the HTTP API and work on its jobs
    Serve(ServeSettings),
    /// Transcribe files here and now, without a server
    Transcribe(TranscribeSettings),
    /// Transcribe every recording that appears in a folder
    Watch(WatchSettings),
    /// Send files to a server
    Submit(SubmitSettings),
    /// List the jobs of a server
    Jobs(JobsSettings),
    /// Write the result of a server's job
    Result(ResultSettings),
    /// Stop jobs of a server
    Cancel(JobIdsSettings),
    /// Have a server do jobs again that failed or were cancelled
    Retry(JobIdsSettings),
    /// Delete jobs of a server, with their results
    Delete(JobIdsSettings),
    /// Structure stored results or plain text again, without their sound
    Structure(StructureCommand),
    /// List, fetch and check model files
    Models(ModelsSettings),
    /// Print what a shell needs to complete commands and flags
    Completions(CompletionsSettings),
    /// Write manual pages
    Man(ManSettings),
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log lines")]
pub struct LogSettings {
    /// trace, debug, info, warn, error or off; or one per module, as in "info,sqlx=debug"
    /// [default: info for serve, warn for the others]
    #[arg(long, env = "LOG_LEVEL", global = true, value_parser = LogFilter::parse)]
    pub log_level: Option<LogFilter>,

    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", global = true, value_enum, ignore_case = true, default_value = "text")]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Args)]
pub struct ServeSettings {
    #[command(flatten)]
    pub listen: ListenSettings,

    #[command(flatten)]
    pub storage: StorageSettings,

    #[command(flatten)]
    pub model: ModelSettings,

    #[command(flatten)]
    pub pool: PoolSettings,

    #[command(flatten)]
    pub engine: EngineSettings,

    #[command(flatten)]
    pub structure: StructureSettings,

    #[command(flatten)]
    pub limits: UploadLimits,

    #[command(flatten)]
    pub urls: UrlSettings,

    #[command(flatten)]
    pub retention: RetentionSettings,

    /// How many jobs are worked on at the same time
    #[arg(help_heading = "Limits", long, env = "MAX_CONCURRENT_JOBS", default_value = "4", value_parser = one_to::<1000>)]
    pub max_concurrent_jobs: u32,

    #[command(flatten)]
    pub webhook: WebhookSettings,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Address")]
pub struct ListenSettings {
    /// The address to listen on; 0.0.0.0 is every network that this machine is in
    #[arg(long, env = "HOST", default_value = "127.0.0.1", value_parser = host)]
    pub host: IpAddr,

    /// The port to listen on; 0 takes a free one
    #[arg(long, env = "PORT", default_value = "8000", value_parser = port)]
    pub port: u16,
}

impl ListenSettings {
    /// The address and the port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Storage")]
pub struct StorageSettings {
    /// The SQLite file that keeps the jobs; created if it is not there
    #[arg(long, env = "DATABASE_PATH", default_value = "./transcription_jobs.db", value_parser = path)]
    pub database_path: PathBuf,

    /// The folder for uploads while their job waits and runs
    #[arg(long, env = "DATA_DIR", default_value = "./data", value_parser = path)]
    pub data_dir: PathBuf,

    /// How long the beginning of a resumable upload is kept after its last byte arrived, as in 24h, 90m or plain seconds
    #[arg(long, env = "UPLOAD_EXPIRY", default_value = "24h", value_parser = units::parse_duration)]
    pub upload_expiry: Duration,
}

/// What is taken and what is refused.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Limits")]
pub struct UploadLimits {
    /// The largest file taken, as in 10GB, 500MB, 1GiB or plain bytes
    #[arg(long, env = "MAX_FILE_SIZE", default_value = "10GB", value_parser = units::parse_size)]
    pub max_file_size: u64,

    /// The longest recording taken, as in 24h, 90m or plain seconds
    #[arg(long, env = "MAX_MEDIA_DURATION", default_value = "24h", value_parser = units::parse_duration)]
    pub max_media_duration: Duration,
}

/// Which addresses the service itself asks for.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Addresses to fetch from")]
pub struct UrlSettings {
    /// Whether clients may give the address of a file instead of a file
    #[arg(long, env = "ALLOW_URLS", value_name = "BOOL", action = ArgAction::Set, default_value = "false", value_parser = units::parse_switch)]
    pub allow_urls: bool,

    /// Networks that are not public and may be fetched from, as in 192.168.1.0/24,fd00::/8
    #[arg(long, env = "ALLOWED_NETWORKS", value_name = "NETWORKS", default_value = "", value_parser = networks)]
    pub allowed_networks: Networks,
}

/// How long what ended jobs leave is kept.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Storage")]
pub struct RetentionSettings {
    /// How long jobs and their results are kept after their end, as in 30d or 12h [default: for ever]
    #[arg(long, env = "RESULT_RETENTION", value_parser = units::parse_duration)]
    pub result_retention: Option<Duration>,

    /// How long uploads are kept after the end of their job; 0 removes them at once
    #[arg(long, env = "UPLOAD_RETENTION", default_value = "0", value_parser = units::parse_duration_or_zero)]
    pub upload_retention: Duration,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Webhooks")]
pub struct WebhookSettings {
    /// How long one webhook call may take, in seconds
    #[arg(long = "webhook-timeout", env = "WEBHOOK_TIMEOUT", default_value = "30", value_parser = units::parse_duration)]
    pub timeout: Duration,

    /// How many times a webhook is tried in all
    #[arg(long = "webhook-max-retries", env = "WEBHOOK_MAX_RETRIES", default_value = "3", value_parser = one_to::<100>)]
    pub max_retries: u32,

    /// The time between two tries, in seconds
    #[arg(long = "webhook-retry-delay", env = "WEBHOOK_RETRY_DELAY", default_value = "5", value_parser = units::parse_duration_or_zero)]
    pub retry_delay: Duration,
}

#[derive(Debug, Clone, Args)]
#[command(arg_required_else_help = true)]
pub struct ModelsSettings {
    #[command(subcommand)]
    pub command: ModelsCommand,

    #[command(flatten)]
    pub models_dir: ModelsDir,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ModelsCommand {
    /// Show every known model and whether it is here
    List,
    /// Fetch models from the Hugging Face hub, each file checked against its pinned hash
    Fetch {
        /// Their names, as `verbatim models list` shows them
        #[arg(required = true, value_name = "MODEL")]
        names: Vec<String>,

        #[command(flatten)]
        hub: HubSettings,
    },
    /// Read every file that is here and compare it with its pinned hash
    Check {
        /// Only these [default: every model that is here]
        #[arg(value_name = "MODEL")]
        names: Vec<String>,
    },
}

/// Where models are fetched from.
#[derive(Debug, Clone, Args)]
pub struct HubSettings {
    /// Where the hub is
    #[arg(long, help_heading = "Model", env = "HF_ENDPOINT", default_value = "https://huggingface.co", value_parser = http_url)]
    pub hf_endpoint: Url,
}

#[derive(Debug, Clone, Args)]
pub struct CompletionsSettings {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Debug, Clone, Args)]
pub struct ManSettings {
    /// The folder for a page of every command; created if it is not there [default: print the first page]
    #[arg(long, short, value_parser = path)]
    pub output: Option<PathBuf>,
}

/// What is wrong with a value of the command line or the environment, as one sentence. `None` if the error is of
/// another kind.
pub fn explain(error: &clap::Error) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    };
    // As in "--port <PORT>" and "<FILE>...".
    let argument = context(ContextKind::InvalidArg)?.split(' ').next()?.trim_end_matches("...");
    let name = match environment_variable(&Cli::command(), argument) {
        Some(variable) => format!("{variable} ({argument})"),
        None => argument.to_owned(),
    };
    if let Some(source) = error.source() {
        return Some(format!("{name}: {source}."));
    }
    let value = context(ContextKind::InvalidValue)?;
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(known)) => {
            Some(format!("{name}: “{value}” is not one of {}.", known.join(", ")))
        }
        _ => None,
    }
}

/// The environment variable of a flag, if it has one.
fn environment_variable(command: &clap::Command, flag: &str) -> Option<String> {
    let long = flag.strip_prefix("--")?;
    let here = command.get_arguments().find(|argument| argument.get_long() == Some(long));
    match here.and_then(|argument| argument.get_env()) {
        Some(variable) => Some(variable.to_string_lossy().into_owned()),
        None => command.get_subcommands().find_map(|command| environment_variable(command, flag)),
    }
}

fn networks(text: &str) -> Result<Networks, String> {
    text.parse()
}

fn host(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.parse().map_err(|_| format!("“{text}” is not an IP address, such as 127.0.0.1, 0.0.0.0 or ::1"))
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("“{text}” is not a port; ports are 0 to 65535"))
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("the path is empty".into()) } else { Ok(text.into()) }
}

fn one_to<const MAX: u32>(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 1..) if number <= MAX => Ok(number),
        _ => Err(format!("“{text}” is not a whole number from 1 to {MAX}")),
    }
}

fn language(text: &str) -> Result<Language, String> {
    Language::parse(text)
        .ok_or_else(|| format!("“{text}” is not a language that Whisper knows; write en or English"))
}

fn http_url(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| format!("“{text}” is not an address that begins with http:// or https://"))
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use verbatim_speech::DecodeOptions;
    use verbatim_structure::TopicOptions;

    use super::*;

    /// Parses the arguments of `serve` without the environment of the tests.
    fn serve(arguments: &[&str]) -> Result<ServeSettings, clap::Error> {
        let without_environment = |arg: clap::Arg| arg.env(clap::builder::Resettable::Reset);
        let isolated = Cli::command()
            .mut_args(without_environment)
            .mut_subcommand("serve", |serve| serve.mut_args(without_environment));
        let matches = isolated.try_get_matches_from(["verbatim", "serve"].iter().chain(arguments))?;
        ServeSettings::from_arg_matches(matches.subcommand_matches("serve").unwrap())
    }

    #[test]
    fn the_definitions_are_valid_for_clap() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let settings = serve(&[]).unwrap();
        assert_eq!(settings.listen.address().to_string(), "127.0.0.1:8000");
        assert_eq!(settings.storage.database_path, PathBuf::from("./transcription_jobs.db"));
        assert_eq!(settings.max_concurrent_jobs, 4);
        assert_eq!(settings.webhook.timeout, Duration::from_secs(30));
        assert_eq!(settings.webhook.max_retries, 3);
        assert_eq!(settings.webhook.retry_delay, Duration::from_secs(5));
        assert_eq!(settings.limits.max_file_size, 10_000_000_000);
        assert_eq!(settings.limits.max_media_duration, Duration::from_secs(24 * 3600));
        assert_eq!(settings.storage.upload_expiry, Duration::from_secs(24 * 3600));
        assert_eq!(settings.engine.options(), DecodeOptions { beam_size: 4, ..DecodeOptions::default() });
        assert!(settings.model.whisper_path().ends_with("models/base"));
        assert_eq!(settings.structure.topics(), Some(TopicOptions::default()));
        assert_eq!(settings.structure.spacy_model, None);
    }

    #[test]
    fn options_of_decoding_are_those_of_the_arguments() {
        let arguments = ["--initial-prompt= A talk. ", "--hotwords=Dashwoode", "--temperature=0,0.5"];
        let expected = DecodeOptions {
            beam_size: 4,
            initial_prompt: Some("A talk.".into()),
            hotwords: Some("Dashwoode".into()),
            temperatures: vec![0.0, 0.5],
            ..DecodeOptions::default()
        };
        assert_eq!(serve(&arguments).unwrap().engine.options(), expected);
    }

    #[test]
    fn a_bad_value_is_one_sentence_that_names_flag_and_variable() {
        for (flag, value, variable) in [
            ("--host", "nowhere", "HOST"),
            ("--port", "65536", "PORT"),
            ("--database-path", "", "DATABASE_PATH"),
            ("--upload-expiry", "0", "UPLOAD_EXPIRY"),
            ("--whisper-model", "base model", "WHISPER_MODEL"),
            ("--max-file-size", "lots", "MAX_FILE_SIZE"),
            ("--max-media-duration", "0", "MAX_MEDIA_DURATION"),
            ("--max-concurrent-jobs", "0", "MAX_CONCURRENT_JOBS"),
            ("--word-timestamps", "perhaps", "WORD_TIMESTAMPS"),
            ("--initial-prompt", &"x".repeat(5000), "INITIAL_PROMPT"),
            ("--hotwords", &"x".repeat(5000), "HOTWORDS"),
            ("--temperature", "0,2", "TEMPERATURE"),
            ("--spacy-model", "../en", "SPACY_MODEL"),
            ("--enable-topics", "perhaps", "ENABLE_TOPICS"),
            ("--min-topic-sentences", "0", "MIN_TOPIC_SENTENCES"),
            ("--allowed-networks", "home", "ALLOWED_NETWORKS"),
            ("--result-retention", "0", "RESULT_RETENTION"),
            ("--max-loaded-models", "0", "MAX_LOADED_MODELS"),
            ("--topic-granularity", "NaN", "TOPIC_GRANULARITY"),
            ("--webhook-max-retries", "-1", "WEBHOOK_MAX_RETRIES"),
            ("--webhook-timeout", "0", "WEBHOOK_TIMEOUT"),
            ("--log-level", "loud", "LOG_LEVEL"),
            ("--log-format", "xml", "LOG_FORMAT"),
        ] {
            let error = serve(&[&format!("{flag}={value}")]).unwrap_err();
            let sentence = explain(&error).unwrap_or_else(|| panic!("{flag}: {error}"));
            assert!(sentence.starts_with(&format!("{variable} ({flag}): ")), "{sentence}");
            assert!(sentence.ends_with('.') && !sentence.contains('\n'), "{sentence}");
        }
    }

    #[test]
    fn errors_of_other_kinds_are_left_to_clap() {
        assert_eq!(explain(&serve(&["--nope"]).unwrap_err()), None);
        assert_eq!(explain(&Cli::try_parse_from(["verbatim", "--help"]).unwrap_err()), None);
    }
}
