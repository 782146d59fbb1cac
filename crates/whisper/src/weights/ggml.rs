//! Reads the `ggml-*.bin` of whisper.cpp.
//!
//! The layout (little-endian): the mark `ggml` as a u32; eleven i32, see [`Header`]; the mel filters as i32
//! bands, i32 bins and f32 weights; i32 count of tokens, each an i32 length and its bytes; then tensors up to
//! the end of the file: i32 rank, i32 length of the name, i32 type, i32 dimensions with the innermost first,
//! name and data. Names are those of OpenAI's checkpoints.

use std::collections::HashMap;

use super::element::Element;
use super::reader::Reader;
use super::renaming::{Half, Header, rename};
use super::tensor::{Index, Part, Tensor};

/// The letters of `ggml` as one number, the first letter in its highest byte.
const MARK: u32 = 0x6767_6d6c;

/// Divides the format of a file's weights from the version of the quantisation, which is multiplied by it.
const VERSION_FACTOR: u32 = 1000;
const QUANTISATION_VERSION: u32 = 2;

/// The first format that is quantised; before it are f32 and f16.
const FIRST_QUANTISED_FORMAT: u32 = 2;

/// GPT-2's longest token has 128 bytes.
const MAX_TOKEN_BYTES: usize = 256;

const MAX_RANK: usize = 4;

/// What a file holds besides weights.
#[derive(Debug)]
pub(crate) struct Ggml {
    /// The bytes of the text tokens, by their ids.
    pub(crate) tokens: Vec<Vec<u8>>,
    /// The mel filters that the model was trained with, `[n_mels, bins]`.
    pub(crate) filters: Vec<f32>,
}

pub(super) fn read(bytes: &[u8]) -> Result<(Index, Ggml), String> {
    let mut reader = Reader::new(bytes);
    let mark = reader.u32()?;
    if mark != MARK {
        let hint = match &mark.to_le_bytes() {
            b"GGUF" => "; it is GGUF, which whisper.cpp does not use",
            [6, 0, 0, 0] => "; if it is of CTranslate2's format, name its folder",
            _ => "",
        };
        return Err(format!("it does not begin as a ggml file of whisper.cpp does{hint}"));
    }
    let header = header(&mut reader)?;
    let filters = filters(&mut reader, header.n_mels)?;
    let tokens = (0..reader.u32()?).map(|_| token(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    let mut stored = HashMap::new();
    while !reader.is_at_end() {
        let tensor = tensor(&mut reader)?;
        stored.insert(tensor.stored_as.clone(), tensor);
    }
    let index = rename(&header, stored)?;
    Ok((index, Ggml { tokens, filters }))
}

fn header(reader: &mut Reader<'_>) -> Result<Header, String> {
    let vocabulary = reader.count()?;
    let mut half = |name| -> Result<Half, String> {
        let (context, width) = (reader.count()?, reader.count()?);
        Ok(Half { name, context, width, heads: reader.count()?, layers: reader.count()? })
    };
    let (encoder, decoder) = (half("encoder")?, half("decoder")?);
    let (n_mels, format) = (reader.count()?, reader.u32()?);
    let version = format / VERSION_FACTOR;
    let format = format % VERSION_FACTOR;
    if format >= FIRST_QUANTISED_FORMAT && version != QUANTISATION_VERSION {
        return Err(format!(
            "its weights were quantised in version {version} of the format, where version \
             {QUANTISATION_VERSION} is needed; quantise the model anew"
        ));
    }
    Ok(Header { vocabulary, encoder, decoder, n_mels })
}

fn filters(reader: &mut Reader<'_>, n_mels: usize) -> Result<Vec<f32>, String> {
    let (bands, bins) = (reader.count()?, reader.count()?);
    if bands != n_mels {
        return Err(format!("it has filters for {bands} mel bands, but hears {n_mels}"));
    }
    let length = bands.checked_mul(bins).and_then(|weights| Element::F32.bytes(weights));
    let bytes = reader.take(length.unwrap_or(usize::MAX))?;
    let mut weights = Vec::new();
    Element::F32.append_to(&mut weights, bytes);
    Ok(weights)
}

fn token(reader: &mut Reader<'_>) -> Result<Vec<u8>, String> {
    let length = reader.count()?;
    if length > MAX_TOKEN_BYTES {
        return Err(format!("one of its tokens has {length} bytes"));
    }
    Ok(reader.take(length)?.to_vec())
}

fn tensor(reader: &mut Reader<'_>) -> Result<Tensor, String> {
    let (rank, length, kind) = (reader.count()?, reader.count()?, reader.u32()?);
    if rank > MAX_RANK {
        return Err(format!("one of its tensors has {rank} dimensions"));
    }
    let mut shape = (0..rank).map(|_| reader.count()).collect::<Result<Vec<_>, _>>()?;
    shape.reverse();
    let name = String::from_utf8(reader.take(length)?.to_vec())
        .map_err(|_| "the name of one of its tensors is not UTF-8")?;
    let part = data(reader, kind, &shape).map_err(|reason| format!("tensor `{name}`: {reason}"))?;
    Ok(Tensor { shape, parts: vec![part], stored_as: name })
}

fn data(reader: &mut Reader<'_>, kind: u32, shape: &[usize]) -> Result<Part, String> {
    let kind = element(kind).ok_or_else(|| {
        format!(
            "it is of ggml's type {kind}, where f32, f16, bf16, q4_0, q4_1, q5_0, q5_1 and q8_0 can be read; \
             quantise the model to one of these"
        )
    })?;
    let rows_are_whole = shape.last().is_none_or(|width| width.is_multiple_of(kind.block().0));
    let elements = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    let length = elements.filter(|_| rows_are_whole).and_then(|elements| kind.bytes(elements));
    let length = length.ok_or_else(|| format!("{} cannot have the shape {shape:?}", kind.name()))?;
    let start = reader.position();
    reader.take(length)?;
    Ok(Part::Stored { kind, bytes: start..reader.position() })
}

/// Element types, by ggml's numbers.
fn element(number: u32) -> Option<Element> {
    Some(match number {
        0 => Element::F32,
        1 => Element::F16,
        2 => Element::Q4_0,
        3 => Element::Q4_1,
        6 => Element::Q5_0,
        7 => Element::Q5_1,
        8 => Element::Q8_0,
        30 => Element::Bf16,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::weights::Weights;

    const F32: u32 = 0;
    const Q4_0: u32 = 2;

    /// A tensor whose elements are `value`, `value` + 1 …
    struct Given {
        name: String,
        shape: Vec<u32>,
        value: f32,
    }

    /// All tensors of a model of one layer in each half, width 2, one mel band and three tokens.
    fn tensors() -> Vec<Given> {
        let mut tensors = Vec::new();
        let mut given = |name: &str, shape: &[u32]| {
            let value = 100.0 * tensors.len() as f32;
            tensors.push(Given { name: name.into(), shape: shape.into(), value });
        };
        for (half, norm) in [("encoder", "ln_post"), ("decoder", "ln")] {
            given(&format!("{half}.positional_embedding"), &[2, 2]);
            let attentions: &[&str] = if half == "encoder" { &["attn"] } else { &["attn", "cross_attn"] };
            for attention in attentions {
                let name = format!("{half}.blocks.0.{attention}");
                for part in ["query", "key", "value", "out"] {
                    given(&format!("{name}.{part}.weight"), &[2, 2]);
                    if part != "key" {
                        given(&format!("{name}.{part}.bias"), &[2]);
                    }
                }
                given(&format!("{name}_ln.weight"), &[2]);
                given(&format!("{name}_ln.bias"), &[2]);
            }
            for (part, shape) in [("mlp.0", [8, 2]), ("mlp.2", [2, 8])] {
                given(&format!("{half}.blocks.0.{part}.weight"), &shape);
                given(&format!("{half}.blocks.0.{part}.bias"), &shape[..1]);
            }
            for norm in ["blocks.0.mlp_ln", norm] {
                given(&format!("{half}.{norm}.weight"), &[2]);
                given(&format!("{half}.{norm}.bias"), &[2]);
            }
        }
        for (convolution, inputs) in [("conv1", 1), ("conv2", 2)] {
            given(&format!("encoder.{convolution}.weight"), &[2, inputs, 3]);
            given(&format!("encoder.{convolution}.bias"), &[2, 1]);
        }
        given("decoder.token_embedding.weight", &[3, 2]);
        tensors
    }

    /// The file of these tensors; `format` is that of its weights.
    fn file(tensors: &[Given], format: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let numbers = |bytes: &mut Vec<u8>, numbers: &[u32]| {
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        };
        // Two positions, width 2, one head, one layer in either half; one mel band; its filter of two bins.
        numbers(&mut bytes, &[MARK, 3, 2, 2, 1, 1, 2, 2, 1, 1, 1, format, 1, 2]);
        bytes.extend([0.25f32, 0.5].iter().flat_map(|weight| weight.to_le_bytes()));
        numbers(&mut bytes, &[2]);
        for token in ["a", ""] {
            numbers(&mut bytes, &[token.len() as u32]);
            bytes.extend(token.as_bytes());
        }
        for Given { name, shape, value } in tensors {
            numbers(&mut bytes, &[shape.len() as u32, name.len() as u32, F32]);
            numbers(&mut bytes, &shape.iter().rev().copied().collect::<Vec<_>>());
            bytes.extend(name.as_bytes());
            let count = shape.iter().product::<u32>();
            bytes.extend((0..count).flat_map(|index| (value + index as f32).to_le_bytes()));
        }
        bytes
    }

    fn open(bytes: &[u8]) -> Result<(Weights, Ggml), Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ggml-small.bin");
        std::fs::write(&path, bytes).unwrap();
        Weights::open_ggml(&path)
    }

    /// What is said of a file that is refused.
    fn sentence(bytes: &[u8]) -> String {
        open(bytes).map(|_| ()).unwrap_err().to_string()
    }

    fn value_of(name: &str) -> f32 {
        tensors().into_iter().find(|given| given.name == name).unwrap().value
    }

    #[test]
    fn projections_of_one_input_are_joined_and_keys_get_a_bias_of_zeros() {
        let (weights, ggml) = open(&file(&tensors(), 0)).unwrap();
        let counted = |name: &str, count: u8| {
            let first = value_of(name);
            (0..count).map(move |index| first + f32::from(index))
        };
        let block = "encoder.blocks.0.attn";
        let joined: Vec<f32> = ["query", "key", "value"]
            .iter()
            .flat_map(|part| counted(&format!("{block}.{part}.weight"), 4))
            .collect();
        assert_eq!(
            weights.tensor("encoder/layer_0/self_attention/linear_0/weight", &[6, 2]).unwrap(),
            joined
        );
        let bias: Vec<f32> = counted(&format!("{block}.query.bias"), 2)
            .chain([0.0, 0.0])
            .chain(counted(&format!("{block}.value.bias"), 2))
            .collect();
        assert_eq!(weights.tensor("encoder/layer_0/self_attention/linear_0/bias", &[6]).unwrap(), bias);
        let embeddings: Vec<f32> = counted("decoder.token_embedding.weight", 6).collect();
        assert_eq!(weights.tensor("decoder/projection/weight", &[3, 2]).unwrap(), embeddings);
        assert_eq!(weights.tensor("encoder/conv2/bias", &[2]).unwrap().len(), 2);
        assert_eq!(weights.integer("decoder/num_heads").unwrap(), 1);
        assert!(!weights.contains("decoder/projection/bias"));
        assert_eq!((ggml.tokens, ggml.filters), (vec![b"a".to_vec(), vec![]], vec![0.25, 0.5]));
    }

    #[test]
    fn what_is_wrong_with_a_tensor_is_said_with_file_and_name() {
        let (weights, _) = open(&file(&tensors(), 0)).unwrap();
        let error =
            weights.tensor("decoder/layer_0/attention/linear_1/weight", &[4, 3]).unwrap_err().to_string();
        assert!(
            error.contains("ggml-small.bin: variable `decoder.blocks.0.cross_attn.key.weight, decoder"),
            "{error}"
        );
        assert!(error.contains("has shape [4, 2] where [4, 3] is needed"), "{error}");

        let mut changed = tensors();
        let out = changed.iter().position(|given| given.name == "encoder.blocks.0.attn.out.bias").unwrap();
        changed[out].name = "encoder.blocks.0.attn.key.bias".into();
        assert!(sentence(&file(&changed, 0)).contains("tensor `encoder.blocks.0.attn.out.bias` is missing"));
        let mut more = tensors();
        more.push(Given { name: "decoder.blocks.1.mlp.0.bias".into(), shape: vec![8], value: 0.0 });
        assert!(
            sentence(&file(&more, 0))
                .contains("it has a tensor `decoder.blocks.1.mlp.0.bias`, which a model")
        );
        let mut narrow = tensors();
        let key = narrow.iter_mut().find(|given| given.name == "encoder.blocks.0.attn.key.weight").unwrap();
        key.shape = vec![1, 4];
        assert!(
            sentence(&file(&narrow, 0))
                .contains("has shape [1, 4], which does not fit `encoder.blocks.0.attn.q")
        );
        let mut few = tensors();
        few.last_mut().unwrap().shape = vec![2, 2];
        let said = sentence(&file(&few, 0));
        assert!(
            said.contains("`decoder.token_embedding.weight` has shape [2, 2] where [3, 2] is needed"),
            "{said}"
        );
    }

    #[test]
    fn a_foreign_file_says_what_it_is_not() {
        let with_start = |start: &[u8]| {
            let mut bytes = file(&tensors(), 0);
            bytes[..4].copy_from_slice(start);
            sentence(&bytes)
        };
        assert!(with_start(b"GGUF").contains("it is GGUF"));
        assert!(with_start(&[6, 0, 0, 0]).contains("CTranslate2's format, name its folder"));
        assert!(with_start(b"RIFF").ends_with("as a ggml file of whisper.cpp does"));
        assert!(sentence(&file(&tensors(), 1007)).contains("quantised in version 1 of the format"));
        assert!(open(&file(&tensors(), 2007)).is_ok());
    }

    #[test]
    fn a_type_that_cannot_be_read_is_named() {
        let whole = file(&tensors(), 0);
        let first = "encoder.positional_embedding";
        let at = whole.windows(first.len()).position(|name| name == first.as_bytes()).unwrap();
        // Rank, length and type stand before two dimensions and the name.
        let with_type = |number: u32| {
            let mut bytes = whole.clone();
            bytes[at - 12..at - 8].copy_from_slice(&number.to_le_bytes());
            sentence(&bytes)
        };
        assert!(with_type(12).contains("tensor `encoder.positional_embedding`: it is of ggml's type 12"));
        assert!(with_type(Q4_0).contains("q4_0 cannot have the shape [2, 2]"));
    }

    #[test]
    fn a_file_cut_off_anywhere_or_with_any_byte_changed_never_panics() {
        let whole = file(&tensors(), 0);
        for at in 0..whole.len() {
            assert!(read(&whole[..at]).is_err(), "cut off at {at}");
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                // Some changes are only to weights, which leaves a readable file.
                if let Ok((index, _)) = read(&bytes) {
                    assert!(index.len() > 40);
                }
            }
        }
    }
}
