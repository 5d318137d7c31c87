//! Drops all capabilities that the configuration does not use, from every set of the calling thread.

use std::io;

use super::Outcome;
use crate::{
    collectors::{COLLECTORS, disk, nvidia_driver, sockets},
    config::{Config, ProgramStats},
    kernel::privileges::{
        BPF, Capability, DAC_OVERRIDE, DAC_READ_SEARCH, NET_ADMIN, NET_BIND_SERVICE, PERFMON, SYS_ADMIN,
        SYS_PTRACE,
    },
};

/// Capabilities that are used independently of the enabled collectors.
const ALWAYS: [&Capability; 3] = [&BPF, &PERFMON, &DAC_READ_SEARCH];
/// Ports below this one need a capability.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;
/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION_3: u32 = 0x2008_0522;

/// The capabilities without which something in this configuration does not work.
#[must_use]
pub fn required(config: &Config) -> Vec<&'static Capability> {
    let is_usable = |capability: &&Capability| config.kernel.enabled || !capability.is_for_programs;
    // A collector does not start without a capability for kernel programs, and then does not use the others either.
    let of_collectors = COLLECTORS
        .iter()
        .filter(|spec| config.is_on(spec.name) && spec.capabilities.iter().all(&is_usable))
        .flat_map(|spec| spec.capabilities);
    let used: Vec<_> =
        ALWAYS.iter().filter(|capability| is_usable(capability)).chain(of_collectors).collect();
    [&BPF, &PERFMON, &SYS_PTRACE, &DAC_READ_SEARCH, &NET_ADMIN]
        .into_iter()
        .filter(|capability| used.contains(&capability))
        .collect()
}

/// The capabilities that this configuration uses if the agent has them.
#[must_use]
pub fn optional(config: &Config) -> Vec<&'static Capability> {
    let statistics = config.kernel.enabled && config.kernel.program_stats != ProgramStats::Never;
    // Some distributions restrict perf events to CAP_SYS_ADMIN.
    let has_hooks = config.kernel.enabled && config.is_on(nvidia_driver::SPEC.name);
    // For connections that are older than the agent, of containers with a network namespace of their own.
    let older = config.kernel.enabled && config.is_on(sockets::SPEC.name);
    [
        (&SYS_PTRACE, older && !required(config).contains(&&SYS_PTRACE)),
        (&SYS_ADMIN, statistics || has_hooks || config.is_on(disk::SPEC.name)),
        // SAFETY: geteuid takes nothing and cannot fail.
        (&DAC_OVERRIDE, has_sockets_of_users(config) || unsafe { libc::geteuid() } != 0),
        (&NET_BIND_SERVICE, config.listen.port() < FIRST_UNPRIVILEGED_PORT),
    ]
    .into_iter()
    .filter_map(|(capability, is_used)| is_used.then_some(capability))
    .collect()
}

/// True if a socket is configured that is not one of the defaults, which belong to root.
fn has_sockets_of_users(config: &Config) -> bool {
    let sockets = |config: &Config| {
        let main = config.docker.socket().map(Into::into);
        let lists = [&config.podman.sockets, &config.containerd.sockets, &config.cri.sockets];
        let extra = config.docker.extra_sockets().to_vec();
        main.into_iter().chain(extra).chain(lists.into_iter().flatten().cloned()).collect::<Vec<_>>()
    };
    let defaults = sockets(&Config::default());
    sockets(config).iter().any(|socket| !defaults.contains(socket))
}

/// Keeps those of the wanted capabilities that the calling thread has.
pub(super) fn keep_only<'a>(wanted: impl Iterator<Item = &'a Capability>) -> Outcome {
    let outcome = read().and_then(|held| {
        let kept = wanted.fold(0, |kept, capability| kept | capability.bits_held(held));
        shrink_bounding_set(kept);
        write(kept)?;
        Ok((held, kept))
    });
    match outcome {
        Ok((held, kept)) => {
            Outcome::InForce(format!("{} kept, {} dropped", kept.count_ones(), (held & !kept).count_ones()))
        }
        Err(error) => Outcome::Failed(format!("drop capabilities: {error}")),
    }
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// Two of these: the low and the high words of the sets.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Words {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The permitted set.
fn read() -> io::Result<u64> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut words = [Words::default(); 2];
    // SAFETY: the structures are those of capget(2), version 3, and live.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, &raw mut words) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from(words[0].permitted) | u64::from(words[1].permitted) << 32)
}

/// Sets the effective and the permitted set, and clears the others. The kernel removes from the ambient set what is not
/// inheritable.
fn write(kept: u64) -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let word = |shift: u32| {
        let word = (kept >> shift & u64::from(u32::MAX)) as u32;
        Words { effective: word, permitted: word, inheritable: 0 }
    };
    let words = [word(0), word(32)];
    // SAFETY: the structures are those of capset(2), version 3, and live.
    match unsafe { libc::syscall(libc::SYS_capset, &raw mut header, &raw const words) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Removes capabilities from the bounding set. Without CAP_SETPCAP, as in the systemd unit, that is not permitted. It does
/// not matter then: the set applies only to programs that are executed, and `no_new_privs` denies them capabilities.
fn shrink_bounding_set(kept: u64) {
    for bit in (0..u64::BITS).filter(|bit| kept >> bit & 1 == 0) {
        // SAFETY: this option takes no pointers. The kernel rejects bits that it does not know.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(bit), 0, 0, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn names(capabilities: Vec<&'static Capability>) -> Vec<&'static str> {
        capabilities.iter().map(|capability| capability.name).collect()
    }

    #[test]
    fn a_capability_that_the_configuration_does_not_use_is_not_required() {
        let without = |off: &[&str]| {
            names(required(&Config { collectors: config::Collectors::without(off), ..Config::default() }))
        };
        assert!(without(&[]).contains(&"CAP_NET_ADMIN"));
        assert!(!without(&["host_network", "sockets"]).contains(&"CAP_NET_ADMIN"));
        let ptrace = without(&["network", "nvml", "disk"]);
        assert!(ptrace.contains(&"CAP_SYS_PTRACE"), "host_network looks up network namespaces");
        let none =
            without(&["host_network", "network", "nvml", "disk", "threads", "facefusion", "inference"]);
        assert!(!none.contains(&"CAP_SYS_PTRACE"));
        let kernel = config::Kernel { enabled: false, ..config::Kernel::default() };
        let off = Config { kernel, ..Config::default() };
        assert_eq!(names(required(&off)), ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
    }

    #[test]
    fn optional_capabilities_follow_from_the_configuration() {
        let mut config = Config::default();
        assert_eq!(names(optional(&config)), ["CAP_SYS_ADMIN"]);
        config.kernel.program_stats = ProgramStats::Never;
        assert_eq!(names(optional(&config)), ["CAP_SYS_ADMIN"], "disk usage under quotas");
        config.collectors = config::Collectors::without(&["disk"]);
        assert_eq!(names(optional(&config)), ["CAP_SYS_ADMIN"], "hooks on the NVIDIA driver");
        config.collectors = config::Collectors::without(&["disk", "nvidia_driver"]);
        assert_eq!(names(optional(&config)), [""; 0]);
        let off = [
            "disk",
            "nvidia_driver",
            "network",
            "nvml",
            "host_network",
            "threads",
            "facefusion",
            "inference",
        ];
        config.collectors = config::Collectors::without(&off);
        assert_eq!(names(optional(&config)), ["CAP_SYS_PTRACE"], "connections that are older than the agent");
        config.collectors = config::Collectors::without(&["disk", "nvidia_driver"]);
        config.listen.set_port(443);
        config.podman.sockets.push("/run/user/1000/podman/podman.sock".into());
        assert_eq!(names(optional(&config)), ["CAP_DAC_OVERRIDE", "CAP_NET_BIND_SERVICE"]);
    }

    #[test]
    fn the_thread_has_only_the_wanted_capabilities_afterwards() {
        // Capabilities belong to threads, so only this one loses them.
        let kept = std::thread::spawn(|| {
            let before = read().unwrap();
            let outcome = keep_only([&BPF, &DAC_READ_SEARCH].into_iter());
            assert!(matches!(outcome, Outcome::InForce(_)), "{outcome:?}");
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let set = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                u64::from_str_radix(line.trim(), 16).unwrap()
            };
            assert_eq!((set("CapInh:"), set("CapAmb:")), (0, 0));
            assert_eq!((set("CapEff:"), set("CapPrm:")), (read().unwrap(), read().unwrap()));
            // Dropping from the bounding set needs CAP_SETPCAP (bit 8).
            assert!(before >> 8 & 1 == 0 || set("CapBnd:") == read().unwrap(), "{status}");
            (before, read().unwrap())
        });
        let (before, after) = kept.join().unwrap();
        assert_eq!(after & !before, 0);
        assert_eq!(after & !(1 << 39 | 1 << 21 | 1 << 2 | 1 << 1), 0, "{after:x}");
    }
}
