//! The tables of words that come with a pipeline: files `lookups.bin`, each a map from names to tables.
//!
//! A table's own keys are the words' hashes ([`crate::words::strings::hash`]); what it holds below that is in plain words.

use std::path::{Path, PathBuf};

use rmpv::ValueRef;

use crate::error::{self, LoadError};
use crate::msgpack;
use crate::words::strings;

/// A file of tables, read whole.
pub(crate) struct LookupsFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// The tables of a [`LookupsFile`].
pub(crate) struct Lookups<'f> {
    path: &'f Path,
    tables: ValueRef<'f>,
}

impl LookupsFile {
    pub(crate) fn read(path: PathBuf) -> Result<Self, LoadError> {
        let bytes = error::read(&path)?;
        Ok(Self { path, bytes })
    }

    pub(crate) fn tables(&self) -> Result<Lookups<'_>, LoadError> {
        Ok(Lookups { path: &self.path, tables: msgpack::parse(&self.path, &self.bytes)? })
    }
}

impl<'f> Lookups<'f> {
    /// The entries of a table: hash and value.
    pub(crate) fn table(&self, name: &str) -> Result<Vec<(u64, &ValueRef<'f>)>, LoadError> {
        let Some(ValueRef::Map(entries)) = msgpack::field(&self.tables, name) else {
            return Err(self.damaged(format!("it has no table `{name}`")));
        };
        let entries = entries.iter().map(|(key, value)| match key.as_u64() {
            Some(key) => Ok((key, value)),
            None => Err(self.damaged(format!("a key of table `{name}` is no hash of a word"))),
        });
        entries.collect()
    }

    /// What a table says of one word, if it says anything.
    pub(crate) fn entry(&self, table: &str, word: &str) -> Result<Option<&ValueRef<'f>>, LoadError> {
        let key = strings::hash(word);
        Ok(self.table(table)?.into_iter().find(|(hash, _)| *hash == key).map(|(_, value)| value))
    }

    /// The strings of a list.
    pub(crate) fn strings<'v>(
        &self,
        table: &str,
        value: &'v ValueRef<'_>,
    ) -> Result<Vec<&'v str>, LoadError> {
        let odd =
            || self.damaged(format!("table `{table}` holds something else than words where words should be"));
        let ValueRef::Array(items) = value else { return Err(odd()) };
        items.iter().map(|item| msgpack::string(item).ok_or_else(odd)).collect()
    }

    pub(crate) fn damaged(&self, reason: String) -> LoadError {
        LoadError::Damaged { file: self.path.to_owned(), reason }
    }
}
