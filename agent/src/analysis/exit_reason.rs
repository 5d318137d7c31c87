//! Finds exits that a GPU caused: joins the exit that the runtime reported with the GPU memory that the driver refused and
//! with Xid errors. Reads nothing itself; keeps the faults of the last minute and one time per exit caused by one.
//!
//! | reason | condition |
//! |---|---|
//! | `gpu_memory` | the driver refused GPU memory to the container at most [`WINDOW`] before the exit, and granted it none afterwards |
//! | `gpu_fault` | one of [`FATAL_XIDS`] was reported for a GPU of the container at most [`WINDOW`] before the exit |
//!
//! Both replace only the reasons `error` and a signal other than SIGTERM, SIGINT and SIGKILL, which end a container on purpose. If
//! both apply, the reason is `gpu_memory`: a GPU that has failed refuses memory with other statuses.
//!
//! A framework that is refused memory empties its caches or asks for less, so memory that is granted to any process of the
//! container means that the refusal was handled.
//!
//! An Xid error is reported for a GPU, not for a process. The GPUs of a container are those on which NVML has seen it. If
//! NVML has not seen it, and it has created a context, its GPU is known only if the host has one.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant, SystemTime},
};

use super::{Derivation, Recent};
use crate::{
    containers::Moment,
    snapshot::{
        ContainerRow, Snapshot,
        gpu::{ContainerGpu, Gpu},
        host::Host,
        lifecycle::{ExitReason, LastExit},
        pci_address::PciAddress,
    },
};

/// Maximum time between the cause and the exit.
pub const WINDOW: Duration = Duration::from_secs(10);
/// A cause may appear to be this much later than its exit, because a runtime may report exits in whole seconds.
const CLOCK_SLACK: Duration = Duration::from_secs(1);
/// How long a fault waits for the report of an exit.
const FAULT_TTL: Duration = Duration::from_secs(60);

/// Xid errors after which an application cannot continue: faults of its own work (13, 31, 32, 43, 69, 109), memory that was
/// lost (48, 94, 95, 140), and a GPU that does not work (62, 74, 79, 119, 120). Not 45: it is also reported if a process is
/// killed, so it is a consequence of an exit.
pub const FATAL_XIDS: [u64; 15] = [13, 31, 32, 43, 48, 62, 69, 74, 79, 94, 95, 109, 119, 120, 140];

/// Finds the exits at every tick.
#[derive(Default)]
pub struct ExitReasons {
    /// Fatal Xid errors of each GPU when it was last seen. Kept for GPUs that disappear, because they may come back.
    errors: BTreeMap<PciAddress, u64>,
    faults: Vec<Fault>,
    looked_at: Option<SystemTime>,
    /// Exits caused by a fault, while a row has them.
    by_fault: HashMap<Series, SystemTime>,
}

/// Namespace, pod and container. The successor of a container in Kubernetes has the same, and the exit of its predecessor.
type Series = (Option<String>, Option<String>, String);

/// Fatal Xid errors of a GPU, in one tick or several in succession.
struct Fault {
    address: PciAddress,
    /// The GPU's unique ID; empty if it is unknown.
    uuid: String,
    /// The errors were reported after this time,
    after: SystemTime,
    /// and not after this time.
    until: SystemTime,
    noticed: Instant,
}

impl Derivation for ExitReasons {
    fn derive(&mut self, snapshot: &mut Snapshot, _: Recent<'_>, now: Moment) {
        self.fill(&mut snapshot.containers, &snapshot.host, now);
    }
}

impl ExitReasons {
    /// Replaces the reasons of exits that a GPU caused.
    pub fn fill(&mut self, rows: &mut [ContainerRow], host: &Host, now: Moment) {
        self.note_faults(host, now);
        let mut by_fault = HashMap::new();
        for row in rows {
            let Some(exit) = row.status.last_exit.filter(may_be_of_gpu) else { continue };
            let reason = if was_refused_memory(row, &exit) {
                ExitReason::GpuMemory
            } else {
                let series = series(row);
                if self.by_fault.get(&series) != Some(&exit.at) && !self.has_fault(row, host, &exit) {
                    continue;
                }
                by_fault.insert(series, exit.at);
                ExitReason::GpuFault
            };
            row.status.last_exit = Some(LastExit { reason: Some(reason), ..exit });
        }
        self.by_fault = by_fault;
    }

    fn note_faults(&mut self, host: &Host, now: Moment) {
        let after = self.looked_at.replace(now.wall).unwrap_or(now.wall);
        for gpu in host.gpus.iter().chain(&host.unreported_gpus) {
            let Some(address) = PciAddress::parse(&gpu.pci_bus_id) else { continue };
            let errors = fatal_errors(gpu);
            // The counts begin with the agent, so those of the first tick are new.
            let before = self.errors.insert(address, errors).unwrap_or(0);
            if errors > before {
                self.note_fault(address, &gpu.uuid, after, now);
            }
        }
        self.faults.retain(|fault| now.monotonic.saturating_duration_since(fault.noticed) < FAULT_TTL);
    }

    /// Adds a fault, or extends the one of the previous tick, so that a storm of errors is one fault.
    fn note_fault(&mut self, address: PciAddress, uuid: &str, after: SystemTime, now: Moment) {
        let is_continued = |fault: &&mut Fault| fault.address == address && fault.until == after;
        if let Some(fault) = self.faults.iter_mut().find(is_continued) {
            (fault.until, fault.noticed) = (now.wall, now.monotonic);
            return;
        }
        let uuid = uuid.to_owned();
        self.faults.push(Fault { address, uuid, after, until: now.wall, noticed: now.monotonic });
    }

    fn has_fault(&self, row: &ContainerRow, host: &Host, exit: &LastExit) -> bool {
        let has_one_gpu = host.gpus.len() + host.unreported_gpus.len() == 1;
        let is_its_gpu = |fault: &Fault| {
            let same = |gpu: &ContainerGpu| !gpu.uuid.is_empty() && gpu.uuid == fault.uuid;
            row.gpus.iter().any(same) || row.gpus.is_empty() && has_one_gpu && has_context(row)
        };
        self.faults.iter().any(|fault| precedes(fault.after, fault.until, exit.at) && is_its_gpu(fault))
    }
}

fn series(row: &ContainerRow) -> Series {
    let identity = &row.identity;
    (identity.namespace.clone(), identity.pod.clone(), identity.container.clone())
}

/// True if the exit is a failure without a known cause.
fn may_be_of_gpu(exit: &LastExit) -> bool {
    match exit.reason {
        Some(ExitReason::Error) => exit.code.is_some(),
        Some(ExitReason::Signal(name)) => !matches!(name, "SIGTERM" | "SIGINT" | "SIGKILL"),
        _ => false,
    }
}

fn was_refused_memory(row: &ContainerRow, exit: &LastExit) -> bool {
    let Some(driver) = &row.nvidia_driver else { return false };
    let refusals = [driver.refused_at, driver.earlier_refused_at];
    refusals.into_iter().flatten().any(|refused_at| precedes(refused_at, refused_at, exit.at))
}

/// True if a cause between these two times is at most [`WINDOW`] before the exit. The times of a runtime may be any.
fn precedes(after: SystemTime, until: SystemTime, exit_at: SystemTime) -> bool {
    let begun = exit_at.checked_add(CLOCK_SLACK).is_none_or(|latest| after <= latest);
    begun && until.checked_add(WINDOW).is_some_and(|latest| exit_at <= latest)
}

fn has_context(row: &ContainerRow) -> bool {
    row.nvidia_driver.as_ref().is_some_and(|driver| driver.counters.contexts > 0)
}

fn fatal_errors(gpu: &Gpu) -> u64 {
    let fatal = gpu.xids.iter().filter(|(number, _)| FATAL_XIDS.contains(number));
    fatal.fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests;
