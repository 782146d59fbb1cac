//! Parses the names in a form part's `Content-Disposition` header, which clients encode in different ways, and makes
//! file names safe to store and to show.

use percent_encoding::percent_decode;

/// The names in the `Content-Disposition` header of a part.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Disposition {
    /// The name of the form field.
    pub(super) name: String,
    /// As the client sent it; untrusted.
    pub(super) filename: Option<String>,
}

impl Disposition {
    /// Parses a header such as `form-data; name="file"; filename="talk.mp4"`. `filename*` (RFC 5987) takes precedence
    /// over `filename`.
    pub(super) fn parse(header: &[u8]) -> Self {
        let mut disposition = Self::default();
        let mut extended = None;
        for (name, value) in parameters(header) {
            match name.as_str() {
                "name" => disposition.name = String::from_utf8_lossy(&value).into_owned(),
                "filename" => disposition.filename = Some(plain_filename(&value)),
                "filename*" => extended = extended_filename(&value),
                _ => {}
            }
        }
        disposition.filename = extended.or(disposition.filename);
        disposition
    }
}

/// The parameters after the first `;`: names in lower case, values without their quotes.
fn parameters(header: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = skip_value(header).1;
    while let Some((b';', after)) = rest.split_first() {
        let end = after.iter().position(|b| matches!(b, b'=' | b';')).unwrap_or(after.len());
        let name = String::from_utf8_lossy(after[..end].trim_ascii()).to_ascii_lowercase();
        rest = &after[end..];
        if let Some((b'=', after)) = rest.split_first() {
            let (value, remaining) = skip_value(after);
            found.push((name, value));
            rest = remaining;
        }
    }
    found
}

/// Splits off a quoted or bare value. Gives the value and the rest from the next `;` on.
///
/// A backslash escapes a quote or another backslash. Anywhere else it stands for itself: some clients escape, others
/// send Windows paths unchanged.
fn skip_value(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let text = text.trim_ascii_start();
    let Some((b'"', quoted)) = text.split_first() else {
        let end = text.iter().position(|b| *b == b';').unwrap_or(text.len());
        return (text[..end].trim_ascii_end().to_vec(), &text[end..]);
    };
    let mut value = Vec::new();
    let mut at = 0;
    while at < quoted.len() && quoted[at] != b'"' {
        if quoted[at] == b'\\' && matches!(quoted.get(at + 1), Some(b'"' | b'\\')) {
            at += 1;
        }
        value.push(quoted[at]);
        at += 1;
    }
    let rest = quoted.get(at + 1..).unwrap_or_default();
    let end = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
    (value, &rest[end..])
}

/// Decodes the value of `filename="…"`.
///
/// Browsers encode only quotes and line breaks, as %22, %0D and %0A. aiohttp and some other clients encode everything
/// but unreserved characters (RFC 3986, section 2.3); a value that holds no other characters is taken for one of
/// theirs.
fn plain_filename(value: &[u8]) -> String {
    let is_unreserved = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%".contains(b);
    if value.iter().all(is_unreserved)
        && let Ok(decoded) = percent_decode(value).decode_utf8()
    {
        return decoded.into_owned();
    }
    let text = String::from_utf8_lossy(value);
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// Decodes the value of `filename*=UTF-8''na%C3%AFve.mp3`; `None` for other character sets.
fn extended_filename(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let (charset, rest) = text.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    Some(percent_decode(encoded.as_bytes()).decode_utf8_lossy().into_owned())
}

/// The last component of a path, with `/` or `\` as separators, without control characters and at most 255 bytes long;
/// `upload` if nothing is left.
pub(in crate::api) fn sanitise(filename: &str) -> String {
    const MAX_BYTES: usize = 255;
    let last = filename.rsplit(['/', '\\']).find(|part| !part.trim().is_empty()).unwrap_or_default();
    let mut name: String = last.chars().filter(|c| !c.is_control()).collect();
    name.truncate(name.floor_char_boundary(MAX_BYTES));
    match name.trim() {
        "" | "." | ".." => "upload".into(),
        trimmed => trimmed.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filename(header: &str) -> Option<String> {
        let disposition = Disposition::parse(header.as_bytes());
        assert_eq!(disposition.name, "file", "{header}");
        disposition.filename
    }

    #[test]
    fn file_names_of_all_kinds_of_clients_are_parsed() {
        for (header, name) in [
            (r#"form-data; name="file"; filename="talk.mp4""#, "talk.mp4"),
            (r#"form-data; filename=talk.mp4; name=file"#, "talk.mp4"),
            (r#"form-data; name="file"; filename="a; name=b.mp4""#, "a; name=b.mp4"),
            (r#"form-data; Name="file"; FileName = "talk.mp4" ; size=3"#, "talk.mp4"),
            (r#"form-data; name="file"; filename="Köln 🎤.mp3""#, "Köln 🎤.mp3"),
            // curl
            (r#"form-data; name="file"; filename="say \"hi\" \\o/.mp3""#, r#"say "hi" \o/.mp3"#),
            // browsers
            (r#"form-data; name="file"; filename="say %22hi%22 100%.mp3""#, r#"say "hi" 100%.mp3"#),
            // aiohttp
            (r#"form-data; name="file"; filename="mein%20Film%20%C3%BC.mp4""#, "mein Film ü.mp4"),
            // RFC 5987
            (r#"form-data; name="file"; filename="na_ve"; filename*=UTF-8''na%C3%AFve%20x"#, "naïve x"),
            (r#"form-data; name="file"; filename="plain"; filename*=KOI8-R''%C6"#, "plain"),
            (r#"form-data; name="file"; filename="C:\videos\talk.mp4""#, r"C:\videos\talk.mp4"),
        ] {
            assert_eq!(filename(header).as_deref(), Some(name), "{header}");
        }
        assert_eq!(filename(r#"form-data; name="file""#), None);
    }

    #[test]
    fn broken_headers_have_no_file_name() {
        for header in ["", ";", ";;=", "form-data; name", "form-data; name=\"", "form-data; =x;", "\"", "\\"]
        {
            assert_eq!(Disposition::parse(header.as_bytes()).filename, None, "{header}");
        }
        let cut = Disposition::parse(b"form-data; name=\"file\"; filename=\"ab\xff\\");
        assert_eq!(cut.filename.as_deref(), Some("ab\u{fffd}\\"));
    }

    #[test]
    fn only_the_last_component_is_kept() {
        for (given, kept) in [
            ("talk.mp4", "talk.mp4"),
            ("../../etc/passwd", "passwd"),
            (r"C:\videos\talk.mp4", "talk.mp4"),
            ("folder/", "folder"),
            ("a\0b\r\nc\u{85}.mp3", "abc.mp3"),
            ("say \"hi\" 🎤.mp3", "say \"hi\" 🎤.mp3"),
            ("..", "upload"),
            ("/", "upload"),
            (" \u{7} ", "upload"),
            ("", "upload"),
        ] {
            assert_eq!(sanitise(given), kept, "{given:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let name = sanitise(&"ü".repeat(200));
        assert_eq!(name, "ü".repeat(127));
    }
}
