//! Starts a child in the memory of this process, as `posix_spawn` does, but confined. (Unsafe: the C library's own
//! cannot confine, so this is a clone by hand.)
//!
//! A fork would copy the page tables of a service that holds a gigabyte of models, and have it fault once for each
//! page that it writes afterwards. This child borrows the memory instead, with a stack of its own, and the thread that
//! starts it waits until it has executed its program or ended.

use std::ffi::{CString, c_void};
use std::io::{self, PipeReader};
use std::iter;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitOptions, getpid, waitpid};

use super::child::{self, Failure, Plan, Restrictions, Streams};
use super::process::Child;
use super::signals::Blocked;

/// Many times what the child's steps take. Pages that they do not touch cost nothing.
const STACK_BYTES: usize = 64 << 10;

/// A whole number of pages, whatever their size on this machine.
const GUARD_BYTES: usize = 64 << 10;

/// A program to start, once, by a thread that lives as long as this process: the child ends with the thread that
/// started it.
#[derive(Debug)]
pub(super) struct Launch {
    program: CString,
    arguments: Vec<CString>,
    streams: Streams,
    stdout: PipeReader,
    stderr: PipeReader,
    restrictions: Restrictions,
}

impl Launch {
    /// Of the program at this absolute path. `stdin` is what it reads.
    pub(super) fn new(
        program: &Path,
        arguments: &[&str],
        stdin: OwnedFd,
        restrictions: Restrictions,
    ) -> io::Result<Self> {
        let program = CString::new(program.as_os_str().as_bytes())?;
        let arguments =
            iter::once(Ok(program.clone())).chain(arguments.iter().map(|text| CString::new(*text)));
        let arguments = arguments.collect::<Result<_, _>>()?;
        let (stdout, child_stdout) = io::pipe()?;
        let (stderr, child_stderr) = io::pipe()?;
        let streams = Streams {
            stdin: beyond_standard(stdin)?,
            stdout: beyond_standard(child_stdout.into())?,
            stderr: beyond_standard(child_stderr.into())?,
        };
        Ok(Self { program, arguments, streams, stdout, stderr, restrictions })
    }

    /// Blocks until the program was executed. Fails with the step that did not succeed.
    pub(super) fn start(self) -> io::Result<Child> {
        let end = ptr::null();
        let arguments: Vec<_> = self.arguments.iter().map(|text| text.as_ptr()).chain([end]).collect();
        let plan = Plan {
            parent: getpid(),
            streams: &self.streams,
            restrictions: &self.restrictions,
            program: &self.program,
            arguments: &arguments,
            environment: &[c"LANG=C".as_ptr(), end],
            failure: Failure::default(),
        };
        let pid = clone(&plan)?;
        if let Some(error) = plan.failure.error() {
            // It has ended. Whether it could be waited for changes nothing.
            let _ = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
            return Err(error);
        }
        Ok(Child::new(pid, self.stdout, self.stderr))
    }
}

/// The same file under a number that is no standard stream's, for the child gives these to its streams one after
/// another. A new file has one of them only where this process has closed its own.
fn beyond_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > libc::STDERR_FILENO { Ok(fd) } else { fd.try_clone() }
}

/// Runs the plan in a child. Returns once that has executed its program or ended.
fn clone(plan: &Plan<'_>) -> io::Result<Pid> {
    let stack = Stack::new()?;
    // No handler of ours may run in the child, which lets signals through once it has none.
    let blocked = Blocked::all()?;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child runs `child::run` on a stack of its own and on a plan that is borrowed until this call returns,
    // which CLONE_VFORK puts off until the child no longer uses this memory. Until then this thread stands still, so
    // that the child may use its thread-local storage, where the C library keeps error numbers. Only the memory is
    // shared: descriptors, handlers, limits and credentials are the child's own copies.
    let pid = unsafe {
        libc::clone(child::run, stack.top(), flags, ptr::from_ref(plan).cast_mut().cast::<c_void>())
    };
    let started = Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(io::Error::last_os_error);
    drop(blocked);
    started
}

/// Memory for a child's stack. An overflow ends the child: what lies below may not be touched.
struct Stack {
    base: *mut c_void,
}

impl Stack {
    const BYTES: usize = GUARD_BYTES + STACK_BYTES;

    fn new() -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new mapping, wherever the kernel puts it.
        let base = unsafe { libc::mmap(ptr::null_mut(), Self::BYTES, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { base };
        // SAFETY: the lower end of the mapping, which nothing uses yet.
        if unsafe { libc::mprotect(base, GUARD_BYTES, libc::PROT_NONE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// Its end: stacks grow downwards.
    fn top(&self) -> *mut c_void {
        self.base.wrapping_byte_add(Self::BYTES)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, which no child uses any more.
        unsafe {
            libc::munmap(self.base, Self::BYTES);
        }
    }
}
