//! The agent: its collectors, kernel programs, maps and ticks.

use std::time::UNIX_EPOCH;

use crate::{
    exposition::{family::Family, sample::Emit},
    snapshot::{
        Snapshot,
        agent::{CollectorStatus, MapStatus, ProgramStatus},
        losses,
    },
    version,
};

/// The reason why the counts of a running program may not grow.
const MEASURED: &str =
    "kernel statistics of the program, which cost time and are on for one second in thirty by default";

/// The families, in the order of the output.
pub(super) const FAMILIES: &[Family] = &[
    Family::gauge("glassbox_build_info")
        .help(
            "Always 1. Labels: version of the agent, commit from which it was built, date of the commit \
             (UTC).",
        )
        .source("build")
        .labels(&["version", "commit", "commit_date"])
        .agent(|_, emit| {
            emit.with(&[version::VERSION, version::COMMIT, version::COMMIT_DATE]).count(1);
        }),
    Family::gauge("glassbox_host_info")
        .help(
            "Always 1. Labels: those of [labels] in the configuration. A query joins them with other series of the \
             target.",
        )
        .source("configuration")
        .static_labels(|_, emit| emit.count(1)),
    Family::gauge("glassbox_demo_info")
        .help(
            "1 if GPUs and the containers that use them are simulated to demonstrate the agent; absent \
             otherwise.",
        )
        .source("configuration")
        .agent(|snapshot, emit| emit.count(snapshot.agent.demo.then_some(1))),
    Family::gauge("glassbox_agent_capability")
        .help(
            "1 if the agent has the capability, 0 otherwise, for each capability that the configuration uses. With \
             need=\"optional\", the agent uses the capability only if it was granted.",
        )
        .source("the effective set of the agent's threads")
        .labels(&["capability", "need"])
        .agent(|snapshot, emit| {
            for capability in &snapshot.agent.sandbox.capabilities {
                let need = if capability.is_required { "required" } else { "optional" };
                emit.with(&[capability.name, need]).count(u64::from(capability.is_held));
            }
        }),
    Family::gauge("glassbox_agent_sandbox")
        .help(
            "1 if the restriction of the agent is in force, 0 otherwise. Mechanisms: capabilities (unused ones are \
             dropped), no_new_privs, seccomp, landlock (only threads for HTTP and the runtimes' APIs).",
        )
        .source("start of the agent, and of each restricted thread")
        .labels(&["mechanism"])
        .agent(|snapshot, emit| {
            for (mechanism, is_in_force) in &snapshot.agent.sandbox.mechanisms {
                emit.with(&[mechanism]).count(u64::from(*is_in_force));
            }
        }),
    Family::gauge("glassbox_collector_up")
        .help(
            "1 if the collector started, has no limitation (such as a missing privilege, or an NVML that cannot be \
             initialized), and its last run succeeded for at least one container; 0 otherwise.",
        )
        .source("tick")
        .labels(&["collector"])
        .agent(|snapshot, emit| collectors(snapshot, emit, |c, emit| emit.count(u64::from(c.up)))),
    Family::gauge("glassbox_collector_duration_seconds")
        .help("Duration of the collector's last run over all containers, in seconds.")
        .source("tick")
        .labels(&["collector"])
        .agent(|snapshot, emit| collectors(snapshot, emit, |c, emit| emit.time(c.duration))),
    Family::counter("glassbox_collector_errors_total")
        .help("Failed readings of the collector.")
        .source("tick")
        .labels(&["collector"])
        .agent(|snapshot, emit| collectors(snapshot, emit, |c, emit| emit.count(c.errors))),
    Family::gauge("glassbox_probe_attached")
        .help(
            "1 if the kernel program is attached to the hook, 0 otherwise. A program with the hook cgroup_skb or \
             sock_ops is attached to each container.",
        )
        .source("start of the agent")
        .labels(&["program", "collector", "hook"])
        .agent(|snapshot, emit| {
            for program in &snapshot.agent.programs {
                let labels = [program.name, program.collector, program.hook];
                emit.with(&labels).count(u64::from(program.attached));
            }
        }),
    Family::counter("glassbox_probe_runs_total")
        .help(
            "Runs of the kernel program, counted only while program statistics are on (one second in thirty \
             by default). Divide the run time by the runs to get the mean cost of a run.",
        )
        .source(MEASURED)
        .labels(&["program"])
        .agent(|snapshot, emit| programs(snapshot, emit, |p, emit| emit.count(p.runs))),
    Family::counter("glassbox_probe_run_seconds_total")
        .help(
            "Time spent in the kernel program, in seconds, measured only while program statistics are on \
             (one second in thirty by default). Divide the run time by the runs to get the mean cost of a \
             run.",
        )
        .source(MEASURED)
        .labels(&["program"])
        .agent(|snapshot, emit| {
            programs(snapshot, emit, |p, emit| emit.time(p.runs.map(|_| p.run_time)));
        }),
    Family::counter("glassbox_lost_events_total")
        .help("Events that were lost, by source. Growth means that other metrics are incomplete.")
        .source("kernel programs and the agent; see the list of sources below")
        .labels(&["source"])
        .agent(|snapshot, emit| lost(snapshot, emit, false)),
    Family::counter("glassbox_imprecise_events_total")
        .help(
            "Measurements with reduced precision, by source. Growth is normal on a busy host and is not a \
             loss of data.",
        )
        .source("kernel programs; see the list of sources below")
        .labels(&["source"])
        .agent(|snapshot, emit| lost(snapshot, emit, true)),
    Family::gauge("glassbox_map_entries")
        .help("Entries of the kernel map in use. Absent for maps without accounting of single entries.")
        .source("the agent's accounting of the map")
        .labels(&["map"])
        .agent(|snapshot, emit| maps(snapshot, emit, |map, emit| emit.count(map.entries))),
    Family::gauge("glassbox_map_capacity_entries")
        .help("Maximum number of entries of the kernel map.")
        .source("map")
        .labels(&["map"])
        .agent(|snapshot, emit| maps(snapshot, emit, |map, emit| emit.count(map.capacity))),
    Family::gauge("glassbox_map_memory_bytes")
        .help("Kernel memory used by the map, in bytes.")
        .source("map")
        .labels(&["map"])
        .agent(|snapshot, emit| maps(snapshot, emit, |map, emit| emit.count(map.memory_bytes))),
    Family::gauge("glassbox_runtime_connected")
        .help("1 if the container runtime answers queries for metadata, 0 otherwise.")
        .source("connection to the socket of the runtime")
        .labels(&["runtime"])
        .agent(|snapshot, emit| {
            for status in &snapshot.agent.runtimes {
                emit.with(&[status.runtime]).count(u64::from(status.connected));
            }
        }),
    Family::gauge("glassbox_config_last_reload_successful")
        .help(
            "1 if the configuration file could be used when it was last read, at the start or after SIGHUP; 0 if it is \
             invalid and the previous configuration is in force.",
        )
        .source("configuration file")
        .agent(|snapshot, emit| {
            emit.count(snapshot.agent.config.map(|config| u64::from(config.last_load_succeeded)));
        }),
    Family::gauge("glassbox_config_last_reload_success_timestamp_seconds")
        .help("Time at which the configuration in force was read, in seconds since 1970.")
        .source("configuration file")
        .agent(|snapshot, emit| {
            let loaded_at = snapshot.agent.config.map(|config| config.loaded_at);
            #[expect(clippy::disallowed_methods, reason = "a timestamp, not an age")]
            emit.time(loaded_at.map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default()));
        }),
    Family::counter("glassbox_ticks_total")
        .help("Completed ticks.")
        .source("tick")
        .agent(|snapshot, emit| emit.count(snapshot.agent.ticks)),
    Family::counter("glassbox_ticks_skipped_total")
        .help("Ticks skipped because the previous tick took too long.")
        .source("tick")
        .agent(|snapshot, emit| emit.count(snapshot.agent.ticks_skipped)),
    Family::gauge("glassbox_tick_duration_seconds")
        .help("Duration of the last tick, in seconds.")
        .source("tick")
        .agent(|snapshot, emit| emit.time(snapshot.agent.tick_duration)),
    Family::gauge("glassbox_containers_running")
        .help("Running containers.")
        .source("cgroup tree; runtimes")
        .agent(|snapshot, emit| emit.count(snapshot.agent.containers_running as u64)),
    Family::counter("glassbox_containers_discovered_total")
        .help("Containers discovered since the agent started.")
        .source("container start events and scans of the cgroup tree")
        .agent(|snapshot, emit| emit.count(snapshot.agent.containers_discovered)),
    Family::counter("glassbox_containers_ended_total")
        .help("Containers that ended since the agent discovered them.")
        .source("container exit events and scans of the cgroup tree")
        .agent(|snapshot, emit| emit.count(snapshot.agent.containers_ended)),
];

fn collectors(snapshot: &Snapshot, emit: &mut Emit<'_>, read: fn(&CollectorStatus, &mut Emit<'_>)) {
    for collector in &snapshot.agent.collectors {
        read(collector, &mut emit.with(&[collector.name]));
    }
}

/// Lost events, or measurements with reduced precision.
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
