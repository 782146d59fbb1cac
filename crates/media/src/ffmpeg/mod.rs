//! ffprobe and ffmpeg: where they are, and how they run on untrusted bytes, with as little as will do.
//!
//! A run gets no environment, no file name and no standard input but the file itself, may use no protocol but `file`
//! and `pipe`, and no demuxer that follows references to other files. The kernel bounds its processor time and memory,
//! keeps it from writing files and reading others ([`sandbox`](crate::sandbox)), and how long it is waited for is
//! bounded by the clock ([`limits`](crate::limits)).

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
