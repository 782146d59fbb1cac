//! Settings of the model and of the engine that runs it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use verbatim_speech::DecodeOptions;

use super::{ModelsDir, WhisperModel, one_to};
use crate::jobs::options::{self, Temperatures};
use crate::units;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelSettings {
    #[command(flatten)]
    pub models_dir: ModelsDir,

    /// The Whisper model: a folder or a ggml-*.bin, by its name in the models' folder or by its path
    #[arg(long, visible_alias = "model", env = "WHISPER_MODEL", default_value = "base", value_parser = WhisperModel::parse)]
    pub whisper_model: WhisperModel,
}

impl ModelSettings {
    /// The folder or file of the Whisper model.
    pub fn whisper_path(&self) -> PathBuf {
        self.whisper_model.path(&self.models_dir)
    }

    /// The file of the voice activity model.
    pub fn vad_path(&self) -> PathBuf {
        self.models_dir.join("silero_vad_v6.onnx")
    }
}

/// Which models stay in memory.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Model")]
pub struct PoolSettings {
    /// How many models are in memory at the same time; jobs of another one wait until one of them is not used
    #[arg(long, env = "MAX_LOADED_MODELS", default_value = "1", value_parser = one_to::<100>)]
    pub max_loaded_models: u32,

    /// How long a model that no job uses stays in memory, as in 10m; 0 keeps it until another one needs its room
    #[arg(long, env = "MODEL_IDLE_TIMEOUT", default_value = "0", value_parser = units::parse_duration_or_zero)]
    pub model_idle_timeout: Duration,
}

/// How the model is run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineSettings {
    /// How many threads compute [default: one for every processor]
    #[arg(long, env = "THREADS", value_parser = one_to::<1024>)]
    pub threads: Option<u32>,

    /// How many windows are decoded beside each other; more is faster and takes more memory
    #[arg(long, env = "BATCH_SIZE", default_value = "16", value_parser = one_to::<1024>)]
    pub batch_size: u32,

    /// How many texts are followed side by side to find the most probable; 1 is greedy decoding
    #[arg(long, env = "BEAM_SIZE", default_value = "4", value_parser = one_to::<32>)]
    pub beam_size: u32,

    /// How exactly to compute
    #[arg(long, env = "COMPUTE_TYPE", value_enum, ignore_case = true, default_value = "auto")]
    pub compute_type: ComputeType,

    /// Whether results tell when each word was said
    #[arg(long, env = "WORD_TIMESTAMPS", value_name = "BOOL", action = ArgAction::Set, default_value = "true", value_parser = units::parse_switch)]
    pub word_timestamps: bool,

    /// Text that the model is to believe came before every stretch of speech: names, spelling, style
    #[arg(long, env = "INITIAL_PROMPT", value_name = "TEXT", value_parser = options::parse_text)]
    pub initial_prompt: Option<String>,

    /// Words that the model is to expect, in their spelling
    #[arg(long, env = "HOTWORDS", value_name = "TEXT", value_parser = options::parse_text)]
    pub hotwords: Option<String>,

    /// How freely to choose words, from 0 to 1; of several, separated by commas, each is tried until a text will do
    #[arg(long, env = "TEMPERATURE", value_name = "NUMBERS", default_value = "0,0.2,0.4,0.6,0.8,1", value_parser = Temperatures::parse)]
    pub temperature: Temperatures,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ComputeType {
    /// The fastest that keeps the words
    Auto,
    /// Matrix products in bytes, attention to the audio in bytes and bfloat16, no more silence than counts
    Int8,
    /// All in 32-bit floating point, every window filled up to 30 s, as the reference computes
    #[value(alias = "float32")]
    F32,
}

impl EngineSettings {
    /// The number of threads: as set, or one for every processor.
    pub fn threads(&self) -> NonZeroUsize {
        let threads = self.threads.and_then(|threads| NonZeroUsize::new(threads as usize));
        threads.or_else(|| available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }

    /// The number of windows that are decoded together.
    pub fn batch_size(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.batch_size as usize).unwrap_or(NonZeroUsize::MIN)
    }

    /// The compute type, as the engine's own enum.
    pub fn compute(&self) -> verbatim_whisper::ComputeType {
        match self.compute_type {
            ComputeType::Auto => verbatim_whisper::ComputeType::Auto,
            ComputeType::Int8 => verbatim_whisper::ComputeType::Int8,
            ComputeType::F32 => verbatim_whisper::ComputeType::F32,
        }
    }

    /// The options of decoding for jobs that set none of their own.
    pub fn options(&self) -> DecodeOptions {
        DecodeOptions {
            beam_size: self.beam_size as usize,
            word_timestamps: self.word_timestamps,
            initial_prompt: self.initial_prompt.clone(),
            hotwords: self.hotwords.clone(),
            temperatures: self.temperature.numbers().to_vec(),
            ..DecodeOptions::default()
        }
    }
}
