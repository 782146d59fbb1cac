//! Texts in the making, and how the next token is chosen for them.

use rand::{Rng, RngExt};

use verbatim_kernels::vector::{log_sum_exp, max};

/// A text in the making.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hypothesis {
    /// The decoder's rows of its prompt and tokens.
    pub(crate) path: Vec<u32>,
    /// What came after the prompt.
    pub(crate) tokens: Vec<u32>,
    pub(crate) sum_logprob: f32,
}

impl Hypothesis {
    pub(crate) fn new(path: Vec<u32>) -> Self {
        Self { path, tokens: Vec::new(), sum_logprob: 0.0 }
    }

    /// What texts of different length are compared by.
    pub(crate) fn mean_logprob(&self) -> f32 {
        self.sum_logprob / self.tokens.len().max(1) as f32
    }

    fn followed_by(&self, token: u32, sum_logprob: f32) -> Self {
        let mut tokens = Vec::with_capacity(self.tokens.len() + 1);
        tokens.extend(&self.tokens);
        tokens.push(token);
        Self { path: self.path.clone(), tokens, sum_logprob }
    }

    fn ended(&self, sum_logprob: f32) -> Self {
        Self { sum_logprob, ..self.clone() }
    }
}

/// Beam search: of all texts that are a token longer, keeps the `width` most probable. Those that end are set
/// aside; once `width` have, or one of them is better than all that live, the search is over and no text is left
/// alive. With a width of 1 this is greedy decoding.
///
/// `logits` has a row for every one of `live`. Gives those alive and those ended.
pub(crate) fn beams(
    live: Vec<Hypothesis>,
    mut ended: Vec<Hypothesis>,
    logits: &[f32],
    width: usize,
    end: u32,
) -> (Vec<Hypothesis>, Vec<Hypothesis>) {
    let vocabulary = logits.len() / live.len();
    let mut candidates = Vec::with_capacity(live.len() * (width + 1));
    for (hypothesis, logits) in live.iter().zip(logits.chunks_exact(vocabulary)) {
        let total = log_sum_exp(logits);
        // One more than the width, for the case that one of them ends the text.
        for (token, logit) in highest(logits, width + 1) {
            candidates.push((hypothesis.sum_logprob + logit - total, token, hypothesis));
        }
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut next = Vec::with_capacity(width);
    for (sum_logprob, token, hypothesis) in candidates {
        if token != end {
            next.push(hypothesis.followed_by(token, sum_logprob));
            if next.len() == width {
                break;
            }
        } else if ended.len() < width {
            ended.push(hypothesis.ended(sum_logprob));
        }
    }
    if ended.len() >= width || is_decided(&next, &ended) {
        next.clear();
    }
    // Where the rules leave no token at all, the text is as long as it can be.
    if next.is_empty() && ended.is_empty() {
        ended = live;
    }
    (next, ended)
}

/// Whether the best text has ended. One that lives may still become better, but hardly ever does: waiting for as
/// many to end as the beam is wide takes longer and gives no better words.
fn is_decided(live: &[Hypothesis], ended: &[Hypothesis]) -> bool {
    let best =
        |some: &[Hypothesis]| some.iter().map(Hypothesis::mean_logprob).fold(f32::NEG_INFINITY, f32::max);
    !ended.is_empty() && best(ended) >= best(live)
}

/// Draws a token for every text from `softmax(logits / temperature)`. Gives those alive and those ended.
pub(crate) fn samples(
    live: Vec<Hypothesis>,
    mut ended: Vec<Hypothesis>,
    logits: &[f32],
    temperature: f32,
    rng: &mut impl Rng,
    end: u32,
) -> (Vec<Hypothesis>, Vec<Hypothesis>) {
    let vocabulary = logits.len() / live.len();
    let mut next = Vec::with_capacity(live.len());
    for (mut hypothesis, logits) in live.into_iter().zip(logits.chunks_exact(vocabulary)) {
        let token = sample(logits, temperature, rng);
        hypothesis.sum_logprob += logits[token] - log_sum_exp(logits);
        if token == end as usize {
            ended.push(hypothesis);
        } else {
            hypothesis.tokens.push(token as u32);
            next.push(hypothesis);
        }
    }
    (next, ended)
}

/// The `count` highest logits that are not ruled out, highest first; of equal ones the first.
fn highest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    /// Logits looked through only if their highest is among the highest so far.
    const CHUNK: usize = 256;
    let mut found: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    let mut least = f32::NEG_INFINITY;
    for (index, chunk) in logits.chunks(CHUNK).enumerate() {
        if max(chunk) <= least {
            continue;
        }
        for (offset, logit) in chunk.iter().enumerate().filter(|(_, logit)| **logit > f32::NEG_INFINITY) {
            if *logit > least {
                let at = found.partition_point(|(_, other)| other >= logit);
                found.insert(at, ((index * CHUNK + offset) as u32, *logit));
                found.truncate(count);
                if found.len() == count {
                    least = found[count - 1].1;
                }
            }
        }
    }
    found
}

/// Draws a token from `softmax(logits / temperature)`.
fn sample(logits: &[f32], temperature: f32, rng: &mut impl Rng) -> usize {
    let highest = max(logits);
    let weight = |logit: &f32| f64::from((logit - highest) / temperature).exp();
    let total: f64 = logits.iter().map(weight).sum();
    let mut left = rng.random::<f64>() * total;
    let mut last = 0;
    for (token, logit) in logits.iter().enumerate().filter(|(_, logit)| **logit > f32::NEG_INFINITY) {
        left -= weight(logit);
        last = token;
        if left < 0.0 {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn sampling_repeats_with_its_seed_and_follows_the_probabilities() {
        let logits = [f32::NEG_INFINITY, 2.0, 1.0, f32::NEG_INFINITY];
        let draw = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..1000).map(|_| sample(&logits, 1.0, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let ones = draw(7).iter().filter(|token| **token == 1).count();
        assert!((680..780).contains(&ones), "a share of 0.731 was expected, not {ones} of 1000");
        assert!(draw(7).iter().all(|token| (1..=2).contains(token)));
    }

    #[test]
    fn the_highest_come_in_order_and_without_what_is_ruled_out() {
        let mut logits = vec![f32::NEG_INFINITY; 1000];
        for (token, logit) in [(3, 1.0), (700, 5.0), (701, 5.0), (999, 3.0)] {
            logits[token] = logit;
        }
        assert_eq!(highest(&logits, 3), [(700, 5.0), (701, 5.0), (999, 3.0)]);
        assert_eq!(highest(&logits, 9), [(700, 5.0), (701, 5.0), (999, 3.0), (3, 1.0)]);
    }

    /// Logarithms of probabilities, so that the sums can be followed.
    fn row(probabilities: [f32; 4]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln()).collect()
    }

    #[test]
    fn a_beam_finds_what_greedy_decoding_misses() {
        const END: u32 = 0;
        let start = vec![Hypothesis::new(vec![])];
        let first = row([0.0, 0.5, 0.4, 0.1]);
        // After token 1 nothing is likely, after token 2 the end is certain.
        let second = [row([0.3, 0.3, 0.2, 0.2]), row([1.0, 0.0, 0.0, 0.0])];

        let (greedy, _) = beams(start.clone(), vec![], &first, 1, END);
        assert_eq!(greedy[0].tokens, [1]);

        let (live, ended) = beams(start, vec![], &first, 2, END);
        assert!(ended.is_empty());
        assert_eq!(live.iter().map(|h| h.tokens[0]).collect::<Vec<_>>(), [1, 2]);
        let (live, ended) = beams(live, ended, &second.concat(), 2, END);
        assert!(live.is_empty(), "as many texts ended as the beam is wide");
        let best = ended.iter().max_by(|a, b| a.mean_logprob().total_cmp(&b.mean_logprob())).unwrap();
        assert_eq!(best.tokens, [2]);
        assert!((best.sum_logprob - 0.4f32.ln()).abs() < 1e-6);
    }
}
