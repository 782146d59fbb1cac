//! What the kernel lets ffmpeg reach: its own programs and libraries, and the one input. No other file and
//! no signal to other processes, by Landlock; no network, by a seccomp filter.

use std::env::consts::ARCH;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Once;
use std::thread;

use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// The newest rules asked for; an older kernel enforces those that it knows. This one brought scopes.
const RULES: ABI = ABI::V6;

/// Where programs and their libraries are installed, and the devices that hold nothing of anybody's.
const PROGRAMS: &[&str] = &[
    "/usr",
    "/bin",
    "/lib",
    "/lib64",
    "/opt",
    "/nix/store",
    "/etc/ld.so.cache",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
];

/// Starts the command, which runs `program`, so that it can read `input` and nothing else of anybody's.
pub(super) fn spawn(command: &mut Command, program: &Path, input: Option<&File>) -> io::Result<Child> {
    // Rules bind the thread that sets them and all that it starts, so it is one for this alone.
    thread::scope(|scope| {
        let confined = thread::Builder::new().name("sandbox".to_owned()).spawn_scoped(scope, || {
            let files = forbid_files(program, input).map_err(io::Error::other)?;
            tell_once(files, forbid_sockets());
            command.spawn()
        })?;
        confined.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts it panicked")))
    })
}

fn forbid_files(program: &Path, input: Option<&File>) -> Result<RulesetStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(RULES))?
        .handle_access(AccessNet::from_all(RULES))?
        .scope(Scope::from_all(RULES))?
        .create()?;
    for path in PROGRAMS.iter().map(PathBuf::from).chain(installation(program)) {
        // Not every system has all of them.
        let Ok(handle) = PathFd::new(&path) else { continue };
        let access = AccessFs::from_read(RULES);
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(RULES) };
        rules = rules.add_rule(PathBeneath::new(handle, access))?;
    }
    if let Some(input) = input {
        rules = rules.add_rule(PathBeneath::new(input, AccessFs::ReadFile))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// The program itself and the libraries that come with it, wherever it is installed.
fn installation(program: &Path) -> Vec<PathBuf> {
    let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let libraries = program.parent().and_then(Path::parent).map(|prefix| prefix.join("lib"));
    [Some(program), libraries].into_iter().flatten().collect()
}

/// Nothing can be connected without a socket; io_uring could make one past the filter.
fn forbid_sockets() -> seccompiler::Result<()> {
    let calls = [libc::SYS_socket, libc::SYS_io_uring_setup];
    let refused = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let filter = SeccompFilter::new(
        calls.into_iter().map(|call| (call, Vec::new())).collect(),
        SeccompAction::Allow,
        refused,
        ARCH.try_into()?,
    )?;
    seccompiler::apply_filter(&BpfProgram::try_from(filter)?)
}

/// Tells the log how much of this the kernel does.
fn tell_once(files: RulesetStatus, sockets: seccompiler::Result<()>) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        match files {
            RulesetStatus::FullyEnforced => tracing::debug!("ffmpeg can read its input only"),
            RulesetStatus::PartiallyEnforced => {
                tracing::warn!("ffmpeg is only partly confined: this kernel knows not all rules of Landlock");
            }
            RulesetStatus::NotEnforced => {
                tracing::warn!(
                    "ffmpeg can read every file that this service can: the kernel has no Landlock"
                );
            }
        }
        if let Err(error) = sockets {
            tracing::warn!("ffmpeg is not cut off from the network: {error}");
        }
    });
}

/// Whether this kernel can enforce all of it.
#[cfg(test)]
pub(super) fn is_complete() -> bool {
    use landlock::{CompatLevel, Compatible};

    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let rules =
        rules.handle_access(AccessFs::from_all(RULES)).and_then(|rules| rules.scope(Scope::from_all(RULES)));
    rules.is_ok_and(|rules| rules.create().is_ok())
}
