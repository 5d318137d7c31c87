//! What each container asks of the NVIDIA driver, from its ioctls.
//!
//! Kernel half: agent-ebpf/src/probes/nvidia_driver.rs. The programs are attached only while there is a driver, which
//! is looked for every two seconds (one small file of procfs). This half reads two hash maps once per tick, some
//! 2 µs per combination of container, device and command, and one array element per container.

mod devices;
mod layouts;
mod names;
mod release;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use aya::maps::{Array, HashMap as KernelHash, MapData};
use glassbox_ebpf::{
    maps,
    nvidia_driver::{CallKey, Calls, DriverSlot, FailureKey, Layout, TRANSPORT},
};

pub use self::{devices::ExtraPaths, release::Release};
use super::{Collector, Context, Spec};
use crate::{
    config::Config,
    containers::tracker::Container,
    kernel::Kernel,
    snapshot::{
        ContainerRow,
        nvidia_driver::{ColdStart, CommandUsage, DriverMeaning, DriverUsage, Failure, FailureCount},
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
    present: Option<Presence>,
    looked: Option<Instant>,
    /// What was counted while there was a driver stays.
    ever_present: bool,
    /// When the current window began, and how often the maps were read in it.
    readings: (Instant, u32),
    commands_by_slot: HashMap<u32, Vec<CommandUsage>>,
    failures_by_slot: HashMap<u32, Vec<FailureCount>>,
}

fn start(context: &mut Context<'_>) -> anyhow::Result<Box<dyn Collector>> {
    let config = context.config;
    let kernel = match &mut context.kernel {
        Some(kernel) => kernel,
        None => {
            anyhow::bail!("{}", context.kernel_error.as_deref().unwrap_or("no kernel programs are loaded"))
        }
    };
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
        present: None,
        looked: None,
        ever_present: false,
        readings: (Instant::now(), 0),
        commands_by_slot: HashMap::new(),
        failures_by_slot: HashMap::new(),
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
                }
                Err(error) => tracing::warn!("trace the NVIDIA driver: {error:#}"),
            }
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
        Ok(())
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
        for (key, calls) in self.calls.iter().flatten() {
            let durations = Histogram { sum_ns: calls.duration_ns, slots: calls.slots };
            let (device, command) = (names::device(key.device), names::command(key.command));
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
        row.nvidia_driver = Some(Box::new(usage));
        Ok(())
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

/// Adds calls to those of the same name: several numbers bear one, and two series with the same labels spoil a scrape.
fn enter_command(commands: &mut Vec<CommandUsage>, usage: CommandUsage) {
    let same = |known: &&mut CommandUsage| (known.device, &known.command) == (usage.device, &usage.command);
    let Some(known) = commands.iter_mut().find(same) else {
        commands.push(usage);
        return;
    };
    known.durations.sum_ns += usage.durations.sum_ns;
    for (count, more) in known.durations.slots.iter_mut().zip(&usage.durations.slots) {
        *count += more;
    }
}

/// Adds failures to those of the same names.
fn enter_failure(failures: &mut Vec<FailureCount>, failure: FailureCount) {
    let names = |failure: &FailureCount| (failure.device, failure.command.clone(), failure.reason.clone());
    match failures.iter_mut().find(|known| names(known) == names(&failure)) {
        Some(known) => known.count += failure.count,
        None => failures.push(failure),
    }
}

/// The clock of the programs.
fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value of the type asked for.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

fn usage(counts: &DriverSlot, now_ns: u64) -> DriverUsage {
    let in_flight = counts.begun.saturating_sub(counts.ended);
    let last_ns = counts.last_begun_ns.max(counts.last_ended_ns);
    DriverUsage {
        commands: Vec::new(),
        failures: Vec::new(),
        meaning: DriverMeaning {
            allocations: counts.allocations,
            allocated_bytes: counts.allocated_bytes,
            freed_bytes: counts.freed_bytes,
            failed_no_memory: counts.failed_no_memory,
            failed_insufficient_resources: counts.failed_insufficient_resources,
            recovered: counts.recovered,
            failed_host_memory: counts.failed_host_memory,
            pinned_bytes: counts.pinned_bytes,
            contexts: counts.contexts,
            channels: counts.channels,
            events: counts.events,
            undecoded: counts.undecoded,
            unreadable: counts.unreadable,
        },
        in_flight,
        waiting: (in_flight > 0).then(|| Duration::from_nanos(now_ns.saturating_sub(last_ns))),
        cold_start: cold_start(counts),
    }
}

fn cold_start(counts: &DriverSlot) -> Option<ColdStart> {
    let since_start = |at_ns: u64| Duration::from_nanos(at_ns.saturating_sub(counts.cold_started_ns));
    (counts.cold_process != 0).then(|| ColdStart {
        process: process_name(counts.cold_name),
        driver_opened: since_start(counts.cold_opened_ns),
        context_ready: since_start(counts.cold_context_ns),
        last_large_allocation: (counts.cold_allocated_ns != 0).then(|| since_start(counts.cold_allocated_ns)),
    })
}

/// A name as the kernel keeps it. Its process chose the bytes, which need be no text.
fn process_name(name: [u64; 2]) -> String {
    let bytes: Vec<u8> = name.iter().flat_map(|word| word.to_ne_bytes()).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cold_start_is_told_from_the_start_of_the_process() {
        let mut counts = DriverSlot { cold_started_ns: 1_000, cold_opened_ns: 3_000, ..DriverSlot::EMPTY };
        assert_eq!(cold_start(&counts), None);
        counts.cold_process = 7;
        counts.cold_context_ns = 9_000;
        let cold = cold_start(&counts).unwrap();
        assert_eq!((cold.driver_opened.as_nanos(), cold.context_ready.as_nanos()), (2_000, 8_000));
        assert_eq!((cold.process.as_str(), cold.last_large_allocation), ("", None));
    }

    #[test]
    fn a_process_name_need_be_neither_text_nor_ended() {
        let name = |bytes: &[u8; 16]| {
            let words: Vec<_> =
                bytes.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect();
            process_name([words[0], words[1]])
        };
        assert_eq!(name(b"python3\0garbage\0"), "python3");
        assert_eq!(name(b"sixteen bytes of"), "sixteen bytes of");
        assert_eq!(name(b"\xFF\"\n\0\0\0\0\0\0\0\0\0\0\0\0\0"), "\u{FFFD}\"\n");
    }

    #[test]
    fn numbers_that_share_a_name_are_one_series() {
        // Neither is a request of the driver's, and both are in its range.
        let (one, other) = (names::command(0x2C), names::command(0x2D));
        assert_eq!(one, other);
        let mut slots = [0; glassbox_ebpf::histogram::SLOTS];
        slots[3] = 2;
        let usage =
            |command| CommandUsage { device: "ctl", command, durations: Histogram { sum_ns: 7, slots } };
        let mut commands = Vec::new();
        enter_command(&mut commands, usage(one.clone()));
        enter_command(&mut commands, usage(other.clone()));
        enter_command(&mut commands, usage("rm_free".into()));
        assert_eq!(commands.len(), 2);
        assert_eq!((commands[0].durations.sum_ns, commands[0].durations.slots[3]), (14, 4));
        let failure = |command, errno| {
            let reason = Failure::Errno(names::errno(errno));
            FailureCount { device: "ctl", command, reason, count: 3 }
        };
        let mut failures = Vec::new();
        enter_failure(&mut failures, failure(one.clone(), 22));
        enter_failure(&mut failures, failure(other, 22));
        enter_failure(&mut failures, failure(one, 14));
        assert_eq!(failures.iter().map(|failure| failure.count).collect::<Vec<_>>(), [6, 3]);
    }

    #[test]
    fn waiting_counts_from_the_last_sign_of_life() {
        let counts =
            DriverSlot { begun: 5, ended: 4, last_begun_ns: 700, last_ended_ns: 500, ..DriverSlot::EMPTY };
        let used = usage(&counts, 1_000);
        assert_eq!((used.in_flight, used.waiting), (1, Some(Duration::from_nanos(300))));
        assert_eq!(usage(&DriverSlot { ended: 5, ..counts }, 1_000).waiting, None);
    }
}
