//! What is held back for a while, because something that may pass has kept it from being done.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest pause before another attempt, unless the first is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Recordings that could not be transcribed yet, and when to try again. The empty path stands for all of them.
#[derive(Debug)]
pub(super) struct HeldBack {
    /// The first pause; they double. `None` to try nothing again.
    first_pause: Option<Duration>,
    held: HashMap<PathBuf, Held>,
}

#[derive(Debug)]
struct Held {
    /// `None` for ever.
    until: Option<Instant>,
    /// How many times in a row.
    times: u32,
    /// Why, as it was told.
    sentence: String,
}

impl HeldBack {
    pub(super) fn new(first_pause: Option<Duration>) -> Self {
        Self { first_pause, held: HashMap::new() }
    }

    /// Whether it is too early to try again.
    pub(super) fn is_held(&self, path: &Path, now: Instant) -> bool {
        self.held.get(path).is_some_and(|held| held.until.is_none_or(|until| now < until))
    }

    /// Holds a recording back, each time for longer. True if the reason is another than the time before, so that it is to
    /// be told.
    pub(super) fn hold(&mut self, path: &Path, sentence: &str, now: Instant) -> bool {
        let before = self.held.get(path);
        let times = before.map_or(0, |held| held.times + 1);
        let is_new = before.is_none_or(|held| held.sentence != sentence);
        let until = self
            .first_pause
            .map(|first| now + first.saturating_mul(1 << times.min(16)).min(LONGEST_PAUSE.max(first)));
        self.held.insert(path.to_owned(), Held { until, times, sentence: sentence.to_owned() });
        is_new
    }

    /// Whatever the reason was, it has passed.
    pub(super) fn release(&mut self, path: &Path) {
        self.held.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_fails_again_is_held_back_for_longer_and_told_once() {
        let (mut held, path, mut now) = (HeldBack::new(Some(seconds(5))), Path::new("a.mp3"), Instant::now());
        assert!(!held.is_held(path, now));
        for (pause, is_new) in [(5, true), (10, false), (20, false)] {
            assert_eq!(held.hold(path, "the disk is full", now), is_new);
            assert!(
                held.is_held(path, now + seconds(pause - 1)) && !held.is_held(path, now + seconds(pause))
            );
            assert!(!held.is_held(Path::new("b.mp3"), now));
            now += seconds(pause);
        }
        assert!(held.hold(path, "another reason", now));
        for _ in 0..40 {
            held.hold(path, "another reason", now);
        }
        assert!(!held.is_held(path, now + LONGEST_PAUSE));
        held.release(path);
        assert!(!held.is_held(path, now));
        assert!(held.hold(path, "another reason", now), "it had passed meanwhile");
    }

    #[test]
    fn nothing_is_tried_again_where_there_is_only_one_look() {
        let (mut held, path, now) = (HeldBack::new(None), Path::new(""), Instant::now());
        assert!(held.hold(path, "the server is away", now));
        assert!(held.is_held(path, now + seconds(1_000_000)));
    }
}
