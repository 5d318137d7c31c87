//! Run time of the programs, as measured by the kernel.
//!
//! The kernel counts runs and their time only while statistics are enabled (`BPF_ENABLE_STATS`, 5.8, or the sysctl
//! `kernel.bpf_stats_enabled`). The two clock reads per run cost more than our busiest program, so by default
//! statistics are on for one second in thirty. Runs and time are both counted only in these windows, so their quotient,
//! the mean cost of a run, is always correct.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use aya::Ebpf;

use crate::config::ProgramStats;

/// Time between two windows.
const PERIOD: Duration = Duration::from_secs(30);
/// Length of a window. The first one begins immediately, so that the metrics exist from the second tick on.
const WINDOW: Duration = Duration::from_secs(1);

pub(super) struct ProgramTimes {
    when: ProgramStats,
    /// Statistics are on while this descriptor is open.
    window: Option<(OwnedFd, Instant)>,
    next: Instant,
    measured: HashMap<String, (u64, Duration)>,
}

impl ProgramTimes {
    pub(super) fn new(when: ProgramStats) -> Self {
        Self { when, window: None, next: Instant::now(), measured: HashMap::new() }
    }

    /// Opens or closes the window when it is due.
    pub(super) fn tick(&mut self, ebpf: &Ebpf) {
        let now = Instant::now();
        let over = self.window.as_ref().is_some_and(|(_, opened)| now.duration_since(*opened) >= WINDOW);
        if over && self.when == ProgramStats::Sampled {
            self.window = None;
            self.next = now + PERIOD;
            self.read(ebpf);
        } else if self.window.is_none() && self.when != ProgramStats::Never && now >= self.next {
            // Fails before 5.8 and without CAP_SYS_ADMIN. The metrics are then absent.
            self.window = aya::sys::enable_stats(aya::sys::Stats::RunTime).ok().map(|fd| (fd, now));
            self.next = now + PERIOD;
        } else if self.when != ProgramStats::Sampled {
            self.read(ebpf);
        }
    }

    fn read(&mut self, ebpf: &Ebpf) {
        for (name, program) in ebpf.programs() {
            let Ok(info) = program.info() else { continue };
            if info.run_count() > 0 {
                self.measured.insert(name.to_owned(), (info.run_count(), info.run_time()));
            }
        }
    }

    /// The number of measured runs of a program, and their total time.
    pub(super) fn of(&self, program: &str) -> Option<(u64, Duration)> {
        self.measured.get(program).copied()
    }
}
