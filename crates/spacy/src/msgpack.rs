//! Reading msgpack, in which spaCy keeps what is not text.

use std::path::Path;

use rmpv::{ValueRef, decode};

use crate::error::LoadError;

/// The value that the bytes of `file` hold.
pub(crate) fn parse<'b>(file: &Path, bytes: &'b [u8]) -> Result<ValueRef<'b>, LoadError> {
    value(bytes).map_err(|reason| LoadError::Damaged {
        file: file.to_owned(),
        reason: format!("it cannot be read as msgpack: {reason}"),
    })
}

/// The value that `bytes` hold.
pub(crate) fn value(mut bytes: &[u8]) -> Result<ValueRef<'_>, decode::Error> {
    decode::read_value_ref(&mut bytes)
}

/// The value that a map has for a key.
pub(crate) fn field<'v, 'b>(map: &'v ValueRef<'b>, key: &str) -> Option<&'v ValueRef<'b>> {
    let ValueRef::Map(entries) = map else { return None };
    entries.iter().find(|(name, _)| string(name) == Some(key)).map(|(_, value)| value)
}

/// The entries of a map, of those whose keys are strings; nothing where it is no map.
pub(crate) fn entries<'v, 'b>(map: &'v ValueRef<'b>) -> impl Iterator<Item = (&'v str, &'v ValueRef<'b>)> {
    let entries = if let ValueRef::Map(entries) = map { entries.as_slice() } else { &[] };
    entries.iter().filter_map(|(name, value)| Some((string(name)?, value)))
}

/// A string, which some writers keep as bytes.
pub(crate) fn string<'v>(value: &'v ValueRef<'_>) -> Option<&'v str> {
    match value {
        ValueRef::String(text) => text.as_str(),
        ValueRef::Binary(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}
