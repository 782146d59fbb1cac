//! Finds ffprobe and ffmpeg, and runs them on untrusted files with as few rights as possible.
//!
//! A run gets no environment, no file name and only the file as its standard input. It may use no protocols but
//! `file` and `pipe`, and no demuxer that follows references to other files. The kernel limits its processor time and
//! memory, and keeps it from writing files and from reading others ([`sandbox`](crate::sandbox)). Timeouts limit how
//! long it is waited for ([`limits`](crate::limits)).

mod input;
mod program;
mod run;
mod stderr;
mod tools;

pub(crate) use input::{INPUT, input_options};
pub(crate) use run::Run;
pub(crate) use stderr::reason;
pub(crate) use tools::Tool;
pub use tools::{Tools, require_tools};

#[cfg(test)]
mod tests;
