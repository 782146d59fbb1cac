//! What the parser and the entity recogniser share: the moves that they choose from, and the network that scores
//! them in a state (spaCy's `TransitionBasedParser.v2`).

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use rten_simd::{Isa, SimdOp};

use verbatim_kernels::panels::{Batched, Single};
use verbatim_kernels::vector::{add, maximum};

use crate::error::{self, LoadError};
use crate::msgpack;
use crate::networks::layers::Matrix;
use crate::networks::model::Network;

/// Tokens whose features are computed at once.
const BLOCK: usize = 64;

/// A class of the network's output: a kind of action, by its number in the file, and a label or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) action: u32,
    pub(crate) label: String,
}

/// Reads the file `moves`: for each action its labels and how often they were seen in training. Classes are
/// numbered by action, then by falling frequency, then from the end of the alphabet. Labels that came in after
/// training have negative frequencies and stand behind all others.
pub(crate) fn read_moves(file: &Path) -> Result<Vec<Move>, LoadError> {
    let damaged = |reason: String| LoadError::Damaged { file: file.to_owned(), reason };
    let bytes = error::read(file)?;
    let message = msgpack::parse(file, &bytes)?;
    let text = msgpack::field(&message, "moves").and_then(msgpack::string);
    let text = text.ok_or_else(|| damaged("it has no text `moves`".to_owned()))?;
    let actions: BTreeMap<u32, BTreeMap<String, i64>> = serde_json::from_str(text).map_err(|error| {
        damaged(format!("its `moves` are no actions with the frequencies of labels: {error}"))
    })?;
    Ok(number_moves(actions))
}

fn number_moves(actions: BTreeMap<u32, BTreeMap<String, i64>>) -> Vec<Move> {
    let mut moves = Vec::new();
    let mut added = Vec::new();
    for (action, labels) in actions {
        let mut labels: Vec<(i64, String)> =
            labels.into_iter().map(|(label, frequency)| (frequency, label)).collect();
        labels.sort_unstable_by(|a, b| b.cmp(a));
        for (frequency, label) in labels {
            if frequency < 0 {
                added.push((frequency, label, action));
            } else {
                moves.push(Move { action, label });
            }
        }
    }
    // The frequency places a label with all its actions where it comes first.
    added.sort_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)));
    for (_, label, _) in &added {
        let mut actions: Vec<u32> =
            added.iter().filter(|(_, other, _)| other == label).map(|(_, _, action)| *action).collect();
        actions.sort_unstable();
        for action in actions {
            let next = Move { action, label: label.clone() };
            if !moves.contains(&next) {
                moves.push(next);
            }
        }
    }
    moves
}

/// Scores of all moves in a state, which is told by a few tokens: its features. What a token contributes in each
/// place is computed beforehand, so that a state takes no more than a sum, a maximum and one small product.
#[derive(Debug)]
pub(crate) struct StateModel {
    /// A token's vector to a narrower one.
    reduce: Batched,
    /// That to its contributions, `[features, pieces, hidden]`.
    contribute: Batched,
    /// The contributions where there is no token, likewise.
    missing: Vec<f32>,
    /// `[pieces, hidden]`
    bias: Vec<f32>,
    hidden: usize,
    features: usize,
    scores: Single,
    moves: usize,
}

impl StateModel {
    /// Vectors are to be `width` wide, and the scores of as many moves.
    pub(crate) fn load(network: &Network, width: usize, moves: usize) -> Result<Self, LoadError> {
        let (lower, upper) = (network.root()?.reference("lower")?, network.root()?.reference("upper")?);
        let reduce = network.named("linear").find(|layer| !layer.is(upper));
        let reduce = reduce.ok_or_else(|| network.damaged("it has no layer `linear` before its states"))?;

        let [features, hidden, pieces, inputs] = lower.shape("W")?;
        if [features, hidden, pieces, inputs, width, moves].contains(&0) {
            return Err(lower.damaged("has no weights"));
        }
        let weight = lower.parameter("W", &[features, hidden, pieces, inputs])?;
        let missing = lower.parameter("pad", &[1, features, hidden, pieces])?;
        let bias = lower.parameter("b", &[hidden, pieces])?;
        // The file keeps an output's pieces side by side; here a piece's outputs are, to be compared as vectors.
        let state = hidden * pieces;
        let in_state = |number: usize| number % hidden * pieces + number / hidden;
        let place = |number: usize| number / state * state + in_state(number % state);

        let reducing = reduce.parameter("W", &[inputs, width])?;
        let reducing_bias = reduce.parameter("b", &[inputs])?;
        Ok(Self {
            reduce: Batched::new(width, reducing, reducing_bias),
            contribute: Batched::from_rows(
                inputs,
                features * state,
                |number| &weight[place(number) * inputs..][..inputs],
                |_| 0.0,
            ),
            missing: (0..features * state).map(|number| missing[place(number)]).collect(),
            bias: (0..state).map(|number| bias[in_state(number)]).collect(),
            hidden,
            features,
            scores: Single::new(
                hidden,
                upper.parameter("W", &[moves, hidden])?,
                upper.parameter("b", &[moves])?,
            ),
            moves,
        })
    }

    /// How many tokens tell a state.
    pub(crate) fn features(&self) -> usize {
        self.features
    }

    /// Ready to score the states of a text; `vectors` is `[tokens, width]`.
    pub(crate) fn scorer<'m>(&'m self, vectors: &'m Matrix) -> Scorer<'m> {
        Scorer {
            model: self,
            vectors,
            blocks: VecDeque::new(),
            first: 0,
            spare: Vec::new(),
            state: vec![0.0; self.bias.len()],
            scores: vec![0.0; self.scores.padded_outputs()],
        }
    }
}

/// Scores the states of one text. Contributions are computed as the states come to the tokens, and forgotten
/// behind them, so that they stay in cache and do not grow with the text.
pub(crate) struct Scorer<'m> {
    model: &'m StateModel,
    vectors: &'m Matrix,
    /// Contributions of [`BLOCK`] tokens each.
    blocks: VecDeque<Vec<f32>>,
    /// The number of the first of them.
    first: usize,
    /// Memory of blocks that were forgotten.
    spare: Vec<Vec<f32>>,
    state: Vec<f32>,
    scores: Vec<f32>,
}

impl Scorer<'_> {
    /// The score of each move in the state of these tokens. None of them lies before one that was given to
    /// [`Self::forget_before`].
    pub(crate) fn scores<const N: usize>(&mut self, tokens: [Option<usize>; N]) -> &[f32] {
        if let Some(last) = tokens.iter().flatten().max() {
            while (self.first + self.blocks.len()) * BLOCK <= *last {
                self.compute_block();
            }
        }
        let Self { model, blocks, first, state, scores, .. } = self;
        let width = model.bias.len();
        let contributions: [&[f32]; N] = std::array::from_fn(|feature| {
            let of_token = match tokens[feature] {
                Some(token) => &blocks[token / BLOCK - *first][token % BLOCK * model.missing.len()..],
                None => &model.missing[..],
            };
            &of_token[feature * width..][..width]
        });
        Score { model, contributions, state, scores }.dispatch();
        &self.scores[..self.model.moves]
    }

    /// No state will be told by a token before this one any more.
    pub(crate) fn forget_before(&mut self, token: usize) {
        while (self.first + 1) * BLOCK <= token
            && let Some(block) = self.blocks.pop_front()
        {
            self.spare.push(block);
            self.first += 1;
        }
    }

    fn compute_block(&mut self) {
        let StateModel { reduce, contribute, .. } = self.model;
        let start = (self.first + self.blocks.len()) * BLOCK;
        let rows = (self.vectors.rows() - start).min(BLOCK);
        let mut reduced = Vec::with_capacity(rows * reduce.outputs());
        reduce.apply(self.vectors.rows_from(start), reduce.inputs(), rows, |_, row| {
            reduced.extend_from_slice(row)
        });
        let mut block = self.spare.pop().unwrap_or_default();
        block.clear();
        contribute.apply(&reduced, contribute.inputs(), rows, |_, row| block.extend_from_slice(row));
        self.blocks.push_back(block);
    }
}

/// The scores of one state.
struct Score<'a, const N: usize> {
    model: &'a StateModel,
    contributions: [&'a [f32]; N],
    /// Room for `[pieces, hidden]`.
    state: &'a mut [f32],
    scores: &'a mut [f32],
}

impl<const N: usize> SimdOp for Score<'_, N> {
    type Output = ();

    /// The sums are loops that the compiler makes vectors of, with whatever the processor has.
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        self.state.copy_from_slice(&self.model.bias);
        for contribution in self.contributions {
            add(self.state, contribution);
        }
        let (greatest, others) = self.state.split_at_mut(self.model.hidden);
        for piece in others.chunks_exact(greatest.len()) {
            maximum(greatest, piece);
        }
        let scores = &self.model.scores;
        scores.multiply(isa, greatest, scores.bias(), self.scores);
    }
}

/// The best of the moves that `valid` allows, the first of them where several are.
pub(crate) fn best_move(scores: &[f32], valid: impl Fn(usize) -> bool) -> Option<usize> {
    let mut best = None;
    for (number, score) in scores.iter().enumerate() {
        if valid(number) && best.is_none_or(|(_, greatest)| score > greatest) {
            best = Some((number, score));
        }
    }
    best.map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_numbered_by_action_frequency_and_label() {
        let text =
            r#"{"0": {"": 9}, "2": {"a": 1, "b": 5, "c": 1, "new": -1}, "3": {"newer": -2, "new": -3}}"#;
        let moves = number_moves(serde_json::from_str(text).unwrap());
        let names: Vec<_> = moves.iter().map(|one| format!("{}{}", one.action, one.label)).collect();
        assert_eq!(names, ["0", "2b", "2c", "2a", "2new", "3new", "3newer"]);
    }

    #[test]
    fn the_best_move_is_a_valid_one() {
        let scores = [1.0, 7.0, 3.0, 3.0];
        assert_eq!(best_move(&scores, |_| true), Some(1));
        assert_eq!(best_move(&scores, |number| number != 1), Some(2));
        assert_eq!(best_move(&scores, |_| false), None);
        assert_eq!(best_move(&[f32::NAN, f32::NAN], |number| number == 1), Some(1));
    }
}
