//! How a phrase is said, and how much it tells.

/// A phrase with a capital within a sentence counts this much more: a name, or a German noun.
const NAME: f64 = 1.25;

/// The forms that a phrase was said in, each with how often, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Forms(Vec<(String, usize)>);

impl Forms {
    /// Counts a form once more.
    pub(super) fn add(&mut self, said: &str) {
        match self.0.iter_mut().find(|(form, _)| form == said) {
            Some((_, count)) => *count += 1,
            None => self.0.push((said.to_owned(), 1)),
        }
    }

    /// The most frequent one, of several the first.
    pub(super) fn most_frequent(self) -> String {
        let most = self.0.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a });
        most.map(|(form, _)| form).unwrap_or_default()
    }

    /// The forms, each once.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(form, _)| form.as_str())
    }
}

/// How much a phrase tells whose words have these weights, and that is said `count` times.
pub(super) fn score(weights: impl ExactSizeIterator<Item = f64>, count: usize, is_name: bool) -> f64 {
    let words = weights.len() as f64;
    // What is said again as a whole is a term; of what is said once, longer is not better.
    let term = if count > 1 { words.sqrt() } else { 0.9 };
    weights.sum::<f64>() / words * term * if is_name { NAME } else { 1.0 }
}
