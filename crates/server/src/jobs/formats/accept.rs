//! Chooses a format by an `Accept` header (RFC 9110, section 12.5.1).

use super::Format;

/// A media range of the header, in lower case.
struct Range {
    kind: String,
    subtype: String,
    /// From 0, not acceptable, to 1000.
    quality: u16,
}

/// The format that a header asks for most; `None` if it takes none. A header without ranges takes all.
pub(super) fn best(header: &str) -> Option<Format> {
    let ranges: Vec<Range> = header.split(',').filter_map(range).collect();
    if header.trim().is_empty() {
        return Some(Format::Json);
    }
    let wishes = Format::ALL.into_iter().filter_map(|format| {
        let (precision, place, quality) = wish(format, &ranges)?;
        // The first range of the header and the first format win, so `max_by_key` compares how early they come.
        (quality > 0).then_some((format, (quality, precision, usize::MAX - place)))
    });
    wishes.rev().max_by_key(|(_, wish)| *wish).map(|(format, _)| format)
}

/// What the header says of a format by its most precise range: how precise it is (2 for a media type, 0 for `*/*`), its
/// place in the header, and its quality.
fn wish(format: Format, ranges: &[Range]) -> Option<(u8, usize, u16)> {
    let media_type = format.media_type().split(';').next().unwrap_or_default();
    let (kind, subtype) = media_type.split_once('/').unwrap_or_default();
    let precision = |range: &Range| match (range.kind.as_str(), range.subtype.as_str()) {
        ("*", "*") => Some(0),
        (of, "*") if of == kind => Some(1),
        (of, sub) if of == kind && sub == subtype => Some(2),
        _ => None,
    };
    let matching = ranges
        .iter()
        .enumerate()
        .filter_map(|(place, range)| Some((precision(range)?, place, range.quality)));
    matching.rev().max_by_key(|(precision, _, _)| *precision)
}

/// Parses a media range with its quality. `None` if it is malformed. Parameters other than `q` are ignored.
fn range(text: &str) -> Option<Range> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let quality = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .map_or(Some(1.0), |(_, value)| value.trim().parse().ok())
        .filter(|quality: &f64| (0.0..=1.0).contains(quality))?;
    Some(Range {
        kind: kind.trim().to_ascii_lowercase(),
        subtype: subtype.trim().to_ascii_lowercase(),
        quality: (quality * 1000.0).round() as u16,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_quality_wins_and_then_the_more_precise_and_the_first() {
        for (header, format) in [
            ("", Some(Format::Json)),
            ("*/*", Some(Format::Json)),
            ("application/json", Some(Format::Json)),
            ("application/*", Some(Format::Json)),
            ("text/*", Some(Format::Txt)),
            ("text/plain", Some(Format::Txt)),
            ("Text/VTT; charset=UTF-8", Some(Format::Vtt)),
            ("application/x-subrip", Some(Format::Srt)),
            ("text/tab-separated-values", Some(Format::Tsv)),
            ("text/markdown", Some(Format::Md)),
            ("text/vtt, application/json", Some(Format::Vtt)),
            ("application/json, text/vtt", Some(Format::Json)),
            ("application/json;q=0.5, text/vtt;q=0.8", Some(Format::Vtt)),
            ("application/json; q=0.2, */*; Q=0.1", Some(Format::Json)),
            ("*/*, text/vtt", Some(Format::Vtt)),
            ("text/html, application/xhtml+xml, */*;q=0.8", Some(Format::Json)),
            ("application/json;q=0, */*", Some(Format::Txt)),
            ("*/*, application/json;q=0", Some(Format::Txt)),
            ("text/vtt;q=nan, text/plain;q=0.1", Some(Format::Txt)),
            ("text/vtt;q=2, text/markdown;q=0.001", Some(Format::Md)),
            ("text/vtt;q=0", None),
            ("text/html, image/png", None),
            ("nonsense", None),
        ] {
            assert_eq!(best(header), format, "{header}");
        }
    }
}
