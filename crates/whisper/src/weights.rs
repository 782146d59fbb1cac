//! Reads a CTranslate2 Whisper folder: `model.bin` and `config.json`. (Unsafe: the file is mapped into memory.)
//!
//! The layout of `model.bin` (version 6, little-endian): u32 version; spec name; u32 revision; u32 count;
//! per variable its name, u8 rank, u32 dimensions, u8 type, u32 byte count and data; u32 count of aliases,
//! each an alias and the name it stands for. Strings are a u16 length that includes a final NUL, then the
//! bytes.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use serde::Deserialize;

use crate::Error;

const VERSION: u32 = 6;
const SPEC: &str = "WhisperSpec";

/// Element types, by CTranslate2's numbers.
const TYPE_NAMES: [&str; 6] = ["float32", "int8", "int16", "int32", "float16", "bfloat16"];
const FLOAT32: u8 = 0;
const INT8: u8 = 1;
const INT16: u8 = 2;
const INT32: u8 = 3;
const FLOAT16: u8 = 4;

/// What `config.json` says about decoding.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Config {
    /// Tokens never to be sampled: symbols that are not speech, and control tokens.
    pub(crate) suppress_ids: Vec<u32>,
    /// Tokens not to be sampled first: a blank, the end of the text.
    pub(crate) suppress_ids_begin: Vec<u32>,
}

impl Config {
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
        serde_json::from_slice(&text).map_err(|error| Error::Model {
            path: path.into(),
            reason: format!("it is no Whisper configuration: {error}"),
        })
    }
}

/// The mapped `model.bin`.
#[derive(Debug)]
pub(crate) struct Weights {
    path: PathBuf,
    map: Mmap,
    variables: HashMap<String, Variable>,
}

#[derive(Debug, Clone)]
struct Variable {
    shape: Vec<usize>,
    kind: u8,
    bytes: Range<usize>,
}

impl Weights {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.into(), source };
        let file = File::open(path).map_err(read)?;
        // SAFETY: the map is only read. As with every mapped file, it must not be cut short while in use;
        // model files are replaced by renaming, never written in place.
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        let variables = Reader { bytes: &map, at: 0 }
            .index()
            .map_err(|reason| Error::Model { path: path.into(), reason })?;
        Ok(Self { path: path.into(), map, variables })
    }

    /// The variable's shape; an error if there is none of that name.
    pub(crate) fn shape(&self, name: &str) -> Result<&[usize], Error> {
        Ok(&self.variable(name)?.shape)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// The variable's elements as f32, in row-major order, if its shape is `shape`.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let variable = self.variable(name)?;
        if variable.shape != shape {
            return Err(self.fault(name, format!("has shape {:?} where {shape:?} is needed", variable.shape)));
        }
        let bytes = &self.map[variable.bytes.clone()];
        match variable.kind {
            FLOAT32 => {
                Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
            }
            FLOAT16 => {
                let halves: Vec<f16> =
                    bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
                Ok(halves.to_f32_vec())
            }
            kind => Err(self.fault(
                name,
                format!("is {}; only float16 and float32 models can be loaded", type_name(kind)),
            )),
        }
    }

    /// A whole number, stored as a variable of rank 0.
    pub(crate) fn integer(&self, name: &str) -> Result<i64, Error> {
        let variable = self.variable(name)?;
        let bytes = &self.map[variable.bytes.clone()];
        match (variable.kind, bytes) {
            (INT8, &[a]) => Ok(i64::from(a as i8)),
            (INT16, &[a, b]) => Ok(i64::from(i16::from_le_bytes([a, b]))),
            (INT32, &[a, b, c, d]) => Ok(i64::from(i32::from_le_bytes([a, b, c, d]))),
            _ => Err(self.fault(name, "is not a whole number".into())),
        }
    }

    /// An error that names this file and the variable.
    pub(crate) fn fault(&self, variable: &str, reason: String) -> Error {
        Error::Variable { path: self.path.clone(), variable: variable.into(), reason }
    }

    fn variable(&self, name: &str) -> Result<&Variable, Error> {
        self.variables.get(name).ok_or_else(|| self.fault(name, "is missing".into()))
    }
}

fn type_name(kind: u8) -> String {
    TYPE_NAMES.get(usize::from(kind)).map_or_else(|| format!("of unknown type {kind}"), ToString::to_string)
}

fn type_size(kind: u8) -> Option<usize> {
    [4, 1, 2, 4, 2, 2].get(usize::from(kind)).copied()
}

/// Walks the file from front to back; every length is checked against what is left.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn index(&mut self) -> Result<HashMap<String, Variable>, String> {
        let version = self.u32()?;
        if version != VERSION {
            return Err(format!("its format version is {version}, where CTranslate2 {VERSION} is needed"));
        }
        let spec = self.string()?;
        if spec != SPEC {
            return Err(format!("it holds a `{spec}`, where a `{SPEC}` is needed"));
        }
        let _revision = self.u32()?;
        let count = self.u32()?;
        let mut variables = HashMap::new();
        for _ in 0..count {
            let name = self.string()?;
            let variable = self.variable().map_err(|reason| format!("variable `{name}`: {reason}"))?;
            variables.insert(name, variable);
        }
        for _ in 0..self.u32()? {
            let alias = self.string()?;
            let name = self.string()?;
            let Some(variable) = variables.get(&name).cloned() else {
                return Err(format!("`{alias}` stands for `{name}`, which is missing"));
            };
            variables.insert(alias, variable);
        }
        Ok(variables)
    }

    fn variable(&mut self) -> Result<Variable, String> {
        let rank = self.take(1)?[0];
        let shape = (0..rank).map(|_| self.u32().map(|size| size as usize)).collect::<Result<Vec<_>, _>>()?;
        let kind = self.take(1)?[0];
        let length = self.u32()? as usize;
        let elements = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        let expected = type_size(kind).zip(elements).and_then(|(size, elements)| size.checked_mul(elements));
        if expected != Some(length) {
            return Err(format!("{} of shape {shape:?} cannot have {length} bytes", type_name(kind)));
        }
        let start = self.at;
        self.take(length)?;
        Ok(Variable { shape, kind, bytes: start..self.at })
    }

    fn string(&mut self) -> Result<String, String> {
        let length = self.take(2)?;
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        let bytes = self.take(length)?;
        let text = bytes.strip_suffix(&[0]).ok_or("a name in it does not end in NUL")?;
        String::from_utf8(text.to_vec()).map_err(|_| "a name in it is not UTF-8".into())
    }

    fn u32(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| format!("the file ends at byte {}, too early", self.bytes.len()))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `model.bin` of these variables (name, shape, type, data), with `changes` made to its bytes.
    fn model(
        variables: &[(&str, &[u32], u8, &[u8])],
        change: impl Fn(&mut Vec<u8>),
    ) -> Result<Weights, Error> {
        let mut bytes = Vec::new();
        let name = |bytes: &mut Vec<u8>, name: &str| {
            bytes.extend((name.len() as u16 + 1).to_le_bytes());
            bytes.extend(name.as_bytes());
            bytes.push(0);
        };
        bytes.extend(VERSION.to_le_bytes());
        name(&mut bytes, SPEC);
        bytes.extend(3u32.to_le_bytes());
        bytes.extend((variables.len() as u32).to_le_bytes());
        for (variable, shape, kind, data) in variables {
            name(&mut bytes, variable);
            bytes.push(shape.len() as u8);
            bytes.extend(shape.iter().flat_map(|size| size.to_le_bytes()));
            bytes.push(*kind);
            bytes.extend((data.len() as u32).to_le_bytes());
            bytes.extend(*data);
        }
        bytes.extend(1u32.to_le_bytes());
        name(&mut bytes, "alias");
        name(&mut bytes, variables[0].0);
        change(&mut bytes);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.bin");
        std::fs::write(&path, bytes).unwrap();
        Weights::open(&path)
    }

    const VARIABLES: [(&str, &[u32], u8, &[u8]); 3] = [
        ("halves", &[2, 1], FLOAT16, &[0x00, 0x3c, 0x00, 0xc0]),
        ("floats", &[1], FLOAT32, &[0x00, 0x00, 0x20, 0x41]),
        ("heads", &[], INT16, &[0xfe, 0xff]),
    ];

    #[test]
    fn variables_are_read_by_name_alias_and_type() {
        let weights = model(&VARIABLES, |_| {}).unwrap();
        assert_eq!(weights.tensor("halves", &[2, 1]).unwrap(), [1.0, -2.0]);
        assert_eq!(weights.tensor("alias", &[2, 1]).unwrap(), [1.0, -2.0]);
        assert_eq!(weights.tensor("floats", &[1]).unwrap(), [10.0]);
        assert_eq!(weights.integer("heads").unwrap(), -2);
    }

    #[test]
    fn what_is_wrong_with_a_variable_is_said_with_file_and_name() {
        let weights = model(&VARIABLES, |_| {}).unwrap();
        for (error, reason) in [
            (
                weights.tensor("halves", &[1, 2]).unwrap_err(),
                "`halves` has shape [2, 1] where [1, 2] is needed",
            ),
            (weights.tensor("missing", &[1]).unwrap_err(), "`missing` is missing"),
            (weights.tensor("heads", &[]).unwrap_err(), "`heads` is int16; only float16 and float32"),
            (weights.integer("floats").unwrap_err(), "`floats` is not a whole number"),
        ] {
            let sentence = error.to_string();
            assert!(sentence.contains("model.bin") && sentence.contains(reason), "{sentence}");
        }
    }

    #[test]
    fn a_foreign_file_says_what_it_is_not() {
        let sentence = |change: fn(&mut Vec<u8>)| model(&VARIABLES, change).unwrap_err().to_string();
        assert!(sentence(|bytes| bytes[0] = 5).contains("its format version is 5"));
        assert!(sentence(|bytes| bytes[6] = b'X').contains("it holds a `XhisperSpec`"));
        assert!(sentence(|bytes| bytes.clear()).contains("model.bin"));
        let length = |bytes: &mut Vec<u8>| {
            let at = bytes.windows(6).position(|window| window == b"floats").unwrap();
            bytes[at + 7 + 1 + 4 + 1] = 5;
        };
        assert!(sentence(length).contains("variable `floats`: float32 of shape [1] cannot have 5 bytes"));
    }

    #[test]
    fn a_file_cut_off_anywhere_or_with_any_byte_changed_never_panics() {
        let whole = std::sync::Mutex::new(0);
        model(&VARIABLES, |bytes| *whole.lock().unwrap() = bytes.len()).unwrap();
        let length = *whole.lock().unwrap();
        for at in 0..length {
            assert!(model(&VARIABLES, |bytes| bytes.truncate(at)).is_err(), "cut off at {at}");
            for value in [0, 0x7f, 0xff] {
                // Some changes are only to numbers, which leaves a readable file.
                let _ = model(&VARIABLES, |bytes| bytes[at] = value);
            }
        }
    }
}
