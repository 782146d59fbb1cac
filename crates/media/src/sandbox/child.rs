//! What a child process does between clone and exec: it drops what it inherited from the service, and confines
//! itself. (Unsafe: these system calls have no wrappers, and are made in the memory of the service, whose other
//! threads keep running. So nothing here allocates, locks or panics; all that is needed was prepared.)

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

/// The maximum address space, in bytes. ffmpeg's many libraries alone take 0.4 GB, the tables of a video of a day
/// about 0.2 GB.
const MEMORY_BYTES: u64 = 2 << 30;

/// The maximum number of open files: the three standard streams, the input, and the libraries one after another.
const OPEN_FILES: u64 = 32;

/// The maximum number of threads of this user, including those of other programs. It only protects against very many:
/// ffmpeg needs some, and this limit cannot count those of a single process. It does not apply to root.
const THREADS: u64 = 4096;

/// How a child is confined, prepared by its parent.
#[derive(Debug)]
pub(super) struct Restrictions {
    /// A Landlock ruleset; `None` if the kernel has no Landlock.
    pub(super) rules: Option<OwnedFd>,
    /// `None` if the kernel has no seccomp filters.
    pub(super) filters: Option<Arc<Filters>>,
    /// Processor time in seconds.
    pub(super) cpu_seconds: u64,
}

/// The child's ends of its standard streams. None has the number of a standard stream; otherwise connecting one would
/// close another.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// All that a child needs, and where it reports a failure.
pub(super) struct Plan<'a> {
    pub(super) parent: Pid,
    pub(super) streams: &'a Streams,
    pub(super) restrictions: &'a Restrictions,
    pub(super) program: &'a CStr,
    /// Ends with a null pointer, as does `environment`.
    pub(super) arguments: &'a [*const c_char],
    pub(super) environment: &'a [*const c_char],
    pub(super) failure: Failure,
}

/// The step that failed and its error number. The child writes it to memory that its parent reads.
#[derive(Debug, Default)]
pub(super) struct Failure {
    step: AtomicUsize,
    /// 0 if none failed.
    errno: AtomicI32,
}

impl Failure {
    /// The failure as a sentence without its full stop. For the parent, after the child has executed its program or
    /// ended.
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

/// The order matters: rules and filters refuse what earlier steps do.
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

/// The function that clone runs in the child. Returns only if a step failed.
///
/// `plan` points to a [`Plan`] that is not changed until the child has executed its program or ended.
pub(super) extern "C" fn run(plan: *mut c_void) -> c_int {
    // SAFETY: by the contract above, it points to a plan that is borrowed for as long as this function runs.
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
    // If the parent is another process, the original one ended before the signal was set.
    if getppid() == Some(plan.parent) { Ok(()) } else { Err(Errno::SRCH) }
}

/// Keeps only the standard streams of all descriptors that this process has.
fn connect(plan: &Plan<'_>) -> Result<(), Errno> {
    let Streams { stdin, stdout, stderr } = plan.streams;
    let streams = [(stdin, libc::STDIN_FILENO), (stdout, libc::STDOUT_FILENO), (stderr, libc::STDERR_FILENO)];
    for (stream, number) in streams {
        // SAFETY: the call takes numbers. It closes the child's copies of this process's own streams.
        if unsafe { libc::dup2(stream.as_raw_fd(), number) } != number {
            return Err(last_error());
        }
    }
    // SAFETY: the call takes numbers. Kernels before 5.11 refuse it; descriptors that this process opens close on
    // exec anyway.
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
        // A limit set by the administrator cannot be raised.
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

/// Drops the privileges of a service that runs as root, except that of reading the input, whoever owns it.
fn drop_capabilities() -> Result<(), Errno> {
    let held = capabilities(None)?;
    let kept = CapabilitySet::DAC_READ_SEARCH & held.permitted;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: none })
}

fn filter_calls(plan: &Plan<'_>) -> Result<(), Errno> {
    plan.restrictions.filters.as_ref().map_or(Ok(()), |filters| filters.apply())
}

/// Returns only if it fails.
fn execute(plan: &Plan<'_>) -> Result<(), Errno> {
    // SAFETY: the program is a C string; the lists hold pointers to C strings and end with null. All outlive the call.
    unsafe {
        libc::execve(plan.program.as_ptr(), plan.arguments.as_ptr(), plan.environment.as_ptr());
    }
    Err(last_error())
}

/// The error of the last call to the C library. The child stores it in the memory of its parent's thread, which waits
/// meanwhile.
fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
