//! A seccomp filter: every system call that is not in [`calls`] fails with EPERM, and the kernel logs it (`type=1326`, if
//! the kernel has CONFIG_AUDIT).
//!
//! The list is systemd's `@system-service` for a process that writes no files and starts no programs, plus `bpf`,
//! `perf_event_open` and `quotactl_fd`. It includes what NVML, which runs in this process, may use. NVML itself may try to
//! start nvidia-modprobe if device nodes are missing. That is denied: the driver must be set up before, as under the
//! systemd unit, which has no capabilities for it.

mod calls;

use std::{collections::BTreeMap, io};

use anyhow::Context as _;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::Outcome;

/// A list of conditions per system call, any one of which permits it. An empty list permits it always.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Installs the filter for the calling thread and the threads that it will start.
pub(super) fn filter() -> Outcome {
    match install() {
        Ok(()) => Outcome::InForce("system calls that the agent does not use are denied".to_owned()),
        Err(error) if is_unsupported(&error) => {
            Outcome::Unsupported(format!("{error:#}: the kernel needs CONFIG_SECCOMP_FILTER"))
        }
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

fn is_unsupported(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    matches!(code, Some(libc::ENOSYS | libc::EINVAL))
}

fn install() -> anyhow::Result<()> {
    // Two filters, because a filter has one error code only. The last one denies seccomp(2).
    for program in [absent()?, permitted()?] {
        load(&program)?;
    }
    Ok(())
}

/// The filter that denies everything that is not in the list.
fn permitted() -> anyhow::Result<BpfProgram> {
    compile(calls::rules()?, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

/// The filter for calls that must look as if the kernel lacked them. clone3 passes its flags in memory, which a filter
/// cannot read; glibc then uses clone.
fn absent() -> anyhow::Result<BpfProgram> {
    let rules = Rules::from([(libc::SYS_clone3, Vec::new())]);
    compile(rules, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))
}

fn compile(rules: Rules, others: SeccompAction, listed: SeccompAction) -> anyhow::Result<BpfProgram> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).context("find this architecture")?;
    let filter =
        SeccompFilter::new(rules, others, listed, architecture).context("build the seccomp filter")?;
    BpfProgram::try_from(filter).context("compile the seccomp filter")
}

/// seccompiler's own function has no flag for the log. systemd before 256 does not permit seccomp(2) to services, but
/// permits prctl(2), which has no flags.
fn load(program: &BpfProgram) -> anyhow::Result<()> {
    let len = program.len().try_into().context("the seccomp filter is too long")?;
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_LOG);
    // SAFETY: the kernel only reads the program, which outlives both calls. seccompiler's instructions have the layout of
    // the kernel's.
    let is_loaded = unsafe {
        libc::syscall(libc::SYS_seccomp, mode, flags, &raw const filter) == 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0) == 0
    };
    if is_loaded { Ok(()) } else { Err(io::Error::last_os_error()).context("install the seccomp filter") }
}

/// A condition on one argument.
fn argument(number: u8, operator: SeccompCmpOp, value: u64) -> anyhow::Result<SeccompCondition> {
    SeccompCondition::new(number, Dword, operator, value).context("build a seccomp condition")
}

/// A rule with one condition.
fn if_argument(number: u8, operator: SeccompCmpOp, value: u64) -> anyhow::Result<SeccompRule> {
    SeccompRule::new(vec![argument(number, operator, value)?]).context("build a seccomp rule")
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, process::Command};

    use super::*;

    /// The error code of a system call with three arguments; 0 if it succeeds.
    fn code(call: i64, first: i64, second: i64, third: i64) -> i32 {
        // SAFETY: the tests pass no pointers, except null ones to calls that are denied.
        match unsafe { libc::syscall(call, first, second, third) } {
            -1 => io::Error::last_os_error().raw_os_error().unwrap(),
            _ => 0,
        }
    }

    #[test]
    fn what_the_agent_does_not_use_is_denied_and_what_it_uses_is_not() {
        // Only this thread is restricted.
        std::thread::spawn(|| {
            // SAFETY: this option takes no pointers.
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
            install().unwrap();
            let own = i64::from(std::process::id());
            let denied = [
                ("execve", libc::SYS_execve, 0, 0),
                ("ptrace", libc::SYS_ptrace, 16, 1),
                ("mount", libc::SYS_mount, 0, 0),
                ("unshare", libc::SYS_unshare, 0, 0),
                ("setns", libc::SYS_setns, 0, 0),
                ("init_module", libc::SYS_init_module, 0, 0),
                ("finit_module", libc::SYS_finit_module, -1, 0),
                ("delete_module", libc::SYS_delete_module, 0, 0),
                ("reboot", libc::SYS_reboot, 0, 0),
                ("keyctl", libc::SYS_keyctl, 0, 0),
                ("kexec_load", libc::SYS_kexec_load, 0, 0),
                ("process_vm_writev", libc::SYS_process_vm_writev, own, 0),
                ("kill", libc::SYS_kill, own, 0),
                ("tgkill of another process", libc::SYS_tgkill, 1, 1),
                ("prlimit of another process", libc::SYS_prlimit64, 1, 7),
                ("io_uring_setup", libc::SYS_io_uring_setup, 1, 0),
                ("setuid", libc::SYS_setuid, 0, 0),
                ("unlinkat", libc::SYS_unlinkat, -1, 0),
                ("fchmodat", libc::SYS_fchmodat, -1, 0),
                ("netlink", libc::SYS_socket, i64::from(libc::AF_NETLINK), 2),
                ("packets", libc::SYS_socket, i64::from(libc::AF_PACKET), 2),
                ("a new process", libc::SYS_clone, i64::from(libc::SIGCHLD), 0),
                ("a new namespace", libc::SYS_clone, i64::from(libc::CLONE_NEWUSER), 0),
                ("executable memory", libc::SYS_mprotect, 0, 4096),
            ];
            for (name, call, first, second) in denied {
                assert_eq!(code(call, first, second, 7), libc::EPERM, "{name}");
            }
            assert_eq!(code(libc::SYS_clone3, 0, 0, 0), libc::ENOSYS);
            assert!(Command::new("/bin/true").status().is_err());
            // Bad arguments have the kernel's own errors.
            assert_eq!(code(libc::SYS_bpf, 9999, 0, 0), libc::EINVAL);
            assert_ne!(code(libc::SYS_perf_event_open, 0, 0, 0), libc::EPERM);
            assert_eq!(code(libc::SYS_ioctl, -1, 0, 0), libc::EBADF);
            std::thread::spawn(|| UdpSocket::bind("127.0.0.1:0").unwrap()).join().unwrap();
            assert!(std::fs::read_to_string("/proc/self/stat").is_ok());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn executable_memory_is_permitted_only_if_it_is_not_writable() {
        std::thread::spawn(|| {
            // SAFETY: this option takes no pointers.
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
            install().unwrap();
            let map = |protection: i32| {
                // SAFETY: anonymous memory at an address that the kernel chooses.
                let place = unsafe {
                    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                    libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0)
                };
                place != libc::MAP_FAILED
            };
            assert!(map(libc::PROT_READ | libc::PROT_WRITE) && map(libc::PROT_READ | libc::PROT_EXEC));
            assert!(!map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC));
        })
        .join()
        .unwrap();
    }
}
