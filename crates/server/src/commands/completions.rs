//! `verbatim completions` and `verbatim man`: what shells and the manual need to know of the command line.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::settings::{Cli, ManSettings};

/// The name of the program.
const NAME: &str = "verbatim";

/// Prints a script with which a shell completes commands, flags and values.
pub fn run(shell: Shell, out: &mut impl Write) -> io::Result<()> {
    // It is generated into memory: clap_complete panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    out.write_all(&script)?;
    out.flush()
}

/// Writes a manual page for the program and for each of its commands into a folder (`verbatim.1`, `verbatim-serve.1`, …).
/// Without a folder, prints the page of the program.
pub fn write_man(settings: &ManSettings, out: &mut impl Write) -> anyhow::Result<()> {
    let mut program = Cli::command();
    program.build();
    let Some(dir) = &settings.output else {
        man(program).render(out)?;
        out.flush()?;
        return Ok(());
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    write_pages(program, dir)
}

fn write_pages(command: clap::Command, dir: &Path) -> anyhow::Result<()> {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        write_pages(below.clone(), dir)?;
    }
    let man = man(command);
    let path = dir.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page)?;
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn man(command: clap::Command) -> Man {
    Man::new(command).source(concat!("verbatim ", env!("CARGO_PKG_VERSION")))
}
