//! Starts a child process that shares the memory of this one, as `posix_spawn` does, but confines it. (Unsafe: the C
//! library's function cannot confine the child, so this calls clone itself.)
//!
//! A fork would copy the page tables of a service that holds a gigabyte of models, and cause a page fault for each
//! page that the service writes afterwards. This child uses the service's memory instead, with a stack of its own.
//! The thread that starts it waits until it has executed its program or ended.

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

/// The size of the child's stack: many times what it needs. Pages that are not touched cost nothing.
const STACK_BYTES: usize = 64 << 10;

/// The size of the guard area below the stack: a whole number of pages for any page size.
const GUARD_BYTES: usize = 64 << 10;

/// A program to start once. The thread that starts it must live as long as this process, because the child ends with
/// that thread.
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
    /// Prepares the program at this absolute path. `stdin` becomes its standard input.
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

    /// Starts the program. Blocks until it was executed.
    ///
    /// # Errors
    /// If a step fails, which is named.
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
            // The child has ended. It does not matter whether waiting for it succeeds.
            let _ = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
            return Err(error);
        }
        Ok(Child::new(pid, self.stdout, self.stderr))
    }
}

/// The same file with a descriptor number above those of the standard streams, which the child assigns one after
/// another. A new file has one of those numbers only if this process has closed its own streams.
fn beyond_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > libc::STDERR_FILENO { Ok(fd) } else { fd.try_clone() }
}

/// Runs the plan in a child. Returns after the child has executed its program or ended.
fn clone(plan: &Plan<'_>) -> io::Result<Pid> {
    let stack = Stack::new()?;
    // No handler of this process may run in the child, which unblocks signals after it has reset them.
    let blocked = Blocked::all()?;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child runs `child::run` on its own stack and on a plan that is borrowed until this call returns.
    // With CLONE_VFORK, the call returns after the child has stopped using this memory. Until then this thread is
    // suspended, so the child may use its thread-local storage, where the C library keeps error numbers. Only the
    // memory is shared: descriptors, handlers, limits and credentials are the child's own copies.
    let pid = unsafe {
        libc::clone(child::run, stack.top(), flags, ptr::from_ref(plan).cast_mut().cast::<c_void>())
    };
    let started = Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(io::Error::last_os_error);
    drop(blocked);
    started
}

/// Memory for a child's stack, with a guard area below: an overflow ends the child.
struct Stack {
    base: *mut c_void,
}

impl Stack {
    const BYTES: usize = GUARD_BYTES + STACK_BYTES;

    fn new() -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: this creates a new mapping at an address that the kernel chooses.
        let base = unsafe { libc::mmap(ptr::null_mut(), Self::BYTES, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { base };
        // SAFETY: this is the lower end of the mapping, which nothing uses yet.
        if unsafe { libc::mprotect(base, GUARD_BYTES, libc::PROT_NONE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// The end of the memory, because stacks grow downwards.
    fn top(&self) -> *mut c_void {
        self.base.wrapping_byte_add(Self::BYTES)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and no child uses it any more.
        unsafe {
            libc::munmap(self.base, Self::BYTES);
        }
    }
}
