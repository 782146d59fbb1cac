//! Multipart forms, through reqwest and by hand.

use std::path::Path;

use reqwest::multipart::{Form, Part};

/// A form of one file with its name.
pub(crate) fn file(path: &Path) -> Form {
    let name = path.file_name().expect("a file").to_string_lossy().into_owned();
    named(&name, std::fs::read(path).expect("a readable file"))
}

/// A form of one file with this name and content.
pub(crate) fn named(name: &str, content: Vec<u8>) -> Form {
    Form::new().part("file", Part::bytes(content).file_name(name.to_owned()))
}
