//! `verbatim --version [--verbose]`: prints the version and what is used of this machine.

use std::io::{self, Write};

use verbatim_kernels::chosen;
use verbatim_media::confinement;

/// Prints the version. If `verbose`, also prints one line for each kind of computation with its instruction set, and
/// one with the sandbox of ffmpeg.
pub fn run(verbose: bool, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "verbatim {}", env!("CARGO_PKG_VERSION"))?;
    if verbose {
        for kernel in chosen() {
            writeln!(out, "{}: {}", kernel.what, kernel.instruction_set)?;
        }
        writeln!(out, "sandbox: {}", serde_json::to_string(&confinement())?)?;
    }
    Ok(())
}
