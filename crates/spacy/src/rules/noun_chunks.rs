//! Base noun phrases of English, read from the dependency tree: a noun in a noun's place, with all that stands
//! before it and depends on it.

use crate::doc::{Doc, Label, Span, Token};

/// Places in a sentence that a noun phrase takes.
const NOUN_PLACES: [&str; 10] =
    ["oprd", "nsubj", "dobj", "nsubjpass", "pcomp", "pobj", "dative", "appos", "attr", "ROOT"];

/// What a noun is tagged as.
const NOUNS: [&str; 3] = ["NOUN", "PROPN", "PRON"];

/// How often reaches are widened; arcs that cross may need more than once.
const MOST_PASSES: usize = 12;

/// The noun phrases of a document whose tokens have heads and parts of speech. None is within another.
pub(crate) fn find(doc: &Doc) -> Vec<Span> {
    let tokens = &doc.tokens;
    let left = left_edges(tokens);
    let (mut chunks, mut free): (Vec<Span>, usize) = (Vec::new(), 0);
    let label = Label::from("NP");
    for (index, token) in tokens.iter().enumerate() {
        if left[index] >= free && NOUNS.contains(&&*token.pos) && takes_noun_place(tokens, index) {
            chunks.push(Span { start: left[index], end: index + 1, label: label.clone() });
            free = index + 1;
        }
    }
    chunks
}

/// Whether a token is in a noun's place, or is joined to one that is, as “cats” in “dogs and cats”.
fn takes_noun_place(tokens: &[Token], index: usize) -> bool {
    let is_joined = |token: &Token| &*token.dep == "conj";
    let Some(mut place) =
        (if is_joined(&tokens[index]) { tokens.get(tokens[index].head) } else { tokens.get(index) })
    else {
        return false;
    };
    let mut at = tokens[index].head;
    while is_joined(place) && place.head < at {
        at = place.head;
        place = &tokens[at];
    }
    NOUN_PLACES.contains(&&*place.dep)
}

/// The first token of all that depend on each, directly or not.
fn left_edges(tokens: &[Token]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..tokens.len()).collect();
    for _ in 0..MOST_PASSES {
        let mut moved = false;
        for index in (0..tokens.len()).chain((0..tokens.len()).rev()) {
            let edge = left[index];
            if let Some(reach) = left.get_mut(tokens[index].head)
                && edge < *reach
            {
                *reach = edge;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(tokens: &[(&str, &str, usize)]) -> Vec<(usize, usize)> {
        let tokens = tokens.iter().map(|(pos, dep, head)| Token {
            pos: (*pos).into(),
            dep: (*dep).into(),
            head: *head,
            ..Token::default()
        });
        let doc = Doc { tokens: tokens.collect(), ..Doc::default() };
        find(&doc).into_iter().map(|span| (span.start, span.end)).collect()
    }

    #[test]
    fn a_noun_has_its_modifiers() {
        // “The old man saw dogs and cats”
        let tokens = [
            ("DET", "det", 2),
            ("ADJ", "amod", 2),
            ("NOUN", "nsubj", 3),
            ("VERB", "ROOT", 3),
            ("NOUN", "dobj", 3),
            ("CCONJ", "cc", 4),
            ("NOUN", "conj", 4),
        ];
        assert_eq!(chunks(&tokens), [(0, 3), (4, 5), (6, 7)]);
    }

    #[test]
    fn text_without_trees_has_none() {
        assert!(chunks(&[("", "", 0), ("NOUN", "", 9)]).is_empty());
    }
}
