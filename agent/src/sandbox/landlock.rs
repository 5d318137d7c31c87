//! Landlock (Linux 5.13): the threads that serve HTTP and talk to the runtimes cannot open a file, except to read the
//! agent's own `/proc` entries for `process_*` metrics. With newer kernels they also cannot open TCP connections or ports (6.7), or
//! send signals to other processes and connect to abstract unix sockets (6.12). As for every Landlock domain, ptrace(2) and
//! `/proc/PID/mem` of other processes are denied. Unix sockets with a path stay reachable: Landlock does not cover them.
//!
//! A thread inherits the domain of the thread that starts it, so threads that read files must not be started by these.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};

use super::Outcome;

/// The newest ABI that this program uses. On an older kernel, only the access rights that it knows are denied.
const NEWEST: ABI = ABI::V6;
/// Directory of the agent's own entries. Kept open, because the kernel attaches the rule to its inode in memory.
const OWN: &str = "/proc/self";

/// A ruleset, and how many threads are restricted by it.
#[derive(Debug)]
pub(super) struct Domain {
    ruleset: RulesetCreated,
    _own: PathFd,
    is_partial: bool,
    threads: AtomicUsize,
    failures: AtomicUsize,
}

impl Domain {
    /// Creates the ruleset and tries it on a thread that ends at once.
    pub(super) fn new() -> Result<Self, Outcome> {
        let failed = |error: anyhow::Error| Outcome::Failed(format!("{error:#}"));
        if let Some(reason) = unsupported() {
            return Err(Outcome::Unsupported(reason));
        }
        let mut domain = Self::create().map_err(failed)?;
        let ruleset = domain.ruleset.try_clone().context("duplicate the ruleset").map_err(failed)?;
        let tried = std::thread::spawn(move || ruleset.restrict_self()).join();
        let status =
            tried.map_err(|_| Outcome::Failed("the thread that tries Landlock panicked".to_owned()))?;
        let status = status.context("enter the domain").map_err(failed)?;
        domain.is_partial = match status.ruleset {
            RulesetStatus::FullyEnforced => false,
            RulesetStatus::PartiallyEnforced => true,
            RulesetStatus::NotEnforced => {
                return Err(Outcome::Failed("the kernel ignored the ruleset".to_owned()));
            }
        };
        Ok(domain)
    }

    fn create() -> anyhow::Result<Self> {
        let own = || PathFd::new(OWN).with_context(|| format!("open {OWN}"));
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))
            .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(NEWEST)))
            .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
            .and_then(Ruleset::create)
            .context("create a Landlock ruleset")?
            .add_rule(PathBeneath::new(own()?, AccessFs::ReadFile | AccessFs::ReadDir))
            .with_context(|| format!("permit reading {OWN}"))?;
        Ok(Self {
            ruleset,
            _own: own()?,
            is_partial: false,
            threads: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
        })
    }

    /// Restricts the calling thread and the threads that it will start.
    pub(super) fn enter(&self) {
        let entered = self.ruleset.try_clone().map_err(anyhow::Error::from);
        let entered = entered.and_then(|ruleset| Ok(ruleset.restrict_self()?));
        match entered {
            Ok(RestrictionStatus { ruleset, .. }) if ruleset != RulesetStatus::NotEnforced => {
                self.threads.fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("cannot restrict a thread by Landlock: {error:#}");
            }
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        let (failures, threads) =
            (self.failures.load(Ordering::Relaxed), self.threads.load(Ordering::Relaxed));
        if failures > 0 {
            return Outcome::Failed(format!(
                "{failures} of {} threads could not be restricted",
                failures + threads
            ));
        }
        let scope = if self.is_partial {
            "files, and what else this kernel's Landlock covers"
        } else {
            "files, TCP, signals"
        };
        Outcome::InForce(format!("threads for HTTP and runtimes: {scope}"))
    }
}

/// Why this process cannot use Landlock; `None` if it can.
fn unsupported() -> Option<String> {
    const VERSION: u32 = 1;
    // SAFETY: with this flag, the call takes no pointer, and returns the version.
    if unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, VERSION) } > 0 {
        return None;
    }
    let error = std::io::Error::last_os_error();
    let reason = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "the seccomp profile of this container or service does not permit landlock_create_ruleset(2)"
        }
        _ => {
            "this kernel has no Landlock: it needs Linux 5.13, CONFIG_SECURITY_LANDLOCK, and landlock in the boot parameter lsm="
        }
    };
    Some(format!("{reason} ({error})"))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        net::{Ipv4Addr, TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn a_restricted_thread_reads_only_its_own_proc_entries_and_opens_no_connection() {
        let domain = match Domain::new() {
            Ok(domain) => domain,
            Err(Outcome::Unsupported(reason)) => return eprintln!("not applicable: {reason}"),
            Err(other) => panic!("{other:?}"),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(fs::read("/proc/1/status").is_ok() && fs::read(file.path()).is_ok());
                domain.enter();
                assert!(fs::read("/proc/self/stat").is_ok() && fs::read_dir("/proc/self/fd").is_ok());
                for path in ["/proc/1/status", "/etc/hostname", "/proc/self/../1/status"] {
                    assert!(fs::read(path).is_err(), "{path}");
                }
                assert!(fs::write(file.path(), "x").is_err());
                // An open connection is not affected, new ones are if the kernel is new enough (6.7).
                assert!(domain.is_partial || TcpStream::connect(address).is_err());
                // Threads inherit the domain.
                let inherited = std::thread::spawn(|| fs::read("/proc/1/status").is_err());
                assert!(inherited.join().unwrap());
            });
        });
        assert!(fs::read("/proc/1/status").is_ok(), "other threads are not restricted");
        assert!(matches!(domain.outcome(), Outcome::InForce(_)));
    }
}
