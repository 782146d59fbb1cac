//! Writes log lines, all of them to standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::{io, panic, thread};

use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{LogFilter, LogFormat};

/// Starts writing log lines. Does nothing if that has been done already.
pub fn init(filter: &LogFilter, format: LogFormat) {
    // A line that cannot be written is dropped. Reporting that error, again on standard error, would panic.
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let started = tracing_subscriber::registry().with(lines.with_filter(filter.targets().clone())).try_init();
    if started.is_err() {
        tracing::debug!("log lines are being written already");
    }
}

/// Logs panics from now on. Otherwise a panic would be plain text between log lines in JSON.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let location = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("without a message");
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(thread = thread.name(), location, backtrace, "panic: {message}");
    }));
}
