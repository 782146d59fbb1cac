//! The model's files: tensors by their names, and the shape of the network from `config.json`.

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::files::{EmbedderError, damaged, read};

/// The shape of the network, from `config.json`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Config {
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) type_vocab_size: usize,
    pub(super) vocab_size: usize,
    pub(super) layer_norm_eps: f32,
}

/// `model.safetensors` as bytes, and `config.json`.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) config: Config,
    file: PathBuf,
    bytes: Vec<u8>,
}

impl Weights {
    pub(super) fn load(dir: &Path) -> Result<Self, EmbedderError> {
        let file = dir.join("config.json");
        let config = config(&read(&file)?).map_err(damaged(&file))?;
        let file = dir.join("model.safetensors");
        let bytes = read(&file)?;
        Ok(Self { config, file, bytes })
    }

    /// All tensors, by their names.
    pub(super) fn tensors(&self) -> Result<Tensors<'_>, EmbedderError> {
        let tensors = SafeTensors::deserialize(&self.bytes)
            .map_err(|error| damaged(&self.file)(format!("it is no safetensors file: {error}")))?;
        Ok(Tensors { file: &self.file, tensors })
    }
}

#[derive(Debug)]
pub(super) struct Tensors<'w> {
    file: &'w Path,
    tensors: SafeTensors<'w>,
}

impl Tensors<'_> {
    /// A tensor that must have this shape, row-major.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EmbedderError> {
        let damaged = damaged(self.file);
        let tensor = self.tensors.tensor(name).map_err(|_| damaged(format!("it has no tensor {name}")))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            let (dtype, found) = (tensor.dtype(), tensor.shape());
            return Err(damaged(format!("{name} is {dtype:?} {found:?}, and should be F32 {shape:?}")));
        }
        let numbers = tensor
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        Ok(numbers.collect())
    }
}

fn config(bytes: &[u8]) -> Result<Config, String> {
    #[derive(Deserialize)]
    struct Kind {
        model_type: String,
        hidden_act: String,
    }
    let kind: Kind = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if (kind.model_type.as_str(), kind.hidden_act.as_str()) != ("bert", "gelu") {
        return Err(format!(
            "it describes a {} with {}, not a bert with gelu",
            kind.model_type, kind.hidden_act
        ));
    }
    let config: Config = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let Config { hidden_size, num_attention_heads, max_position_embeddings, .. } = config;
    if num_attention_heads == 0 || hidden_size == 0 || hidden_size % num_attention_heads != 0 {
        return Err(format!("a width of {hidden_size} cannot be shared among {num_attention_heads} heads"));
    }
    // `[CLS]`, `[SEP]` and a token between them.
    if max_position_embeddings < 3 || config.type_vocab_size == 0 {
        return Err("it leaves no room for a text".to_owned());
    }
    Ok(config)
}
