//! Tells files that are whole from those that are still being written.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::scan::Found;

/// Which sizes and times files had, and since when.
#[derive(Debug)]
pub(super) struct Settling {
    /// How long a file must have stayed the same.
    settle: Duration,
    seen: HashMap<PathBuf, (u64, Timestamp, Instant)>,
}

impl Settling {
    pub(super) fn new(settle: Duration) -> Self {
        Self { settle, seen: HashMap::new() }
    }

    /// Of the files that there are now, those whose size and time have been seen to stay the same for long enough. A time
    /// of modification alone would not do: programs that copy may set it to that of the original while they write.
    pub(super) fn settled(&mut self, found: &[Found], now: Instant) -> Vec<Found> {
        let seen = found.iter().map(|file| {
            let same = self
                .seen
                .get(&file.relative)
                .filter(|(size, modified, _)| (*size, *modified) == (file.size, file.modified));
            let since = same.map_or(now, |(_, _, since)| *since);
            (file.relative.clone(), (file.size, file.modified, since))
        });
        self.seen = seen.collect();
        let is_settled = |file: &&Found| {
            let since = self.seen.get(&file.relative).map(|(_, _, since)| *since);
            since.is_some_and(|since| now.saturating_duration_since(since) >= self.settle)
        };
        found.iter().filter(is_settled).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, size: u64, modified: &str) -> Found {
        Found { relative: name.into(), size, modified: modified.parse().unwrap() }
    }

    #[test]
    fn a_file_is_taken_once_its_size_and_time_have_not_changed_for_long_enough() {
        let (early, late) = ("2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
        let mut settling = Settling::new(Duration::from_secs(5));
        let begun = Instant::now();
        let mut at = |seconds, files: &[Found]| settling.settled(files, begun + Duration::from_secs(seconds));
        let (small, large, touched) = (found("a", 1, early), found("a", 2, early), found("a", 2, late));
        assert_eq!(at(0, std::slice::from_ref(&small)), [], "however old it says it is");
        assert_eq!(at(4, std::slice::from_ref(&large)), []);
        assert_eq!(at(8, std::slice::from_ref(&touched)), []);
        assert_eq!(at(12, std::slice::from_ref(&touched)), []);
        let other = found("b", 1, early);
        assert_eq!(at(13, &[touched.clone(), other.clone()]), [touched]);
        assert_eq!(at(18, std::slice::from_ref(&other)), [other]);
        assert_eq!(at(19, &[found("a", 2, late)]), [], "it was away meanwhile");
        assert_eq!(Settling::new(Duration::ZERO).settled(std::slice::from_ref(&small), begun), [small]);
    }
}
