//! A program that stands in for ffprobe and ffmpeg, and hangs or tries to escape: `fixtures/stand_in.rs`.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program, compiled once.
fn program() -> &'static [u8] {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/stand_in.rs");
        let dir = tempfile::tempdir().expect("a temporary folder");
        let program = dir.path().join("stand-in");
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        let run = rustc.args(["--edition", "2024", "-o"]).arg(&program).arg(source).output();
        let run = run.expect("rustc runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        fs::read(program).expect("a program was made")
    })
}

/// Puts the program into `dir` under both names.
pub fn install(dir: &Path) {
    for name in ["ffmpeg", "ffprobe"] {
        let path = dir.join(name);
        fs::write(&path, program()).expect("a copy of the program");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("the copy is ours");
    }
}

/// Writes an input file for the program. Its first word says what the program does.
pub fn task(dir: &Path, words: &str) -> PathBuf {
    let path = dir.join("input");
    fs::write(&path, words).expect("a temporary folder can be written");
    path
}

/// The ids of the processes that run the program in `dir`.
pub fn running(dir: &Path) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("a list of processes");
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let runs = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with(dir));
    pids.filter(runs).collect()
}

/// Whether a process exists and has not ended (a zombie has).
pub fn is_alive(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}
