//! Reads the `model.bin` of a CTranslate2 Whisper folder.
//!
//! The layout (version 6, little-endian): u32 version; spec name; u32 revision; u32 count; per variable its
//! name, u8 rank, u32 dimensions, u8 type, u32 byte count and data; u32 count of aliases, each an alias and
//! the name it stands for. Strings are a u16 length that includes a final NUL, then the bytes.

use super::element::Element;
use super::reader::Reader;
use super::tensor::{Index, Part, Tensor};

const VERSION: u32 = 6;
const SPEC: &str = "WhisperSpec";

/// Element types, by CTranslate2's numbers.
const ELEMENTS: [Element; 6] =
    [Element::F32, Element::I8, Element::I16, Element::I32, Element::F16, Element::Bf16];

pub(super) fn index(bytes: &[u8]) -> Result<Index, String> {
    let mut reader = Reader::new(bytes);
    let version = reader.u32()?;
    if version != VERSION {
        return Err(format!("its format version is {version}, where CTranslate2 {VERSION} is needed"));
    }
    let spec = string(&mut reader)?;
    if spec != SPEC {
        return Err(format!("it holds a `{spec}`, where a `{SPEC}` is needed"));
    }
    let _revision = reader.u32()?;
    let mut index = Index::new();
    for _ in 0..reader.u32()? {
        let name = string(&mut reader)?;
        let tensor = variable(&mut reader, &name).map_err(|reason| format!("variable `{name}`: {reason}"))?;
        index.insert(name, tensor);
    }
    for _ in 0..reader.u32()? {
        let alias = string(&mut reader)?;
        let name = string(&mut reader)?;
        let Some(tensor) = index.get(&name).cloned() else {
            return Err(format!("`{alias}` stands for `{name}`, which is missing"));
        };
        index.insert(alias, tensor);
    }
    Ok(index)
}

fn variable(reader: &mut Reader<'_>, name: &str) -> Result<Tensor, String> {
    let rank = reader.u8()?;
    let shape = (0..rank).map(|_| reader.count()).collect::<Result<Vec<_>, _>>()?;
    let number = reader.u8()?;
    let length = reader.count()?;
    let kind = *ELEMENTS.get(usize::from(number)).ok_or_else(|| format!("is of unknown type {number}"))?;
    let elements = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    if elements.and_then(|elements| kind.bytes(elements)) != Some(length) {
        return Err(format!("{} of shape {shape:?} cannot have {length} bytes", kind.name()));
    }
    let start = reader.position();
    let part = match (rank, kind, reader.take(length)?) {
        (0, Element::I8, &[a]) => Part::Integer(i64::from(a as i8)),
        (0, Element::I16, &[a, b]) => Part::Integer(i64::from(i16::from_le_bytes([a, b]))),
        (0, Element::I32, &[a, b, c, d]) => Part::Integer(i64::from(i32::from_le_bytes([a, b, c, d]))),
        _ => Part::Stored { kind, bytes: start..reader.position() },
    };
    Ok(Tensor { shape, parts: vec![part], stored_as: name.into() })
}

fn string(reader: &mut Reader<'_>) -> Result<String, String> {
    let length = usize::from(reader.u16()?);
    let bytes = reader.take(length)?;
    let text = bytes.strip_suffix(&[0]).ok_or("a name in it does not end in NUL")?;
    String::from_utf8(text.to_vec()).map_err(|_| "a name in it is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::weights::Weights;

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

    const VARIABLES: [(&str, &[u32], u8, &[u8]); 5] = [
        ("halves", &[2, 1], 4, &[0x00, 0x3c, 0x00, 0xc0]),
        ("floats", &[1], 0, &[0x00, 0x00, 0x20, 0x41]),
        ("brain floats", &[1], 5, &[0x20, 0xc1]),
        ("quantised", &[2], 1, &[0x01, 0xff]),
        ("heads", &[], 2, &[0xfe, 0xff]),
    ];

    #[test]
    fn variables_are_read_by_name_alias_and_type() {
        let weights = model(&VARIABLES, |_| {}).unwrap();
        assert_eq!(weights.tensor("halves", &[2, 1]).unwrap(), [1.0, -2.0]);
        assert_eq!(weights.tensor("alias", &[2, 1]).unwrap(), [1.0, -2.0]);
        assert_eq!(weights.tensor("floats", &[1]).unwrap(), [10.0]);
        assert_eq!(weights.tensor("brain floats", &[1]).unwrap(), [-10.0]);
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
            (
                weights.tensor("quantised", &[2]).unwrap_err(),
                "`quantised` is int8; only models whose weights",
            ),
            (weights.tensor("heads", &[]).unwrap_err(), "`heads` is a whole number, not weights"),
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
