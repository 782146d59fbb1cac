//! When a request is made again: after pauses that grow, until nothing has got on for too long.

use std::time::{Duration, Instant};

/// The first pause; they double.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause, unless the server asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// Counts the time in which nothing got on.
#[derive(Debug)]
pub(super) struct Retries {
    limit: Duration,
    /// When something got on for the last time.
    since: Instant,
    pause: Duration,
}

impl Retries {
    /// `limit` is how long it may be that nothing gets on.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, since: now, pause: FIRST_PAUSE }
    }

    /// Something got on: counts anew.
    pub(super) fn progressed(&mut self, now: Instant) {
        *self = Self::new(self.limit, now);
    }

    /// The pause before the next attempt, at least `retry_after`, the time that the server asks for. `None` if the limit is
    /// reached, or would be by then. The last attempt is made at the limit.
    pub(super) fn next_pause(&mut self, retry_after: Option<Duration>, now: Instant) -> Option<Duration> {
        let left = self.limit.saturating_sub(now.saturating_duration_since(self.since));
        if left.is_zero() || retry_after.is_some_and(|wait| wait > left) {
            return None;
        }
        let pause = self.pause.max(retry_after.unwrap_or_default()).min(left);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn pauses_grow_until_the_limit_and_start_anew_with_progress() {
        let mut now = Instant::now();
        let mut retries = Retries::new(seconds(60.0), now);
        let mut pauses = |retries: &mut Retries| {
            std::iter::from_fn(|| {
                let pause = retries.next_pause(None, now)?;
                now += pause;
                Some(pause.as_secs_f64())
            })
            .collect::<Vec<_>>()
        };
        let all = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 8.25];
        assert_eq!(pauses(&mut retries), all);
        assert!(pauses(&mut retries).is_empty());
        retries.progressed(Instant::now() + seconds(60.0));
        assert_eq!(pauses(&mut retries)[..2], [0.25, 0.5]);
    }

    #[test]
    fn a_pause_is_as_long_as_the_server_asks_for_if_there_is_time() {
        let now = Instant::now();
        let mut retries = Retries::new(seconds(60.0), now);
        assert_eq!(retries.next_pause(Some(seconds(30.0)), now), Some(seconds(30.0)));
        assert_eq!(retries.next_pause(Some(seconds(61.0)), now), None);
        assert_eq!(Retries::new(Duration::ZERO, now).next_pause(None, now), None);
    }
}
