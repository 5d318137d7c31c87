//! Each container's requests to the NVIDIA driver, from its ioctls.
//!
//! Kernel half: agent-ebpf/src/probes/nvidia_driver.rs. The programs are attached only while a driver is loaded (see
//! [`presence`]). This half reads two hash maps once per tick, about 2 µs per combination of container, device and
//! command, and one array element per container.

mod devices;
mod layouts;
mod loads;
mod modules;
mod names;
mod presence;
mod usage;
mod xids;

use std::{
    collections::HashMap,
    os::fd::RawFd,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use glassbox_ebpf::{
    maps,
    nvidia_driver::{CallKey, DriverSlot, FailureKey, TRANSPORT, WARNINGS, commands::POLL},
};

use self::{
    presence::Presence,
    usage::{enter_command, enter_failure, usage},
};
use super::{
    Collector, Context, Spec,
    examination::{self, Examination, Finding, Verdict},
};
use crate::{
    config::{Config, Release},
    containers::tracker::Container,
    kernel::{Kernel, by_slot::BySlot, host, nvidia, slot_array::SharedSlotArray},
    snapshot::{
        ContainerRow,
        host::Host,
        nvidia_driver::{CommandUsage, DriverTracing, Failure, FailureCount, LayoutSupport},
        scheduler::Histogram,
    },
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "nvidia_driver",
    summary: "ioctls on the NVIDIA driver by command, their failures, GPU memory and cold starts",
    capabilities: &[],
    needs: &[],
    start,
    examine,
};

const SYS: &str = "/sys";

/// Containers are also read between ticks, after they start and when they end, and such readings come in bursts. The
/// maps are read at most this many times within [`STORM_WINDOW`].
const STORM_READINGS: u32 = 16;
const STORM_WINDOW: Duration = Duration::from_millis(20);

/// A short description of this host's driver; `None` if no driver is loaded.
#[must_use]
pub fn describe(config: &Config) -> Option<String> {
    let devices = devices::devices(&config.paths.proc, &config.nvidia_driver);
    let release =
        config.nvidia_driver.release.or_else(|| nvidia::release(&config.paths.proc, Path::new(SYS)));
    (!devices.is_empty()).then(|| described(release))
}

fn examine(host: &examination::Host<'_>) -> Examination {
    let driver = describe(host.config);
    let collector = match (&driver, host.kernel.map(|kernel| kernel.method(SPEC.name))) {
        (None, _) => {
            let text = "no NVIDIA driver is loaded; the agent traces it as soon as one is";
            Some(Finding::new(Verdict::NotApplicable, text))
        }
        (Some(_), Some(Err(error))) => Some(Finding::new(Verdict::Degraded, format!("{error:#}"))),
        (Some(_), _) => None,
    };
    let subject = |driver| ("NVIDIA driver".to_owned(), Finding::new(Verdict::Works, driver));
    Examination { collector, subjects: driver.map(subject).into_iter().collect() }
}

/// Describes the release, and whether its structures are known.
fn described(release: Option<Release>) -> String {
    let Some(release) = release else {
        return "release unknown: commands with a structure that depends on the release are not decoded; set nvidia_driver.release"
            .into();
    };
    let (oldest, newest) = (layouts::OLDEST, layouts::NEWEST);
    match layouts::support(Some(release)) {
        LayoutSupport::AssumedNewest => format!(
            "release {release} is newer than {newest}, the newest release with known structures: it is decoded as \
             {newest}; statuses of UVM commands may be wrong if their structures have changed"
        ),
        LayoutSupport::AssumedOldest => format!(
            "release {release} is older than {oldest}, the oldest release with known structures: it is decoded as \
             {oldest}; statuses may be wrong"
        ),
        LayoutSupport::Known | LayoutSupport::UnknownRelease => format!("release {release}"),
    }
}

struct NvidiaDriver {
    presence: Presence,
    per_command_histograms: bool,
    calls: BySlot<CallKey, Histogram>,
    failures: BySlot<FailureKey, u64>,
    slots: SharedSlotArray<DriverSlot>,
    /// When the current window started, and how often the maps were read in it.
    readings: (Instant, u32),
    tracing: DriverTracing,
    commands_by_slot: HashMap<u32, Vec<CommandUsage>>,
    failures_by_slot: HashMap<u32, Vec<FailureCount>>,
    polls_by_slot: HashMap<u32, Vec<(&'static str, Histogram)>>,
}

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let config = context.config;
    let kernel = context.kernel()?;
    let mut collector = NvidiaDriver {
        presence: Presence::new(config, kernel)?,
        per_command_histograms: config.nvidia_driver.per_command_histograms,
        calls: kernel.by_slot(maps::NVIDIA_CALLS)?,
        failures: kernel.by_slot(maps::NVIDIA_FAILURES)?,
        slots: kernel.shared_slot_array(maps::NVIDIA_SLOTS)?,
        readings: (Instant::now(), 0),
        tracing: DriverTracing::default(),
        commands_by_slot: HashMap::new(),
        failures_by_slot: HashMap::new(),
        polls_by_slot: HashMap::new(),
    };
    collector.presence.look(kernel);
    Ok(Box::new(collector))
}

impl NvidiaDriver {
    /// False after too many readings in the current window.
    fn may_read(&mut self) -> bool {
        if self.readings.0.elapsed() >= STORM_WINDOW {
            self.readings = (Instant::now(), 0);
        }
        self.readings.1 += 1;
        self.readings.1 <= STORM_READINGS
    }
}

impl Collector for NvidiaDriver {
    fn refresh(&mut self, kernel: Option<&mut Kernel>) {
        if let Some(kernel) = kernel {
            self.presence.look_if_due(kernel);
            self.tracing = self.presence.tracing(kernel);
        }
        if !self.presence.was_present() || !self.may_read() {
            return;
        }
        self.commands_by_slot.clear();
        self.failures_by_slot.clear();
        self.polls_by_slot.clear();
        for (key, durations) in self.calls.iter() {
            let device = names::device(key.device);
            if key.command == POLL {
                self.polls_by_slot.entry(key.slot).or_default().push((device, durations));
                continue;
            }
            let command = names::command(key.command);
            let usage = CommandUsage { device, command, durations };
            enter_command(self.commands_by_slot.entry(key.slot).or_default(), usage);
        }
        for (key, count) in self.failures.iter() {
            let reason = match key.status {
                status if status & TRANSPORT != 0 => Failure::Errno(names::errno(status & !TRANSPORT)),
                status if WARNINGS.contains(&status) => Failure::Warning(names::status(status)),
                status => Failure::Status(names::status(status)),
            };
            let (device, command) = (names::device(key.device), names::command(key.command));
            let failure = FailureCount { device, command, reason, count };
            enter_failure(self.failures_by_slot.entry(key.slot).or_default(), failure);
        }
    }

    fn event_source(&self) -> Option<RawFd> {
        Some(self.presence.event_source())
    }

    fn on_events(&mut self, kernel: &mut Kernel) {
        self.presence.on_events(kernel);
    }

    fn timer_at(&self) -> Option<Instant> {
        self.presence.timer_at()
    }

    fn on_timer(&mut self, kernel: &mut Kernel) {
        self.presence.look(kernel);
    }

    fn limitation(&self) -> Option<&str> {
        self.presence.attach_error()
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let Some(slot) = container.slot else { return Ok(()) };
        if !self.presence.was_present() {
            return Ok(());
        }
        let counts = self.slots.get(slot)?;
        if counts.begun == 0 {
            return Ok(());
        }
        let mut usage = usage(&counts, host::monotonic_ns(), SystemTime::now());
        usage.per_command_histograms = self.per_command_histograms;
        usage.commands = self.commands_by_slot.get(&slot).cloned().unwrap_or_default();
        usage.commands.sort_by(|one, other| (one.device, &one.command).cmp(&(other.device, &other.command)));
        usage.failures = self.failures_by_slot.get(&slot).cloned().unwrap_or_default();
        usage.polls = self.polls_by_slot.get(&slot).cloned().unwrap_or_default();
        usage.polls.sort_by_key(|(device, _)| *device);
        row.nvidia_driver = Some(Box::new(usage));
        Ok(())
    }

    fn collect_host(&mut self, host: &mut Host) {
        host.reported_xids = self.presence.xids();
        host.nvidia_driver = self.presence.info();
        host.nvidia_tracing = Some(self.tracing);
    }

    fn is_readable_after_exit(&self) -> bool {
        true
    }

    fn clear_slot(&mut self, slot: u32) {
        if !self.presence.was_present() {
            return;
        }
        self.calls.clear(slot);
        self.failures.clear(slot);
        self.slots.clear(slot);
    }
}
