//! Blocks and resets signals around a clone that shares memory: a handler of the service must not run in the child,
//! where it would change the service's memory. (Unsafe: the C library hides two signals, so the kernel is called
//! directly.)

use std::ptr;

use rustix::io::Errno;

/// The kernel's set of signals: bit n - 1 is signal n.
type Set = u64;

const SET_BYTES: usize = size_of::<Set>();

const SIGNALS: i32 = Set::BITS.cast_signed();

/// Blocks all signals for the calling thread. When dropped, it restores the set that was blocked before.
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
        // A set that was in force before is accepted by the kernel.
        let _ = set_mask(self.before);
    }
}

/// Resets all signals of this process to their default action, and blocks none. For a child, whose parent keeps its
/// handlers. Neither allocates nor locks.
pub(super) fn reset() -> Result<(), Errno> {
    // The kernel's `struct sigaction`, all zero: no handler (`SIG_DFL`), no flags, no mask. The order of its fields
    // does not matter.
    const DEFAULT: [u64; 4] = [0; 4];
    for signal in 1..=SIGNALS {
        // SAFETY: the kernel reads the structure, which is no longer than the array, and writes nothing. It refuses
        // SIGKILL and SIGSTOP, which cannot have handlers.
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

/// Blocks these signals and no others. Returns the set that was blocked before.
fn set_mask(mask: Set) -> Result<Set, Errno> {
    let mut before: Set = 0;
    // SAFETY: both sets have the length that is passed to the call, and outlive it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut before,
            SET_BYTES,
        )
    };
    // This is the only reason for which it can fail.
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
