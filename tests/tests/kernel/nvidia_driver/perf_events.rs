//! Kernels of Debian and Ubuntu permit perf events only to CAP_SYS_ADMIN by default. Hooks on functions are perf events.

use std::{fs, io};

use glassbox::{
    check::{Report, RowState},
    config::Config,
};

use super::{probe::reload, stand_in};

const LEVEL: &str = "/proc/sys/kernel/perf_event_paranoid";

/// The kernel's default level while this exists.
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

/// Removes CAP_SYS_ADMIN from the calling thread's effective set.
fn drop_sys_admin() {
    const VERSION_3: u32 = 0x2008_0522;
    const SYS_ADMIN: u32 = 1 << 21;
    let header = [VERSION_3, 0];
    // Effective, permitted and inheritable, of the first 32 capabilities and of the others.
    let mut words = [0u32; 6];
    // SAFETY: the arrays have the layout of the structures of capget(2), version 3, and are live.
    let failed = unsafe { libc::syscall(libc::SYS_capget, &raw const header, &raw mut words) };
    assert_eq!(failed, 0, "capget: {}", io::Error::last_os_error());
    words[0] &= !SYS_ADMIN;
    // SAFETY: as above.
    let failed = unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const words) };
    assert_eq!(failed, 0, "capset: {}", io::Error::last_os_error());
}

/// What `glassbox check` reports about programs that do not work, on a thread with or without CAP_SYS_ADMIN.
fn faults(level: &str, has_sys_admin: bool) -> Vec<String> {
    let _level = Level::set(level);
    let check = move || {
        if !has_sys_admin {
            drop_sys_admin();
        }
        Report::of(&Config::default(), None)
    };
    let report = std::thread::spawn(check).join().unwrap();
    let rows =
        report.rows().iter().filter(|row| row.subject.contains("nvidia_driver") || row.subject == "oom");
    rows.filter(|row| row.state == RowState::Degraded).map(|row| row.finding.clone()).collect()
}

#[test]
fn without_sys_admin_the_level_of_perf_events_is_named_as_the_reason() {
    let Some(_alone) = stand_in("without_sys_admin_the_level_of_perf_events_is_named_as_the_reason") else {
        return;
    };
    reload("");
    let reason = "kernel.perf_event_paranoid is 3, and this kernel then requires CAP_SYS_ADMIN";
    let restricted = faults("3", false);
    assert!(restricted.iter().any(|fault| fault.contains(reason)), "{restricted:#?}");
    let privileged = faults("3", true);
    assert_eq!(faults("2", false), privileged);
    assert!(!privileged.iter().any(|fault| fault.contains("perf_event")), "{privileged:#?}");
}
