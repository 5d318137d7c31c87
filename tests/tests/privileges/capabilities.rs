//! A privileged port without its capability.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Command, Output},
};

use glassbox_tests::{agent::binary, process_container::ProcessContainer, skip};

/// Removes capabilities from the bounding set of a command, and so from everything that it executes.
fn remove(command: &mut Command, bits: &'static [u32]) {
    // SAFETY: between fork and exec, calls are made that are async-signal-safe and take no pointers.
    unsafe {
        command.pre_exec(move || {
            for bit in bits {
                if libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(*bit), 0, 0, 0) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

/// The output of an agent that exits at once.
fn output(arguments: &[&str], bits: &'static [u32]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments);
    remove(&mut command, bits);
    command.output().unwrap()
}

#[test]
fn a_port_below_1024_needs_a_capability_which_is_kept_only_for_it() {
    let test = "a_port_below_1024_needs_a_capability_which_is_kept_only_for_it";
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if ProcessContainer::new().is_err() || first.trim() != "1024" {
        return skip(test, "needs root, and a host on which ports below 1024 are privileged");
    }
    let refused = output(&["run", "--listen", "127.0.0.1:979"], &[10]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("require CAP_NET_BIND_SERVICE; choose a higher port"), "{text}");
}
