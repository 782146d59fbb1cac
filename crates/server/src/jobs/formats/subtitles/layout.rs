//! How much text a subtitle may have: the width of its lines and their number.

use clap::Args;

/// The room for the text of a subtitle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(next_help_heading = "Subtitles")]
pub struct Layout {
    /// The most characters in a line of subtitles, from 10 to 200; wide ones, such as Chinese, count twice
    #[arg(long, value_name = "NUMBER", default_value = "42", value_parser = parse_width)]
    max_line_width: usize,

    /// The most lines in a subtitle, from 1 to 10
    #[arg(long, value_name = "NUMBER", default_value = "2", value_parser = parse_count)]
    max_line_count: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self { max_line_width: 42, max_line_count: 2 }
    }
}

impl Layout {
    /// The names of its parameters in queries and forms.
    pub const NAMES: [&str; 2] = ["max_line_width", "max_line_count"];

    /// Sets the parameter of this name, one of [`Self::NAMES`], from text. An empty text leaves it as it is. The error
    /// is a sentence.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let with_name = |reason: String| format!("{name}: {reason}.");
        let text = text.trim();
        match name {
            _ if text.is_empty() => {}
            "max_line_width" => self.max_line_width = parse_width(text).map_err(with_name)?,
            "max_line_count" => self.max_line_count = parse_count(text).map_err(with_name)?,
            _ => {}
        }
        Ok(())
    }

    /// The most columns in a line: a character takes one, a wide one two.
    pub fn max_line_width(self) -> usize {
        self.max_line_width
    }

    /// The most lines.
    pub fn max_line_count(self) -> usize {
        self.max_line_count
    }
}

fn parse_width(text: &str) -> Result<usize, String> {
    parse(text, 10, 200)
}

fn parse_count(text: &str) -> Result<usize, String> {
    parse(text, 1, 10)
}

/// The error is the end of a sentence.
fn parse(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("“{text}” is not a whole number from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_set_by_their_names_and_empty_ones_are_left() {
        let mut layout = Layout::default();
        for (name, text) in Layout::NAMES.into_iter().zip([" 32 ", "3"]) {
            layout.set(name, text).unwrap();
        }
        assert_eq!((layout.max_line_width(), layout.max_line_count()), (32, 3));
        for name in Layout::NAMES {
            layout.set(name, "").unwrap();
        }
        assert_eq!((layout.max_line_width(), layout.max_line_count()), (32, 3));
    }

    #[test]
    fn sizes_that_make_no_sense_are_refused_with_a_sentence() {
        for (name, text, sentence) in [
            ("max_line_width", "9", "max_line_width: “9” is not a whole number from 10 to 200."),
            ("max_line_width", "201", "max_line_width: “201” is not a whole number from 10 to 200."),
            ("max_line_width", "4e1", "max_line_width: “4e1” is not a whole number from 10 to 200."),
            ("max_line_count", "0", "max_line_count: “0” is not a whole number from 1 to 10."),
            ("max_line_count", "-1", "max_line_count: “-1” is not a whole number from 1 to 10."),
        ] {
            let mut layout = Layout::default();
            assert_eq!(layout.set(name, text).unwrap_err(), sentence);
            assert_eq!(layout, Layout::default());
        }
    }
}
