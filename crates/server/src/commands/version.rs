//! `verbatim --version [--verbose]`: what this program is, and what it makes of this machine.

use std::io::{self, Write};

use verbatim_kernels::chosen;
use verbatim_media::confinement;

/// Prints the version; if `verbose`, a line also for every kind of product and for what confines ffmpeg.
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
