//! Settings of `verbatim watch`.

use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use url::Url;

use super::{ConnectionSettings, LocalSettings, http_url, path};
use crate::jobs::formats::Format;
use crate::units;

#[derive(Debug, Clone, Args)]
pub struct WatchSettings {
    // First, because what follows takes the values out of clap's matches.
    #[command(flatten)]
    pub typed: TypedOptions,

    /// The folder of recordings; its folders are watched as well
    #[arg(value_name = "IN", value_parser = path)]
    pub input: PathBuf,

    /// The folder for the transcripts, in the same folders as their recordings; created if it is not there
    #[arg(value_name = "OUT", value_parser = path)]
    pub output: PathBuf,

    /// What to write; several are separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "txt")]
    pub format: Vec<Format>,

    /// How often to look for new recordings, as in 10 or 5m
    #[arg(long, value_name = "DURATION", default_value = "5", value_parser = units::parse_duration)]
    pub interval: Duration,

    /// How long a file must not have changed before it is taken for whole
    #[arg(long, value_name = "DURATION", default_value = "5", value_parser = units::parse_duration_or_zero)]
    pub settle: Duration,

    /// End once every recording that is there is done
    #[arg(long)]
    pub once: bool,

    /// The server that transcribes [default: transcribe here]
    #[arg(long, help_heading = "Server", env = "VERBATIM_SERVER", value_name = "URL", value_parser = http_url)]
    pub server: Option<Url>,

    #[command(flatten)]
    pub connection: ConnectionSettings,

    #[command(flatten)]
    pub local: LocalSettings,
}

/// The options of jobs that stand on the command line, by their names in the API, as they were typed. A server gets these
/// alone: defaults and variables of this machine are not meant for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TypedOptions(Vec<(&'static str, String)>);

impl TypedOptions {
    /// The arguments that are options of a job, and their names in the API.
    const NAMES: [(&str, &str); 7] = [
        ("language", "language"),
        ("task", "task"),
        ("whisper_model", "model"),
        ("word_timestamps", "word_timestamps"),
        ("initial_prompt", "initial_prompt"),
        ("hotwords", "hotwords"),
        ("temperature", "temperature"),
    ];

    /// The options, by their names in the API.
    pub fn named(&self) -> &[(&'static str, String)] {
        &self.0
    }
}

impl FromArgMatches for TypedOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_typed = |argument: &str| matches.value_source(argument) == Some(ValueSource::CommandLine);
        let mut typed = Vec::new();
        for (argument, name) in Self::NAMES {
            if is_typed(argument)
                && let Some(text) = matches.get_raw(argument).and_then(|mut values| values.next())
            {
                typed.push((name, text.to_string_lossy().into_owned()));
            }
        }
        if is_typed("no_word_timestamps") {
            typed.retain(|(name, _)| *name != "word_timestamps");
            typed.push(("word_timestamps", "false".to_owned()));
        }
        Ok(Self(typed))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for TypedOptions {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Given {
        #[command(flatten)]
        watch: WatchSettings,
    }

    #[test]
    fn a_server_gets_the_options_that_were_typed_and_no_default() {
        let typed = |arguments: &[&str]| {
            let words = ["watch", "in", "out"].iter().chain(arguments);
            Given::try_parse_from(words).unwrap().watch.typed.named().to_vec()
        };
        assert_eq!(typed(&[]), []);
        assert_eq!(
            typed(&["--model=small", "--language", "German", "--temperature=0,0.5"]),
            [("language", "German"), ("model", "small"), ("temperature", "0,0.5")]
                .map(|(name, text)| (name, text.to_owned()))
        );
        let without_words = [("word_timestamps", "false".to_owned())];
        assert_eq!(typed(&["--no-word-timestamps"]), without_words);
        assert_eq!(typed(&["--word-timestamps=true", "--no-word-timestamps"]), without_words);
    }
}
