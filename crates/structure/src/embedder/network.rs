//! BERT's encoder (Devlin et al. 2019), and the mean over the tokens of a text.

use verbatim_kernels::vector::{add, gelu, softmax_rows};
use verbatim_kernels::{LayerNorm, Linear};

use super::files::EmbedderError;
use super::vector::{Embedding, dot};
use super::weights::{Config, Tensors, Weights};

#[derive(Debug)]
pub(super) struct Network {
    config: Config,
    /// The embeddings of the vocabulary: `[vocab_size, width]`.
    words: Vec<f32>,
    /// The embeddings of positions: `[max_position_embeddings, width]`, with the embedding of the first token type
    /// added: a text has no other type.
    positions: Vec<f32>,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// Query, key and value together: `[width -> 3 width]`.
    attention_in: Linear,
    attention_out: Linear,
    attention_norm: LayerNorm,
    ffn_in: Linear,
    ffn_out: Linear,
    ffn_norm: LayerNorm,
}

impl Network {
    pub(super) fn load(weights: &Weights) -> Result<Self, EmbedderError> {
        let config = weights.config;
        let width = config.hidden_size;
        let tensors = weights.tensors()?;
        let types =
            tensors.tensor("embeddings.token_type_embeddings.weight", &[config.type_vocab_size, width])?;
        let mut positions = tensors
            .tensor("embeddings.position_embeddings.weight", &[config.max_position_embeddings, width])?;
        positions.chunks_exact_mut(width).for_each(|row| add(row, &types[..width]));
        let layers = (0..config.num_hidden_layers).map(|layer| Layer::load(&tensors, &config, layer));
        Ok(Self {
            words: tensors.tensor("embeddings.word_embeddings.weight", &[config.vocab_size, width])?,
            positions,
            norm: layer_norm(&tensors, "embeddings.LayerNorm", &config)?,
            layers: layers.collect::<Result<_, _>>()?,
            config,
        })
    }

    /// The maximum number of tokens in a text.
    pub(super) fn positions(&self) -> usize {
        self.config.max_position_embeddings
    }

    /// The number of tokens in the vocabulary.
    pub(super) fn vocabulary(&self) -> usize {
        self.config.vocab_size
    }

    /// A vector of length 1 for each text: the mean of its tokens' last states. Tokens must be in the vocabulary, and
    /// texts not too long. The tokens of all texts are rows of one matrix, so that nothing is padded.
    pub(super) fn forward(&self, texts: &[&[u32]]) -> Vec<Embedding> {
        let width = self.config.hidden_size;
        let mut x = self.embed(texts);
        for layer in &self.layers {
            let qkv = layer.attention_in.apply(&x);
            add(&mut x, &layer.attention_out.apply(&self.attend(&qkv, texts)));
            layer.attention_norm.apply_in_place(&mut x);
            let mut hidden = layer.ffn_in.apply(&x);
            gelu(&mut hidden);
            add(&mut x, &layer.ffn_out.apply(&hidden));
            layer.ffn_norm.apply_in_place(&mut x);
        }
        let mut rows = x.chunks_exact(width);
        texts.iter().map(|text| unit_mean(rows.by_ref().take(text.len()), width)).collect()
    }

    /// The embeddings of all tokens: `[tokens, width]`.
    fn embed(&self, texts: &[&[u32]]) -> Vec<f32> {
        let width = self.config.hidden_size;
        let mut x = Vec::with_capacity(texts.iter().map(|text| text.len()).sum::<usize>() * width);
        for text in texts {
            for (token, position) in text.iter().zip(self.positions.chunks_exact(width)) {
                let word = &self.words[*token as usize * width..][..width];
                x.extend(word.iter().zip(position).map(|(word, position)| word + position));
            }
        }
        self.norm.apply_in_place(&mut x);
        x
    }

    /// Self-attention within each text. `qkv` is `[tokens, 3 width]`; gives `[tokens, width]`.
    fn attend(&self, qkv: &[f32], texts: &[&[u32]]) -> Vec<f32> {
        let width = self.config.hidden_size;
        let size = width / self.config.num_attention_heads;
        let scale = (size as f32).sqrt().recip();
        let mut attended = vec![0.0; qkv.len() / 3];
        let mut scores = Vec::new();
        let mut from = 0;
        for text in texts {
            let qkv = &qkv[from * 3 * width..][..text.len() * 3 * width];
            let attended = &mut attended[from * width..][..text.len() * width];
            from += text.len();
            let rows = qkv.chunks_exact(3 * width).zip(attended.chunks_exact_mut(width));
            for (query, attended) in rows {
                for at in (0..width).step_by(size) {
                    let query = &query[at..][..size];
                    let keys = qkv.chunks_exact(3 * width).map(|row| &row[width + at..][..size]);
                    scores.clear();
                    scores.extend(keys.map(|key| scale * dot(query, key)));
                    softmax_rows(&mut scores, text.len());
                    let values = qkv.chunks_exact(3 * width).map(|row| &row[2 * width + at..][..size]);
                    for (weight, value) in scores.iter().zip(values) {
                        add_scaled(&mut attended[at..][..size], *weight, value);
                    }
                }
            }
        }
        attended
    }
}

impl Layer {
    fn load(tensors: &Tensors<'_>, config: &Config, number: usize) -> Result<Self, EmbedderError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let name = |part: &str| format!("encoder.layer.{number}.{part}");
        let attention = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        Ok(Self {
            attention_in: linear(tensors, &attention, width, width)?,
            attention_out: linear(tensors, &[name("attention.output.dense")], width, width)?,
            attention_norm: layer_norm(tensors, &name("attention.output.LayerNorm"), config)?,
            ffn_in: linear(tensors, &[name("intermediate.dense")], width, inner)?,
            ffn_out: linear(tensors, &[name("output.dense")], inner, width)?,
            ffn_norm: layer_norm(tensors, &name("output.LayerNorm"), config)?,
        })
    }
}

/// Fully connected layers with the same input; their outputs are side by side.
fn linear(
    tensors: &Tensors<'_>,
    names: &[String],
    inputs: usize,
    outputs: usize,
) -> Result<Linear, EmbedderError> {
    let (mut weight, mut bias) = (Vec::new(), Vec::new());
    for name in names {
        weight.extend(tensors.tensor(&format!("{name}.weight"), &[outputs, inputs])?);
        bias.extend(tensors.tensor(&format!("{name}.bias"), &[outputs])?);
    }
    let outputs = bias.len();
    Ok(Linear::new(&weight, Some(bias), inputs, outputs))
}

fn layer_norm(tensors: &Tensors<'_>, name: &str, config: &Config) -> Result<LayerNorm, EmbedderError> {
    let tensor = |part: &str| tensors.tensor(&format!("{name}.{part}"), &[config.hidden_size]);
    Ok(LayerNorm::new(tensor("weight")?, tensor("bias")?, config.layer_norm_eps))
}

/// The mean of the rows, scaled to length 1.
fn unit_mean<'r>(rows: impl Iterator<Item = &'r [f32]>, width: usize) -> Embedding {
    let mut sum = vec![0.0; width];
    rows.for_each(|row| add(&mut sum, row));
    let length = dot(&sum, &sum).sqrt();
    sum.iter().map(|x| x / length.max(f32::MIN_POSITIVE)).collect()
}

/// `x += factor y`
fn add_scaled(x: &mut [f32], factor: f32, y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += factor * y);
}
