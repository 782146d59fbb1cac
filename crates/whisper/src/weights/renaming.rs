//! From the tensors of OpenAI's checkpoints, whose names ggml files keep, to those of CTranslate2's format, which
//! the network asks for.

use std::collections::HashMap;

use super::tensor::{Index, Part, Tensor};

/// The size of the model that the tensors are of.
pub(super) struct Header {
    pub(super) vocabulary: usize,
    pub(super) encoder: Half,
    pub(super) decoder: Half,
    pub(super) n_mels: usize,
}

/// Half of the network.
pub(super) struct Half {
    /// As both formats call it.
    pub(super) name: &'static str,
    /// Positions that it tells apart.
    pub(super) context: usize,
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) layers: usize,
}

struct Renaming {
    /// What has no other name yet.
    stored: HashMap<String, Tensor>,
    index: Index,
}

/// Takes `stored` tensors, by their names in OpenAI's checkpoints, which have to be those of a model of this size.
pub(super) fn rename(header: &Header, stored: HashMap<String, Tensor>) -> Result<Index, String> {
    let mut renaming = Renaming { stored, index: Index::new() };
    renaming.convolution("encoder/conv1", "encoder.conv1")?;
    renaming.convolution("encoder/conv2", "encoder.conv2")?;
    renaming.half(&header.encoder, "encoder.ln_post")?;
    renaming.half(&header.decoder, "decoder.ln")?;
    renaming.embeddings(header)?;
    match renaming.stored.keys().min() {
        Some(name) => Err(format!("it has a tensor `{name}`, which a model of its size does not have")),
        None => Ok(renaming.index),
    }
}

impl Renaming {
    fn embeddings(&mut self, header: &Header) -> Result<(), String> {
        let embeddings =
            self.of_shape("decoder.token_embedding.weight", &[header.vocabulary, header.decoder.width])?;
        // The projection to the logits is the embeddings once more.
        self.index.insert("decoder/projection/weight".into(), embeddings.clone());
        self.index.insert("decoder/embeddings/weight".into(), embeddings);
        Ok(())
    }

    fn half(&mut self, half: &Half, last_norm: &str) -> Result<(), String> {
        let name = half.name;
        let heads = i64::try_from(half.heads).unwrap_or(0);
        let heads =
            Tensor { shape: vec![], parts: vec![Part::Integer(heads)], stored_as: format!("{name} heads") };
        self.index.insert(format!("{name}/num_heads"), heads);
        let positions =
            self.of_shape(&format!("{name}.positional_embedding"), &[half.context, half.width])?;
        self.index.insert(format!("{name}/position_encodings/encodings"), positions);
        self.norm(&format!("{name}/layer_norm"), last_norm)?;
        for layer in 0..half.layers {
            self.layer(&format!("{name}/layer_{layer}"), &format!("{name}.blocks.{layer}"))?;
        }
        Ok(())
    }

    /// Decoder layers have cross attention, encoder layers do not.
    fn layer(&mut self, to: &str, from: &str) -> Result<(), String> {
        let attention = format!("{to}/self_attention");
        self.norm(&format!("{attention}/layer_norm"), &format!("{from}.attn_ln"))?;
        self.linear(&format!("{attention}/linear_0"), &format!("{from}.attn"), &["query", "key", "value"])?;
        self.linear(&format!("{attention}/linear_1"), &format!("{from}.attn"), &["out"])?;
        if to.starts_with("decoder") {
            let attention = format!("{to}/attention");
            self.norm(&format!("{attention}/layer_norm"), &format!("{from}.cross_attn_ln"))?;
            let cross = format!("{from}.cross_attn");
            self.linear(&format!("{attention}/linear_0"), &cross, &["query"])?;
            self.linear(&format!("{attention}/linear_1"), &cross, &["key", "value"])?;
            self.linear(&format!("{attention}/linear_2"), &cross, &["out"])?;
        }
        self.norm(&format!("{to}/ffn/layer_norm"), &format!("{from}.mlp_ln"))?;
        self.linear(&format!("{to}/ffn/linear_0"), &format!("{from}.mlp"), &["0"])?;
        self.linear(&format!("{to}/ffn/linear_1"), &format!("{from}.mlp"), &["2"])
    }

    fn norm(&mut self, to: &str, from: &str) -> Result<(), String> {
        for (to_part, from_part) in [("gamma", "weight"), ("beta", "bias")] {
            let tensor = self.stored(&format!("{from}.{from_part}"))?;
            self.index.insert(format!("{to}/{to_part}"), tensor);
        }
        Ok(())
    }

    /// One layer out of several side by side, whose outputs follow one another.
    fn linear(&mut self, to: &str, from: &str, parts: &[&str]) -> Result<(), String> {
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for part in parts {
            let weight = self.stored(&format!("{from}.{part}.weight"))?;
            let bias = format!("{from}.{part}.bias");
            // Whisper's keys have no bias, which is the same as one of zeros.
            biases.push(if *part == "key" { zeros(bias, &weight.shape) } else { self.stored(&bias)? });
            weights.push(weight);
        }
        self.index.insert(format!("{to}/weight"), join(weights)?);
        self.index.insert(format!("{to}/bias"), join(biases)?);
        Ok(())
    }

    fn convolution(&mut self, to: &str, from: &str) -> Result<(), String> {
        let weight = self.stored(&format!("{from}.weight"))?;
        self.index.insert(format!("{to}/weight"), weight);
        // Stored as a column, to be added to columns.
        let mut bias = self.stored(&format!("{from}.bias"))?;
        if let [outputs, 1] = bias.shape[..] {
            bias.shape = vec![outputs];
        }
        self.index.insert(format!("{to}/bias"), bias);
        Ok(())
    }

    fn stored(&mut self, name: &str) -> Result<Tensor, String> {
        self.stored.remove(name).ok_or_else(|| format!("tensor `{name}` is missing"))
    }

    /// A tensor of the shape that the file's header announces.
    fn of_shape(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, String> {
        let tensor = self.stored(name)?;
        if tensor.shape != shape {
            return Err(format!("tensor `{name}` has shape {:?} where {shape:?} is needed", tensor.shape));
        }
        Ok(tensor)
    }
}

/// The bias of zeros for a weight of this shape.
fn zeros(name: String, weight: &[usize]) -> Tensor {
    let outputs = weight.first().copied().unwrap_or(0);
    Tensor { shape: vec![outputs], parts: vec![Part::Zeros(outputs)], stored_as: name }
}

/// Tensors one after another along their outermost dimension.
fn join(tensors: Vec<Tensor>) -> Result<Tensor, String> {
    let mut tensors = tensors.into_iter();
    let mut joined = tensors.next().ok_or("there is nothing to join")?;
    for tensor in tensors {
        let fits = matches!((&joined.shape[..], &tensor.shape[..]), ([_, a @ ..], [_, b @ ..]) if a == b);
        let rows = joined.shape.first().zip(tensor.shape.first()).and_then(|(a, b)| a.checked_add(*b));
        let Some(rows) = rows.filter(|_| fits) else {
            return Err(format!(
                "tensor `{}` has shape {:?}, which does not fit `{}` of shape {:?}",
                tensor.stored_as, tensor.shape, joined.stored_as, joined.shape
            ));
        };
        joined.shape[0] = rows;
        joined.parts.extend(tensor.parts);
        joined.stored_as = format!("{}, {}", joined.stored_as, tensor.stored_as);
    }
    Ok(joined)
}
