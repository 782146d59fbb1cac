//! Finds where a text changes its subject, over the whole text at once.
//!
//! The cost of a segmentation is the sum of its segments' costs and of a penalty for each boundary. The cheapest one
//! is found by dynamic programming, as in Utiyama and Isahara (2001). The cost of a segment has two parts. The first
//! is how improbable its words are if all are drawn from one unknown distribution: the Dirichlet compound multinomial
//! of Eisenstein and Barzilay (2008). The second is how much the vectors of its sentences differ: the sum of their
//! squared distances from their mean, as in change-point detection with kernels (Arlot, Celisse and Harchaoui 2019).
//! Its unit is how much successive sentences differ, so that each text sets its own scale.
//!
//! The penalty grows with the square root of the number of sentences: in a page, five sentences on another subject
//! are a topic; in an hour of talk they are a digression.
//!
//! `bench/segmentation` measures this against other methods. The constants were chosen with it.

use std::collections::HashMap;
use std::ops::Range;

use crate::embedder::{Embedding, dot};
use crate::words::Word;

/// The maximum number of sentences in a segment, which bounds the work over hours of speech.
const MAX_SENTENCES: usize = 1000;

/// Texts with fewer sentences have the penalty of one with this many: their few words are too little evidence for
/// finer segments.
const SHORT_TEXT: usize = 36;

/// The cost, in nats, of a sentence whose vector is as far from its segment's mean as successive sentences are from
/// each other.
const VECTOR_WEIGHT: f64 = 6.0;

/// The minimum variance, because repeated sentences would make it zero.
const MIN_VARIANCE: f64 = 1e-3;

/// The sentences of a text, as words and vectors.
#[derive(Debug)]
pub(super) struct Text<'v> {
    /// The words of each sentence, by number.
    sentences: Vec<Vec<u32>>,
    /// The parameters of the prior: for each word, how often it is expected in a segment.
    priors: Vec<f64>,
    vectors: &'v [Embedding],
    /// The penalty for a boundary, over the square root of the number of sentences.
    pub(super) penalty: f64,
}

impl<'v> Text<'v> {
    /// English, with a vector for each sentence. Function words are left out; all others are equally likely.
    pub(super) fn english(sentences: &[Vec<Word>], vectors: &'v [Embedding]) -> Self {
        const PRIOR: f64 = 0.5;
        let content = |word: &&Word| !word.is_english_function_word();
        let (sentences, counts) = numbered(sentences, content);
        let priors = vec![PRIOR; counts.len()];
        Self { sentences, priors, vectors, penalty: 2.1 }
    }

    /// Any language, by words alone. Words are expected as often as in the whole text, so that frequent words count
    /// little.
    pub(super) fn lexical(sentences: &[Vec<Word>]) -> Self {
        const PRIOR: f64 = 0.15;
        const WEIGHT_OF_WHOLE: f64 = 30.0;
        let (sentences, counts) = numbered(sentences, |_| true);
        let all = counts.iter().sum::<u32>().max(1);
        let prior = |count: &u32| PRIOR + WEIGHT_OF_WHOLE * f64::from(*count) / f64::from(all);
        let priors = counts.iter().map(prior).collect();
        Self { sentences, priors, vectors: &[], penalty: 1.8 }
    }

    /// Divides all sentences into segments. Each has at least `shortest` sentences, unless the text has fewer. A
    /// boundary before sentence `i` costs `share(i)` of the penalty.
    pub(super) fn segments(
        &self,
        shortest: usize,
        granularity: f64,
        share: impl Fn(usize) -> f64,
    ) -> Vec<Range<usize>> {
        let count = self.sentences.len();
        let shortest = shortest.clamp(1, MAX_SENTENCES);
        // At least twice the shortest, so that the rest of a text always fits into a segment.
        let longest = MAX_SENTENCES.max(2 * shortest);
        if count < 2 * shortest {
            return std::iter::once(0..count).filter(|all| !all.is_empty()).collect();
        }
        let penalty = self.penalty * (count.max(SHORT_TEXT) as f64).sqrt() / granularity;
        // For each number of sentences from the start: the cost of their cheapest segmentation, and the start of its
        // last segment.
        let mut best = vec![(f64::INFINITY, 0); count + 1];
        best[0].0 = 0.0;
        let mut segment = Segment::new(self);
        for start in 0..=count - shortest {
            if best[start].0.is_infinite() {
                continue;
            }
            let before = best[start].0 + if start == 0 { 0.0 } else { penalty * share(start) };
            segment.clear();
            for length in 1..=longest.min(count - start) {
                segment.push(start + length - 1);
                let cost = before + segment.cost();
                let end = &mut best[start + length];
                if length >= shortest && cost < end.0 {
                    *end = (cost, start);
                }
            }
        }
        let mut segments = Vec::new();
        let mut end = count;
        while end > 0 {
            let start = best[end].1;
            segments.push(start..end);
            end = start;
        }
        segments.reverse();
        segments
    }

    /// Half the mean squared distance between the vectors of successive sentences.
    fn variance(&self) -> f64 {
        let pairs = self.vectors.windows(2).map(|pair| f64::from(dot(&pair[0], &pair[1])));
        let mean = pairs.sum::<f64>() / (self.vectors.len().max(2) - 1) as f64;
        (1.0 - mean).max(MIN_VARIANCE)
    }
}

/// The words of each sentence as numbers of their stems, and the count of each stem.
fn numbered(sentences: &[Vec<Word>], is_counted: impl Fn(&&Word) -> bool) -> (Vec<Vec<u32>>, Vec<u32>) {
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut counts = Vec::new();
    let sentences = sentences.iter().map(|words| {
        let number = |word| {
            let next = numbers.len() as u32;
            let number = *numbers.entry(Word::stem(word)).or_insert(next);
            counts.resize(numbers.len(), 0);
            counts[number as usize] += 1;
            number
        };
        words.iter().filter(&is_counted).map(number).collect()
    });
    (sentences.collect(), counts)
}

/// A segment to which sentences are appended, and its cost.
struct Segment<'t> {
    text: &'t Text<'t>,
    /// The cost of a unit of squared distance.
    scale: f64,
    prior: f64,
    /// The count of each word in it.
    counts: Vec<u32>,
    words: u32,
    /// The negative logarithm of its words' probability.
    surprise: f64,
    sentences: usize,
    /// The sum of its vectors.
    sum: Vec<f32>,
    /// The squared length of that sum.
    square: f64,
    /// The sum of its vectors' squared lengths.
    squares: f64,
}

impl<'t> Segment<'t> {
    fn new(text: &'t Text<'t>) -> Self {
        Self {
            text,
            scale: VECTOR_WEIGHT / text.variance(),
            prior: text.priors.iter().sum(),
            counts: vec![0; text.priors.len()],
            words: 0,
            surprise: 0.0,
            sentences: 0,
            sum: vec![0.0; text.vectors.first().map_or(0, Vec::len)],
            square: 0.0,
            squares: 0.0,
        }
    }

    fn clear(&mut self) {
        self.counts.fill(0);
        self.sum.fill(0.0);
        (self.words, self.sentences) = (0, 0);
        (self.surprise, self.square, self.squares) = (0.0, 0.0, 0.0);
    }

    /// Appends a sentence, by its number in the text.
    fn push(&mut self, sentence: usize) {
        self.sentences += 1;
        // The inverse of the product of the words' probabilities, each given the words before: one logarithm for many
        // words.
        let mut odds = 1.0;
        for word in &self.text.sentences[sentence] {
            let count = &mut self.counts[*word as usize];
            odds *=
                (self.prior + f64::from(self.words)) / (self.text.priors[*word as usize] + f64::from(*count));
            if odds > 1e200 {
                self.surprise += odds.ln();
                odds = 1.0;
            }
            *count += 1;
            self.words += 1;
        }
        self.surprise += odds.ln();
        if let Some(vector) = self.text.vectors.get(sentence) {
            let own = f64::from(dot(vector, vector));
            self.square += 2.0 * f64::from(dot(&self.sum, vector)) + own;
            self.squares += own;
            self.sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
        }
    }

    fn cost(&self) -> f64 {
        self.surprise + self.scale * (self.squares - self.square / self.sentences as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::words::words;

    const RIVER: [&str; 5] = [
        "The survey of the river began in the spring.",
        "The water of the river was high, and the boats were old.",
        "They lost a boat in the water at the second weir of the river.",
        "The surveyor measured the river from a boat.",
        "Every boat on the water carried a surveyor.",
    ];
    const BREAD: [&str; 5] = [
        "Bread begins with flour, water and salt.",
        "The baker kneads the flour until the dough is smooth.",
        "The dough rests, and the yeast makes the dough rise.",
        "Then the baker shapes the dough and heats the oven.",
        "A hot oven gives the bread its crust.",
    ];

    fn of(sentences: &[&str]) -> Vec<Vec<Word>> {
        sentences.iter().map(|sentence| words(sentence)).collect()
    }

    fn whole(_: usize) -> f64 {
        1.0
    }

    #[test]
    fn words_that_change_make_a_boundary() {
        let text = of(&[RIVER, BREAD].concat());
        assert_eq!(Text::lexical(&text).segments(2, 2.0, whole), [0..5, 5..10]);
        assert_eq!(Text::english(&text, &[]).segments(2, 2.0, whole), [0..5, 5..10]);
    }

    #[test]
    fn vectors_that_change_make_a_boundary() {
        // Four sentences around one axis, six around another, all without words.
        let vector = |i: usize| {
            let wobble = if i.is_multiple_of(2) { 0.2 } else { -0.2 };
            let mut vector = vec![0.0; 19];
            (vector[if i < 4 { 0 } else { 7 }], vector[12]) = (1.0, wobble);
            vector
        };
        let vectors: Vec<Embedding> = (0..10).map(vector).collect();
        let text = vec![Vec::new(); 10];
        assert_eq!(Text::english(&text, &vectors).segments(2, 1.0, whole), [0..4, 4..10]);
    }

    #[test]
    fn one_subject_is_one_segment() {
        let segments = Text::lexical(&of(&RIVER)).segments(1, 1.0, whole);
        assert!(matches!(segments[..], [Range { start: 0, end: 5 }]), "{segments:?}");
    }

    #[test]
    fn a_pause_may_decide() {
        // Two boundaries are equally good, so the cheaper one is taken.
        let text = of(&[&RIVER[..], &["Well.", "Well."], &BREAD[..]].concat());
        for place in [5, 6, 7] {
            let share = |i| if i == place { 0.5 } else { 1.0 };
            assert_eq!(Text::english(&text, &[]).segments(2, 2.0, share), [0..place, place..12]);
        }
    }

    #[test]
    fn finer_granularity_never_gives_fewer_segments() {
        let text = of(&[RIVER, BREAD, RIVER, BREAD].concat());
        let counts: Vec<_> = [0.1, 0.5, 1.0, 2.0, 4.0, 10.0]
            .map(|granularity| Text::lexical(&text).segments(1, granularity, whole).len())
            .into();
        assert!(counts.is_sorted() && counts[0] == 1 && counts[5] > 4, "{counts:?}");
    }

    proptest! {
        #[test]
        fn segments_hold_every_sentence_and_none_is_too_short(
            sentences in prop::collection::vec("[a-d ]{0,12}", 0..40),
            shortest in 1usize..6,
            granularity in 0.1f64..10.0,
        ) {
            let text: Vec<_> = sentences.iter().map(|sentence| words(sentence)).collect();
            let segments = Text::lexical(&text).segments(shortest, granularity, whole);
            let places: Vec<_> = segments.iter().cloned().flatten().collect();
            prop_assert_eq!(places, (0..text.len()).collect::<Vec<_>>());
            prop_assert!(segments.iter().all(|segment| segment.len() >= shortest.min(text.len())));
        }
    }
}
