//! Which token may come next: suppression and timestamp rules, as in OpenAI's reference decoder.

use crate::config::Config;
use crate::text::tokenizer::{TIMESTAMP_STEP, Tokenizer};
use verbatim_kernels::vector::{log_sum_exp, max};

/// Where a segment was opened with no more than this many seconds of the window left, it may stay empty.
const MAX_REST: f64 = 1.0;

/// The first timestamp lies within this many seconds of the window's start.
const MAX_INITIAL_TIMESTAMP: f64 = 1.0;

/// What is asked of timestamps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Timing {
    /// No timestamps.
    None,
    /// Timestamps by the rules of the reference alone, under which a window's end may stay unwritten.
    Reference,
    /// And a window of `duration` seconds is written down to its end.
    Whole { duration: f64 },
}

#[derive(Debug)]
pub(crate) struct Rules {
    suppress: Vec<u32>,
    suppress_first: Vec<u32>,
    end_of_text: usize,
    no_timestamps: usize,
    first_timestamp: usize,
}

impl Rules {
    pub(crate) fn new(config: &Config, tokenizer: &Tokenizer) -> Self {
        let known =
            |ids: &[u32]| ids.iter().copied().filter(|id| *id < tokenizer.first_timestamp()).collect();
        Self {
            suppress: known(&config.suppress_ids),
            suppress_first: known(&config.suppress_ids_begin),
            end_of_text: tokenizer.end_of_text as usize,
            no_timestamps: tokenizer.no_timestamps as usize,
            first_timestamp: tokenizer.first_timestamp() as usize,
        }
    }

    /// Sets to minus infinity what may not follow `sampled`, the tokens that came after the prompt.
    pub(crate) fn apply(&self, logits: &mut [f32], sampled: &[u32], timing: Timing) {
        if sampled.is_empty() {
            forbid_tokens(logits, &self.suppress_first);
        }
        forbid_tokens(logits, &self.suppress);
        match timing {
            Timing::None => {}
            Timing::Reference => self.apply_timestamp_rules(logits, sampled),
            Timing::Whole { duration } => {
                self.forbid_early_end(logits, sampled, duration);
                self.apply_timestamp_rules(logits, sampled);
            }
        }
    }

    /// Asks for text after a segment was opened in the middle of the window.
    ///
    /// The model was trained to stop there where the segment runs on behind the window, and the reference
    /// starts its next window at that point. Windows that are cut in pauses and decoded side by side have no
    /// next window to leave their end to.
    fn forbid_early_end(&self, logits: &mut [f32], sampled: &[u32], duration: f64) {
        if let [.., end, start] = sampled
            && let (Some(_), Some(start)) = (self.seconds(*end), self.seconds(*start))
            && duration - start > MAX_REST
        {
            logits[self.end_of_text] = f32::NEG_INFINITY;
        }
    }

    /// Seconds that a token stands for, if it is a timestamp.
    fn seconds(&self, token: u32) -> Option<f64> {
        let steps = (token as usize).checked_sub(self.first_timestamp)?;
        Some(steps as f64 * TIMESTAMP_STEP)
    }

    fn apply_timestamp_rules(&self, logits: &mut [f32], sampled: &[u32]) {
        logits[self.no_timestamps] = f32::NEG_INFINITY;
        let is_timestamp = |token: &u32| *token as usize >= self.first_timestamp;
        match sampled {
            // The text starts with a timestamp, not long after the window's start.
            [] => {
                forbid(&mut logits[..self.first_timestamp]);
                let last = self.first_timestamp + (MAX_INITIAL_TIMESTAMP / TIMESTAMP_STEP).round() as usize;
                forbid(&mut logits[last + 1..]);
            }
            // Timestamps come in pairs, an end and a start, but for the first and the last.
            [.., last] if is_timestamp(last) => {
                let paired = sampled.len() < 2 || is_timestamp(&sampled[sampled.len() - 2]);
                if paired {
                    forbid(&mut logits[self.first_timestamp..]);
                } else {
                    forbid(&mut logits[..self.end_of_text]);
                }
            }
            _ => {}
        }
        // Time never goes back, and a segment has a length: only a start may repeat the end before it.
        if let Some(position) = sampled.iter().rposition(is_timestamp) {
            let opens =
                position + 1 == sampled.len() && position > 0 && !is_timestamp(&sampled[position - 1]);
            let earliest = sampled[position] as usize + usize::from(!opens);
            forbid(&mut logits[self.first_timestamp..earliest]);
        }
        // All timestamps together more probable than any one text token: it is time for one.
        let (text, times) = logits.split_at_mut(self.first_timestamp);
        if log_sum_exp(times) > max(text) {
            forbid(text);
        }
    }
}

fn forbid(logits: &mut [f32]) {
    logits.fill(f32::NEG_INFINITY);
}

fn forbid_tokens(logits: &mut [f32], tokens: &[u32]) {
    for token in tokens {
        logits[*token as usize] = f32::NEG_INFINITY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten text tokens, end of text (10), no-timestamps (11), then 100 timestamps from 12 on.
    fn rules() -> Rules {
        Rules {
            suppress: vec![3],
            suppress_first: vec![0, 10],
            end_of_text: 10,
            no_timestamps: 11,
            first_timestamp: 12,
        }
    }

    fn allowed(sampled: &[u32], logits: impl Fn(usize) -> f32) -> Vec<usize> {
        let mut logits: Vec<f32> = (0..112).map(logits).collect();
        rules().apply(&mut logits, sampled, Timing::Reference);
        (0..112).filter(|token| logits[*token] > f32::NEG_INFINITY).collect()
    }

    fn text_likely(token: usize) -> f32 {
        if token < 12 { 10.0 } else { -10.0 }
    }

    #[test]
    fn without_timestamps_only_suppression_applies() {
        let mut logits = vec![0.0; 112];
        rules().apply(&mut logits, &[], Timing::None);
        let forbidden: Vec<usize> = (0..112).filter(|token| logits[*token] == f32::NEG_INFINITY).collect();
        assert_eq!(forbidden, [0, 3, 10]);
    }

    #[test]
    fn the_first_token_is_a_timestamp_of_the_first_second() {
        assert_eq!(allowed(&[], text_likely), (12..=62).collect::<Vec<_>>());
    }

    #[test]
    fn after_the_first_timestamp_comes_text() {
        assert_eq!(allowed(&[12], text_likely), [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn a_segment_that_ended_is_followed_by_a_start_no_earlier_or_the_end() {
        let after_end = allowed(&[12, 1, 20], text_likely);
        assert_eq!(after_end[0], 10);
        assert_eq!(after_end[1..], (20..112).collect::<Vec<_>>());
    }

    #[test]
    fn a_segment_that_started_has_text_before_it_ends_later() {
        assert!(allowed(&[12, 1, 20, 20], text_likely).iter().all(|token| *token < 12));
        let within = allowed(&[12, 1, 20, 20, 2], text_likely);
        assert!(within.iter().filter(|token| **token >= 12).all(|token| *token > 20));
    }

    #[test]
    fn a_window_does_not_end_with_a_segment_just_opened() {
        let end_allowed = |sampled: &[u32], duration| {
            let mut logits: Vec<f32> = (0..112).map(text_likely).collect();
            rules().apply(&mut logits, sampled, Timing::Whole { duration });
            logits[10] > f32::NEG_INFINITY
        };
        // Token 32 stands for 0.4 s.
        assert!(!end_allowed(&[12, 1, 32, 32], 1.5));
        assert!(end_allowed(&[12, 1, 32, 32], 1.3));
        assert!(end_allowed(&[12, 1, 32], 1.5));
        assert!(end_allowed(&[12, 1, 32, 32, 2], 1.5));
    }

    #[test]
    fn probable_timestamps_together_rule_out_text() {
        let spread = |token: usize| if token < 12 { 1.0 } else { 0.0 };
        assert!(allowed(&[12, 1], spread).iter().all(|token| *token > 12));
    }
}
