//! The standard error of a program. Its last part is kept, and becomes the end of a sentence.

use std::collections::VecDeque;

use super::input::INPUT;

/// The number of bytes that are kept.
const KEPT_BYTES: usize = 4 << 10;

/// The last bytes of a program's standard error.
#[derive(Debug, Default)]
pub(super) struct Tail(VecDeque<u8>);

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        self.0.drain(..self.0.len().saturating_sub(KEPT_BYTES));
    }

    pub(super) fn into_text(mut self) -> String {
        String::from_utf8_lossy(self.0.make_contiguous()).into_owned()
    }
}

/// The last message of a program, as the end of a sentence; `None` if there is none in particular. It is only shown
/// to people and decides nothing.
pub(crate) fn reason(stderr: &str) -> Option<String> {
    // Lines about the whole input only repeat that it could not be read.
    let is_general =
        |line: &str| line.is_empty() || line.starts_with(INPUT) || line.starts_with("Last message repeated");
    let line = stderr.lines().map(str::trim).rfind(|line| !is_general(line))?;
    let (component, mut line) = split_component(line);
    if line.starts_with("Format not on whitelist") {
        return Some(format!("files of the kind {component} are not accepted"));
    }
    while let (_, rest) = split_component(line)
        && rest != line
    {
        line = rest;
    }
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    let line = line.trim_end_matches('.');
    (!line.is_empty()).then(|| format!("it is damaged or incomplete ({line})"))
}

/// Splits `[mov,mp4 @ 0x55a4] moov atom not found` into the component of ffmpeg and its message.
fn split_component(line: &str) -> (&str, &str) {
    let split = line.strip_prefix('[').and_then(|line| line.split_once("] "));
    let Some((component, line)) = split else { return ("", line) };
    (component.split(" @ ").next().unwrap_or(component), line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_becomes_the_end_of_a_sentence() {
        for (stderr, expected) in [
            ("", None),
            ("file:/dev/stdin: Invalid data found when processing input\n", None),
            (
                "[mov,mp4,m4a @ 0x55a4] moov atom not found\n    Last message repeated 2 times\n\
                 file:/dev/stdin: Invalid data\n",
                Some("it is damaged or incomplete (moov atom not found)"),
            ),
            (
                "[hls @ 0x5557] Format not on whitelist 'aac,ac3'\nfile:/dev/stdin: Invalid argument\n",
                Some("files of the kind hls are not accepted"),
            ),
            (
                "[aist#0:0/aac @ 0x1] [dec:aac @ 0x2] Error\u{7} while decoding.\n",
                Some("it is damaged or incomplete (Error while decoding)"),
            ),
        ] {
            assert_eq!(reason(stderr).as_deref(), expected, "{stderr}");
        }
    }

    #[test]
    fn only_the_tail_is_kept() {
        let mut tail = Tail::default();
        tail.push("x".repeat(10 * KEPT_BYTES).as_bytes());
        tail.push(b"the end");
        let tail = tail.into_text();
        assert!(tail.len() == KEPT_BYTES && tail.ends_with("xthe end"));
    }
}
