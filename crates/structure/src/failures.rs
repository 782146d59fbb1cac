//! The parts of a transcript's structure. Each may fail, by a panic, without the others.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A part of the structure that is found independently of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The text itself, which all other parts need.
    Text,
    /// The analysis of English, which the parser's sentences, entities and keywords need.
    English,
    ParserSentences,
    Sentences,
    Topics,
    Entities,
    Keywords,
}

impl Part {
    /// A sentence that says what is missing if this part failed, and why.
    fn missing(self) -> &'static str {
        match self {
            Self::Text => "The transcript could not be structured (an internal error).",
            Self::English => {
                "The English pipeline failed on this text (an internal error): its sentences are cut by rule, and \
                 entities and keywords are missing."
            }
            Self::ParserSentences => {
                "The sentences are cut by rule: finding them with the English pipeline failed (an internal error)."
            }
            Self::Sentences => {
                "There are no sentences and no topics: cutting the text into sentences failed (an internal error)."
            }
            Self::Topics => "There are no topics: finding them failed (an internal error).",
            Self::Entities => "There are no entities: finding them failed (an internal error).",
            Self::Keywords => "There are no keywords: finding them failed (an internal error).",
        }
    }
}

/// The parts that have failed so far.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<Part>);

impl Failures {
    /// Runs the function that finds a part. Returns `None` if it panics; the panic hook logs that like any other
    /// panic.
    pub(crate) fn catch<T>(&mut self, part: Part, find: impl FnOnce() -> T) -> Option<T> {
        let find = AssertUnwindSafe(|| {
            #[cfg(test)]
            broken::panic_in(part);
            find()
        });
        let found = catch_unwind(find).ok();
        if found.is_none() && !self.0.contains(&part) {
            self.0.push(part);
        }
        found
    }

    /// Sentences about all that is missing; `None` if nothing is.
    pub(crate) fn message(&self) -> Option<String> {
        let sentences: Vec<_> = self.0.iter().map(|part| part.missing()).collect();
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }
}

/// Makes a part fail, for tests: no text is known that does.
#[cfg(test)]
pub(crate) mod broken {
    use std::cell::Cell;

    use super::Part;

    thread_local! {
        static BROKEN: Cell<Option<Part>> = const { Cell::new(None) };
    }

    /// Runs a function, with a part that panics on this thread meanwhile.
    pub(crate) fn without<T>(part: Part, run: impl FnOnce() -> T) -> T {
        BROKEN.set(Some(part));
        let result = run();
        BROKEN.set(None);
        result
    }

    pub(super) fn panic_in(part: Part) {
        assert!(BROKEN.get() != Some(part), "as a bug would");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_panics_is_missing_and_reported_once() {
        let mut failures = Failures::default();
        assert_eq!(failures.catch(Part::Sentences, || 3), Some(3));
        assert_eq!(failures.message(), None);
        for part in [Part::Topics, Part::Entities, Part::Topics] {
            assert_eq!(broken::without(part, || failures.catch(part, || 3)), None);
        }
        let message = "There are no topics: finding them failed (an internal error). There are no entities: finding \
                    them failed (an internal error).";
        assert_eq!(failures.message().as_deref(), Some(message));
    }
}
