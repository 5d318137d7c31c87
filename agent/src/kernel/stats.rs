//! How long the programs run, as the kernel measures it.
//!
//! The kernel counts runs and their time only while somebody asks for it (`BPF_ENABLE_STATS`, 5.8, or the sysctl
//! `kernel.bpf_stats_enabled`), and the two clock reads per run cost more than our busiest program. By default we
//! therefore ask for one second in thirty: runs and time are both counted only then, so their quotient, the mean cost of
//! a run, is right at all times.

use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use aya::Ebpf;

use crate::config::ProgramStats;

/// Time between two windows.
const PERIOD: Duration = Duration::from_secs(30);
/// Length of a window. The first begins at once, so that the metrics exist from the second tick on.
const WINDOW: Duration = Duration::from_secs(1);

pub(super) struct ProgramTimes {
    when: ProgramStats,
    /// Statistics are on for as long as this is open.
    window: Option<(OwnedFd, Instant)>,
    next: Instant,
    measured: HashMap<String, (u64, Duration)>,
}

impl ProgramTimes {
    pub(super) fn new(when: ProgramStats) -> Self {
        Self { when, window: None, next: Instant::now(), measured: HashMap::new() }
    }

    /// Opens and closes the window when it is time.
    pub(super) fn tick(&mut self, ebpf: &Ebpf) {
        let now = Instant::now();
        let over = self.window.as_ref().is_some_and(|(_, opened)| now.duration_since(*opened) >= WINDOW);
        if over && self.when == ProgramStats::Sampled {
            self.window = None;
            self.next = now + PERIOD;
            self.read(ebpf);
        } else if self.window.is_none() && self.when != ProgramStats::Never && now >= self.next {
            // Refused before 5.8 and without CAP_SYS_ADMIN; the counters then stay absent.
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

    /// Runs of a program while they were measured, and their time.
    pub(super) fn of(&self, program: &str) -> Option<(u64, Duration)> {
        self.measured.get(program).copied()
    }
}
