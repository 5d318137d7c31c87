//! The agent itself: what works, what it costs, what it lost.

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{
        Snapshot,
        agent::{CollectorStatus, MapStatus, ProgramStatus},
        losses,
    },
    version,
};

/// Why the counts of a program may stand still while it runs.
const MEASURED: &str = "kernel statistics of the program, which cost time themselves and so are on for one \
                        second in thirty unless configured otherwise";

/// The families.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("glassbox_build_info")
        .help(
            "Always 1; the labels are the agent's version, and the commit it was built from with its \
               date (UTC).",
        )
        .source("the build")
        .labels(&["version", "commit", "commit_date"])
        .agent(|_, emit| {
            emit.with(&[version::VERSION, version::COMMIT, version::COMMIT_DATE]).count(1);
        }),
    Family::gauge("glassbox_demo_info")
        .help(
            "1 where GPUs and the containers that use them are made up, to show the agent; absent \
               elsewhere.",
        )
        .source("the configuration")
        .agent(|snapshot, emit| emit.count(snapshot.agent.demo.then_some(1))),
    Family::gauge("glassbox_collector_up")
        .help(
            "1 if the collector started, lacks no privilege or namespace, and its last run succeeded \
               for at least one container, else 0.",
        )
        .source("the tick")
        .labels(&["collector"])
        .agent(|snapshot, emit| collectors(snapshot, emit, |c, emit| emit.count(u64::from(c.up)))),
    Family::gauge("glassbox_collector_duration_seconds")
        .help("How long the collector took for all containers at the last tick, in seconds.")
        .source("the tick")
        .labels(&["collector"])
        .agent(|snapshot, emit| collectors(snapshot, emit, |c, emit| emit.time(c.duration))),
    Family::counter("glassbox_collector_errors_total")
        .help("Readings of the collector that failed.")
        .source("the tick")
        .labels(&["collector"])
        .agent(|snapshot, emit| collectors(snapshot, emit, |c, emit| emit.count(c.errors))),
    Family::gauge("glassbox_probe_attached")
        .help("1 where the kernel program is attached, by the hook given, else 0.")
        .source("the agent's start")
        .labels(&["program", "collector", "hook"])
        .agent(|snapshot, emit| {
            for program in &snapshot.agent.programs {
                let labels = [program.name, program.collector, program.hook];
                emit.with(&labels).count(u64::from(program.attached));
            }
        }),
    Family::counter("glassbox_probe_runs_total")
        .help(
            "Runs of the kernel program, counted only while program statistics are on (one second in \
               thirty by default). Run time by runs is the mean cost of one run.",
        )
        .source(MEASURED)
        .labels(&["program"])
        .agent(|snapshot, emit| programs(snapshot, emit, |p, emit| emit.count(p.runs))),
    Family::counter("glassbox_probe_run_seconds_total")
        .help(
            "Time spent in the kernel program, in seconds, measured only while program statistics are \
               on (one second in thirty by default). Run time by runs is the mean cost of one run.",
        )
        .source(MEASURED)
        .labels(&["program"])
        .agent(|snapshot, emit| {
            programs(snapshot, emit, |p, emit| emit.time(p.runs.map(|_| p.run_time)));
        }),
    Family::counter("glassbox_lost_events_total")
        .help(
            "Events that could not be kept, by source. Any growth means that something is missing from \
               the other metrics.",
        )
        .source("kernel programs and the agent; see the list of sources below")
        .labels(&["source"])
        .agent(|snapshot, emit| lost(snapshot, emit, false)),
    Family::counter("glassbox_imprecise_events_total")
        .help(
            "Measurements that were less precise than others, by source. Growth is normal on a busy \
               host and is not a loss of data.",
        )
        .source("kernel programs; see the list of sources below")
        .labels(&["source"])
        .agent(|snapshot, emit| lost(snapshot, emit, true)),
    Family::gauge("glassbox_map_entries")
        .help(
            "Entries of the kernel map in use. Absent for maps whose entries are not claimed one by \
               one.",
        )
        .source("the agent's account of the map")
        .labels(&["map"])
        .agent(|snapshot, emit| maps(snapshot, emit, |map, emit| emit.count(map.entries))),
    Family::gauge("glassbox_map_capacity_entries")
        .help("Entries that the kernel map can hold.")
        .source("the map")
        .labels(&["map"])
        .agent(|snapshot, emit| maps(snapshot, emit, |map, emit| emit.count(map.capacity))),
    Family::gauge("glassbox_map_memory_bytes")
        .help("Kernel memory that the map takes, in bytes.")
        .source("the map")
        .labels(&["map"])
        .agent(|snapshot, emit| maps(snapshot, emit, |map, emit| emit.count(map.memory_bytes))),
    Family::gauge("glassbox_runtime_connected")
        .help("1 while the container runtime answers questions about names, else 0.")
        .source("the connection to its socket")
        .labels(&["runtime"])
        .agent(|snapshot, emit| {
            for status in &snapshot.agent.runtimes {
                emit.with(&[status.runtime]).count(u64::from(status.connected));
            }
        }),
    Family::counter("glassbox_ticks_total")
        .help("Ticks so far.")
        .source("the tick")
        .agent(|snapshot, emit| emit.count(snapshot.agent.ticks)),
    Family::counter("glassbox_ticks_skipped_total")
        .help("Ticks left out because the one before took too long.")
        .source("the tick")
        .agent(|snapshot, emit| emit.count(snapshot.agent.ticks_skipped)),
    Family::gauge("glassbox_tick_duration_seconds")
        .help("How long the last tick took, in seconds.")
        .source("the tick")
        .agent(|snapshot, emit| emit.time(snapshot.agent.tick_duration)),
    Family::gauge("glassbox_containers_running")
        .help("Running containers.")
        .source("the cgroup tree; the runtimes")
        .agent(|snapshot, emit| emit.count(snapshot.agent.containers_running as u64)),
    Family::counter("glassbox_containers_discovered_total")
        .help("Containers that the agent has found or seen starting.")
        .source("container start events and walks through the cgroup tree")
        .agent(|snapshot, emit| emit.count(snapshot.agent.containers_discovered)),
    Family::counter("glassbox_containers_ended_total")
        .help("Containers that have ended since the agent found them.")
        .source("container exit events and walks through the cgroup tree")
        .agent(|snapshot, emit| emit.count(snapshot.agent.containers_ended)),
];

fn collectors(snapshot: &Snapshot, emit: &mut Emit<'_>, read: fn(&CollectorStatus, &mut Emit<'_>)) {
    for collector in &snapshot.agent.collectors {
        read(collector, &mut emit.with(&[collector.name]));
    }
}

/// The sources of one kind.
fn lost(snapshot: &Snapshot, emit: &mut Emit<'_>, imprecision: bool) {
    for (source, count) in &snapshot.agent.lost {
        if losses::is_imprecision(source) == imprecision {
            emit.with(&[source]).count(*count);
        }
    }
}

fn programs(snapshot: &Snapshot, emit: &mut Emit<'_>, read: fn(&ProgramStatus, &mut Emit<'_>)) {
    for program in &snapshot.agent.programs {
        read(program, &mut emit.with(&[program.name]));
    }
}

fn maps(snapshot: &Snapshot, emit: &mut Emit<'_>, read: fn(&MapStatus, &mut Emit<'_>)) {
    for map in &snapshot.agent.maps {
        read(map, &mut emit.with(&[map.name]));
    }
}
