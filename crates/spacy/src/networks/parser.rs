//! Vectors to dependency trees and sentences: spaCy's greedy arc-eager parser.

mod state;
mod tree;

use std::path::Path;

use crate::doc;
use crate::error::LoadError;
use crate::networks::layers::Matrix;
use crate::networks::model::Network;
use crate::networks::transition::{StateModel, best_move, read_moves};

use state::{Action, State};
use tree::Label;
pub(crate) use tree::Parse;

/// What stands in a label between that of an arc and that of the head that it was lifted from.
const LIFTED_FROM: &str = "||";

/// Builds a text's trees, move by move.
#[derive(Debug)]
pub(crate) struct Parser {
    model: StateModel,
    /// What each class of the network's output does, and the number of its label.
    moves: Vec<(Action, usize)>,
    labels: Vec<Label>,
    root: usize,
}

impl Parser {
    /// Reads the component's folder; its vectors are to be `width` wide.
    pub(crate) fn load(folder: &Path, width: usize) -> Result<Self, LoadError> {
        let file = folder.join("moves");
        let damaged = |reason: String| LoadError::Damaged { file: file.clone(), reason };
        let mut labels = Vec::new();
        let root = number_label(&mut labels, "ROOT").map_err(damaged)?;
        let moves = read_moves(&file)?.into_iter().map(|one| {
            let action = Action::from_number(one.action);
            let action = action
                .ok_or_else(|| damaged(format!("it has an action {}, which is not known", one.action)))?;
            if one.label == "subtok" {
                return Err(damaged("it merges tokens (`subtok`), which this parser does not".to_owned()));
            }
            Ok((action, number_label(&mut labels, &one.label).map_err(damaged)?))
        });
        let moves: Vec<_> = moves.collect::<Result<_, _>>()?;
        let network = Network::read(&folder.join("model"))?;
        let model = StateModel::load(&network, width, moves.len())?;
        if model.features() != 8 {
            let features = model.features();
            return Err(
                network.damaged(format!("it looks at {features} tokens of a state, where 8 are known"))
            );
        }
        Ok(Self { model, moves, labels, root })
    }

    /// The name of a label, by the number that a [`Parse`] gives.
    pub(crate) fn label(&self, number: usize) -> &doc::Label {
        &self.labels[number].name
    }

    /// Parses a text; `vectors` is `[tokens, width]`.
    pub(crate) fn parse(&self, vectors: &Matrix, is_space: &[bool]) -> Parse {
        let mut state = State::new(vectors.rows());
        let mut scorer = self.model.scorer(vectors);
        while !state.is_final() {
            if let Some(token) = state.first_needed() {
                scorer.forget_before(token);
            }
            let allowed = state.allowed();
            let scores = scorer.scores(state.features());
            let Some(best) = best_move(scores, |number| allowed[self.moves[number].0 as usize]) else {
                // A file without the moves that every state needs: what is parsed so far stands.
                break;
            };
            state.apply(self.moves[best].0, self.moves[best].1);
        }
        Parse::new(state.into_arcs(), self.root, &self.labels, is_space)
    }
}

/// The number of the label of that name, which is entered where it is new.
fn number_label(labels: &mut Vec<Label>, name: &str) -> Result<usize, String> {
    if let Some(number) = labels.iter().position(|label| *label.name == *name) {
        return Ok(number);
    }
    let lifted = match name.split_once(LIFTED_FROM) {
        Some((_, head)) if head.contains(LIFTED_FROM) => {
            return Err(format!("it has a label `{name}`, which names more than one head"));
        }
        Some((label, head)) => Some((number_label(labels, label)?, number_label(labels, head)?)),
        None => None,
    };
    labels.push(Label { name: name.into(), lifted });
    Ok(labels.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_entered_once_with_those_in_it() {
        let mut labels = Vec::new();
        assert_eq!(number_label(&mut labels, "acl").unwrap(), 0);
        assert_eq!(number_label(&mut labels, "acl||nsubj").unwrap(), 2);
        assert_eq!(number_label(&mut labels, "nsubj").unwrap(), 1);
        assert_eq!(labels[2].lifted, Some((0, 1)));
        assert_eq!(labels.len(), 3);
        number_label(&mut labels, "a||b||c").unwrap_err();
    }
}
