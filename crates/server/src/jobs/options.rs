//! The options of a job: parsed from text, and merged with the settings of the service.

use serde::{Deserialize, Serialize};
use verbatim_speech::{DecodeOptions, Language, Task};

use crate::units;

/// The longest initial prompt and the longest list of hotwords, in bytes. The model uses less of them: see
/// [`DecodeOptions::initial_prompt`].
const MAX_TEXT_BYTES: usize = 4096;

/// The name by which clients of OpenAI's API ask for whatever model there is.
pub const OPENAI_MODEL: &str = "whisper-1";

/// The most temperatures. Each of them may cost another decoding of a window.
const MAX_TEMPERATURES: usize = 10;

/// How a client wants its file to be transcribed. `None` leaves an option to the settings of the service. Stored with
/// the job, as JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobOptions {
    /// `None` to use the language of the settings, or to detect it.
    pub language: Option<Language>,
    /// The name of the model.
    pub model: Option<String>,
    pub task: Option<Task>,
    pub word_timestamps: Option<bool>,
    pub initial_prompt: Option<String>,
    pub hotwords: Option<String>,
    pub temperature: Option<Temperatures>,
    /// The number of an audio track, from 1, or its language. `None` for the track that a player would choose.
    pub audio_track: Option<String>,
    pub channels: Option<Channels>,
}

/// What becomes of the channels of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// All are transcribed as one.
    Mixed,
    /// Each is transcribed on its own; what is the same on several is transcribed once.
    Separate,
}

impl JobOptions {
    /// The names of the options in queries and forms.
    pub const NAMES: [&str; 9] = [
        "language",
        "model",
        "task",
        "word_timestamps",
        "initial_prompt",
        "hotwords",
        "temperature",
        "audio_track",
        "channels",
    ];

    /// Sets the option of this name, one of [`Self::NAMES`], from text. An empty text gives `None`, because forms send
    /// empty fields for inputs that were not filled in. The error is a sentence.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let given = Some(text.trim()).filter(|text| !text.is_empty());
        let with_name = |reason: String| format!("{name}: {reason}.");
        match name {
            "language" => self.language = given.map(parse_language).transpose()?,
            "model" => self.model = given.filter(|name| *name != OPENAI_MODEL).map(str::to_owned),
            "task" => self.task = given.map(parse_task).transpose().map_err(with_name)?,
            "word_timestamps" => {
                self.word_timestamps = given.map(units::parse_switch).transpose().map_err(with_name)?;
            }
            "initial_prompt" => self.initial_prompt = given.map(parse_text).transpose().map_err(with_name)?,
            "hotwords" => self.hotwords = given.map(parse_text).transpose().map_err(with_name)?,
            "temperature" => {
                self.temperature = given.map(Temperatures::parse).transpose().map_err(with_name)?;
            }
            "audio_track" => self.audio_track = given.map(parse_track).transpose().map_err(with_name)?,
            "channels" => self.channels = given.map(parse_channels).transpose().map_err(with_name)?,
            _ => {}
        }
        Ok(())
    }

    /// Sets the initial prompt from a field of another name. The error is a sentence.
    pub fn set_prompt(&mut self, name: &str, text: &str) -> Result<(), String> {
        let given = Some(text.trim()).filter(|text| !text.is_empty());
        self.initial_prompt =
            given.map(parse_text).transpose().map_err(|reason| format!("{name}: {reason}."))?;
        Ok(())
    }

    /// Fills options that are `None` from `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            language: self.language.or(other.language),
            model: self.model.or(other.model),
            task: self.task.or(other.task),
            word_timestamps: self.word_timestamps.or(other.word_timestamps),
            initial_prompt: self.initial_prompt.or(other.initial_prompt),
            hotwords: self.hotwords.or(other.hotwords),
            temperature: self.temperature.or(other.temperature),
            audio_track: self.audio_track.or(other.audio_track),
            channels: self.channels.or(other.channels),
        }
    }

    /// The options of decoding: those of the job, and where it has none, those of the `settings`.
    pub fn over(&self, settings: &DecodeOptions) -> DecodeOptions {
        let (job, settings) = (self.clone(), settings.clone());
        DecodeOptions {
            language: job.language.or(settings.language),
            task: job.task.unwrap_or(settings.task),
            word_timestamps: job.word_timestamps.unwrap_or(settings.word_timestamps),
            initial_prompt: job.initial_prompt.or(settings.initial_prompt),
            hotwords: job.hotwords.or(settings.hotwords),
            temperatures: job.temperature.map_or(settings.temperatures, |Temperatures(numbers)| numbers),
            ..settings
        }
    }
}

/// Sampling temperatures, tried in turn until a text is good enough. 0 takes the most probable tokens; higher values up
/// to 1 sample them more and more freely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Temperatures(Vec<f32>);

impl Temperatures {
    /// Parses a number from 0 to 1, or several separated by commas. The error is the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| match text.trim().parse() {
            Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
            _ => Err(format!("“{}” is not a number from 0 to 1", text.trim())),
        };
        let numbers: Vec<f32> = text.split(',').map(number).collect::<Result<_, _>>()?;
        if numbers.len() > MAX_TEMPERATURES {
            return Err(format!("“{text}” is more than {MAX_TEMPERATURES} numbers"));
        }
        Ok(Self(numbers))
    }

    /// The temperatures, in the order in which they are tried.
    pub fn numbers(&self) -> &[f32] {
        &self.0
    }
}

fn parse_language(text: &str) -> Result<Language, String> {
    Language::parse(text).ok_or_else(|| {
        format!("“{text}” is not a language that is known here; send a code such as en, or a name such as English.")
    })
}

fn parse_track(text: &str) -> Result<String, String> {
    const MAX_BYTES: usize = 64;
    if text.len() > MAX_BYTES {
        return Err(format!("the text is longer than {MAX_BYTES} bytes; it is a number or a language"));
    }
    Ok(text.to_owned())
}

fn parse_channels(text: &str) -> Result<Channels, String> {
    match text.to_ascii_lowercase().as_str() {
        "mixed" => Ok(Channels::Mixed),
        "separate" => Ok(Channels::Separate),
        _ => Err(format!("“{text}” is neither mixed nor separate")),
    }
}

/// Parses `transcribe` or `translate`. The error is the end of a sentence.
pub fn parse_task(text: &str) -> Result<Task, String> {
    Task::parse(text).ok_or_else(|| format!("“{text}” is neither transcribe nor translate"))
}

/// Parses an initial prompt or hotwords: trims the text and checks its length.
pub fn parse_text(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("the text is longer than {MAX_TEXT_BYTES} bytes"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &[(&str, &str)]) -> JobOptions {
        let mut options = JobOptions::default();
        for (name, text) in given {
            options.set(name, text).unwrap();
        }
        options
    }

    fn all() -> JobOptions {
        options(&[
            ("language", "German"),
            ("model", " tiny.en "),
            ("task", "Translate"),
            ("word_timestamps", "no"),
            ("initial_prompt", " Auf Gleis sieben. "),
            ("hotwords", "Hamburg, Altona"),
            ("temperature", "0, 0.2,1"),
            ("audio_track", " 2 "),
            ("channels", "Separate"),
        ])
    }

    #[test]
    fn every_option_is_set_by_its_name() {
        let expected = JobOptions {
            language: Language::parse("de"),
            model: Some("tiny.en".into()),
            task: Some(Task::Translate),
            word_timestamps: Some(false),
            initial_prompt: Some("Auf Gleis sieben.".into()),
            hotwords: Some("Hamburg, Altona".into()),
            temperature: Some(Temperatures(vec![0.0, 0.2, 1.0])),
            audio_track: Some("2".into()),
            channels: Some(Channels::Separate),
        };
        assert_eq!(all(), expected);
        assert_eq!(options(&JobOptions::NAMES.map(|name| (name, " "))), JobOptions::default());
        assert_eq!(options(&[("model", "whisper-1")]), JobOptions::default(), "the default model");
        let fields = serde_json::to_value(expected).unwrap();
        let fields: Vec<&str> = fields.as_object().unwrap().keys().map(String::as_str).collect();
        let mut names = JobOptions::NAMES;
        names.sort_unstable();
        assert_eq!(fields, names);
    }

    #[test]
    fn invalid_values_are_refused_with_a_sentence() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        for (name, text, says) in [
            ("language", "klingon", "klingon"),
            ("task", "summarise", "neither transcribe nor translate"),
            ("word_timestamps", "perhaps", "neither true nor false"),
            ("initial_prompt", long.as_str(), "4096 bytes"),
            ("hotwords", long.as_str(), "4096 bytes"),
            ("audio_track", &"x".repeat(65), "64 bytes"),
            ("channels", "left", "neither mixed nor separate"),
            ("temperature", "hot", "“hot” is not a number from 0 to 1"),
            ("temperature", "1.1", "“1.1”"),
            ("temperature", "-0.1", "“-0.1”"),
            ("temperature", "NaN", "“NaN”"),
            ("temperature", "0,,1", "“” is not"),
            ("temperature", "0,0,0,0,0,0,0,0,0,0,0", "more than 10"),
        ] {
            let sentence = JobOptions::default().set(name, text).unwrap_err();
            assert!(sentence.contains(says) && sentence.ends_with('.'), "{name}={text}: {sentence}");
        }
    }

    #[test]
    fn options_of_a_job_override_the_settings() {
        let settings = DecodeOptions {
            beam_size: 3,
            initial_prompt: Some("A prompt of the service.".into()),
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
    fn or_fills_only_missing_options() {
        let first = options(&[("language", "fr"), ("hotwords", "Lyon")]);
        let both = first.or(all());
        assert_eq!(
            both,
            JobOptions { language: Language::parse("fr"), hotwords: Some("Lyon".into()), ..all() }
        );
        assert_eq!(JobOptions::default().or(all()), all());
    }

    #[test]
    fn options_are_stored_as_json_and_missing_ones_are_allowed() {
        let json = serde_json::to_string(&all()).unwrap();
        assert!(json.contains(r#""temperature":[0.0,0.2,1.0]"#), "{json}");
        assert_eq!(serde_json::from_str::<JobOptions>(&json).unwrap(), all());
        assert_eq!(serde_json::from_str::<JobOptions>("{}").unwrap(), JobOptions::default());
    }
}
