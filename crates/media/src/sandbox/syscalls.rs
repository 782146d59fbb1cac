//! Seccomp filters that refuse system calls for which ffmpeg has no use.
//!
//! Landlock (`files.rs`) refuses access to files by path. The filters cover what Landlock does not: sockets,
//! processes, signals, owners and modes of files, settings of the kernel.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use libc::{BPF_ABS, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

/// The bit that selects the x32 variant of a call on an x86-64 kernel. No native call has it.
const X32_BIT: u32 = 0x4000_0000;

/// The offset of the call's number in the kernel's `struct seccomp_data`.
const CALL_NUMBER: u32 = 0;

/// The error number of a refused call. A filter can return 16 bits.
const REFUSED: u16 = libc::EACCES as u16;

/// Network: without a socket there are no connections. io_uring makes calls that no filter sees.
const NETWORK: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Processes: starting others, leaving the process group that is killed, signalling, inspecting and slowing down
/// others.
const PROCESSES: &[i64] = &[
    libc::SYS_execveat,
    libc::SYS_setsid,
    libc::SYS_setpgid,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_ptrace,
    libc::SYS_kcmp,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setaffinity,
    libc::SYS_setrlimit,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Memory that outlives a process, or that could be executed without being a file that Landlock knows.
const MEMORY: &[i64] = &[
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
];

/// Changes to files that Landlock permits, and access to files without a path.
const FILES: &[i64] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_inotify_add_watch,
    libc::SYS_fanotify_init,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
];

/// Settings of the machine, which root may change, and interfaces for system tools.
const SYSTEM: &[i64] = &[
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// The filters for one process, compiled.
#[derive(Debug)]
pub(super) struct Filters(Vec<BpfProgram>);

impl Filters {
    /// Compiles the filters. Fails on an architecture that seccompiler does not know.
    pub(super) fn new() -> seccompiler::Result<Self> {
        let mut refused: BTreeMap<i64, Vec<SeccompRule>> = [NETWORK, PROCESSES, MEMORY, FILES, SYSTEM]
            .concat()
            .into_iter()
            .map(|call| (call, Vec::new()))
            .collect();
        // A new thread is a clone with this flag; without it, it is a process.
        let thread = libc::CLONE_THREAD as u64;
        let other_process = argument(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(thread), 0)?;
        refused.insert(libc::SYS_clone, vec![other_process]);
        // The signal that ends the process with its parent cannot be changed, nor can limits; limits may be read.
        let death = libc::PR_SET_PDEATHSIG as u64;
        let set_death_signal = argument(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, death)?;
        refused.insert(libc::SYS_prctl, vec![set_death_signal]);
        let set_limit = argument(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0)?;
        refused.insert(libc::SYS_prlimit64, vec![set_limit]);

        // The flags of clone3 are in memory, where a filter cannot read them. C libraries take this error for an
        // older kernel, and use clone.
        let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        Ok(Self(vec![refuse_x32(program(refused, REFUSED.into())?), program(unknown, libc::ENOSYS as u32)?]))
    }

    /// Applies the filters to the calling thread for good, including the programs that it executes. Neither allocates
    /// nor locks.
    pub(super) fn apply(&self) -> Result<(), Errno> {
        self.0
            .iter()
            .try_for_each(|program| seccompiler::apply_filter(program).map_err(|error| errno(&error)))
    }
}

fn errno(error: &seccompiler::Error) -> Errno {
    match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => Errno::from_io_error(error),
        _ => None,
    }
    .unwrap_or(Errno::INVAL)
}

/// A condition on an argument of a call.
fn argument(
    index: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> seccompiler::Result<SeccompRule> {
    Ok(SeccompRule::new(vec![SeccompCondition::new(index, length, operator, value)?])?)
}

/// A filter that fails these calls with an error number. A call of another architecture ends the process.
fn program(calls: BTreeMap<i64, Vec<SeccompRule>>, errno: u32) -> seccompiler::Result<BpfProgram> {
    let refused = SeccompAction::Errno(errno);
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, refused, ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

/// Prepends instructions that refuse every call number with [`X32_BIT`]: the program would take it for an unknown
/// call, the kernel for the call without that bit. Jumps are relative, so the program can be moved.
fn refuse_x32(program: BpfProgram) -> BpfProgram {
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| sock_filter { code: code as u16, jt, jf, k };
    let mut whole = vec![
        instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, CALL_NUMBER),
        instruction(BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT),
        instruction(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | u32::from(REFUSED)),
    ];
    whole.extend(program);
    whole
}
