//! Writes times: of seconds as milliseconds, of milliseconds as hours, minutes and seconds.

/// Times beyond this are cut to it, so that sums of times never overflow: 31 years.
const LATEST_SECONDS: f64 = 1e9;

/// Whole milliseconds of seconds. What is negative or not a number is 0.
pub(super) fn milliseconds(seconds: f64) -> u64 {
    (seconds.clamp(0.0, LATEST_SECONDS) * 1000.0).round() as u64
}

/// A time as `00:00:00.000`, with more digits for the hours if necessary; `point` separates the milliseconds.
pub(super) fn clock(milliseconds: u64, point: char) -> String {
    format!("{}{point}{:03}", hours(milliseconds / 1000), milliseconds % 1000)
}

/// Whole seconds as `00:00:00`, with more digits for the hours if necessary.
pub(super) fn hours(seconds: u64) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_milliseconds_and_never_negative() {
        for (seconds, expected) in
            [(0.0, 0), (1.9996, 2000), (-3.0, 0), (f64::NAN, 0), (f64::INFINITY, 1_000_000_000_000)]
        {
            assert_eq!(milliseconds(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn hours_have_two_digits_or_more() {
        assert_eq!(clock(0, ','), "00:00:00,000");
        assert_eq!(clock(363_599_250, '.'), "100:59:59.250");
        assert_eq!(hours(3_661), "01:01:01");
    }
}
