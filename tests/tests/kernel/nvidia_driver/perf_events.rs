//! Kernels of Debian and Ubuntu permit perf events only to CAP_SYS_ADMIN by default. Hooks on functions are perf events.

use std::fs;

use glassbox::{
    check::{Report, RowState},
    config::Config,
};

use super::{super::degraded::drop_capabilities, probe::reload, stand_in};

const LEVEL: &str = "/proc/sys/kernel/perf_event_paranoid";

/// The bit of CAP_SYS_ADMIN.
const SYS_ADMIN: u32 = 21;

/// Changes the level until dropped. Holds the previous one.
struct Level(String);

impl Level {
    fn set(level: &str) -> Self {
        let before = fs::read_to_string(LEVEL).unwrap();
        fs::write(LEVEL, level).unwrap();
        Self(before)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        let _ = fs::write(LEVEL, &self.0);
    }
}

/// The rows of `glassbox check` about the driver and OOM kills that are degraded, with their findings, on a thread with or
/// without CAP_SYS_ADMIN.
fn faults(level: &str, has_sys_admin: bool) -> Vec<(String, String)> {
    let _level = Level::set(level);
    let check = move || {
        if !has_sys_admin {
            drop_capabilities(&[SYS_ADMIN]);
        }
        Report::of(&Config::default(), None)
    };
    let report = std::thread::spawn(check).join().unwrap();
    let is_meant = |subject: &str| ["nvidia_driver", "oom"].iter().any(|part| subject.contains(part));
    let rows = report.rows().iter().filter(|row| row.state == RowState::Degraded && is_meant(&row.subject));
    rows.map(|row| (row.subject.clone(), row.finding.clone())).collect()
}

#[test]
fn without_sys_admin_the_level_of_perf_events_is_named_as_the_reason() {
    let Some(_alone) = stand_in("without_sys_admin_the_level_of_perf_events_is_named_as_the_reason") else {
        return;
    };
    reload("");
    let reason = "kernel.perf_event_paranoid is 3, and this kernel then requires CAP_SYS_ADMIN";
    let restricted = faults("3", false);
    assert!(restricted.iter().any(|(_, finding)| finding.contains(reason)), "{restricted:#?}");
    assert!(!restricted.iter().any(|(subject, _)| subject.contains("oom")), "{restricted:#?}");
    let privileged = faults("3", true);
    assert_eq!(faults("2", false), privileged);
    assert!(!privileged.iter().any(|(_, finding)| finding.contains("perf_event")), "{privileged:#?}");
}
