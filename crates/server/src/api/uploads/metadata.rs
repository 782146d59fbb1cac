//! The header `Upload-Metadata`: names with values in base64. They are the file's name, and the parameters of
//! `POST /process` by their names.

use std::collections::HashSet;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::api::intake::{Fields, Intake, IntakeError, sanitise};
use crate::api::native::Parameters;

/// The longest header, in bytes: many clients take no longer one in an answer, and `HEAD` sends it back.
const MAX_BYTES: usize = 32 << 10;

/// What a client says of its file.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) filename: String,
    pub(super) parameters: Parameters,
}

/// Parses the header and checks the parameters. Unknown names are skipped.
pub(super) fn parse(intake: &Intake, header: &str) -> Result<Metadata, IntakeError> {
    let mut filename = None;
    let mut parameters = Parameters::default();
    for (name, value) in pairs(header)? {
        match name {
            "filename" => filename = Some(utf8(name, value)?),
            "name" if filename.is_none() => filename = Some(utf8(name, value)?),
            // The file is what is uploaded.
            "url" => {}
            name if parameters.is_known(name) => parameters.set(intake, name, &utf8(name, value)?)?,
            _ => {}
        }
    }
    Ok(Metadata { filename: sanitise(filename.as_deref().unwrap_or_default()), parameters })
}

/// The names and the decoded values. A name may stand alone; its value is empty then.
fn pairs(header: &str) -> Result<Vec<(&str, Vec<u8>)>, IntakeError> {
    let malformed =
        |reason: String| IntakeError::Refused(format!("Upload-Metadata cannot be read: {reason}."));
    if header.len() > MAX_BYTES {
        return Err(malformed(format!("it is longer than {} kB", MAX_BYTES >> 10)));
    }
    if header.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for pair in header.split(',').map(str::trim) {
        let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
        if name.is_empty() {
            return Err(malformed("a name is missing".into()));
        }
        if !seen.insert(name) {
            return Err(malformed(format!("“{name}” is in it twice")));
        }
        let value = BASE64_STANDARD.decode(value);
        let value = value.map_err(|_| malformed(format!("the value of “{name}” is not base64")))?;
        found.push((name, value));
    }
    Ok(found)
}

fn utf8(name: &str, value: Vec<u8>) -> Result<String, IntakeError> {
    String::from_utf8(value).map_err(|_| IntakeError::Invalid(format!("The value of “{name}” is not UTF-8.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_base64_and_may_be_missing() {
        let pairs = pairs("filename dGFsay5tcDQ=, language ZGU=,is_confidential,empty ").unwrap();
        let expected = [("filename", "talk.mp4"), ("language", "de"), ("is_confidential", ""), ("empty", "")];
        assert_eq!(pairs, expected.map(|(name, value)| (name, value.as_bytes().to_vec())));
        assert_eq!(super::pairs("").unwrap(), []);
    }

    #[test]
    fn a_header_that_cannot_be_read_is_refused() {
        let long = format!("filename {}", "a".repeat(MAX_BYTES));
        for (header, says) in [
            ("filename talk.mp4", "“filename” is not base64"),
            ("filename dGFsay5tcDQ", "“filename” is not base64"),
            ("a YQ==,a Yg==", "“a” is in it twice"),
            ("a YQ==,,b Yg==", "a name is missing"),
            (&long, "longer than 32 kB"),
        ] {
            let error = pairs(header).unwrap_err().to_string();
            assert!(error.contains(says) && error.ends_with('.'), "{header}: {error}");
        }
    }
}
