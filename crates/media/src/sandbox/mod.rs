//! A process that can reach the program it runs, its libraries and one input. No other file and no signal to other
//! processes, by Landlock (`files.rs`); no network and no second process, by seccomp filters
//! (`syscalls.rs`); and it ends with this process, however that ends.

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

/// What confines ffprobe and ffmpeg on this machine, besides limits on memory and processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Confinement {
    /// Whether they can read nothing but their one input (Landlock).
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
    /// Whether all of it is in force.
    pub fn is_full(self) -> bool {
        self.files == Enforced::Full && self.network && self.processes
    }
}

/// Tried out, once, on a thread that is given up for it: rules bind a thread for good.
struct Kernel {
    confinement: Confinement,
    filters: Option<Arc<Filters>>,
}

fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let trial = thread::Builder::new().name("sandbox-trial".to_owned()).spawn(try_out);
        let trial = trial.map(thread::JoinHandle::join);
        let nothing = Confinement { files: Enforced::None, network: false, processes: false };
        let kernel = match trial {
            Ok(Ok(kernel)) => kernel,
            Ok(Err(_)) | Err(_) => Kernel { confinement: nothing, filters: None },
        };
        log_missing(kernel.confinement);
        kernel
    })
}

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

/// Logs what this kernel does not do.
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

/// What confines ffprobe and ffmpeg here. The first call tries it out and logs what is missing.
pub fn confinement() -> Confinement {
    kernel().confinement
}

/// Starts the program, which needs these files, so that it can reach `input`, its standard input, and nothing else of
/// anybody's. Its environment is `LANG=C`, its working directory the root.
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
