//! Forced decoding: how probable the decoder holds a text that is given, and where in the window it looks
//! for every token of it.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::decoder::{Context, Decoder, Feed, Memory, Row};
use verbatim_kernels::linear::{multiply, strided};
use verbatim_kernels::stages::{Stage, within};
use verbatim_kernels::vector::{log_sum_exp, softmax_rows};

/// Positions that go through the projection to the vocabulary at once: a row of it is 200 kB.
const ROWS_AT_ONCE: usize = 32;

/// A window's text, all of it known.
#[derive(Debug)]
pub(crate) struct KnownText<'a> {
    pub(crate) memory: &'a Arc<Memory>,
    /// From the start of transcript to the end of text. No longer than [`Decoder::context`].
    pub(crate) tokens: Vec<u32>,
    /// Which of `tokens` are the text. Does not start with the first.
    pub(crate) text: Range<usize>,
    /// Frames of 20 ms of the window that hold sound: the rest is padding, and not looked at.
    pub(crate) frames: usize,
}

/// What became of a [`KnownText`].
#[derive(Debug)]
pub(crate) struct Forced {
    /// Attention of every token to every frame, `[tokens, frames]`, each head's as it was made ready, added up.
    pub(crate) attention: Vec<f32>,
    /// Of each token of the text, after those before it, among all that are text.
    pub(crate) probabilities: Vec<f32>,
}

impl KnownText<'_> {
    /// `path` counts from 0 on.
    fn rows<'p>(&self, path: &'p [u32]) -> Vec<Row<'p>> {
        // A token's probability comes from the position before it.
        let before = self.text.start - 1..self.text.end - 1;
        let row = |(at, token): (usize, &u32)| Row {
            token: *token,
            path: &path[..=at],
            wanted: before.contains(&at),
        };
        self.tokens.iter().enumerate().map(row).collect()
    }
}

impl Decoder {
    /// Takes all texts through the decoder together, whole. `ready` makes the attention of one of `heads`
    /// (layer, head) ready to be added to that of the others: it is given `[tokens, frames]`, of which every row
    /// sums up to 1. Tokens under `end_of_text` are text.
    pub(crate) fn force(
        &self,
        known: &[KnownText<'_>],
        heads: &[(usize, usize)],
        end_of_text: usize,
        ready: impl Fn(&mut [f32], usize) + Sync,
    ) -> Vec<Forced> {
        let mut contexts: Vec<Context> =
            known.iter().map(|known| Context::new(Arc::clone(known.memory))).collect();
        let longest = known.iter().map(|known| known.tokens.len()).max().unwrap_or(0);
        let path: Vec<u32> = (0..longest as u32).collect();
        let mut feeds: Vec<Feed<'_>> = known
            .iter()
            .zip(&mut contexts)
            .map(|(known, context)| Feed { context, rows: known.rows(&path) })
            .collect();
        let mut attention: Vec<Vec<f32>> =
            known.iter().map(|known| vec![0.0; known.tokens.len() * known.frames]).collect();
        let x = self.run(&mut feeds, |layer, queries| {
            let heads: Vec<usize> = heads.iter().filter(|head| head.0 == layer).map(|head| head.1).collect();
            self.add_attention(known, layer, &heads, queries, &ready, &mut attention);
        });
        let mut probabilities =
            self.probabilities(known, &self.wanted_rows(&feeds, &x), end_of_text).into_iter();
        let forced = known.iter().zip(attention).map(|(known, attention)| Forced {
            attention,
            probabilities: probabilities.by_ref().take(known.text.len()).collect(),
        });
        forced.collect()
    }

    /// Adds the attention of a layer's `heads`, made ready, to that of the texts.
    fn add_attention(
        &self,
        known: &[KnownText<'_>],
        layer: usize,
        heads: &[usize],
        queries: &[f32],
        ready: &(impl Fn(&mut [f32], usize) + Sync),
        attention: &mut [Vec<f32>],
    ) {
        let mut tasks = Vec::new();
        let mut first_row = 0;
        for (index, known) in known.iter().enumerate() {
            let rows = known.tokens.len();
            let width = self.heads.width();
            let queries = &queries[first_row * width..][..rows * width];
            tasks.extend(heads.iter().map(|head| (index, known, queries, *head)));
            first_row += rows;
        }
        let by_task: Vec<Vec<f32>> = tasks
            .par_iter()
            .map(|(_, known, queries, head)| {
                within(Stage::Words, || {
                    let mut weights = self.cross_weights(known.memory, layer, *head, queries, known.frames);
                    ready(&mut weights, known.frames);
                    weights
                })
            })
            .collect();
        // One after the other, so that the sum does not depend on who was done first.
        for ((index, ..), weights) in tasks.iter().zip(by_task) {
            for (sum, weight) in attention[*index].iter_mut().zip(weights) {
                *sum += weight;
            }
        }
    }

    /// How much of its attention each of the `queries` `[rows, width]` gives to each of the window's first
    /// frames, by one head: `[rows, frames]`, every row of which sums up to 1.
    fn cross_weights(
        &self,
        memory: &Memory,
        layer: usize,
        head: usize,
        queries: &[f32],
        frames: usize,
    ) -> Vec<f32> {
        let (width, size) = (self.heads.width(), self.heads.size);
        let rows = queries.len() / width;
        let queries = strided(&queries[head * size..], [rows, size], [width, 1]);
        let keys = memory.0[layer].keys(head, frames);
        let mut weights = multiply(queries, strided(&keys, [size, frames], [frames, 1]));
        let scale = self.heads.scale();
        for weight in &mut weights {
            *weight *= scale;
        }
        softmax_rows(&mut weights, frames);
        weights
    }

    /// The probabilities of all texts' tokens, from what the layers gave for the positions before them,
    /// `[texts' tokens, width]`.
    fn probabilities(&self, known: &[KnownText<'_>], x: &[f32], end_of_text: usize) -> Vec<f32> {
        let tokens: Vec<u32> =
            known.iter().flat_map(|known| known.tokens[known.text.clone()].iter().copied()).collect();
        let blocks = tokens.chunks(ROWS_AT_ONCE).zip(x.chunks(ROWS_AT_ONCE * self.heads.width()));
        let (mut probabilities, mut logits) = (Vec::with_capacity(tokens.len()), Vec::new());
        for (tokens, x) in blocks {
            self.project(x, &mut logits);
            let rows = tokens.par_iter().zip(logits.par_chunks_exact(self.vocabulary));
            probabilities.par_extend(rows.map(|(token, logits)| {
                (logits[*token as usize] - log_sum_exp(&logits[..end_of_text])).exp()
            }));
        }
        probabilities
    }
}
