//! The forms of a phrase, and its score.

/// The factor for a phrase with a capital letter within a sentence: a name, or a German noun.
const NAME: f64 = 1.25;

/// The forms of a phrase in the text, each with its count, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Forms(Vec<(String, usize)>);

impl Forms {
    /// Counts one more occurrence of a form.
    pub(super) fn add(&mut self, text: &str) {
        match self.0.iter_mut().find(|(form, _)| form == text) {
            Some((_, count)) => *count += 1,
            None => self.0.push((text.to_owned(), 1)),
        }
    }

    /// The most frequent form; of several the first.
    pub(super) fn most_frequent(self) -> String {
        let most = self.0.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a });
        most.map(|(form, _)| form).unwrap_or_default()
    }

    /// All forms, each once.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(form, _)| form.as_str())
    }
}

/// The score of a phrase whose words have these weights, and which occurs `count` times.
pub(super) fn score(weights: impl ExactSizeIterator<Item = f64>, count: usize, is_name: bool) -> f64 {
    let words = weights.len() as f64;
    // A phrase that occurs again is a term, and more so if it is long. If it occurs once, its length does not count.
    let term = if count > 1 { words.sqrt() } else { 0.9 };
    weights.sum::<f64>() / words * term * if is_name { NAME } else { 1.0 }
}
