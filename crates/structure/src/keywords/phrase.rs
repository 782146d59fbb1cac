//! How a phrase is said, and how much it tells.

/// What has a capital within a sentence counts this much more: names, and German nouns.
const NAME: f64 = 1.25;

/// How a phrase was said: each form with how often, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Forms(Vec<(String, usize)>);

impl Forms {
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

    /// Each form once.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(form, _)| form.as_str())
    }
}

/// How telling a phrase is whose words have these weights.
pub(super) fn telling(weights: impl ExactSizeIterator<Item = f64>, count: usize, is_name: bool) -> f64 {
    let words = weights.len() as f64;
    // What is said again as a whole is a term; of what is said once, longer is not better.
    let term = if count > 1 { words.sqrt() } else { 0.9 };
    weights.sum::<f64>() / words * term * if is_name { NAME } else { 1.0 }
}
