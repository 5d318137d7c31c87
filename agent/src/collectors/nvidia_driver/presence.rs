//! Detects whether a driver is loaded, and attaches the programs to its modules.
//!
//! The kernel reports every load and unload of one of the driver's modules. The agent then checks sysfs and procfs
//! (about 50 µs) at once, and again every 5 ms until devices and release are known, for at most 2 s. Otherwise it
//! checks every 30 s; or every 2 s if the kernel does not report loads, or if the configuration names files as devices.
//!
//! The functions of nvidia.ko are attached when the module is loaded, before its init function runs, and stay attached.
//! Those of other modules, and of nvidia.ko when it is loaded again, are attached in advance
//! ([`functions`](crate::kernel::functions)). If a module was in use before it was traced, calls may be missing, which
//! `glassbox_lost_events_total{source="nvidia_attach"}` counts.

use std::{
    collections::HashMap,
    os::fd::RawFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use aya::maps::{Array, HashMap as KernelHash, MapData};
use glassbox_ebpf::{
    maps,
    nvidia_driver::{LAYOUTS, Layout, device},
};

use super::{
    SPEC, SYS, described, devices, layouts,
    loads::{DRIVER, Generations, Loads, MODULES, UVM},
    modules::{self, Module},
    xids::Xids,
};
use crate::{
    config::{Config, NvidiaDriver, Release},
    kernel::{Kernel, event_ring::EventRing, module, nvidia, plans::NVIDIA_MODULES_PROBE},
    snapshot::{
        nvidia_driver::{DriverInfo, DriverTracing, LayoutSupport},
        xid::ReportedXids,
    },
};

/// Time between two checks if the kernel reports loads.
const LOOK: Duration = Duration::from_secs(30);
/// Time between two checks if the kernel does not report loads.
const POLL: Duration = Duration::from_secs(2);
/// Time between two checks after a load or an unload.
const DEBOUNCE_STEP: Duration = Duration::from_millis(5);
/// An unloaded module disappears from sysfs within this time.
const DEBOUNCE_MIN: Duration = Duration::from_millis(50);
/// If a module's init function takes longer than this, the next regular check notices the module.
const DEBOUNCE_MAX: Duration = Duration::from_secs(2);
/// Time until a failed attach is retried.
const RETRY: Duration = Duration::from_millis(100);

/// The current state of the driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Driver {
    devices: HashMap<u64, u32>,
    release: Option<Release>,
    modules: Generations,
}

impl Driver {
    fn is_there(&self) -> bool {
        self.modules[DRIVER].is_some() || !self.devices.is_empty()
    }

    fn has(&self, kind: u32) -> bool {
        self.devices.values().any(|&device| device == kind)
    }

    /// True if the loaded modules have registered everything that the agent needs.
    fn is_settled(&self) -> bool {
        let uvm = self.modules[UVM].is_none() || self.has(device::UVM);
        self.modules[DRIVER].is_none() || self.release.is_some() && self.has(device::CTL) && uvm
    }
}

pub(super) struct Presence {
    config: NvidiaDriver,
    proc_root: PathBuf,
    sys_root: PathBuf,
    events: EventRing<Module>,
    devices: KernelHash<MapData, u64, u32>,
    layouts: Array<MapData, Layout>,
    xids: Xids,
    driver: Driver,
    looked: Option<Instant>,
    /// True once a driver has been present. Its counts stay after it is unloaded.
    was_present: bool,
    /// Why nothing is traced although a driver is present, and when attaching was last attempted.
    attach_error: Option<(String, Instant)>,
    /// When the last load or unload was reported, while frequent checks follow it.
    debouncing: Option<Instant>,
    /// Loads of modules that are not traced yet.
    loads: Loads,
    /// What was last logged: the load of the driver, its release, and the attach method.
    announced: Option<(Option<u64>, Option<Release>, &'static str)>,
}

impl Presence {
    pub(super) fn new(config: &Config, kernel: &mut Kernel) -> anyhow::Result<Self> {
        Ok(Self {
            config: config.nvidia_driver.clone(),
            proc_root: config.paths.proc.clone(),
            sys_root: SYS.into(),
            events: kernel.event_ring(maps::NVIDIA_MODULES, modules::parse)?,
            devices: kernel.take_map(maps::NVIDIA_DEVICES)?,
            layouts: kernel.take_map(maps::NVIDIA_LAYOUTS)?,
            xids: Xids::new(kernel)?,
            driver: Driver::default(),
            looked: None,
            was_present: false,
            attach_error: None,
            debouncing: None,
            loads: Loads::default(),
            announced: None,
        })
    }

    /// True if a driver has been present since the agent started.
    pub(super) fn was_present(&self) -> bool {
        self.was_present
    }

    /// Why nothing is traced although a driver is present.
    pub(super) fn attach_error(&self) -> Option<&str> {
        self.attach_error.as_ref().map(|(reason, _)| reason.as_str())
    }

    /// The driver's release and whether its structures are known; `None` without a driver.
    pub(super) fn info(&self) -> Option<DriverInfo> {
        self.driver.is_there().then(|| DriverInfo {
            release: self.driver.release.map(|release| release.to_string()).unwrap_or_default(),
            layouts: layouts::support(self.driver.release),
        })
    }

    /// Whether the calls of containers are traced, and completely.
    pub(super) fn tracing(&self, kernel: &Kernel) -> DriverTracing {
        let mut outcomes = kernel.outcomes().iter().filter(|outcome| outcome.probe == SPEC.name).peekable();
        DriverTracing {
            is_present: outcomes.peek().is_some(),
            is_complete: self.attach_error.is_none() && outcomes.all(|outcome| outcome.method.is_some()),
        }
    }

    /// Xid errors; `None` if the programs do not receive them.
    pub(super) fn xids(&self) -> Option<Vec<ReportedXids>> {
        self.xids.read()
    }

    /// A descriptor that becomes readable when a module is loaded or unloaded.
    pub(super) fn event_source(&self) -> RawFd {
        self.events.descriptor()
    }

    /// Handles the reported loads and unloads.
    pub(super) fn on_events(&mut self, kernel: &mut Kernel) {
        while let Some(event) = self.events.next() {
            tracing::debug!("module {} {}", event.name, if event.loaded { "loaded" } else { "unloaded" });
            self.debouncing = Some(Instant::now());
            self.loads.reported(&event);
            self.look(kernel);
        }
    }

    /// The time of the next check while a load or an unload is being followed.
    pub(super) fn timer_at(&self) -> Option<Instant> {
        self.debouncing.and(self.looked).map(|looked| looked + DEBOUNCE_STEP)
    }

    pub(super) fn look_if_due(&mut self, kernel: &mut Kernel) {
        let is_reported = kernel.method(NVIDIA_MODULES_PROBE).is_ok() && !self.config.has_extra_paths();
        let period = if is_reported { LOOK } else { POLL };
        if self.looked.is_none_or(|looked| looked.elapsed() >= period) {
            self.look(kernel);
        }
    }

    /// Checks the driver, and adapts programs and maps to its current state.
    pub(super) fn look(&mut self, kernel: &mut Kernel) {
        let is_first = self.looked.replace(Instant::now()).is_none();
        let driver = Driver {
            devices: devices::devices(&self.proc_root, &self.config),
            release: self.config.release.or_else(|| nvidia::release(&self.proc_root, &self.sys_root)),
            modules: MODULES.map(module::generation),
        };
        self.debouncing = self.debouncing.filter(|since| {
            let passed = since.elapsed();
            passed < DEBOUNCE_MIN || !driver.is_settled() && passed < DEBOUNCE_MAX
        });
        let is_due = self.attach_error.as_ref().is_some_and(|(_, tried)| tried.elapsed() >= RETRY);
        if driver != self.driver || is_due {
            let before = std::mem::replace(&mut self.driver, driver);
            self.loads.seen(&before.modules, &self.driver.modules, is_first);
            if self.driver.is_there() {
                self.follow(kernel, &before);
            } else {
                self.leave(kernel, &before);
            }
        }
        let is_waited_for = self.driver.release.is_none() && self.debouncing.is_some();
        if self.driver.is_there() && self.attach_error.is_none() && !is_waited_for {
            self.loads.account(kernel, |kind| self.driver.has(kind));
            self.announce(kernel);
        }
    }

    fn follow(&mut self, kernel: &mut Kernel, before: &Driver) {
        self.was_present = true;
        let is_other = self.driver.modules[DRIVER] != before.modules[DRIVER];
        let is_new = is_other || !before.is_there();
        let attached = self.prepare(before).and_then(|()| kernel.update(SPEC.name, is_new));
        match attached {
            Ok(_) => self.attach_error = None,
            Err(error) => {
                let reason = format!("cannot trace the NVIDIA driver: {error:#}");
                self.attach_error = Some((reason, Instant::now()));
            }
        }
        self.xids.attached(kernel);
    }

    /// Logs once per load how the driver is traced, as soon as the release is known or is not found in time. A module
    /// that is being loaded or unloaded appears in sysfs briefly without a release.
    fn announce(&mut self, kernel: &Kernel) {
        let Driver { release, modules, .. } = &self.driver;
        let Ok(method) = kernel.method(SPEC.name) else { return };
        let now = Some((modules[DRIVER], *release, method.name));
        if self.announced == now {
            return;
        }
        self.announced = now;
        let name = release.map_or("of unknown release".into(), |release| release.to_string());
        tracing::info!("NVIDIA driver {name}: ioctls are traced by {}", method.name);
        if layouts::support(*release) != LayoutSupport::Known {
            tracing::warn!("NVIDIA driver: {}", described(*release));
        }
        if !method.misses.is_empty() {
            tracing::info!("{} misses: {}", method.name, method.misses);
        }
        for (program, reason) in kernel.missing_programs(SPEC.name) {
            tracing::info!("{program} is not attached: {reason}");
        }
    }

    /// Detaches the programs. Counted Xid errors stay in the metrics.
    fn leave(&mut self, kernel: &mut Kernel, before: &Driver) {
        kernel.suspend(SPEC.name);
        self.attach_error = None;
        self.announced = None;
        if before.is_there() {
            tracing::info!("the NVIDIA driver was unloaded; its calls are traced again when it is loaded");
            // The next driver may have another release. Until that is known, undecoded calls are better than wrong
            // ones.
            if let Err(error) = self.prepare(before) {
                tracing::warn!("cannot reset the device and layout maps of the NVIDIA driver: {error:#}");
            }
        }
    }

    /// Writes devices and layouts to the programs' maps.
    fn prepare(&mut self, before: &Driver) -> anyhow::Result<()> {
        if self.driver.devices != before.devices {
            let known: Vec<u64> = self.devices.keys().flatten().collect();
            for key in known.iter().filter(|key| !self.driver.devices.contains_key(key)) {
                // A missing key needs no removal.
                let _ = self.devices.remove(key);
            }
            for (key, kind) in &self.driver.devices {
                self.devices.insert(key, kind, 0).context("write a device to the map")?;
            }
        }
        if self.driver.release != before.release || self.driver.is_there() != before.is_there() {
            let mut table = vec![Layout::UNKNOWN; LAYOUTS as usize];
            if self.driver.is_there() {
                for (index, layout) in layouts::layouts(self.driver.release) {
                    if let Some(entry) = table.get_mut(index as usize) {
                        *entry = layout;
                    }
                }
            }
            for (index, layout) in (0..).zip(table) {
                self.layouts.set(index, layout, 0).context("write a layout to the map")?;
            }
            self.loads.decodable();
        }
        if self.driver.modules[DRIVER] != before.modules[DRIVER] || !before.is_there() {
            self.xids.prepare()?;
        }
        Ok(())
    }
}
