//! Patterns over neighbouring tokens, as spaCy's `Matcher` has them: what each token's attributes must be.

use std::borrow::Cow;

use regex::Regex;
use rmpv::ValueRef;

use crate::doc::{Doc, Token};
use crate::msgpack;
use crate::words::lexeme;

/// What a pattern can ask a token for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    Text,
    Lower,
    Tag,
    Pos,
    Dep,
    Lemma,
}

/// What an attribute must be.
#[derive(Debug)]
enum Condition {
    Is(Box<str>),
    In(Vec<Box<str>>),
    NotIn(Vec<Box<str>>),
    Matches(Regex),
}

/// What must be true of one token.
#[derive(Debug, Default)]
pub(super) struct TokenPattern {
    conditions: Vec<(Attribute, Condition)>,
    is_space: Option<bool>,
}

/// A token and what patterns ask of it that is not written in it.
#[derive(Debug)]
pub(super) struct View<'d> {
    token: &'d Token,
    text: &'d str,
    pub(super) lower: Cow<'d, str>,
    is_space: bool,
}

impl<'d> View<'d> {
    /// The tokens of a document, seen so.
    pub(super) fn all(doc: &'d Doc) -> Vec<Self> {
        let views = doc.tokens.iter().map(|token| {
            let text = &doc.text[token.start..token.end];
            let is_lower = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
            let lower = if is_lower { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) };
            View { token, text, lower, is_space: lexeme::is_space(text) }
        });
        views.collect()
    }

    pub(super) fn tag(&self) -> &str {
        &self.token.tag
    }

    fn attribute(&self, attribute: Attribute) -> &str {
        match attribute {
            Attribute::Text => self.text,
            Attribute::Lower => &self.lower,
            Attribute::Tag => &self.token.tag,
            Attribute::Pos => &self.token.pos,
            Attribute::Dep => &self.token.dep,
            Attribute::Lemma => &self.token.lemma,
        }
    }
}

impl TokenPattern {
    /// Reads one token of a pattern; the error says what is not understood.
    pub(super) fn read(value: &ValueRef<'_>) -> Result<Self, String> {
        let ValueRef::Map(entries) = value else { return Err("a token of a pattern is no map".to_owned()) };
        let mut pattern = Self::default();
        for (key, value) in entries {
            let key = msgpack::string(key).ok_or("a token of a pattern has an attribute without a name")?;
            let attribute = match key {
                "IS_SPACE" => {
                    let is_space = if let ValueRef::Boolean(is_space) = value {
                        *is_space
                    } else {
                        return Err(
                            "a pattern asks whether a token is space, and neither for yes nor no".to_owned()
                        );
                    };
                    pattern.is_space = Some(is_space);
                    continue;
                }
                "ORTH" | "TEXT" => Attribute::Text,
                "LOWER" => Attribute::Lower,
                "TAG" => Attribute::Tag,
                "POS" => Attribute::Pos,
                "DEP" => Attribute::Dep,
                "LEMMA" => Attribute::Lemma,
                _ => return Err(format!("a pattern asks for `{key}`, which is not known here")),
            };
            match value {
                ValueRef::Map(conditions) => {
                    for (kind, value) in conditions {
                        let condition = Condition::read(msgpack::string(kind).unwrap_or_default(), value)?;
                        pattern.conditions.push((attribute, condition));
                    }
                }
                value => {
                    let text =
                        msgpack::string(value).ok_or_else(|| format!("a pattern's `{key}` is no string"))?;
                    pattern.conditions.push((attribute, Condition::Is(text.into())));
                }
            }
        }
        Ok(pattern)
    }

    /// The only values of an attribute that this can be true of; nothing where there are others.
    pub(super) fn values(&self, of: Attribute) -> Option<&[Box<str>]> {
        self.conditions.iter().find_map(|(attribute, condition)| match condition {
            Condition::Is(value) if *attribute == of => Some(std::slice::from_ref(value)),
            Condition::In(values) if *attribute == of => Some(values.as_slice()),
            _ => None,
        })
    }

    pub(super) fn is_true_of(&self, view: &View<'_>) -> bool {
        self.is_space.is_none_or(|is_space| view.is_space == is_space)
            && self
                .conditions
                .iter()
                .all(|(attribute, condition)| condition.holds(view.attribute(*attribute)))
    }
}

impl Condition {
    fn read(kind: &str, value: &ValueRef<'_>) -> Result<Self, String> {
        let words = || {
            let ValueRef::Array(words) = value else {
                return Err(format!("a pattern's `{kind}` is no list"));
            };
            let words = words.iter().map(|word| msgpack::string(word).map(Into::into));
            words
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| format!("a pattern's `{kind}` is no list of strings"))
        };
        match kind {
            "IN" => Ok(Self::In(words()?)),
            "NOT_IN" => Ok(Self::NotIn(words()?)),
            "REGEX" => {
                let source = msgpack::string(value).ok_or("a pattern's `REGEX` is no string")?;
                Regex::new(source)
                    .map(Self::Matches)
                    .map_err(|error| format!("a pattern's `REGEX` cannot be used: {error}"))
            }
            _ => Err(format!("a pattern has a condition `{kind}`, which is not known here")),
        }
    }

    fn holds(&self, value: &str) -> bool {
        match self {
            Self::Is(wanted) => **wanted == *value,
            Self::In(wanted) => wanted.iter().any(|wanted| **wanted == *value),
            Self::NotIn(unwanted) => unwanted.iter().all(|unwanted| **unwanted != *value),
            Self::Matches(regex) => regex.is_match(value),
        }
    }
}
