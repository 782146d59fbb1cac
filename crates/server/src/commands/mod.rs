//! What the command line asks for: one file a command.

pub mod structure;
