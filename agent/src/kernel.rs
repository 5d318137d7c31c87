//! Loads the programs of `agent-ebpf` into the kernel and attaches them.
//!
//! [`Kernel::start`] resolves field offsets from BTF, freezes them into the object, and attaches the first working
//! method of each attach plan ([`attach`]). If no method of a plan works, the failure is reported and the probe is left
//! out; all other probes work.

pub mod attach;
pub mod batch;
pub mod block_devices;
pub mod btf;
pub mod by_slot;
pub mod cgroup_links;
pub mod event_ring;
pub mod events;
mod function_hook;
pub mod functions;
pub mod host;
pub mod maps;
pub mod module;
pub mod nvidia;
pub mod offsets;
pub mod plans;
pub mod privileges;
pub mod program;
pub mod record;
mod refusal;
pub mod slot_array;
pub mod slots;
pub mod stats;
pub mod tail_calls;
pub mod tracefs;

use anyhow::{Context as _, bail};
use aya::{Ebpf, EbpfLoader, maps::PerCpuArray};
use aya_log::EbpfLogger;
use glassbox_ebpf::{
    Lost, Settings,
    container_programs::ProgramNames,
    counters::{Counters, PerSlot, SlotKey},
    offsets::Offsets,
    requests::upload::UPLOADS_BYTES,
    scheduler::WAIT_ENTRIES,
};

use self::{
    attach::Outcome,
    by_slot::BySlot,
    cgroup_links::{CgroupLinks, CgroupProgram},
    event_ring::EventRing,
    events::Event,
    slot_array::{SharedSlotArray, SlotArray},
    slots::Slots,
    stats::ProgramTimes,
    tracefs::Tracefs,
};
use crate::{
    config::Config,
    snapshot::agent::{MapStatus, ProgramStatus},
};

/// The object file built from `agent-ebpf`; empty if the build had no BPF toolchain.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/glassbox-programs"));

type Logger = EbpfLogger<&'static dyn log::Log>;

/// The loaded programs and their maps. Dropping it detaches everything.
pub struct Kernel {
    ebpf: Ebpf,
    plans: Vec<attach::AttachPlan>,
    offsets: Offsets,
    hierarchy_id: u32,
    outcomes: Vec<Outcome>,
    /// Programs that are attached to the cgroups of containers, or that these programs continue with, as name and hook.
    of_containers: Vec<(&'static str, &'static str)>,
    /// The slots and the containers that hold them.
    pub slots: Slots,
    /// Container start and exit events.
    pub events: EventRing<Event>,
    lost: PerCpuArray<aya::maps::MapData, u64>,
    /// Lost events that user space detected, by kind.
    lost_here: [u64; Lost::ALL.len()],
    maps: Vec<MapStatus>,
    times: ProgramTimes,
    logger: Option<Logger>,
}

/// Options of [`Kernel::start`].
pub struct Options<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The hierarchy that contains the containers' cgroups: 0 for v2.
    pub hierarchy_id: u32,
    /// Changes the offsets before they are frozen. Tests remove fields to reach fallback methods.
    pub change_offsets: fn(&mut Offsets),
}

impl Kernel {
    /// Loads the object and attaches the programs that this kernel supports.
    ///
    /// # Errors
    /// If nothing can be loaded: no object in this build, no BTF, missing privileges. The message contains the remedy.
    pub fn start(options: &Options<'_>) -> anyhow::Result<Self> {
        let config = options.config;
        if !config.kernel.enabled {
            bail!("kernel programs are switched off (kernel.enabled = false)");
        }
        if OBJECT.is_empty() {
            bail!("this build contains no kernel programs: run `cargo xtask setup`, then build again");
        }
        let blob = offsets::read(&config.kernel.btf)?;
        let mut offsets = offsets::resolve(&blob)?;
        (options.change_offsets)(&mut offsets);
        maps::raise_memlock_limit();
        let btf = aya::Btf::parse(&blob, aya::Endianness::default())
            .with_context(|| format!("parse kernel type information {}", config.kernel.btf.display()))?;
        drop(blob);
        let tables = slots::Sizes::for_containers(*config.containers.max);
        let settings = Settings {
            agent_tgid: std::process::id(),
            hierarchy_id: options.hierarchy_id,
            cgroup_mask: tables.buckets - 1,
            wait_mask: WAIT_ENTRIES - 1,
            slots_per_container: tables.slots_per_container,
            nested_per_container: tables.nested_per_container,
            slow_request_ms: u32::try_from(config.requests.slow_after_ms.as_millis()).unwrap_or(u32::MAX),
        };
        let program_names = ProgramNames::new(config.programs.names.iter().map(String::as_str));
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&btf))
            .override_global("OFFSETS", &offsets, true)
            .override_global("SETTINGS", &settings, true)
            .override_global("PROGRAM_NAMES", &program_names, true)
            .map_max_entries(glassbox_ebpf::maps::CGROUPS_BORN, tables.buckets)
            .map_max_entries(glassbox_ebpf::maps::CGROUPS_FOUND, tables.buckets)
            .map_max_entries(glassbox_ebpf::maps::CGROUP_SLOTS, tables.slots);
        if config.requests.upload_images {
            loader.map_max_entries(glassbox_ebpf::maps::REQUEST_UPLOADS, UPLOADS_BYTES);
        }
        for name in glassbox_ebpf::maps::PER_SLOT {
            loader.map_max_entries(name, tables.slots + 1);
        }
        let mut ebpf = loader.load(OBJECT).map_err(refusal::explain).context("load the kernel programs")?;
        // The logger must take its map before any program is loaded. It is kept as long as the programs run.
        let logger = EbpfLogger::init(&mut ebpf).ok();
        let maps = maps::statuses(&ebpf);
        // The slots must be in the queue before the kernel can report the first new container.
        let slots = Slots::new(&mut ebpf, &tables)?;
        let optional = plans::OptionalProbes {
            programs: config.collectors.programs,
            socket_events: config.collectors.sockets,
            unix_sockets: config.collectors.sockets && config.sockets.unix,
        };
        let plans = plans::plans(config.kernel.scheduler_hook, config.nvidia_driver.hook, optional);
        // A kernel without modules has no tracepoints for them and needs none.
        let has_modules = config.paths.proc.join("modules").exists();
        {
            let _tracefs = Tracefs::mounted();
            function_hook::remove_leftovers();
        }
        let outcomes = plans
            .iter()
            .filter(|plan| plan.at_start && (plan.probe != plans::NVIDIA_MODULES_PROBE || has_modules))
            .map(|plan| attach::attach_first(plan, &mut ebpf, Some(&btf), &offsets, options.hierarchy_id))
            .collect();
        let events = EventRing::open(&mut ebpf, glassbox_ebpf::maps::CGROUP_EVENTS, Event::parse)?;
        let lost = maps::take(&mut ebpf, glassbox_ebpf::maps::LOST)?;
        Ok(Self {
            ebpf,
            plans,
            offsets,
            hierarchy_id: options.hierarchy_id,
            outcomes,
            of_containers: Vec::new(),
            slots,
            events,
            lost,
            lost_here: [0; Lost::ALL.len()],
            maps,
            times: ProgramTimes::new(config.kernel.program_stats),
            logger,
        })
    }

    /// The attach method in use for `probe`.
    ///
    /// # Errors
    /// If no method works. The message has a reason for each method.
    pub fn method(&self, probe: &str) -> anyhow::Result<&'static attach::AttachMethod> {
        let Some(outcome) = self.outcomes.iter().find(|outcome| outcome.probe == probe) else {
            bail!("no kernel programs of the probe {probe} are attached");
        };
        outcome.held()
    }

    /// Attaches the programs of a probe that is not attached when the agent starts.
    ///
    /// # Errors
    /// As [`Self::method`].
    pub fn attach(&mut self, probe: &str) -> anyhow::Result<&'static attach::AttachMethod> {
        self.detach(probe);
        if let Some(plan) = self.plans.iter().find(|plan| plan.probe == probe) {
            self.outcomes.push(attach::attach_first(
                plan,
                &mut self.ebpf,
                None,
                &self.offsets,
                self.hierarchy_id,
            ));
        }
        self.method(probe)
    }

    /// Adapts the programs of a probe to the modules that are loaded now. Programs that still fit stay attached. So do
    /// hooks on functions of a module that was just unloaded. `is_other` means that what the programs watch was
    /// replaced. In that case, the method is chosen again if it does not hook functions or if its module is not loaded.
    ///
    /// # Errors
    /// As [`Self::method`].
    pub fn update(&mut self, probe: &str, is_other: bool) -> anyhow::Result<&'static attach::AttachMethod> {
        if let Some(outcome) = self.outcomes.iter_mut().find(|outcome| outcome.probe == probe) {
            let stays = if outcome.is_on_functions() {
                // The module may have been unloaded since the caller looked. Its hooks are kept, because hooks that are
                // created after the next load would miss the first calls.
                outcome.update(&mut self.ebpf, &self.offsets).is_ok() && (outcome.held().is_ok() || !is_other)
            } else {
                outcome.method.is_some() && !is_other
            };
            if stays {
                return self.method(probe);
            }
        }
        self.attach(probe)
    }

    /// Called when what the programs of a probe watch is gone. Hooks on functions stay, and work again as soon as the
    /// module is loaded again. Other programs are detached, because they have a cost for other processes.
    pub fn suspend(&mut self, probe: &str) {
        let outcome = self.outcomes.iter_mut().find(|outcome| outcome.probe == probe);
        let stays = outcome.is_some_and(|outcome| {
            outcome.is_on_functions() && outcome.update(&mut self.ebpf, &self.offsets).is_ok()
        });
        if !stays {
            self.detach(probe);
        }
    }

    /// Attaches programs to the v2 cgroup with this directory, until the returned value is dropped.
    ///
    /// # Errors
    /// If the kernel refuses, for example without CAP_NET_ADMIN, or if the cgroup is gone.
    pub fn attach_to_cgroup(
        &mut self,
        programs: &[CgroupProgram],
        directory: &std::path::Path,
    ) -> anyhow::Result<CgroupLinks> {
        let links = cgroup_links::attach(&mut self.ebpf, programs, directory)?;
        self.note_of_containers(programs.iter().map(CgroupProgram::name_and_hook));
        Ok(links)
    }

    fn note_of_containers(&mut self, programs: impl Iterator<Item = (&'static str, &'static str)>) {
        for program in programs {
            if !self.of_containers.contains(&program) {
                self.of_containers.push(program);
            }
        }
    }

    /// Detaches the programs of a probe. Their maps stay.
    pub fn detach(&mut self, probe: &str) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.probe == probe) {
            outcome.detach(&mut self.ebpf);
        }
        self.outcomes.retain(|outcome| outcome.probe != probe);
    }

    /// Whether a program is attached.
    #[must_use]
    pub fn has(&self, program: &str) -> bool {
        self.outcomes.iter().any(|outcome| outcome.has(program))
    }

    /// The optional programs of the method of `probe` that are not attached, each with the reason.
    pub fn missing_programs(&self, probe: &str) -> impl Iterator<Item = &(&'static str, String)> {
        let outcomes = self.outcomes.iter().filter(move |outcome| outcome.probe == probe);
        outcomes.flat_map(|outcome| &outcome.without)
    }

    /// True if the hooks on functions of this module existed before it was loaded, so that no call was missed.
    #[must_use]
    pub fn attached_in_advance(&self, module: &str) -> bool {
        let mut groups = self.outcomes.iter().flat_map(|outcome| &outcome.functions);
        groups.any(|group| group.module() == module && group.attached_in_advance())
    }

    /// The outcome of each attach plan.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Takes a map, for the collector that reads it.
    ///
    /// # Errors
    /// If the object has no such map, the map is of another type, or it was already taken.
    pub fn take_map<M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(
        &mut self,
        name: &'static str,
    ) -> anyhow::Result<M> {
        maps::take(&mut self.ebpf, name)
    }

    /// Takes a per-CPU array of counters with one element per container slot.
    ///
    /// # Errors
    /// As [`Self::take_map`].
    pub fn slot_array<T: Counters + aya::Pod>(&mut self, name: &'static str) -> anyhow::Result<SlotArray<T>> {
        SlotArray::open(&mut self.ebpf, name)
    }

    /// Takes an array that all CPUs share, with one element per container slot.
    ///
    /// # Errors
    /// As [`Self::take_map`].
    pub fn shared_slot_array<T: PerSlot + aya::Pod>(
        &mut self,
        name: &'static str,
    ) -> anyhow::Result<SharedSlotArray<T>> {
        SharedSlotArray::open(&mut self.ebpf, name)
    }

    /// Takes a hash map with keys that contain a container slot.
    ///
    /// # Errors
    /// As [`Self::take_map`].
    pub fn by_slot<K: SlotKey + aya::Pod, V: aya::Pod>(
        &mut self,
        name: &'static str,
    ) -> anyhow::Result<BySlot<K, V>> {
        BySlot::open(&mut self.ebpf, name)
    }

    /// Takes a hash map that is read as a whole at every tick.
    ///
    /// # Errors
    /// As [`Self::take_map`].
    pub fn batch_map<K: aya::Pod, V: aya::Pod>(
        &mut self,
        name: &'static str,
    ) -> anyhow::Result<batch::BatchMap<K, V>> {
        batch::BatchMap::open(&mut self.ebpf, name)
    }

    /// Loads programs that other programs continue with, until the returned value is dropped. `pairs` are names of
    /// program arrays and of the programs in them.
    ///
    /// # Errors
    /// If a program cannot be loaded.
    pub fn enter_tail_calls(
        &mut self,
        pairs: &[(&'static str, &'static str)],
    ) -> anyhow::Result<tail_calls::TailCalls> {
        let calls = tail_calls::enter(&mut self.ebpf, pairs)?;
        self.note_of_containers(pairs.iter().map(|&(_, program)| (program, "tail_call")));
        Ok(calls)
    }

    /// Takes a ring buffer of events, which `parse` decodes.
    ///
    /// # Errors
    /// As [`Self::take_map`].
    pub fn event_ring<E>(
        &mut self,
        name: &'static str,
        parse: fn(&[u8]) -> Option<E>,
    ) -> anyhow::Result<EventRing<E>> {
        EventRing::open(&mut self.ebpf, name, parse)
    }

    /// Events lost so far, in the order of [`Lost::ALL`].
    #[must_use]
    pub fn lost(&self) -> Vec<(Lost, u64)> {
        Lost::ALL.iter().map(|&lost| (lost, self.lost_of(lost))).collect()
    }

    /// Events of one kind lost so far.
    #[must_use]
    pub fn lost_of(&self, lost: Lost) -> u64 {
        let here = self.lost_here.get(lost as usize).copied().unwrap_or_default();
        here + self.lost.get(&(lost as u32), 0).map_or(0, |cpus| cpus.iter().sum())
    }

    /// Counts a lost event that user space detected.
    pub fn count_lost(&mut self, lost: Lost) {
        if let Some(count) = self.lost_here.get_mut(lost as usize) {
            *count += 1;
        }
    }

    /// Called once per tick. Forwards the programs' log messages, and measures their run time when it is due.
    pub fn tick(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        self.times.tick(&self.ebpf);
    }

    /// The programs in use, with their measured run times, including those that are attached to each container. If no method of a probe works: the programs of its first
    /// method, as not attached.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramStatus> {
        let methods =
            self.outcomes.iter().filter_map(|outcome| Some((outcome, outcome.method.or(outcome.best)?)));
        methods
            .flat_map(|(outcome, method)| {
                // A program with several hooks is listed once.
                let is_first = |(index, program): &(usize, &program::Program)| {
                    method.programs[..*index].iter().all(|earlier| earlier.name != program.name)
                };
                let programs =
                    method.programs.iter().enumerate().filter(is_first).map(|(_, program)| program);
                let programs = programs.chain(method.extras.iter().flat_map(|extra| extra.programs.first()));
                programs.map(move |program| (outcome, method, program))
            })
            .map(|(outcome, method, program)| {
                let measured = self.times.of(program.name);
                ProgramStatus {
                    name: program.name,
                    collector: outcome.collector,
                    hook: method.name,
                    attached: outcome.has(program.name),
                    runs: measured.map(|(runs, _)| runs),
                    run_time: measured.map(|(_, time)| time).unwrap_or_default(),
                }
            })
            .chain(self.of_containers.iter().map(|&(name, hook)| {
                let measured = self.times.of(name);
                ProgramStatus {
                    name,
                    // The name of such a program is that of its collector, with its purpose.
                    collector: name.rsplit_once('_').map_or(name, |(collector, _)| collector),
                    hook,
                    attached: true,
                    runs: measured.map(|(runs, _)| runs),
                    run_time: measured.map(|(_, time)| time).unwrap_or_default(),
                }
            }))
            .collect()
    }

    /// The maps, with their number of entries.
    #[must_use]
    pub fn maps(&self) -> Vec<MapStatus> {
        let mut maps = self.maps.clone();
        for map in &mut maps {
            if map.name == glassbox_ebpf::maps::SCHEDULER {
                map.entries = Some(self.slots.held());
            } else if map.name == glassbox_ebpf::maps::CGROUPS_FOUND {
                map.entries = Some(self.slots.found());
            }
        }
        maps
    }
}
