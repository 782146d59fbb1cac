//! Standard output and standard error, whose readers may close them before everything is written.

use std::fmt::Display;
use std::io::{self, IsTerminal, Stdout, Write};

/// Standard output, which records whether its reader has closed it, as `head` does.
///
/// The signal that ends other programs in that case (SIGPIPE) is ignored, as is the default in Rust: sockets of this
/// process would raise it, too.
#[derive(Debug)]
pub struct Output {
    stdout: Stdout,
    is_closed: bool,
}

impl Output {
    /// The standard output of this process.
    pub fn stdout() -> Self {
        Self { stdout: io::stdout(), is_closed: false }
    }

    /// Whether a write has failed because the reader has closed the output.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn record_closed<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.is_closed |= result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        result
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stdout.write(bytes);
        self.record_closed(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.stdout.flush();
        self.record_closed(flushed)
    }
}

/// Prints an error on standard error. Ignores a failure to do so.
pub fn print_error(message: impl Display) {
    let _ = writeln!(io::stderr(), "verbatim: {message}");
}

/// Prints a line that is no error on standard error, where it does not mix with what a program reads. Ignores a failure
/// to do so.
pub fn print_note(message: impl Display) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Asks a question on the terminal, to be answered by y or n. `None` where standard input or standard error is no
/// terminal: nobody would answer. An empty answer is no.
pub fn ask(question: impl Display) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A text of somebody else on one line: control characters, which could steer the terminal, become `\u{fffd}`.
pub fn printable(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
