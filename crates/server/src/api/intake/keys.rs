//! The header `Idempotency-Key`: a request that is sent again under its key makes no second job.
//!
//! As the IETF's draft has it (draft-ietf-httpapi-idempotency-key-header): the same request gets the first answer, another
//! one under the same key is refused, and so is one that comes while the first is not answered yet.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;

use super::IntakeError;

/// The longest key, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// The keys of the requests that this process has not answered yet.
#[derive(Debug, Clone, Default)]
pub struct KeysInUse(Arc<Mutex<HashSet<String>>>);

/// A key in use. It may be used again once this is dropped.
#[derive(Debug)]
pub(in crate::api) struct KeyInUse {
    pub(super) key: String,
    keys: KeysInUse,
}

impl KeysInUse {
    /// Takes the key of a request, if it has one. Fails if the key makes no sense or is in use.
    pub(super) fn take(&self, headers: &HeaderMap) -> Result<Option<KeyInUse>, IntakeError> {
        let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
        let key = value.to_str().unwrap_or_default().trim();
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(IntakeError::Refused(format!(
                "The Idempotency-Key has to be 1 to {MAX_KEY_BYTES} printable ASCII characters."
            )));
        }
        if !self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned()) {
            return Err(IntakeError::Conflict(
                "A request with this Idempotency-Key is still being answered; wait for it, then send this one again."
                    .into(),
            ));
        }
        Ok(Some(KeyInUse { key: key.to_owned(), keys: self.clone() }))
    }
}

impl Drop for KeyInUse {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(key: &str) -> HeaderMap {
        [("idempotency-key".parse().unwrap(), key.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_key_is_free_again_once_its_request_was_answered() {
        let keys = KeysInUse::default();
        let first = keys.take(&headers("a")).unwrap().unwrap();
        assert!(matches!(keys.take(&headers("a")), Err(IntakeError::Conflict(_))));
        let other = keys.take(&headers("b")).unwrap().unwrap();
        drop(first);
        assert_eq!(keys.take(&headers(" a ")).unwrap().unwrap().key, "a");
        drop(other);
        assert!(keys.take(&HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn keys_that_make_no_sense_are_refused() {
        for key in ["", "  ", &"x".repeat(256)] {
            assert!(
                matches!(KeysInUse::default().take(&headers(key)), Err(IntakeError::Refused(_))),
                "{key}"
            );
        }
    }
}
