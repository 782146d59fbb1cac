//! Starts processes that can access only their program, its libraries and one input. Landlock refuses other files,
//! and signals to other processes (`files.rs`); seccomp filters refuse network and further processes (`syscalls.rs`).
//! A process ends with this one, however this one ends.

mod child;
mod files;
mod launcher;
mod libraries;
mod process;
mod signals;
mod spawn;
mod syscalls;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;

use landlock::{RulesetError, RulesetStatus};
use serde::Serialize;

pub(crate) use self::libraries::RequiredFiles;
pub(crate) use self::process::Child;
use self::spawn::Launch;
use self::syscalls::Filters;

/// What confines ffprobe and ffmpeg on this machine, in addition to limits on memory and processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Confinement {
    /// How far they are kept from all files but their input (Landlock).
    pub files: Enforced,
    /// Whether they are cut off from the network (seccomp).
    pub network: bool,
    /// Whether each is one process that can neither start nor reach others (seccomp).
    pub processes: bool,
}

/// How many of the rules for files this kernel knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforced {
    /// All of them.
    Full,
    /// Some of them.
    Partial,
    /// None of them.
    None,
}

impl Confinement {
    /// Whether all of it is enforced.
    pub fn is_full(self) -> bool {
        self.files == Enforced::Full && self.network && self.processes
    }
}

/// What this kernel can enforce. It is tried out once, on a thread of its own, because rules bind a thread for good.
struct Kernel {
    confinement: Confinement,
    filters: Option<Arc<Filters>>,
}

fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let trial = thread::Builder::new().name("sandbox-trial".to_owned()).spawn(try_out);
        let trial = trial.map(thread::JoinHandle::join);
        let unconfined = Confinement { files: Enforced::None, network: false, processes: false };
        let kernel = match trial {
            Ok(Ok(kernel)) => kernel,
            Ok(Err(_)) | Err(_) => Kernel { confinement: unconfined, filters: None },
        };
        log_missing(kernel.confinement);
        kernel
    })
}

/// Confines the calling thread, and reports what was enforced.
fn try_out() -> Kernel {
    let files =
        files::rules(&RequiredFiles::default(), None).and_then(landlock::RulesetCreated::restrict_self);
    let files = match files.map(|status| status.ruleset) {
        Ok(RulesetStatus::FullyEnforced) => Enforced::Full,
        Ok(RulesetStatus::PartiallyEnforced) => Enforced::Partial,
        Ok(RulesetStatus::NotEnforced) | Err(_) => Enforced::None,
    };
    let filters = Filters::new().ok().filter(|filters| filters.apply().is_ok()).map(Arc::new);
    let filtered = filters.is_some();
    Kernel { confinement: Confinement { files, network: filtered, processes: filtered }, filters }
}

/// Logs what this kernel does not enforce.
fn log_missing(confinement: Confinement) {
    match confinement.files {
        Enforced::Full => {}
        Enforced::Partial => tracing::warn!(
            "ffmpeg is only partly kept from files and processes: this kernel knows not all rules of Landlock"
        ),
        Enforced::None => {
            tracing::warn!("ffmpeg can read every file that this service can: the kernel has no Landlock");
        }
    }
    if !confinement.network || !confinement.processes {
        tracing::warn!(
            "ffmpeg is not kept from the network and from starting processes: the kernel has no seccomp filters"
        );
    }
    if confinement.is_full() {
        tracing::debug!("ffmpeg can read its input only, without network, as one process");
    }
}

/// What confines ffprobe and ffmpeg on this machine. The first call tries it out, and logs what is missing.
pub fn confinement() -> Confinement {
    kernel().confinement
}

/// Starts a program, which needs the files `required`, with access to `input` as its standard input and to no other
/// files of anyone. Its environment is `LANG=C`, its working directory is the root.
pub(crate) fn spawn(
    program: &Path,
    args: &[&str],
    required: &RequiredFiles,
    input: Option<&File>,
    cpu_seconds: u64,
) -> io::Result<Child> {
    let rules: Option<OwnedFd> = match kernel().confinement.files {
        Enforced::Full | Enforced::Partial => files::rules(required, input).map_err(cannot_confine)?.into(),
        Enforced::None => None,
    };
    let stdin = match input {
        Some(file) => file.try_clone()?,
        None => File::open("/dev/null")?,
    };
    let restrictions = child::Restrictions { rules, filters: kernel().filters.clone(), cpu_seconds };
    launcher::start(Launch::new(program, args, stdin.into(), restrictions)?)
}

fn cannot_confine(error: RulesetError) -> io::Error {
    io::Error::other(format!("it cannot be confined: {error}"))
}
