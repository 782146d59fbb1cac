//! SHA-256 of an upload, and of what a request asks.

use axum::http::request::Parts;
use sha2::{Digest, Sha256};

/// What a request asks, besides its upload: path, query and fields.
#[derive(Debug, Clone)]
pub(super) struct RequestDigest {
    head: String,
    /// Names and texts.
    fields: Vec<(String, String)>,
}

impl RequestDigest {
    pub(super) fn new(head: &Parts) -> Self {
        Self { head: format!("{} {}", head.method, head.uri), fields: Vec::new() }
    }

    pub(super) fn field(&mut self, name: &str, text: &str) {
        self.fields.push((name.to_owned(), text.to_owned()));
    }

    /// A hash in hexadecimal: the same for the same fields in any order.
    pub(super) fn finish(mut self, filename: &str, content_hash: &str) -> String {
        self.fields.sort();
        let mut hasher = Sha256::new();
        let fields = self.fields.iter().flat_map(|(name, text)| [name.as_str(), text.as_str()]);
        for text in [self.head.as_str(), filename, content_hash].into_iter().chain(fields) {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        format!("{:x}", hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;

    use super::*;

    fn digest(uri: &str, fields: &[(&str, &str)], filename: &str, content: &str) -> String {
        let request = Request::post(uri).body(()).unwrap();
        let mut digest = RequestDigest::new(&request.into_parts().0);
        for (name, text) in fields {
            digest.field(name, text);
        }
        digest.finish(filename, content)
    }

    #[test]
    fn whatever_a_request_asks_changes_its_digest_and_the_order_of_fields_does_not() {
        let asked = digest("/process", &[("language", "de"), ("task", "translate")], "a.wav", "00");
        assert_eq!(asked, digest("/process", &[("task", "translate"), ("language", "de")], "a.wav", "00"));
        for other in [
            digest("/process-audio", &[("language", "de"), ("task", "translate")], "a.wav", "00"),
            digest("/process?x", &[("language", "de"), ("task", "translate")], "a.wav", "00"),
            digest("/process", &[("language", "de")], "a.wav", "00"),
            digest("/process", &[("language", "de"), ("tas", "ktranslate")], "a.wav", "00"),
            digest("/process", &[("language", "de"), ("task", "translate")], "b.wav", "00"),
            digest("/process", &[("language", "de"), ("task", "translate")], "a.wav", "01"),
        ] {
            assert_ne!(other, asked);
        }
    }
}
