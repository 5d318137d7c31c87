//! Converts the programs' counts of a container to its row.

use std::time::{Duration, SystemTime};

use glassbox_ebpf::{counters::Counters as _, nvidia_driver::DriverSlot};

use crate::snapshot::nvidia_driver::{ColdStart, CommandUsage, DriverUsage, FailureCount};

/// Adds calls to those of the same name. Several commands share a name, and two series with the same labels make a
/// scrape invalid.
pub(super) fn enter_command(commands: &mut Vec<CommandUsage>, usage: CommandUsage) {
    let same = |known: &&mut CommandUsage| (known.device, &known.command) == (usage.device, &usage.command);
    let Some(known) = commands.iter_mut().find(same) else {
        commands.push(usage);
        return;
    };
    known.durations.add(&usage.durations);
}

/// Adds failures to those with the same names.
pub(super) fn enter_failure(failures: &mut Vec<FailureCount>, failure: FailureCount) {
    let names = |failure: &FailureCount| (failure.device, failure.command.clone(), failure.reason.clone());
    match failures.iter_mut().find(|known| names(known) == names(&failure)) {
        Some(known) => known.count += failure.count,
        None => failures.push(failure),
    }
}

/// The usage of a container from its slot, at this time on the programs' clock and on the wall clock.
pub(super) fn usage(counts: &DriverSlot, now_ns: u64, now: SystemTime) -> DriverUsage {
    let in_flight = counts.begun.saturating_sub(counts.ended);
    let last_ns = counts.last_begun_ns.max(counts.last_ended_ns);
    DriverUsage {
        per_command_histograms: false,
        commands: Vec::new(),
        failures: Vec::new(),
        polls: Vec::new(),
        counters: counts.counters,
        in_flight,
        waiting: (in_flight > 0).then(|| Duration::from_nanos(now_ns.saturating_sub(last_ns))),
        cold_start: cold_start(counts),
        refused_at: refused_at(counts, now_ns, now),
        earlier_refused_at: None,
    }
}

/// When GPU memory was last refused, unless some was granted afterwards. The wall clock, because runtimes report exits
/// by it.
fn refused_at(counts: &DriverSlot, now_ns: u64, now: SystemTime) -> Option<SystemTime> {
    let ago = Duration::from_nanos(now_ns.saturating_sub(counts.refused_ns));
    (counts.refused_ns > counts.granted_ns).then(|| now.checked_sub(ago)).flatten()
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

/// A process name from the kernel. The process chose the bytes, which may not be valid text.
fn process_name(name: [u64; 2]) -> String {
    let bytes: Vec<u8> =
        name.iter().flat_map(|word| word.to_ne_bytes()).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use glassbox_ebpf::counters::PerSlot as _;

    use super::{super::names, *};
    use crate::snapshot::{nvidia_driver::Failure, scheduler::Histogram};

    #[test]
    fn a_cold_start_is_measured_from_the_start_of_the_process() {
        let mut counts = DriverSlot { cold_started_ns: 1_000, cold_opened_ns: 3_000, ..DriverSlot::EMPTY };
        assert_eq!(cold_start(&counts), None);
        counts.cold_process = 7;
        counts.cold_context_ns = 9_000;
        let cold = cold_start(&counts).unwrap();
        assert_eq!((cold.driver_opened.as_nanos(), cold.context_ready.as_nanos()), (2_000, 8_000));
        assert_eq!((cold.process.as_str(), cold.last_large_allocation), ("", None));
    }

    #[test]
    fn a_process_name_may_be_invalid_text_or_unterminated() {
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
    fn commands_that_share_a_name_are_one_series() {
        // Neither number is a request of the driver, but both are in its range.
        let (one, other) = (names::command(0x2C), names::command(0x2D));
        assert_eq!(one, other);
        let mut durations = Histogram { sum_ns: 7, ..Histogram::default() };
        durations.buckets[3] = 2;
        let usage = |command| CommandUsage { device: "ctl", command, durations };
        let mut commands = Vec::new();
        enter_command(&mut commands, usage(one.clone()));
        enter_command(&mut commands, usage(other.clone()));
        enter_command(&mut commands, usage("rm_free".into()));
        assert_eq!(commands.len(), 2);
        assert_eq!((commands[0].durations.sum_ns, commands[0].durations.buckets[3]), (14, 4));
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
    fn a_refusal_is_known_until_memory_is_granted() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let refused_at = |refused_ns, granted_ns| {
            let counts = DriverSlot { refused_ns, granted_ns, ..DriverSlot::EMPTY };
            usage(&counts, 9_000_000_000, now).refused_at
        };
        assert_eq!(refused_at(0, 0), None);
        assert_eq!(refused_at(0, 5_000_000_000), None);
        assert_eq!(refused_at(6_000_000_000, 5_000_000_000), Some(now - Duration::from_secs(3)));
        assert_eq!(refused_at(6_000_000_000, 6_000_000_001), None, "a smaller allocation succeeded");
    }

    #[test]
    fn waiting_is_measured_from_the_last_start_or_end_of_a_call() {
        let counts =
            DriverSlot { begun: 5, ended: 4, last_begun_ns: 700, last_ended_ns: 500, ..DriverSlot::EMPTY };
        let usage = |counts: &DriverSlot, now_ns| usage(counts, now_ns, SystemTime::UNIX_EPOCH);
        let used = usage(&counts, 1_000);
        assert_eq!((used.in_flight, used.waiting), (1, Some(Duration::from_nanos(300))));
        assert_eq!(usage(&DriverSlot { ended: 5, ..counts }, 1_000).waiting, None);
    }
}
