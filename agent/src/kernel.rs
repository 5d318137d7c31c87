//! What this kernel offers, and the programs of `agent-ebpf` loaded into it.
//!
//! [`Kernel::start`] resolves field offsets from BTF, freezes them into the object, and climbs one ladder of hooks per
//! noun ([`attach`]). A noun whose ladder has no rung that holds is reported and left out; the rest works.

pub mod attach;
pub mod btf;
pub mod cgroup_programs;
pub mod events;
pub mod host;
pub mod ladders;
pub mod maps;
pub mod offsets;
pub mod record;
pub mod returns;
pub mod slots;
pub mod stats;
pub mod tracefs;

use anyhow::{Context as _, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{PerCpuArray, RingBuf},
};
use glassbox_ebpf::{Lost, Settings, offsets::Offsets, scheduler::WAIT_ENTRIES};

use self::{
    attach::Outcome,
    events::Event,
    maps::MapStatus,
    slots::Slots,
    stats::{ProgramStatus, ProgramTimes},
};
use crate::config::Config;

/// The object that the build made of `agent-ebpf`; empty where the build had no BPF toolchain.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/glassbox-programs"));

/// The loaded programs and their maps. Dropping it detaches everything.
pub struct Kernel {
    ebpf: Ebpf,
    ladders: Vec<attach::Ladder>,
    offsets: Offsets,
    hierarchy_id: u32,
    outcomes: Vec<Outcome>,
    /// Who holds which slot.
    pub slots: Slots,
    events: RingBuf<aya::maps::MapData>,
    lost: PerCpuArray<aya::maps::MapData, u64>,
    maps: Vec<MapStatus>,
    times: ProgramTimes,
}

/// How to start.
pub struct Options<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Which hierarchy's cgroups are the containers': 0 is v2.
    pub hierarchy_id: u32,
    /// Changes the offsets before they are frozen: tests take fields away to reach lower rungs.
    pub change_offsets: fn(&mut Offsets),
}

impl Kernel {
    /// Loads the object and attaches what this kernel takes.
    ///
    /// # Errors
    /// Where nothing can be loaded at all: no object in this build, no BTF, missing privileges. The text says what to do.
    pub fn start(options: &Options<'_>) -> anyhow::Result<Self> {
        let config = options.config;
        if !config.kernel_enabled {
            bail!("kernel programs are switched off (kernel.enabled = false)");
        }
        if OBJECT.is_empty() {
            bail!("this build has no kernel programs in it: run `cargo xtask setup`, then build again");
        }
        let blob = offsets::read(&config.btf)?;
        let mut offsets = offsets::resolve(&blob)?;
        (options.change_offsets)(&mut offsets);
        maps::raise_memlock_limit();
        let btf = aya::Btf::parse(&blob, aya::Endianness::default())
            .with_context(|| format!("parse kernel type information {}", config.btf.display()))?;
        drop(blob);
        let tables = slots::Sizes::for_containers(config.containers_max);
        let settings = Settings {
            agent_tgid: std::process::id(),
            hierarchy_id: options.hierarchy_id,
            cgroup_mask: tables.buckets - 1,
            wait_mask: WAIT_ENTRIES - 1,
            slots_per_container: tables.slots_per_container,
            nested_per_container: tables.nested_per_container,
        };
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&btf))
            .override_global("OFFSETS", &offsets, true)
            .override_global("SETTINGS", &settings, true)
            .map_max_entries(glassbox_ebpf::maps::CGROUPS_BORN, tables.buckets)
            .map_max_entries(glassbox_ebpf::maps::CGROUPS_FOUND, tables.buckets)
            .map_max_entries(glassbox_ebpf::maps::CGROUP_SLOTS, tables.slots)
            .map_max_entries(glassbox_ebpf::maps::CGROUP_CHARGES, tables.slots + 1)
            .map_max_entries(glassbox_ebpf::maps::CGROUP_CLAIMS, tables.slots + 1)
            .map_max_entries(glassbox_ebpf::maps::SCHEDULER, tables.slots + 1)
            .map_max_entries(glassbox_ebpf::maps::HOST_NETWORK, tables.slots + 1)
            .map_max_entries(glassbox_ebpf::maps::OOM_KILLS, tables.slots + 1)
            .map_max_entries(glassbox_ebpf::maps::NVIDIA_SLOTS, tables.slots + 1);
        let mut ebpf = loader.load(OBJECT).map_err(explain).context("load the kernel programs")?;
        let maps = maps::statuses(&ebpf);
        // Slots must be on the queue before the first container can be born.
        let slots = Slots::new(&mut ebpf, &tables)?;
        let ladders = ladders::ladders(config.scheduler_rung, config.nvidia_driver_rung);
        let outcomes = ladders
            .iter()
            .filter(|ladder| ladder.at_start)
            .map(|ladder| attach::climb(ladder, &mut ebpf, Some(&btf), &offsets, options.hierarchy_id))
            .collect();
        let events = maps::take(&mut ebpf, glassbox_ebpf::maps::CGROUP_EVENTS)?;
        let lost = maps::take(&mut ebpf, glassbox_ebpf::maps::LOST)?;
        Ok(Self {
            ebpf,
            ladders,
            offsets,
            hierarchy_id: options.hierarchy_id,
            outcomes,
            slots,
            events,
            lost,
            maps,
            times: ProgramTimes::new(config.program_stats),
        })
    }

    /// How the ladder of `noun` ended.
    ///
    /// # Errors
    /// Why no rung holds, one reason for each.
    pub fn rung(&self, noun: &str) -> anyhow::Result<&'static attach::Rung> {
        let Some(outcome) = self.outcomes.iter().find(|outcome| outcome.noun == noun) else {
            bail!("no kernel programs for {noun}");
        };
        outcome.rung.with_context(|| outcome.reasons())
    }

    /// Climbs the ladder of a noun whose programs the agent's start does not attach.
    ///
    /// # Errors
    /// As [`Self::rung`].
    pub fn attach(&mut self, noun: &str) -> anyhow::Result<&'static attach::Rung> {
        self.detach(noun);
        if let Some(ladder) = self.ladders.iter().find(|ladder| ladder.noun == noun) {
            self.outcomes.push(attach::climb(ladder, &mut self.ebpf, None, &self.offsets, self.hierarchy_id));
        }
        self.rung(noun)
    }

    /// Attaches the programs that count packets to the cgroup with this directory, until what is returned is dropped.
    ///
    /// # Errors
    /// Where the kernel refuses, as without CAP_NET_ADMIN, or the cgroup is gone.
    pub fn attach_host_network(
        &mut self,
        directory: &std::path::Path,
    ) -> anyhow::Result<cgroup_programs::HostNetworkLinks> {
        cgroup_programs::attach(&mut self.ebpf, directory)
    }

    /// Takes the programs of a noun off their hooks; their maps stay.
    pub fn detach(&mut self, noun: &str) {
        if let Ok(rung) = self.rung(noun) {
            attach::detach(rung, &mut self.ebpf);
        }
        self.outcomes.retain(|outcome| outcome.noun != noun);
    }

    /// Whether a program is attached.
    #[must_use]
    pub fn has(&self, program: &str) -> bool {
        self.outcomes.iter().any(|outcome| outcome.has(program))
    }

    /// What the rung of `noun` does without: programs, each with the reason.
    pub fn without(&self, noun: &str) -> impl Iterator<Item = &(&'static str, String)> {
        let outcomes = self.outcomes.iter().filter(move |outcome| outcome.noun == noun);
        outcomes.flat_map(|outcome| &outcome.without)
    }

    /// How each ladder ended.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Takes a map, for the collector that reads it.
    ///
    /// # Errors
    /// Where the object has no such map, it is of another type, or it was taken before.
    pub fn take_map<M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(
        &mut self,
        name: &'static str,
    ) -> anyhow::Result<M> {
        maps::take(&mut self.ebpf, name)
    }

    /// The next cgroup event, if one waits. Never blocks.
    pub fn next_event(&mut self) -> Option<Event> {
        while let Some(item) = self.events.next() {
            // An event that does not parse cannot come from our own program; drop it and go on.
            if let Some(event) = Event::parse(&item) {
                return Some(event);
            }
        }
        None
    }

    /// Becomes readable when an event waits.
    #[must_use]
    pub fn events_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.events)
    }

    /// Facts that the kernel side lost so far, in the order of [`Lost::ALL`].
    #[must_use]
    pub fn lost(&self) -> Vec<(Lost, u64)> {
        Lost::ALL.iter().map(|&lost| (lost, self.lost_of(lost))).collect()
    }

    /// Facts of one kind that the kernel side lost so far.
    #[must_use]
    pub fn lost_of(&self, lost: Lost) -> u64 {
        self.lost.get(&(lost as u32), 0).map_or(0, |cpus| cpus.iter().sum())
    }

    /// Once per tick: measures the run time of the programs when that is due.
    pub fn tick(&mut self) {
        self.times.tick(&self.ebpf);
    }

    /// The programs in use, with their measured run times; those of the best rung, not attached, where none holds.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramStatus> {
        let rungs =
            self.outcomes.iter().filter_map(|outcome| Some((outcome, outcome.rung.or(outcome.best)?)));
        rungs
            .flat_map(|(outcome, rung)| {
                // A program with several hooks is still one.
                let is_first = |(index, program): &(usize, &attach::Program)| {
                    rung.programs[..*index].iter().all(|earlier| earlier.name != program.name)
                };
                let programs = rung.programs.iter().enumerate().filter(is_first).map(|(_, program)| program);
                let programs = programs.chain(rung.extras.iter().map(|extra| &extra.program));
                programs.map(move |program| (outcome, rung, program))
            })
            .map(|(outcome, rung, program)| {
                let measured = self.times.of(program.name);
                ProgramStatus {
                    name: program.name,
                    collector: outcome.noun,
                    rung: rung.name,
                    attached: outcome.has(program.name),
                    runs: measured.map(|(runs, _)| runs),
                    run_time: measured.map(|(_, time)| time).unwrap_or_default(),
                }
            })
            .collect()
    }

    /// The maps, with how full they are.
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

/// Adds the remedy to an error of missing privileges.
fn explain(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    let has = |wanted: i32| {
        let code = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error)
        };
        error.chain().any(|cause| code(cause) == Some(wanted))
    };
    // Without CAP_PERFMON the verifier applies stricter rules to some programs and refuses them with EACCES.
    let lacks = [host::CAP_BPF, host::CAP_PERFMON].iter().any(|needed| !host::has_capability(*needed));
    let denied = has(libc::EPERM) || (lacks && has(libc::EACCES));
    if denied { error.context(host::REMEDY_PRIVILEGES) } else { error }
}
