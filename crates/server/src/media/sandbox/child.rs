//! What a child does to itself between fork and exec. (Unsafe: nothing there may allocate or lock, since another
//! thread of the parent may have held the lock when it was copied.)

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use landlock::RulesetCreated;
use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

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
pub(super) struct Confinement {
    /// `None` where the kernel has no Landlock.
    pub(super) rules: Option<RulesetCreated>,
    /// `None` where the kernel has no seccomp filters.
    pub(super) filters: Option<Arc<Filters>>,
    /// Processor time in seconds.
    pub(super) cpu_seconds: u64,
}

impl Confinement {
    /// Has the command's process confine itself before it executes the program. The command is then to be spawned
    /// once, by a thread that lives as long as this process: the child ends with the thread that started it.
    ///
    /// What runs before exec makes this a fork, which copies the page tables of this process: some 7 ms for each
    /// gigabyte that it holds.
    pub(super) fn impose(mut self, command: &mut Command) {
        let parent = getpid();
        // SAFETY: the closure makes system calls on what was prepared before the fork. It neither allocates nor
        // locks: errors are numbers, and dropping the rules closes a descriptor.
        unsafe {
            command.pre_exec(move || self.apply(parent));
        }
    }

    fn apply(&mut self, parent: Pid) -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(parent) {
            // It died before the signal was asked for.
            return Err(Errno::SRCH.into());
        }
        close_on_exec();
        self.limit()?;
        if let Some(rules) = self.rules.take() {
            rules.restrict_self().map_err(|_| Errno::ACCESS)?;
        }
        drop_capabilities()?;
        if let Some(filters) = &self.filters {
            filters.apply().map_err(|_| Errno::PERM)?;
        }
        Ok(())
    }

    fn limit(&self) -> io::Result<()> {
        let limits = [
            (Resource::Cpu, self.cpu_seconds),
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
}

/// All but the standard streams, whatever this process was started with.
fn close_on_exec() {
    // SAFETY: the call takes numbers. Kernels before 5.11 refuse it; what this process opens by itself closes anyway.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// A service that runs as root passes on no more of it than reading the input, whoever owns that.
fn drop_capabilities() -> io::Result<()> {
    let held = capabilities(None)?;
    let kept = CapabilitySet::DAC_READ_SEARCH & held.permitted;
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: none })?)
}
