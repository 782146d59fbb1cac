//! The header `Upload-Checksum`: the hash of a request's body, such as `sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=`.

use axum::http::HeaderMap;
use base64::prelude::{BASE64_STANDARD, Engine};
use sha1::Sha1;
use sha2::Sha256;

use super::error::UploadError;
use super::headers::text;
use super::protocol::UPLOAD_CHECKSUM;

/// The algorithms by their names in the protocol.
pub(super) const ALGORITHMS: &str = "sha1,sha256";

/// The hash that a body is to have, and the hash of what has arrived of it.
#[derive(Debug)]
pub(super) struct Checksum {
    expected: Vec<u8>,
    actual: Hasher,
}

#[derive(Debug)]
enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Checksum {
    /// Reads the header; `None` if there is none.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, UploadError> {
        let Some(text) = text(headers, &UPLOAD_CHECKSUM)? else { return Ok(None) };
        let (algorithm, expected) = text.split_once(' ').unwrap_or((text, ""));
        let actual = match algorithm {
            "sha1" => Hasher::Sha1(Sha1::default()),
            "sha256" => Hasher::Sha256(Sha256::default()),
            _ => {
                let sentence = format!("The checksum “{algorithm}” is not one of {ALGORITHMS}.");
                return Err(UploadError::malformed(sentence));
            }
        };
        let expected = BASE64_STANDARD.decode(expected).ok().filter(|bytes| bytes.len() == actual.size());
        let sentence = "The header Upload-Checksum does not hold a whole hash in base64.";
        Ok(Some(Self { expected: expected.ok_or_else(|| UploadError::malformed(sentence))?, actual }))
    }

    /// Takes in bytes that have arrived.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.actual {
            Hasher::Sha1(hasher) => sha1::Digest::update(hasher, bytes),
            Hasher::Sha256(hasher) => sha2::Digest::update(hasher, bytes),
        }
    }

    /// Whether the bytes that have arrived are the expected ones.
    pub(super) fn matches(self) -> bool {
        match self.actual {
            Hasher::Sha1(hasher) => self.expected == sha1::Digest::finalize(hasher)[..],
            Hasher::Sha256(hasher) => self.expected == sha2::Digest::finalize(hasher)[..],
        }
    }
}

impl Hasher {
    /// The size of its hash in bytes.
    fn size(&self) -> usize {
        match self {
            Self::Sha1(_) => 20,
            Self::Sha256(_) => 32,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(value: &'static str) -> Result<Option<Checksum>, UploadError> {
        Checksum::of(&HeaderMap::from_iter([(UPLOAD_CHECKSUM, HeaderValue::from_static(value))]))
    }

    #[test]
    fn a_body_has_the_hash_of_all_its_chunks() {
        for value in
            ["sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="]
        {
            for (chunks, is_it) in [(["hello ", "world"], true), (["hello ", "World"], false)] {
                let mut checksum = of(value).unwrap().unwrap();
                chunks.iter().for_each(|chunk| checksum.update(chunk.as_bytes()));
                assert_eq!(checksum.matches(), is_it, "{value}");
            }
        }
        assert!(Checksum::of(&HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn a_checksum_that_cannot_be_compared_is_refused() {
        for (value, says) in [
            ("md5 XrY7u+Ae7tCTyyK7j1rNww==", "“md5” is not one of sha1,sha256"),
            ("sha1", "whole hash"),
            ("sha1 Kq5sNclPz7QV2", "whole hash"),
            ("sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "whole hash"),
        ] {
            let error = of(value).unwrap_err().to_string();
            assert!(error.contains(says), "{value}: {error}");
        }
    }
}
