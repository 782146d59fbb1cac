//! Vectors to part-of-speech tags: spaCy's `Tagger.v2`.

use std::path::Path;

use serde::Deserialize;

use crate::doc::Label;
use crate::error::{self, LoadError};
use crate::networks::layers::{Linear, Matrix};
use crate::networks::model::Network;

/// Chooses each token's fine-grained tag (of the Penn Treebank, in English pipelines).
#[derive(Debug)]
pub(crate) struct Tagger {
    scores: Linear,
    labels: Vec<Label>,
}

/// The file `cfg`, as far as it matters here.
#[derive(Deserialize)]
struct Settings {
    labels: Vec<String>,
}

impl Tagger {
    /// Reads the component's folder; its vectors are to be `width` wide.
    pub(crate) fn load(folder: &Path, width: usize) -> Result<Self, LoadError> {
        let file = folder.join("cfg");
        let text = error::read(&file)?;
        let Settings { labels } = serde_json::from_slice(&text).map_err(|error| LoadError::Damaged {
            file,
            reason: format!("it holds no list of labels: {error}"),
        })?;
        let network = Network::read(&folder.join("model"))?;
        let layer = network.first("softmax")?;
        let scores = Linear::load(layer)?;
        if (scores.inputs(), scores.outputs()) != (width, labels.len()) {
            let (inputs, outputs, labels) = (scores.inputs(), scores.outputs(), labels.len());
            return Err(layer.damaged(format!(
                "scores {outputs} tags by vectors of {inputs}, but there are {labels} labels and vectors of {width}"
            )));
        }
        Ok(Self { scores, labels: labels.into_iter().map(Label::from).collect() })
    }

    /// The tags that there are.
    pub(crate) fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The number of each token's tag among the [`Self::labels`]; `vectors` is `[tokens, width]`.
    pub(crate) fn tags(&self, vectors: &Matrix) -> Vec<usize> {
        self.scores.arg_max(vectors)
    }
}
