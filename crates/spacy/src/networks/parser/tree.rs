//! From arcs to trees: roots, sentence starts, and the arcs that cross others.

use crate::doc;

/// Which label an arc has, and where it belongs if it was lifted.
///
/// A tree whose arcs cross cannot be built by shift and reduce. So in training such an arc is lifted to its head's
/// head, and labelled `label||label of the true head` (Nivre and Nilsson 2005, "Pseudo-Projective Dependency
/// Parsing", the scheme HEAD).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) name: doc::Label,
    /// Of an arc that was lifted: its label, and that of the head that it was lifted from.
    pub(super) lifted: Option<(usize, usize)>,
}

/// The trees of a text: one for each root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parse {
    /// Each token's head; a root's is the root itself.
    pub(crate) heads: Vec<usize>,
    /// The number of the label of each token's arc.
    pub(crate) labels: Vec<usize>,
    /// Whether a sentence starts with the token.
    pub(crate) sentence_starts: Vec<bool>,
}

/// How often spaCy widens the tokens' reach until no head lies outside its sentence.
const MOST_PASSES: usize = 12;

impl Parse {
    /// `arcs` are each token's head and label, where it has one; what has none is labelled `root`. White space
    /// is never a true head.
    pub(super) fn new(
        arcs: impl Iterator<Item = Option<(usize, usize)>>,
        root: usize,
        labels: &[Label],
        is_space: &[bool],
    ) -> Self {
        let (mut heads, mut arc_labels): (Vec<_>, Vec<_>) =
            arcs.enumerate().map(|(token, arc)| arc.unwrap_or((token, root))).unzip();
        let mut edges = Edges::of(&heads);
        if arc_labels.iter().any(|label| labels[*label].lifted.is_some()) {
            for token in 0..heads.len() {
                if let Some((label, head_label)) = labels[arc_labels[token]].lifted {
                    heads[token] = edges.find_head(&heads, &arc_labels, token, head_label, is_space);
                    arc_labels[token] = label;
                }
            }
            edges = Edges::of(&heads);
        }
        let mut sentence_starts = vec![false; heads.len()];
        for root in roots(&heads) {
            sentence_starts[edges.left[root]] = true;
        }
        Self { heads, labels: arc_labels, sentence_starts }
    }
}

fn roots(heads: &[usize]) -> impl Iterator<Item = usize> {
    heads.iter().enumerate().filter(|(token, head)| token == *head).map(|(token, _)| token)
}

/// The leftmost and rightmost token below each token, itself among them, as far as spaCy follows them.
struct Edges {
    left: Vec<usize>,
    right: Vec<usize>,
}

impl Edges {
    fn of(heads: &[usize]) -> Self {
        let mut edges = Self { left: (0..heads.len()).collect(), right: (0..heads.len()).collect() };
        for _ in 0..MOST_PASSES {
            for token in (0..heads.len()).chain((0..heads.len()).rev()) {
                let head = heads[token];
                edges.left[head] = edges.left[head].min(edges.left[token]);
                edges.right[head] = edges.right[head].max(edges.right[token]);
            }
            if edges.sentences_hold_their_heads(heads) {
                break;
            }
        }
        edges
    }

    /// As spaCy checks it: a sentence's last token is looked at as the first of the next one, whose head may be
    /// one token further.
    fn sentences_hold_their_heads(&self, heads: &[usize]) -> bool {
        let mut starts = vec![false; heads.len()];
        roots(heads).for_each(|root| starts[self.left[root]] = true);
        let mut start = 0;
        for token in 0..heads.len() {
            if token > 0 && starts[token] || token + 1 == heads.len() {
                if heads[start..token].iter().any(|head| !(start..=token).contains(head)) {
                    return false;
                }
                start = token;
            }
        }
        true
    }

    /// The nearest token below `token`'s head whose arc is labelled `label`: breadth first, from the left. The
    /// head itself, where there is none.
    fn find_head(
        &self,
        heads: &[usize],
        labels: &[usize],
        token: usize,
        label: usize,
        is_space: &[bool],
    ) -> usize {
        let mut queue = vec![heads[token]];
        let mut done = 0;
        while let Some(parent) = queue.get(done).copied() {
            done += 1;
            let reach = self.left[parent]..=self.right[parent];
            for child in reach.filter(|child| heads[*child] == parent && *child != parent) {
                if is_space[child] || child == token {
                    continue;
                }
                if labels[child] == label {
                    return child;
                }
                queue.push(child);
            }
        }
        heads[token]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<Label> {
        let plain = |name: &str| Label { name: name.into(), lifted: None };
        let lifted = Label { name: "relcl||nsubj".into(), lifted: Some((1, 2)) };
        vec![plain("ROOT"), plain("relcl"), plain("nsubj"), lifted]
    }

    fn parse(arcs: &[Option<(usize, usize)>], is_space: &[bool]) -> Parse {
        Parse::new(arcs.iter().copied(), 0, &labels(), is_space)
    }

    #[test]
    fn every_root_has_a_sentence() {
        let parse = parse(&[Some((1, 2)), None, Some((3, 2)), None, None], &[false; 5]);
        assert_eq!(parse.heads, [1, 1, 3, 3, 4]);
        assert_eq!(parse.labels, [2, 0, 2, 0, 0]);
        assert_eq!(parse.sentence_starts, [true, false, true, false, true]);
    }

    #[test]
    fn a_lifted_arc_goes_back_to_its_head() {
        // "Someone came who laughed": laughed was lifted from its subject to the verb.
        let arcs = [Some((1, 2)), None, Some((3, 2)), Some((1, 3))];
        let found = parse(&arcs, &[false; 4]);
        assert_eq!(found.heads, [1, 1, 3, 0]);
        assert_eq!(found.labels, [2, 0, 2, 1]);
        assert_eq!(found.sentence_starts, [true, false, false, false]);
        // White space is no head, and then there is none.
        let found = parse(&arcs, &[true, false, false, false]);
        assert_eq!((found.heads, found.labels), (vec![1, 1, 3, 1], vec![2, 0, 2, 1]));
    }

    #[test]
    fn no_tokens_have_no_sentences() {
        let parse = parse(&[], &[]);
        assert!(parse.heads.is_empty() && parse.sentence_starts.is_empty());
    }
}
