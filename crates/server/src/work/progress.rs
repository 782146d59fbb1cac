//! How far a job is: seconds of audio done over seconds of audio in all.

use std::collections::BTreeMap;

use crate::store::Progress;

pub(super) const LOADING: &str = "Loading model";
pub(super) const DETECTING: &str = "Detecting language";
pub(super) const TRANSCRIBING: &str = "Transcribing audio";
pub(super) const STRUCTURING: &str = "Structuring transcript";

/// Follows the windows that are done. They may end in any order; what counts is how far they are done
/// without a gap.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Seconds that the container tells; it may be wrong.
    told: f64,
    /// Seconds read so far.
    read: f64,
    at_end: bool,
    /// How many windows are done from the first on.
    windows: usize,
    /// Where the last of those ends, in seconds.
    seconds: f64,
    /// Where windows behind a gap end.
    behind: BTreeMap<usize, f64>,
}

impl Done {
    pub(super) fn new(told: Option<f64>) -> Self {
        Self { told: told.unwrap_or(0.0), ..Self::default() }
    }

    pub(super) fn window(&mut self, index: usize, end: f64) {
        self.behind.insert(index, end);
        while let Some(end) = self.behind.remove(&self.windows) {
            self.windows += 1;
            self.seconds = end;
        }
    }

    pub(super) fn read(&mut self, seconds: f64) {
        self.read = seconds;
    }

    /// All was read: from here on it is known how long the recording is.
    pub(super) fn read_all(&mut self, seconds: f64) {
        self.read = seconds;
        self.at_end = true;
    }

    pub(super) fn progress(&self, step: &str) -> Progress {
        let total = if self.at_end { self.read } else { self.told.max(self.read) };
        let share = if total > 0.0 { self.seconds / total } else { 0.0 };
        Progress { percentage: (share * 100.0).clamp(0.0, 99.0) as u8, step: step.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentage(done: &Done) -> u8 {
        done.progress(TRANSCRIBING).percentage
    }

    #[test]
    fn only_what_is_done_without_a_gap_counts() {
        let mut done = Done::new(Some(100.0));
        assert_eq!(percentage(&done), 0);
        done.window(1, 50.0);
        done.window(2, 75.0);
        assert_eq!(percentage(&done), 0);
        done.window(0, 25.0);
        assert_eq!(percentage(&done), 75);
        done.window(3, 100.0);
        assert_eq!(percentage(&done), 99, "100 is for jobs that have completed");
    }

    #[test]
    fn what_was_read_counts_where_the_container_tells_too_little_or_nothing() {
        for told in [None, Some(10.0), Some(f64::NAN)] {
            let mut done = Done::new(told);
            done.read(120.0);
            done.window(0, 30.0);
            assert_eq!(percentage(&done), 25, "{told:?}");
        }
    }

    #[test]
    fn at_the_end_the_container_is_not_believed_any_more() {
        let mut done = Done::new(Some(3600.0));
        done.window(0, 30.0);
        assert_eq!(percentage(&done), 0);
        done.read_all(60.0);
        assert_eq!(percentage(&done), 50);
    }
}
