//! The query of a request, and its only part, `audio_file`.

use axum::http::Uri;
use axum::http::request::Parts;
use url::form_urlencoded;

use crate::api::intake::{Fields, Intake, IntakeError, Submission};
use crate::jobs::JobOptions;
use crate::units::parse_switch;

/// The form of the transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Output {
    #[default]
    Txt,
    Vtt,
    Srt,
    Tsv,
    Json,
}

impl Output {
    fn parse(text: &str) -> Option<Self> {
        [Self::Txt, Self::Vtt, Self::Srt, Self::Tsv, Self::Json]
            .into_iter()
            .find(|output| output.extension() == text)
    }

    /// The extension of a file in this form, which is also its name in the query.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Vtt => "vtt",
            Self::Srt => "srt",
            Self::Tsv => "tsv",
            Self::Json => "json",
        }
    }
}

/// The `output` of a query, however wrong the rest of it is.
pub(super) fn output_of(uri: &Uri) -> Output {
    let given = pairs(uri).into_iter().find(|(name, _)| name == "output");
    given.and_then(|(_, text)| Output::parse(&text)).unwrap_or_default()
}

#[derive(Debug, Clone)]
pub(super) struct AsrForm {
    options: JobOptions,
    /// The header of a WAV file where the part is bare samples, else nothing.
    prefix: Vec<u8>,
}

impl AsrForm {
    pub(super) fn from_query(intake: &Intake, head: &Parts) -> Result<Self, IntakeError> {
        let mut form = Self { options: JobOptions::default(), prefix: Vec::new() };
        for (name, text) in pairs(&head.uri) {
            match name.as_str() {
                "task" | "language" | "initial_prompt" | "hotwords" | "word_timestamps" => {
                    form.options.set(&name, &text).map_err(IntakeError::Invalid)?;
                }
                // Their model is a name of the engine's; one that is not here means the default.
                "model" if intake.recognizers.knows(text.trim()) => {
                    form.options.set(&name, &text).map_err(IntakeError::Invalid)?;
                }
                "encode" if parse_switch(&text) == Ok(false) => form.prefix = wav_header(),
                _ => {}
            }
        }
        Ok(form)
    }
}

impl Fields for AsrForm {
    const FILE: &'static str = "audio_file";

    fn is_known(&self, _: &str) -> bool {
        false
    }

    fn set(&mut self, _: &Intake, _: &str, _: &str) -> Result<(), IntakeError> {
        Ok(())
    }

    fn options(&self) -> JobOptions {
        self.options.clone()
    }

    fn prefix(&self) -> &[u8] {
        &self.prefix
    }
}

impl From<AsrForm> for Submission {
    fn from(form: AsrForm) -> Self {
        Self { options: form.options, webhook_url: None }
    }
}

fn pairs(uri: &Uri) -> Vec<(String, String)> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// The header of a WAV file of 16-bit mono at 16 kHz whose length is not known: what Bazarr sends are its samples.
fn wav_header() -> Vec<u8> {
    const UNKNOWN: u32 = u32::MAX;
    const RATE: u32 = 16_000;
    let mut header = Vec::with_capacity(44);
    header.extend(b"RIFF");
    header.extend(UNKNOWN.to_le_bytes());
    header.extend(b"WAVEfmt ");
    header.extend(16u32.to_le_bytes());
    // PCM, one channel.
    header.extend(1u16.to_le_bytes());
    header.extend(1u16.to_le_bytes());
    header.extend(RATE.to_le_bytes());
    header.extend((RATE * 2).to_le_bytes());
    // Bytes of a sample, and its bits.
    header.extend(2u16.to_le_bytes());
    header.extend(16u16.to_le_bytes());
    header.extend(b"data");
    header.extend(UNKNOWN.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_told_from_the_query_and_txt_is_the_default() {
        for (uri, output) in [
            ("/asr?output=srt", Output::Srt),
            ("/asr?task=x&output=json", Output::Json),
            ("/asr", Output::Txt),
            ("/asr?output=docx", Output::Txt),
        ] {
            assert_eq!(output_of(&uri.parse().unwrap()), output, "{uri}");
        }
    }
}
