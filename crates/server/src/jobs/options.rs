//! What a client may ask of the decoding: read from text, and laid over the service's settings.

use serde::{Deserialize, Serialize};
use verbatim_speech::{DecodeOptions, Language, Task};

use crate::units;

/// The longest initial prompt, and the longest list of hotwords, in bytes. The model takes in less: see
/// [`DecodeOptions::initial_prompt`].
const MOST_BYTES: usize = 4096;

/// Every temperature may take a decoding of its own.
const MOST_TEMPERATURES: usize = 10;

/// What is not asked for is left to the service's settings. Stored with its job, as JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobOptions {
    /// `None` to detect it.
    pub language: Option<Language>,
    pub task: Option<Task>,
    pub word_timestamps: Option<bool>,
    pub initial_prompt: Option<String>,
    pub hotwords: Option<String>,
    pub temperature: Option<Temperatures>,
}

impl JobOptions {
    /// What an option is called in queries and forms.
    pub const NAMES: [&str; 6] =
        ["language", "task", "word_timestamps", "initial_prompt", "hotwords", "temperature"];

    /// Takes an option by its name, one of [`Self::NAMES`]. An empty text is none: forms send empty fields for what was
    /// not filled in. Gives a sentence where the text makes no sense.
    pub fn take(&mut self, name: &str, text: &str) -> Result<(), String> {
        let given = Some(text.trim()).filter(|text| !text.is_empty());
        let named = |reason: String| format!("{name}: {reason}.");
        match name {
            "language" => self.language = given.map(parse_language).transpose()?,
            "task" => self.task = given.map(parse_task).transpose().map_err(named)?,
            "word_timestamps" => {
                self.word_timestamps = given.map(units::parse_switch).transpose().map_err(named)?;
            }
            "initial_prompt" => self.initial_prompt = given.map(parse_text).transpose().map_err(named)?,
            "hotwords" => self.hotwords = given.map(parse_text).transpose().map_err(named)?,
            "temperature" => {
                self.temperature = given.map(Temperatures::parse).transpose().map_err(named)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// These, and where there are none, those of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            language: self.language.or(other.language),
            task: self.task.or(other.task),
            word_timestamps: self.word_timestamps.or(other.word_timestamps),
            initial_prompt: self.initial_prompt.or(other.initial_prompt),
            hotwords: self.hotwords.or(other.hotwords),
            temperature: self.temperature.or(other.temperature),
        }
    }

    /// How to decode: as asked, and else as the service is set.
    pub fn over(&self, settings: &DecodeOptions) -> DecodeOptions {
        let (asked, settings) = (self.clone(), settings.clone());
        DecodeOptions {
            language: asked.language.or(settings.language),
            task: asked.task.unwrap_or(settings.task),
            word_timestamps: asked.word_timestamps.unwrap_or(settings.word_timestamps),
            initial_prompt: asked.initial_prompt.or(settings.initial_prompt),
            hotwords: asked.hotwords.or(settings.hotwords),
            temperatures: asked.temperature.map_or(settings.temperatures, |Temperatures(each)| each),
            ..settings
        }
    }
}

/// What is tried in turn until a text is good enough: 0 takes the most probable words, up to 1 draws them more and
/// more freely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Temperatures(Vec<f32>);

impl Temperatures {
    /// A number from 0 to 1, or several separated by commas.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| match text.trim().parse() {
            Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
            _ => Err(format!("“{}” is not a number from 0 to 1", text.trim())),
        };
        let numbers: Vec<f32> = text.split(',').map(number).collect::<Result<_, _>>()?;
        if numbers.len() > MOST_TEMPERATURES {
            return Err(format!("“{text}” is more than {MOST_TEMPERATURES} numbers"));
        }
        Ok(Self(numbers))
    }

    pub fn numbers(&self) -> &[f32] {
        &self.0
    }
}

fn parse_language(text: &str) -> Result<Language, String> {
    Language::parse(text).ok_or_else(|| {
        format!("“{text}” is not a language that is known here; send a code such as en, or a name such as English.")
    })
}

pub fn parse_task(text: &str) -> Result<Task, String> {
    Task::parse(text).ok_or_else(|| format!("“{text}” is neither transcribe nor translate"))
}

/// An initial prompt, or hotwords.
pub fn parse_text(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.len() > MOST_BYTES {
        return Err(format!("the text is longer than {MOST_BYTES} bytes"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &[(&str, &str)]) -> JobOptions {
        let mut options = JobOptions::default();
        for (name, text) in given {
            options.take(name, text).unwrap();
        }
        options
    }

    fn all() -> JobOptions {
        options(&[
            ("language", "German"),
            ("task", "Translate"),
            ("word_timestamps", "no"),
            ("initial_prompt", " Auf Gleis sieben. "),
            ("hotwords", "Hamburg, Altona"),
            ("temperature", "0, 0.2,1"),
        ])
    }

    #[test]
    fn every_option_is_taken_by_its_name() {
        let expected = JobOptions {
            language: Language::parse("de"),
            task: Some(Task::Translate),
            word_timestamps: Some(false),
            initial_prompt: Some("Auf Gleis sieben.".into()),
            hotwords: Some("Hamburg, Altona".into()),
            temperature: Some(Temperatures(vec![0.0, 0.2, 1.0])),
        };
        assert_eq!(all(), expected);
        assert_eq!(options(&JobOptions::NAMES.map(|name| (name, " "))), JobOptions::default());
        let fields = serde_json::to_value(expected).unwrap();
        let fields: Vec<&str> = fields.as_object().unwrap().keys().map(String::as_str).collect();
        let mut names = JobOptions::NAMES;
        names.sort_unstable();
        assert_eq!(fields, names);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_a_sentence() {
        let long = "x".repeat(MOST_BYTES + 1);
        for (name, text, says) in [
            ("language", "klingon", "klingon"),
            ("task", "summarise", "neither transcribe nor translate"),
            ("word_timestamps", "perhaps", "neither true nor false"),
            ("initial_prompt", long.as_str(), "4096 bytes"),
            ("hotwords", long.as_str(), "4096 bytes"),
            ("temperature", "hot", "“hot” is not a number from 0 to 1"),
            ("temperature", "1.1", "“1.1”"),
            ("temperature", "-0.1", "“-0.1”"),
            ("temperature", "NaN", "“NaN”"),
            ("temperature", "0,,1", "“” is not"),
            ("temperature", "0,0,0,0,0,0,0,0,0,0,0", "more than 10"),
        ] {
            let sentence = JobOptions::default().take(name, text).unwrap_err();
            assert!(sentence.contains(says) && sentence.ends_with('.'), "{name}={text}: {sentence}");
        }
    }

    #[test]
    fn options_go_over_the_settings_and_leave_the_rest_to_them() {
        let settings = DecodeOptions {
            beam_size: 3,
            initial_prompt: Some("A prompt of the house.".into()),
            temperatures: vec![0.0],
            ..DecodeOptions::default()
        };
        assert_eq!(JobOptions::default().over(&settings), settings);
        let expected = DecodeOptions {
            language: Language::parse("de"),
            task: Task::Translate,
            word_timestamps: false,
            initial_prompt: Some("Auf Gleis sieben.".into()),
            hotwords: Some("Hamburg, Altona".into()),
            temperatures: vec![0.0, 0.2, 1.0],
            ..settings.clone()
        };
        assert_eq!(all().over(&settings), expected);
    }

    #[test]
    fn what_was_said_first_counts_and_the_rest_is_kept() {
        let first = options(&[("language", "fr"), ("hotwords", "Lyon")]);
        let both = first.or(all());
        assert_eq!(
            both,
            JobOptions { language: Language::parse("fr"), hotwords: Some("Lyon".into()), ..all() }
        );
        assert_eq!(JobOptions::default().or(all()), all());
    }

    #[test]
    fn options_are_kept_as_json_in_any_version() {
        let json = serde_json::to_string(&all()).unwrap();
        assert!(json.contains(r#""temperature":[0.0,0.2,1.0]"#), "{json}");
        assert_eq!(serde_json::from_str::<JobOptions>(&json).unwrap(), all());
        assert_eq!(serde_json::from_str::<JobOptions>("{}").unwrap(), JobOptions::default());
    }
}
