//! A program in the place of ffprobe and ffmpeg that hangs or tries to escape: `tests/fixtures/stand_in.rs`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use verbatim::media::{Timeouts, Tools};

/// The program, compiled once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stand_in.rs");
        // A name of its own: several test runs may be under way.
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stand-in-{}", std::process::id()));
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        let run = rustc.args(["--edition", "2024", "-o"]).arg(&program).arg(source).output();
        let run = run.expect("rustc runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        program
    })
}

/// Puts the program into `dir` under both names.
pub(crate) fn install(dir: &Path) {
    for name in ["ffmpeg", "ffprobe"] {
        fs::copy(program(), dir.join(name)).expect("a copy of the program");
    }
}

/// The program in `dir` as the service finds it.
pub(crate) fn tools(dir: &Path, timeouts: Timeouts) -> Tools {
    install(dir);
    Tools::find(dir.as_os_str()).expect("the stand-in runs").with_timeouts(timeouts)
}

/// The processes that run the program in `dir`.
pub(crate) fn running(dir: &Path) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("a list of processes");
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let runs = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with(dir));
    pids.filter(runs).collect()
}
