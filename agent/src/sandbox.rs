//! Gives up what the agent does not need, before it starts its first thread, so that every thread is restricted:
//! - [`capabilities`]: capabilities that the configuration does not use;
//! - `no_new_privs`: no program that the process could execute gets privileges;
//! - [`seccomp`]: system calls that the agent and NVML do not use;
//! - [`landlock`]: for the threads that serve HTTP and talk to the runtimes, also files, TCP connections and other
//!   processes. The other threads cannot be in a Landlock domain, because the kernel then denies access to
//!   `/proc/PID/ns` and `/proc/PID/root` of all processes outside of the domain, which the collectors read.
//!
//! A restriction that this kernel lacks is reported and does not stop the agent. docs/security.md lists what each one
//! prevents.

pub mod capabilities;
mod landlock;
mod seccomp;

use self::landlock::Domain;
use crate::{
    config::Config,
    kernel::{self, privileges::Privileges},
    snapshot::{self, sandbox::CapabilityStatus},
};

/// The outcome of one restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in force, with details.
    InForce(String),
    /// The configuration disables it.
    Off(String),
    /// This kernel does not support it.
    Unsupported(String),
    /// It could not be put into force although this kernel supports it.
    Failed(String),
}

/// The restrictions of this process.
#[derive(Debug)]
pub struct Sandbox {
    privileges: Privileges,
    required: Vec<&'static kernel::privileges::Capability>,
    optional: Vec<&'static kernel::privileges::Capability>,
    /// The restrictions of the whole process.
    outcomes: Vec<(&'static str, Outcome)>,
    domain: Result<Domain, Outcome>,
}

impl Sandbox {
    /// Restricts the calling thread and the threads that it will start, so the agent calls this function before it starts
    /// threads. Failures are part of the result.
    #[must_use]
    pub fn enter(config: &Config) -> Self {
        let keys = &config.sandbox;
        let is_on = |key: &str, on: bool| {
            on.then_some(())
                .ok_or_else(|| Outcome::Off(format!("disabled in the configuration (sandbox.{key} = false)")))
        };
        if config.kernel.enabled && (keys.seccomp || keys.capabilities) {
            // Both need privileges that are about to be dropped.
            kernel::tracefs::mount_for_this_process();
            kernel::maps::raise_memlock_limit();
        }
        let (required, optional) = (capabilities::required(config), capabilities::optional(config));
        let dropped = is_on("capabilities", keys.capabilities)
            .map_or_else(|off| off, |()| capabilities::keep_only(required.iter().chain(&optional).copied()));
        let no_new_privs = no_new_privs();
        let domain = is_on("landlock", keys.landlock).and_then(|()| Domain::new());
        let filtered = is_on("seccomp", keys.seccomp).map_or_else(|off| off, |()| seccomp::filter());
        let outcomes = vec![("capabilities", dropped), ("no_new_privs", no_new_privs), ("seccomp", filtered)];
        let privileges = Privileges::of_this_process(&config.paths.proc);
        Self { privileges, required, optional, outcomes, domain }
    }

    /// Restricts the calling thread further. For threads that do not read files or inspect processes.
    pub fn restrict_thread(&self) {
        if let Ok(domain) = &self.domain {
            domain.enter();
        }
    }

    /// Every restriction and its outcome.
    #[must_use]
    pub fn outcomes(&self) -> Vec<(&'static str, Outcome)> {
        let landlock = self.domain.as_ref().map_or_else(Clone::clone, Domain::outcome);
        self.outcomes.iter().cloned().chain([("landlock", landlock)]).collect()
    }

    /// Logs what is missing: required capabilities, with the consequences and the remedy, and failed restrictions.
    pub fn log(&self) {
        if let Some(lack) = self.privileges.lack_with_costs(&self.required) {
            tracing::warn!("{lack}");
        }
        let mut in_force = Vec::new();
        for (name, outcome) in self.outcomes() {
            match outcome {
                Outcome::InForce(detail) => in_force.push(format!("{name} ({detail})")),
                Outcome::Failed(reason) => tracing::warn!("the agent is not restricted by {name}: {reason}"),
                Outcome::Off(reason) | Outcome::Unsupported(reason) => {
                    tracing::info!("the agent is not restricted by {name}: {reason}");
                }
            }
        }
        tracing::info!("restricted by {}", in_force.join(", "));
    }

    /// The status for a snapshot.
    #[must_use]
    pub fn status(&self) -> snapshot::sandbox::Sandbox {
        let status = |is_required: bool| {
            move |capability: &&'static kernel::privileges::Capability| CapabilityStatus {
                name: capability.name,
                is_required,
                is_held: self.privileges.has(capability),
            }
        };
        let required = self.required.iter().map(status(true));
        let capabilities = required.chain(self.optional.iter().map(status(false))).collect();
        let in_force = |(name, outcome)| (name, matches!(outcome, Outcome::InForce(_)));
        let mechanisms = self.outcomes().into_iter().map(in_force).collect();
        snapshot::sandbox::Sandbox { capabilities, mechanisms }
    }
}

fn no_new_privs() -> Outcome {
    // SAFETY: this option takes no pointers.
    match unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } {
        0 => Outcome::InForce("no program gets privileges when it is executed".to_owned()),
        _ => Outcome::Failed(format!("set no_new_privs: {}", std::io::Error::last_os_error())),
    }
}
