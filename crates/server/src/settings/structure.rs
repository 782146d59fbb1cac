//! Settings of the structure of a transcript.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use verbatim_speech::Language;
use verbatim_structure::{SpacyModel, StructurerOptions, TopicOptions};

use super::whisper_model::is_name;
use super::{ModelsDir, language, one_to};
use crate::units;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Structure")]
pub struct StructureSettings {
    /// The spaCy pipeline for English, by its name in the models' folder, or none to do without [default: en_core_web_sm,
    /// if it is there]
    #[arg(long, env = "SPACY_MODEL", value_name = "NAME", value_parser = spacy_model)]
    pub spacy_model: Option<SpacyModel>,

    /// Whether to find out what a recording is about, and where its subject changes
    #[arg(long, env = "ENABLE_TOPICS", value_name = "BOOL", action = ArgAction::Set, default_value = "true", value_parser = units::parse_switch)]
    pub enable_topics: bool,

    /// How many sentences a topic has at least
    #[arg(long, env = "MIN_TOPIC_SENTENCES", value_name = "NUMBER", default_value = "3", value_parser = one_to::<1000>)]
    pub min_topic_sentences: u32,

    /// How finely to divide into topics, from 0.1 to 10: above 1 there are more, below 1 fewer
    #[arg(long, env = "TOPIC_GRANULARITY", value_name = "NUMBER", default_value = "1", value_parser = granularity)]
    pub topic_granularity: f64,
}

#[derive(Debug, Clone, Args)]
pub struct StructureCommand {
    /// Results as JSON, as the API gives them, or plain text
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// The language of the text, as a code (de) or a name (German) [default: as the result says]
    #[arg(long, value_parser = language)]
    pub language: Option<Language>,

    #[command(flatten)]
    pub models_dir: ModelsDir,

    #[command(flatten)]
    pub structure: StructureSettings,
}

impl StructureSettings {
    /// The options of topics; `None` if topics are disabled.
    pub fn topics(&self) -> Option<TopicOptions> {
        let options = TopicOptions {
            min_sentences: self.min_topic_sentences as usize,
            granularity: self.topic_granularity,
        };
        self.enable_topics.then_some(options)
    }

    /// What to load from the folder of model files, and how to structure.
    pub fn options(&self, models_dir: &Path) -> StructurerOptions {
        StructurerOptions {
            models_dir: models_dir.to_owned(),
            spacy_model: self.spacy_model.clone().unwrap_or_default(),
            topics: self.topics(),
        }
    }
}

fn spacy_model(text: &str) -> Result<SpacyModel, String> {
    match text {
        _ if text.eq_ignore_ascii_case("none") => Ok(SpacyModel::Off),
        name if is_name(name) => Ok(SpacyModel::Named(name.to_owned())),
        _ => {
            let example = SpacyModel::DEFAULT;
            Err(format!("“{text}” is neither a pipeline's name, such as {example}, nor none"))
        }
    }
}

fn granularity(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number| (0.1..=10.0).contains(number))
        .ok_or_else(|| format!("“{text}” is not a number from 0.1 to 10"))
}
