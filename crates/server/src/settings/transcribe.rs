//! Settings of transcription without a server: `verbatim transcribe`, and `verbatim watch` without `--server`.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use verbatim_speech::{DecodeOptions, Language, Task};

use super::{EngineSettings, HubSettings, ModelSettings, StructureSettings, language, path};
use crate::jobs::formats::Format;
use crate::jobs::formats::subtitles::Layout;
use crate::jobs::options;
use crate::units;

#[derive(Debug, Clone, Args)]
pub struct TranscribeSettings {
    /// Audio or video files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// What to write; several, separated by commas, need --output
    #[arg(long, value_enum, value_delimiter = ',', default_value = "txt")]
    pub format: Vec<Format>,

    /// Where to write: a folder, or for one file in one format a file's name [default: the terminal]
    #[arg(long, short, value_parser = path)]
    pub output: Option<PathBuf>,

    /// The most that is read from standard input, as in 10GB, 500MB, 1GiB or plain bytes
    #[arg(long, env = "MAX_FILE_SIZE", default_value = "10GB", value_parser = units::parse_size)]
    pub max_file_size: u64,

    /// Say in the end, on standard error, where the time went
    #[arg(long)]
    pub stages: bool,

    #[command(flatten)]
    pub local: LocalSettings,
}

impl TranscribeSettings {
    /// Whether an input is standard input.
    pub fn is_stdin(file: &Path) -> bool {
        file == Path::new("-")
    }

    /// The folder that standard input is written to while it is transcribed: `$TMPDIR`, or `/tmp`.
    pub fn temporary_dir() -> PathBuf {
        env::temp_dir()
    }
}

/// How recordings are transcribed in this process.
#[derive(Debug, Clone, Args)]
pub struct LocalSettings {
    /// The language spoken, as a code (de) or a name (German) [default: detect it]
    #[arg(long, value_parser = language)]
    pub language: Option<Language>,

    /// transcribe, or translate into English
    #[arg(long, default_value = "transcribe", value_parser = options::parse_task)]
    pub task: Task,

    /// The longest recording taken, as in 24h, 90m or plain seconds
    #[arg(long, env = "MAX_MEDIA_DURATION", default_value = "24h", value_parser = units::parse_duration)]
    pub max_media_duration: Duration,

    /// Leave the times of words out of the result, whatever WORD_TIMESTAMPS says
    #[arg(long)]
    pub no_word_timestamps: bool,

    #[command(flatten)]
    pub layout: Layout,

    #[command(flatten)]
    pub model: ModelSettings,

    /// Fetch the model without asking if it is not here
    #[arg(long, help_heading = "Model")]
    pub fetch: bool,

    #[command(flatten)]
    pub hub: HubSettings,

    #[command(flatten)]
    pub engine: EngineSettings,

    #[command(flatten)]
    pub structure: StructureSettings,
}

impl LocalSettings {
    /// The options of decoding.
    pub fn options(&self) -> DecodeOptions {
        let options = self.engine.options();
        DecodeOptions {
            task: self.task,
            word_timestamps: options.word_timestamps && !self.no_word_timestamps,
            ..options
        }
    }
}
