//! When a download that has failed is tried again.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::HeaderValue;

/// How often a download is begun, the first time included, when nothing comes.
const ATTEMPTS: u32 = 6;

/// The longest time between two tries.
const LONGEST: Duration = Duration::from_secs(60);

/// The longest time that a server may ask for. Whoever sits before the terminal is told of a longer one.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// The tries of one download that is not getting on.
#[derive(Debug)]
pub(super) struct Retries {
    delay: Duration,
    /// Tries so far.
    attempts: u32,
}

impl Retries {
    /// `delay` is the time between the first try and the second; it doubles from try to try.
    pub(super) fn new(delay: Duration) -> Self {
        Self { delay, attempts: 0 }
    }

    /// After another try in vain: how long to wait before the next one, at least as long as the server `asks` for. `None`
    /// if that is too long, or there were enough.
    pub(super) fn next(&mut self, asks: Option<Duration>) -> Option<Duration> {
        self.attempts += 1;
        if self.attempts >= ATTEMPTS || asks.is_some_and(|asks| asks > LONGEST_ASKED) {
            return None;
        }
        let delay = self.delay.saturating_mul(1 << (self.attempts - 1)).min(LONGEST);
        Some(delay.max(asks.unwrap_or_default()))
    }
}

/// What `Retry-After` asks for, given as seconds or as a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(header: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = header.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(text).ok()?.timestamp();
    Some(date.duration_since(now).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_time_between_tries_doubles_and_then_it_is_enough() {
        let mut retries = Retries::new(seconds(5));
        let waits: Vec<_> = std::iter::from_fn(|| retries.next(None)).collect();
        assert_eq!(waits, [5, 10, 20, 40, 60].map(seconds));
    }

    #[test]
    fn a_server_is_given_the_time_that_it_asks_for_within_reason() {
        let mut retries = Retries::new(seconds(2));
        assert_eq!(retries.next(Some(seconds(90))), Some(seconds(90)));
        assert_eq!(retries.next(Some(seconds(1))), Some(seconds(4)));
        assert_eq!(retries.next(Some(seconds(3600))), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2015-10-21T07:27:00Z".parse().unwrap();
        let of = |text| retry_after(&HeaderValue::from_static(text), now);
        assert_eq!(of("120"), Some(seconds(120)));
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), Some(seconds(60)));
        assert_eq!(of("Wed, 21 Oct 2015 07:26:00 GMT"), Some(seconds(0)));
        assert_eq!(of("soon"), None);
    }
}
