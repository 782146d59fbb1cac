//! What a child does between clone and exec: leaves what it has of the service, and confines itself. (Unsafe: these
//! are system calls that nobody wraps, made in the memory of the service, whose other threads run on meanwhile. So
//! nothing here allocates, locks or panics; whatever is needed lies ready.)

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, chdir, getppid, getrlimit, set_parent_process_death_signal, setpgid,
    setrlimit,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};

use super::signals;
use super::syscalls::Filters;

/// Address space, in bytes. ffmpeg's many libraries alone take 0.4 GB of it; the tables of a day-long
/// video some 0.2 GB.
const MEMORY_BYTES: u64 = 2 << 30;

/// The three standard streams, the input, and the libraries one after another.
const OPEN_FILES: u64 = 32;

/// Threads of this user in all, those of other programs too: only against a flood of them, for ffmpeg needs some
/// and this limit cannot count a single process's. It does not bind root.
const THREADS: u64 = 4096;

/// How a child is confined, made ready by its parent.
#[derive(Debug)]
pub(super) struct Restrictions {
    /// A Landlock ruleset; `None` where the kernel has no Landlock.
    pub(super) rules: Option<OwnedFd>,
    /// `None` where the kernel has no seccomp filters.
    pub(super) filters: Option<Arc<Filters>>,
    /// Processor time in seconds.
    pub(super) cpu_seconds: u64,
}

/// The child's ends of its standard streams. None of them has the number of a standard stream, or connecting one would
/// close another.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// All that a child needs, and where it says what failed.
pub(super) struct Plan<'a> {
    pub(super) parent: Pid,
    pub(super) streams: &'a Streams,
    pub(super) restrictions: &'a Restrictions,
    pub(super) program: &'a CStr,
    /// Both end with a null pointer.
    pub(super) arguments: &'a [*const c_char],
    pub(super) environment: &'a [*const c_char],
    pub(super) failure: Failure,
}

/// Which step failed and with what error number, written by the child to the memory that its parent reads.
#[derive(Debug, Default)]
pub(super) struct Failure {
    step: AtomicUsize,
    /// 0 where none failed.
    errno: AtomicI32,
}

impl Failure {
    /// What failed, as a sentence without its full stop; for the parent, once the child has executed or ended.
    pub(super) fn error(&self) -> Option<io::Error> {
        let errno = self.errno.load(Ordering::Acquire);
        if errno == 0 {
            return None;
        }
        let (what, _) = STEPS.get(self.step.load(Ordering::Relaxed))?;
        let error = io::Error::from_raw_os_error(errno);
        Some(io::Error::new(error.kind(), format!("{what} failed: {error}")))
    }
}

type Step = fn(&Plan<'_>) -> Result<(), Errno>;

/// In this order, for the rules and filters refuse what the steps before them do.
const STEPS: &[(&str, Step)] = &[
    ("tying it to this process", end_with_parent),
    ("resetting its signals", |_| signals::reset()),
    ("giving it a process group", |_| setpgid(None, None)),
    ("connecting its streams", connect),
    ("leaving the working directory", |_| chdir(c"/")),
    ("limiting it", limit),
    ("forbidding it new privileges", |_| set_no_new_privs(true)),
    ("keeping it from files", restrict_files),
    ("dropping its capabilities", |_| drop_capabilities()),
    ("filtering its system calls", filter_calls),
    ("executing the program", execute),
];

/// The child's first function, to be given to clone. Returns only where a step failed.
///
/// `plan` points to a [`Plan`] that nobody changes until the child has executed its program or ended.
pub(super) extern "C" fn run(plan: *mut c_void) -> c_int {
    // SAFETY: the caller says that it is a plan, borrowed for as long as this function runs.
    let plan = unsafe { &*plan.cast_const().cast::<Plan<'_>>() };
    for (index, (_, step)) in STEPS.iter().enumerate() {
        if let Err(errno) = step(plan) {
            plan.failure.step.store(index, Ordering::Relaxed);
            plan.failure.errno.store(errno.raw_os_error(), Ordering::Release);
            break;
        }
    }
    127
}

fn end_with_parent(plan: &Plan<'_>) -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Where it is another, that one died before the signal was asked for.
    if getppid() == Some(plan.parent) { Ok(()) } else { Err(Errno::SRCH) }
}

/// Keeps the standard streams, whatever else this process was started with.
fn connect(plan: &Plan<'_>) -> Result<(), Errno> {
    let Streams { stdin, stdout, stderr } = plan.streams;
    let streams = [(stdin, libc::STDIN_FILENO), (stdout, libc::STDOUT_FILENO), (stderr, libc::STDERR_FILENO)];
    for (stream, number) in streams {
        // SAFETY: the call takes numbers. What it closes are the child's copies of this process's own streams.
        if unsafe { libc::dup2(stream.as_raw_fd(), number) } != number {
            return Err(last_error());
        }
    }
    // SAFETY: the call takes numbers. Kernels before 5.11 refuse it; what this process opens by itself closes anyway.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    Ok(())
}

fn limit(plan: &Plan<'_>) -> Result<(), Errno> {
    let limits = [
        (Resource::Cpu, plan.restrictions.cpu_seconds),
        (Resource::As, MEMORY_BYTES),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Nproc, THREADS),
    ];
    for (resource, limit) in limits {
        // Nobody may raise what the administrator has set.
        let limit = getrlimit(resource).maximum.map_or(limit, |maximum| maximum.min(limit));
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}

fn restrict_files(plan: &Plan<'_>) -> Result<(), Errno> {
    let Some(rules) = &plan.restrictions.rules else { return Ok(()) };
    // SAFETY: the call takes numbers: a descriptor that is open, and no flags.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// A service that runs as root passes on no more of it than reading the input, whoever owns that.
fn drop_capabilities() -> Result<(), Errno> {
    let held = capabilities(None)?;
    let kept = CapabilitySet::DAC_READ_SEARCH & held.permitted;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: none })
}

fn filter_calls(plan: &Plan<'_>) -> Result<(), Errno> {
    plan.restrictions.filters.as_ref().map_or(Ok(()), |filters| filters.apply())
}

/// Returns only where it fails.
fn execute(plan: &Plan<'_>) -> Result<(), Errno> {
    // SAFETY: the program is a C string; the lists hold pointers to C strings and end with null. All outlive the call.
    unsafe {
        libc::execve(plan.program.as_ptr(), plan.arguments.as_ptr(), plan.environment.as_ptr());
    }
    Err(last_error())
}

/// Of the last call to the C library. The child writes it where its parent's thread does, which waits meanwhile.
fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
