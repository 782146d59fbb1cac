//! What follows from a token's tag, its word and its neighbours by rule: its universal part of speech, its
//! features, and some lemmas. The rules are the pipeline's, from its file `attribute_ruler/patterns`.

mod matcher;

use std::collections::HashMap;
use std::path::Path;

use rmpv::ValueRef;

use crate::doc::{Doc, Label, Token};
use crate::error::{self, LoadError};
use crate::msgpack;

use matcher::{Attribute, TokenPattern, View};

/// How the file writes that a token has no features.
const NO_FEATURES: &str = "_";

/// Sets attributes of tokens by patterns.
#[derive(Debug, Default)]
pub(crate) struct AttributeRuler {
    rules: Vec<Rule>,
    /// The patterns that begin with a certain tag, and of those that do not, which begin with a certain word: as
    /// the number of the rule and of its pattern.
    by_tag: HashMap<Box<str>, Vec<(usize, usize)>>,
    by_word: HashMap<Box<str>, Vec<(usize, usize)>>,
    others: Vec<(usize, usize)>,
}

/// Patterns, and what is true of a token in what they match.
#[derive(Debug)]
struct Rule {
    patterns: Vec<Vec<TokenPattern>>,
    /// Which token of the match is meant; a negative one counts from the end.
    index: i64,
    tag: Option<Label>,
    pos: Option<Label>,
    morph: Option<Label>,
    lemma: Option<Label>,
    dep: Option<Label>,
}

impl AttributeRuler {
    /// Reads the component's folder in the pipeline's.
    pub(crate) fn load(folder: &Path) -> Result<Self, LoadError> {
        let file = folder.join("attribute_ruler").join("patterns");
        let damaged = |reason: String| LoadError::Damaged { file: file.clone(), reason };
        let bytes = error::read(&file)?;
        let ValueRef::Array(rules) = msgpack::parse(&file, &bytes)? else {
            return Err(damaged("it is no list of rules".to_owned()));
        };
        let mut ruler = Self::default();
        for (number, rule) in rules.iter().enumerate() {
            let rule = Rule::read(rule).map_err(|reason| damaged(format!("in rule {number} {reason}")))?;
            ruler.add(rule);
        }
        Ok(ruler)
    }

    fn add(&mut self, rule: Rule) {
        for (number, pattern) in rule.patterns.iter().enumerate() {
            let place = (self.rules.len(), number);
            let (index, values) = if let Some(tags) = pattern[0].values(Attribute::Tag) {
                (&mut self.by_tag, tags)
            } else if let Some(words) = pattern[0].values(Attribute::Lower) {
                (&mut self.by_word, words)
            } else {
                self.others.push(place);
                continue;
            };
            for value in values {
                index.entry(value.clone()).or_default().push(place);
            }
        }
        self.rules.push(rule);
    }

    /// Sets what the rules say. All of them see the tokens as they are before; of two that say different things the
    /// later one counts.
    pub(crate) fn apply(&self, doc: &mut Doc) {
        for (rule, index) in self.matches(doc) {
            self.rules[rule].apply(&mut doc.tokens[index]);
        }
    }

    /// Which rule is true of which token, in the order in which they are to be applied.
    fn matches(&self, doc: &Doc) -> Vec<(usize, usize)> {
        let views = View::all(doc);
        let mut found = Vec::with_capacity(2 * views.len());
        for (start, view) in views.iter().enumerate() {
            let by_tag = self.by_tag.get(view.tag()).into_iter().flatten();
            let by_word = self.by_word.get(view.lower.as_ref()).into_iter().flatten();
            for &(number, pattern) in by_tag.chain(by_word).chain(&self.others) {
                let rule = &self.rules[number];
                let pattern = &rule.patterns[pattern];
                let Some(span) = views.get(start..start + pattern.len()) else { continue };
                if pattern.iter().zip(span).all(|(pattern, view)| pattern.is_true_of(view))
                    && let Some(index) = place_in(rule.index, pattern.len())
                {
                    found.push((number, start, start + index));
                }
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(rule, _, index)| (rule, index)).collect()
    }
}

impl Rule {
    fn read(value: &ValueRef<'_>) -> Result<Self, String> {
        let mut patterns = Vec::new();
        for pattern in list(msgpack::field(value, "patterns"))? {
            patterns
                .push(list(Some(pattern))?.iter().map(TokenPattern::read).collect::<Result<Vec<_>, _>>()?);
        }
        let index = match msgpack::field(value, "index") {
            None => 0,
            Some(ValueRef::Integer(index)) => index.as_i64().ok_or("the index is too large")?,
            Some(_) => return Err("the index is no number".to_owned()),
        };
        if patterns.iter().any(|pattern| place_in(index, pattern.len()).is_none()) {
            return Err(format!("there is no token {index} in its pattern"));
        }
        let attributes = msgpack::field(value, "attrs").ok_or("there are no attributes")?;
        let mut rule = Self { patterns, index, tag: None, pos: None, morph: None, lemma: None, dep: None };
        for (name, value) in msgpack::entries(attributes) {
            let value =
                msgpack::string(value).ok_or_else(|| format!("the attribute `{name}` is no string"))?;
            let attribute = match name {
                "TAG" => &mut rule.tag,
                "POS" => &mut rule.pos,
                "MORPH" => &mut rule.morph,
                "LEMMA" => &mut rule.lemma,
                "DEP" => &mut rule.dep,
                _ => return Err(format!("there is an attribute `{name}`, which is not known here")),
            };
            *attribute =
                Some(if name == "MORPH" && value == NO_FEATURES { Label::default() } else { value.into() });
        }
        Ok(rule)
    }

    fn apply(&self, token: &mut Token) {
        let attributes = [
            (&self.tag, &mut token.tag),
            (&self.pos, &mut token.pos),
            (&self.morph, &mut token.morph),
            (&self.lemma, &mut token.lemma),
            (&self.dep, &mut token.dep),
        ];
        for (said, attribute) in attributes {
            if let Some(said) = said {
                *attribute = said.clone();
            }
        }
    }
}

/// The items of a list that holds any.
fn list<'v, 'b>(value: Option<&'v ValueRef<'b>>) -> Result<&'v [ValueRef<'b>], String> {
    match value {
        Some(ValueRef::Array(items)) if !items.is_empty() => Ok(items),
        _ => Err("there are no patterns".to_owned()),
    }
}

/// The place that an index means among `length` tokens.
fn place_in(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let place = if index < 0 { length.checked_add(index)? } else { index };
    (0..length).contains(&place).then(|| usize::try_from(place).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_counts_from_either_end() {
        assert_eq!(place_in(1, 2), Some(1));
        assert_eq!(place_in(-2, 2), Some(0));
        assert_eq!(place_in(2, 2), None);
        assert_eq!(place_in(-3, 2), None);
        assert_eq!(place_in(i64::MIN, 2), None);
    }
}
