//! Vectors to named entities: spaCy's greedy recogniser, which says of each token whether it begins an entity, is
//! in one, is its last, is one by itself (a unit), or is outside (BILUO; Ratinov and Roth 2009, "Design Challenges
//! and Misconceptions in Named Entity Recognition").

use std::path::Path;

use crate::doc::Label;
use crate::error::LoadError;
use crate::networks::model::Network;
use crate::networks::tok2vec::{Tok2Vec, TokenAttributes};
use crate::networks::transition::{Scorer, StateModel, best_move, read_moves};

/// A named entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entity {
    /// Its first token.
    pub(crate) start: usize,
    /// The token behind its last one.
    pub(crate) end: usize,
    /// The number of its label among [`Ner::labels`].
    pub(crate) label: usize,
}

/// Finds the entities of a text, by vectors of its own.
#[derive(Debug)]
pub(crate) struct Ner {
    tok2vec: Tok2Vec,
    model: StateModel,
    /// What each class of the network's output does, and the number of its label.
    moves: Vec<(Action, Option<usize>)>,
    labels: Vec<Label>,
}

/// What a move says of the token at hand, numbered as in the file of moves, where 0 means that nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Begin,
    In,
    Last,
    Unit,
    Out,
}

impl Action {
    fn from_number(number: u32) -> Option<Self> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        [Self::Begin, Self::In, Self::Last, Self::Unit, Self::Out].get(place).copied()
    }
}

impl Ner {
    /// Reads the component's folder.
    pub(crate) fn load(folder: &Path) -> Result<Self, LoadError> {
        let file = folder.join("moves");
        let damaged = |reason: String| LoadError::Damaged { file: file.clone(), reason };
        let mut labels = Vec::new();
        let mut moves = Vec::new();
        for one in read_moves(&file)? {
            let action = Action::from_number(one.action)
                .ok_or_else(|| damaged(format!("it has an action {}, which is not known", one.action)))?;
            let label = (!one.label.is_empty()).then(|| number_label(&mut labels, &one.label));
            moves.push((action, label));
        }
        let network = Network::read(&folder.join("model"))?;
        let tok2vec = Tok2Vec::load(&network)?;
        let model = StateModel::load(&network, tok2vec.width(), moves.len())?;
        if ![3, 6].contains(&model.features()) {
            let features = model.features();
            return Err(
                network.damaged(format!("it looks at {features} tokens of a state, where 3 or 6 are known"))
            );
        }
        Ok(Self { tok2vec, model, moves, labels })
    }

    /// The labels that there are.
    pub(crate) fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The entities of a text, in order. None reaches from one sentence into the next, and none begins with white
    /// space.
    pub(crate) fn entities(&self, tokens: &[TokenAttributes], sentence_starts: &[bool]) -> Vec<Entity> {
        let vectors = self.tok2vec.vectors(tokens);
        let mut scorer = self.model.scorer(&vectors);
        let mut entities = Vec::new();
        let mut open: Option<Open> = None;
        for (token, attributes) in tokens.iter().enumerate() {
            scorer.forget_before(open.map_or(token, |open| open.start));
            let goes_on = sentence_starts.get(token + 1).is_some_and(|starts| !starts);
            let is_allowed = |number: usize| {
                let (action, label) = self.moves[number];
                match (action, label, open) {
                    (Action::Begin, Some(_), None) => goes_on && !attributes.lexeme.is_space,
                    (Action::Unit, Some(_), None) => !attributes.lexeme.is_space,
                    (Action::Out, None, None) => true,
                    (Action::In, Some(label), Some(open)) => label == open.label && goes_on,
                    (Action::Last, Some(label), Some(open)) => label == open.label,
                    _ => false,
                }
            };
            let Some(best) = best_move(self.scores(&mut scorer, token, open), is_allowed) else {
                // A file without the moves that every state needs: what is found so far stands.
                break;
            };
            match (self.moves[best], open) {
                ((Action::Begin, Some(label)), _) => open = Some(Open { start: token, label }),
                ((Action::Unit, Some(label)), _) => {
                    entities.push(Entity { start: token, end: token + 1, label })
                }
                ((Action::Last, _), Some(Open { start, label })) => {
                    entities.push(Entity { start, end: token + 1, label });
                    open = None;
                }
                _ => {}
            }
        }
        entities
    }

    /// The network looks at the token at hand, and at the first tokens of an open entity: at three in all, the
    /// first one and the one before the token at hand.
    fn scores<'s>(&self, scorer: &'s mut Scorer<'_>, token: usize, open: Option<Open>) -> &'s [f32] {
        let start = open.map(|open| open.start);
        if self.model.features() == 3 {
            return scorer.scores([Some(token), start, start.and(token.checked_sub(1))]);
        }
        let inside = |place: usize| start.map(|start| start + place).filter(|inside| *inside < token);
        scorer.scores([Some(token), inside(0), inside(1), inside(2), inside(3), inside(4)])
    }
}

/// An entity that has begun.
#[derive(Debug, Clone, Copy)]
struct Open {
    start: usize,
    label: usize,
}

/// The number of a label, which is entered where it is new.
fn number_label(labels: &mut Vec<Label>, label: &str) -> usize {
    labels.iter().position(|known| **known == *label).unwrap_or_else(|| {
        labels.push(label.into());
        labels.len() - 1
    })
}
