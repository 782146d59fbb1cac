//! Sizes, durations and switches as people write them: `10GB`, `500 MiB`, `24h`, `90m`, `30`, `true`.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

const SIZE_UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Parses a size of at least one byte. Gives bytes. Decimal and binary units in any case, fractions allowed (`1.5GB`).
pub fn parse_size(text: &str) -> Result<u64, String> {
    const LARGEST: f64 = 9e15;
    let wrong = || format!("“{text}” is not a size; write bytes or a unit, as in 10GB, 500MB or 1GiB");
    let (number, unit) = split_unit(text).ok_or_else(wrong)?;
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * *factor as f64;
    if bytes > LARGEST {
        return Err(format!("“{text}” is more than any disk has"));
    }
    // Whole numbers are exact far beyond any file's size: a double holds them up to 9 PB.
    let bytes = bytes.round() as u64;
    if bytes == 0 {
        return Err(format!("“{text}” is no size at all; it must be at least one byte"));
    }
    Ok(bytes)
}

/// Parses a duration above zero and of at most ten years: `30d`, `24h`, `90m`, `1h 30m`, `500ms` in the syntax of
/// [`jiff::fmt::friendly`], with days of 24 hours, or plain seconds, fractions allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match parse_duration_or_zero(text)? {
        Duration::ZERO => Err(format!("“{text}” is no time at all; it must be longer than nothing")),
        duration => Ok(duration),
    }
}

/// The same as [`parse_duration`], but zero is allowed.
pub fn parse_duration_or_zero(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);
    let wrong = || format!("“{text}” is not a duration; write seconds or a unit, as in 30, 90m or 24h");
    let is_plain = text.trim().bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let duration = if is_plain {
        let seconds: f64 = text.trim().parse().map_err(|_| wrong())?;
        SignedDuration::try_from_secs_f64(seconds).map_err(|_| wrong())?
    } else {
        let span: Span = text.trim().parse().map_err(|_| wrong())?;
        span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?
    };
    match Duration::try_from(duration) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        Ok(_) => Err(format!("“{text}” is too long; ten years are the most")),
        Err(_) => Err(wrong()),
    }
}

/// Parses a boolean: `true`, `yes`, `on`, `1`, or `false`, `no`, `off`, `0`, in any case.
pub fn parse_switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("“{text}” is neither true nor false")),
    }
}

/// Splits a text into its number and its unit, the unit in lower case. `None` if there is no number.
fn split_unit(text: &str) -> Option<(&str, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then(|| (number, unit.trim().to_ascii_lowercase()))
}

/// A size for people, in decimal units: `10 GB`, `1.5 MB`, `17 bytes`.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    let Some((unit, factor)) = UNITS.iter().find(|(_, factor)| bytes >= *factor) else {
        return format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" });
    };
    let rounded = format!("{:.1}", bytes as f64 / *factor as f64);
    format!("{} {unit}", rounded.strip_suffix(".0").unwrap_or(&rounded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_have_decimal_or_binary_units_in_any_case() {
        for (text, bytes) in [
            ("1", 1),
            ("10GB", 10_000_000_000),
            ("10 gb", 10_000_000_000),
            ("500MB", 500_000_000),
            ("1GiB", 1 << 30),
            ("1.5kib", 1536),
            ("0.5 MB", 500_000),
            ("7b", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn switches_are_on_or_off() {
        for (text, on) in [("true", true), (" Yes ", true), ("1", true), ("FALSE", false), ("off", false)] {
            assert_eq!(parse_switch(text), Ok(on), "{text}");
        }
        assert!(parse_switch("2").is_err() && parse_switch("").is_err());
    }

    #[test]
    fn invalid_sizes_are_refused_with_an_example() {
        for text in ["", "lots", "-1", "10 XB", "GB", "1..5MB", "1e3"] {
            assert!(parse_size(text).unwrap_err().contains("10GB"), "{text}");
        }
        assert!(parse_size("99999999TB").unwrap_err().contains("any disk"));
        assert!(parse_size("0").unwrap_err().contains("at least one byte"));
    }

    #[test]
    fn durations_may_have_units() {
        for (text, seconds) in [
            ("30", 30.0),
            ("24h", 86_400.0),
            ("90m", 5_400.0),
            ("0.5s", 0.5),
            ("250 ms", 0.25),
            ("1h 30m", 5_400.0),
            ("2d", 172_800.0),
            ("1 week", 604_800.0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        assert_eq!(parse_duration_or_zero("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn invalid_durations_are_refused() {
        for text in ["", "soon", "-1", "5 moons", "h", "0", "0ms", "99999999999h", "1.2.3"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_000, "1 kB"),
            (1_540_000, "1.5 MB"),
            (10_000_000_000, "10 GB"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }
}
