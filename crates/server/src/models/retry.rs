//! When a failed download is attempted again.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::HeaderValue;

/// The most attempts without progress, including the first.
const MAX_ATTEMPTS: u32 = 6;

/// The longest time between two attempts, unless the server asks for more.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// The longest time that a server may ask for. If it asks for more, the download fails with an error that says so.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Counts the attempts of a download since it last progressed.
#[derive(Debug)]
pub(super) struct Retries {
    delay: Duration,
    /// Failed attempts so far.
    attempts: u32,
}

impl Retries {
    /// `delay` is the time between the first and the second attempt; it doubles from attempt to attempt.
    pub(super) fn new(delay: Duration) -> Self {
        Self { delay, attempts: 0 }
    }

    /// Counts a failed attempt. Gives the time until the next one, at least `retry_after`, the time that the server
    /// asks for. `None` if that is too long or there were [`MAX_ATTEMPTS`].
    pub(super) fn next_delay(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        self.attempts += 1;
        if self.attempts >= MAX_ATTEMPTS || retry_after.is_some_and(|wait| wait > MAX_RETRY_AFTER) {
            return None;
        }
        let delay = self.delay.saturating_mul(1 << (self.attempts - 1)).min(MAX_DELAY);
        Some(delay.max(retry_after.unwrap_or_default()))
    }
}

/// Parses the header `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). `None` if it is neither.
pub(crate) fn retry_after(header: &HeaderValue, now: Timestamp) -> Option<Duration> {
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
    fn the_delay_doubles_and_attempts_are_limited() {
        let mut retries = Retries::new(seconds(5));
        let waits: Vec<_> = std::iter::from_fn(|| retries.next_delay(None)).collect();
        assert_eq!(waits, [5, 10, 20, 40, 60].map(seconds));
    }

    #[test]
    fn the_delay_is_at_least_retry_after_unless_that_is_too_long() {
        let mut retries = Retries::new(seconds(2));
        assert_eq!(retries.next_delay(Some(seconds(90))), Some(seconds(90)));
        assert_eq!(retries.next_delay(Some(seconds(1))), Some(seconds(4)));
        assert_eq!(retries.next_delay(Some(seconds(3600))), None);
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
