//! Signals around a clone that shares memory. (Unsafe: the C library keeps two signals to itself, so the kernel is
//! asked.) A handler of the service that ran in the child would run in the service's memory.

use std::ptr;

use rustix::io::Errno;

/// The kernel's set of signals: bit n - 1 is signal n.
type Set = u64;

const SET_BYTES: usize = size_of::<Set>();

const SIGNALS: i32 = Set::BITS.cast_signed();

/// Blocks every signal for the calling thread. Dropped, it lets those through again that were not blocked before.
#[derive(Debug)]
pub(super) struct Blocked {
    before: Set,
}

impl Blocked {
    pub(super) fn all() -> Result<Self, Errno> {
        Ok(Self { before: set_mask(Set::MAX)? })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // A set that was in force before is one that the kernel takes.
        let _ = set_mask(self.before);
    }
}

/// Has every signal do to this process what it does by default, and blocks none. For a child, whose parent keeps its
/// handlers. Neither allocates nor locks.
pub(super) fn reset() -> Result<(), Errno> {
    // The kernel's `struct sigaction`, in whatever order its fields are: no handler (`SIG_DFL`), no flags, no mask.
    const DEFAULT: [u64; 4] = [0; 4];
    for signal in 1..=SIGNALS {
        // SAFETY: the kernel reads the structure, which is no longer than that, and writes nothing. It refuses SIGKILL
        // and SIGSTOP, which have no handlers.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                ptr::null_mut::<u64>(),
                SET_BYTES,
            );
        }
    }
    set_mask(0).map(|_| ())
}

/// Blocks these signals and no others. Returns those that were blocked before.
fn set_mask(mask: Set) -> Result<Set, Errno> {
    let mut before: Set = 0;
    // SAFETY: both sets are as long as the call is told, and outlive it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut before,
            SET_BYTES,
        )
    };
    // It has no other reason to fail.
    if result == 0 { Ok(before) } else { Err(Errno::INVAL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_signals_are_blocked_for_a_while() {
        let before = set_mask(0).unwrap();
        let blocked = Blocked::all().unwrap();
        let (kill, stop) = (1 << (libc::SIGKILL - 1), 1 << (libc::SIGSTOP - 1));
        assert_eq!(set_mask(Set::MAX).unwrap(), Set::MAX & !kill & !stop);
        drop(blocked);
        assert_eq!(set_mask(before).unwrap(), 0);
    }
}
