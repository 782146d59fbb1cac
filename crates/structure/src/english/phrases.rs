//! Finds the places of an English text that are better or worse to break at, by its dependency trees, entities and noun
//! chunks. The preferences are those of subtitlers: a line should not end between words that are read as one.

use verbatim_spacy::{Doc, Span, Token};

use crate::breaks::{Break, BreakKind};

/// The dependencies of words that come before the word that they belong to, and are not parted from it.
const LEFT_OF_HEAD: [&str; 14] = [
    "amod", "aux", "auxpass", "compound", "det", "mark", "neg", "nmod", "npadvmod", "nummod", "poss",
    "preconj", "predet", "quantmod",
];

/// The tags of relative and interrogative words, which start a clause.
const QUESTION_WORDS: [&str; 4] = ["WDT", "WP", "WP$", "WRB"];

/// How many words behind a preposition its object is looked for.
const OBJECT_REACH: usize = 12;

/// The places of a document between words, in order.
pub(super) fn breaks(doc: &Doc) -> Vec<Break> {
    let tokens = doc.tokens();
    let chunks = chunk_of_tokens(doc);
    let spaced = (1..tokens.len()).filter(|index| tokens[index - 1].end < tokens[*index].start);
    spaced
        .filter_map(|index| {
            let kind = kind(doc, &chunks, index)?;
            Some(Break { place: tokens[index].start, kind })
        })
        .collect()
}

/// For each token, the noun chunk that it is part of.
fn chunk_of_tokens(doc: &Doc) -> Vec<Option<&Span>> {
    let mut chunks = vec![None; doc.tokens().len()];
    for chunk in doc.noun_chunks() {
        chunks[chunk.start..chunk.end].fill(Some(chunk));
    }
    chunks
}

/// How good it is to break before the token at `index`, which has one before it. `None` if it is neither good nor bad.
fn kind(doc: &Doc, chunks: &[Option<&Span>], index: usize) -> Option<BreakKind> {
    let tokens = doc.tokens();
    let (before, after) = (&tokens[index - 1], &tokens[index]);
    if after.sentence_start {
        return Some(BreakKind::Sentence);
    }
    let in_one_chunk = chunks[index].is_some_and(|chunk| chunk.start < index);
    let in_one_entity = doc.entity(index).is_some_and(|entity| entity.start < index);
    if (in_one_chunk || in_one_entity) && &*before.pos != "PUNCT" {
        return Some(BreakKind::Tight);
    }
    if binds_to_the_right(tokens, index - 1) || binds_to_the_left(tokens, index) {
        return Some(BreakKind::Tight);
    }
    // What complements the word before: an object, or what a thing is said to be.
    let root = chunks[index].map_or(after, |chunk| &tokens[chunk.end - 1]);
    let complements = matches!(&*root.dep, "dobj" | "dative" | "attr" | "acomp" | "oprd");
    let of = after.lemma.eq_ignore_ascii_case("of");
    let adverb = &*before.dep == "advmod" && before.head == index;
    if (root.head == index - 1 && (complements || of)) || adverb {
        return Some(BreakKind::Loose);
    }
    starts_phrase(after).then_some(BreakKind::Phrase)
}

/// Whether the token at `index` is not parted from the one behind it.
fn binds_to_the_right(tokens: &[Token], index: usize) -> bool {
    let token = &tokens[index];
    let head_follows = token.head > index;
    match &*token.dep {
        "nsubj" | "nsubjpass" | "expl" if &*token.pos == "PRON" => head_follows,
        "prep" | "agent" | "dative" if &*token.pos == "ADP" => {
            let mut behind = tokens[index + 1..].iter().take(OBJECT_REACH);
            behind.any(|word| word.head == index && matches!(&*word.dep, "pobj" | "pcomp"))
        }
        "cc" => true,
        "advmod" => {
            let head = tokens.get(token.head).map_or("", |head| &*head.pos);
            head_follows && (matches!(head, "ADJ" | "ADV") || QUESTION_WORDS.contains(&&*token.tag))
        }
        dep => head_follows && (LEFT_OF_HEAD.contains(&dep) || QUESTION_WORDS.contains(&&*token.tag)),
    }
}

/// Whether the token at `index` is not parted from the one before it: the particle of a verb, a negation, or a pronoun
/// that is an object.
fn binds_to_the_left(tokens: &[Token], index: usize) -> bool {
    let token = &tokens[index];
    match &*token.dep {
        "prt" | "neg" => token.head == index - 1,
        "dobj" | "dative" => token.head == index - 1 && &*token.pos == "PRON",
        _ => false,
    }
}

/// Whether a token starts a clause or a phrase with a preposition.
fn starts_phrase(token: &Token) -> bool {
    matches!(&*token.dep, "cc" | "mark" | "prep" | "agent") || QUESTION_WORDS.contains(&&*token.tag)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use verbatim_speech::Language;

    use super::*;
    use crate::english::English;
    use crate::structurer::Structurer;
    use crate::testing::model_folder;

    /// A text with `|` where a sentence starts, `/` where a phrase does, `-` between words that belong together, and `=`
    /// between those that are hardly understood apart, each instead of a space.
    fn marked(structurer: &Structurer, text: &str) -> String {
        let breaks = structurer.breaks(text, Some(Language::ENGLISH));
        assert!(breaks.is_sorted_by(|a, b| a.place < b.place), "{breaks:?}");
        let mut marked = text.as_bytes().to_vec();
        for Break { place, kind } in breaks {
            marked[place - 1] = match kind {
                BreakKind::Sentence => b'|',
                BreakKind::Phrase => b'/',
                BreakKind::Loose => b'-',
                BreakKind::Tight => b'=',
            };
        }
        String::from_utf8(marked).unwrap()
    }

    #[test]
    fn words_that_are_read_as_one_are_kept_together() {
        let english = English::load(&model_folder("en_core_web_sm"), "en_core_web_sm").unwrap();
        let structurer = Structurer { english: Some(Arc::new(english)), ..Structurer::default() };
        for marked_text in [
            "The=old=boats have=been=sold/to=the=crew-of=a=ship.",
            "She=gave=up/because=he=did=not=come.|They=saw-the=house/that=Mr.=John=Dashwood built/in=May.",
        ] {
            let text = marked_text.replace(['=', '-', '/', '|'], " ");
            assert_eq!(marked(&structurer, &text), marked_text);
        }
    }
}
