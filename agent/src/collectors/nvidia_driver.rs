//! What each container asks of the NVIDIA driver, from its ioctls.
//!
//! Kernel half: agent-ebpf/src/probes/nvidia_driver.rs. The programs are attached only while there is a driver, which
//! is looked for every two seconds (one small file of procfs). This half reads two hash maps once per tick, some
//! 2 µs per combination of container, device and command, and one array element per container.

mod devices;
mod layouts;
mod names;
mod release;
mod usage;
mod xids;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use aya::maps::{Array, HashMap as KernelHash, MapData};
use glassbox_ebpf::{
    maps,
    nvidia_driver::{CallKey, Calls, DriverSlot, FailureKey, Layout, TRANSPORT, commands::POLL},
};

pub use self::{devices::ExtraPaths, release::Release};
use self::{
    usage::{enter_command, enter_failure, usage},
    xids::Xids,
};
use super::{Collector, Context, Spec};
use crate::{
    config::Config,
    containers::tracker::Container,
    kernel::Kernel,
    snapshot::{
        ContainerRow,
        gpu::HostRows,
        nvidia_driver::{CommandUsage, Failure, FailureCount},
        scheduler::Histogram,
    },
};

/// The registry's row.
pub const SPEC: Spec = Spec {
    name: "nvidia_driver",
    summary: "ioctls on the NVIDIA driver by command, their failures, GPU memory and cold starts",
    start,
};

const SYS: &str = "/sys";
/// Time between two looks for the driver.
const LOOK: Duration = Duration::from_secs(2);

/// Containers are read between ticks, too, when they are born and for the last time, which comes in storms: the maps are
/// read this often within [`STORM_WINDOW`] at most.
const STORM_READINGS: u32 = 16;
const STORM_WINDOW: Duration = Duration::from_millis(20);

/// The driver of this host in a few words; `None` where there is none.
#[must_use]
pub fn describe(config: &Config) -> Option<String> {
    let devices = devices::devices(&config.proc_root, &config.nvidia_extra);
    let release = config.nvidia_release.or_else(|| Release::running(&config.proc_root, Path::new(SYS)));
    let release = release.map_or("of unknown release: what depends on it is not decoded".into(), |release| {
        format!("release {release}")
    });
    (!devices.is_empty()).then_some(release)
}

/// What the programs must know of the driver; when it changes they are attached anew.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Presence {
    devices: HashMap<u64, u32>,
    release: Option<Release>,
    /// A module that was loaded again has other functions under the same names.
    modules: Vec<u64>,
}

struct NvidiaDriver {
    extra: ExtraPaths,
    release: Option<Release>,
    proc_root: PathBuf,
    sys_root: PathBuf,
    devices: KernelHash<MapData, u64, u32>,
    layouts: Array<MapData, Layout>,
    calls: KernelHash<MapData, CallKey, Calls>,
    failures: KernelHash<MapData, FailureKey, u64>,
    slots: Array<MapData, DriverSlot>,
    xids: Xids,
    present: Option<Presence>,
    looked: Option<Instant>,
    /// What was counted while there was a driver stays.
    ever_present: bool,
    /// When the current window began, and how often the maps were read in it.
    readings: (Instant, u32),
    commands_by_slot: HashMap<u32, Vec<CommandUsage>>,
    failures_by_slot: HashMap<u32, Vec<FailureCount>>,
    polls_by_slot: HashMap<u32, Vec<(&'static str, Histogram)>>,
}

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let config = context.config;
    let kernel = context.kernel()?;
    let mut collector = NvidiaDriver {
        extra: config.nvidia_extra.clone(),
        release: config.nvidia_release,
        proc_root: config.proc_root.clone(),
        sys_root: SYS.into(),
        devices: kernel.take_map(maps::NVIDIA_DEVICES)?,
        layouts: kernel.take_map(maps::NVIDIA_LAYOUTS)?,
        calls: kernel.take_map(maps::NVIDIA_CALLS)?,
        failures: kernel.take_map(maps::NVIDIA_FAILURES)?,
        slots: kernel.take_map(maps::NVIDIA_SLOTS)?,
        xids: Xids::new(kernel)?,
        present: None,
        looked: None,
        ever_present: false,
        readings: (Instant::now(), 0),
        commands_by_slot: HashMap::new(),
        failures_by_slot: HashMap::new(),
        polls_by_slot: HashMap::new(),
    };
    collector.look(kernel);
    Ok(Box::new(collector))
}

impl NvidiaDriver {
    /// Attaches where a driver has appeared, detaches where it has gone, both where it is another.
    fn look(&mut self, kernel: &mut Kernel) {
        self.looked = Some(Instant::now());
        let devices = devices::devices(&self.proc_root, &self.extra);
        let present = (!devices.is_empty()).then(|| Presence {
            devices,
            release: self.release.or_else(|| Release::running(&self.proc_root, &self.sys_root)),
            modules: self.modules(),
        });
        if present == self.present {
            return;
        }
        kernel.detach(SPEC.name);
        self.ever_present |= present.is_some();
        if let Some(present) = &present {
            let attached = self.prepare(present).and_then(|()| kernel.attach(SPEC.name));
            match attached {
                Ok(rung) => {
                    let release =
                        present.release.map_or("of unknown release".into(), |release| release.to_string());
                    tracing::info!("NVIDIA driver {release}: ioctls are traced by {}", rung.name);
                    for (program, reason) in kernel.without(SPEC.name) {
                        tracing::info!("go on without {program}: {reason}");
                    }
                }
                Err(error) => tracing::warn!("trace the NVIDIA driver: {error:#}"),
            }
            self.xids.attached(kernel);
        } else {
            tracing::info!("the NVIDIA driver has gone");
        }
        self.present = present;
    }

    /// False in a storm of readings.
    fn may_read(&mut self) -> bool {
        if self.readings.0.elapsed() >= STORM_WINDOW {
            self.readings = (Instant::now(), 0);
        }
        self.readings.1 += 1;
        self.readings.1 <= STORM_READINGS
    }

    fn modules(&self) -> Vec<u64> {
        let inode = |module: &str| {
            use std::os::unix::fs::MetadataExt as _;
            let path = self.sys_root.join("module").join(module);
            std::fs::metadata(path).map_or(0, |metadata| metadata.ino())
        };
        ["nvidia", "nvidia_uvm"].map(inode).to_vec()
    }

    /// Tells the programs which inodes are the driver's and how it lays out its structures.
    fn prepare(&mut self, present: &Presence) -> anyhow::Result<()> {
        let known: Vec<u64> = self.devices.keys().flatten().collect();
        for key in known.iter().filter(|key| !present.devices.contains_key(key)) {
            // A key that is gone already is as good.
            let _ = self.devices.remove(key);
        }
        for (key, kind) in &present.devices {
            self.devices.insert(key, kind, 0).context("enter a device")?;
        }
        for index in 0..glassbox_ebpf::nvidia_driver::LAYOUTS {
            self.layouts.set(index, Layout::UNKNOWN, 0).context("clear the layouts")?;
        }
        for (index, layout) in layouts::layouts(present.release) {
            self.layouts.set(index, layout, 0).context("enter a layout")?;
        }
        self.xids.prepare()
    }
}

impl Collector for NvidiaDriver {
    fn refresh(&mut self, kernel: Option<&mut Kernel>) {
        if let Some(kernel) = kernel
            && self.looked.is_none_or(|looked| looked.elapsed() >= LOOK)
        {
            self.look(kernel);
        }
        if !self.ever_present || !self.may_read() {
            return;
        }
        self.commands_by_slot.clear();
        self.failures_by_slot.clear();
        self.polls_by_slot.clear();
        for (key, calls) in self.calls.iter().flatten() {
            let durations = Histogram { sum_ns: calls.duration_ns, slots: calls.slots };
            let device = names::device(key.device);
            if key.command == POLL {
                self.polls_by_slot.entry(key.slot).or_default().push((device, durations));
                continue;
            }
            let command = names::command(key.command);
            let usage = CommandUsage { device, command, durations };
            enter_command(self.commands_by_slot.entry(key.slot).or_default(), usage);
        }
        for (key, count) in self.failures.iter().flatten() {
            let reason = match key.status {
                status if status & TRANSPORT != 0 => Failure::Errno(names::errno(status & !TRANSPORT)),
                status => Failure::Status(names::status(status)),
            };
            let (device, command) = (names::device(key.device), names::command(key.command));
            let failure = FailureCount { device, command, reason, count };
            enter_failure(self.failures_by_slot.entry(key.slot).or_default(), failure);
        }
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let Some(slot) = container.slot else { return Ok(()) };
        if !self.ever_present {
            return Ok(());
        }
        let counts = self.slots.get(&slot, 0).with_context(|| format!("read driver slot {slot}"))?;
        if counts.begun == 0 {
            return Ok(());
        }
        let mut usage = usage(&counts, monotonic_ns());
        usage.commands = self.commands_by_slot.get(&slot).cloned().unwrap_or_default();
        usage.commands.sort_by(|one, other| (one.device, &one.command).cmp(&(other.device, &other.command)));
        usage.failures = self.failures_by_slot.get(&slot).cloned().unwrap_or_default();
        usage.polls = self.polls_by_slot.get(&slot).cloned().unwrap_or_default();
        usage.polls.sort_by_key(|(device, _)| *device);
        row.nvidia_driver = Some(Box::new(usage));
        Ok(())
    }

    fn collect_host(&mut self, host: &mut HostRows) {
        host.reported_xids = self.xids.read();
    }

    fn outlives_cgroup(&self) -> bool {
        true
    }

    fn clear_slot(&mut self, slot: u32) {
        if !self.ever_present {
            return;
        }
        let calls: Vec<_> = self.calls.keys().flatten().filter(|key| key.slot == slot).collect();
        let failures: Vec<_> = self.failures.keys().flatten().filter(|key| key.slot == slot).collect();
        // An entry that is gone already is as good.
        for key in calls {
            let _ = self.calls.remove(&key);
        }
        for key in failures {
            let _ = self.failures.remove(&key);
        }
        if let Err(error) = self.slots.set(slot, DriverSlot::EMPTY, 0) {
            tracing::warn!("clear driver slot {slot}: {error:#}");
        }
    }
}

/// The clock of the programs.
fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value of the type asked for.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
