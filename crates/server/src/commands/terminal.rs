//! Standard output and standard error, whose readers may go away before everything is said.

use std::fmt::Display;
use std::io::{self, Stdout, Write};

/// Standard output, which remembers whether its reader has gone away, as `head` does.
///
/// The signal that ends other programs then (SIGPIPE) stays ignored, as Rust has it: the sockets of this process would
/// raise it, too.
#[derive(Debug)]
pub struct Output {
    stdout: Stdout,
    is_closed: bool,
}

impl Output {
    pub fn stdout() -> Self {
        Self { stdout: io::stdout(), is_closed: false }
    }

    /// Whether something could not be written because nobody reads it.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn noted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.is_closed |= result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        result
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stdout.write(bytes);
        self.noted(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.stdout.flush();
        self.noted(flushed)
    }
}

/// Says on standard error what has gone wrong. Where nobody reads that, there is nobody to tell.
pub fn complain(message: impl Display) {
    let _ = writeln!(io::stderr(), "verbatim: {message}");
}
