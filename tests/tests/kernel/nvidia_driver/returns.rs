//! Returns of the driver's functions if tracefs accepts no events.

use std::{ffi::CString, fs, io, os::unix::ffi::OsStrExt as _, path::PathBuf, sync::Arc};

use glassbox::kernel::{functions::FunctionGroup, tracefs::Tracefs};

use super::{
    call::control,
    caller::{Caller, Nodes},
    probe::{DriverProbe, METHOD, counts, reload},
    stand_in,
};

/// A file that is covered by another one until dropped.
struct Covered(CString);

impl Covered {
    fn new(path: PathBuf, by: &CString) -> Self {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: C strings that outlive the call; a bind mount has no data.
        let result = unsafe {
            libc::mount(by.as_ptr(), path.as_ptr(), std::ptr::null(), libc::MS_BIND, std::ptr::null())
        };
        assert_eq!(result, 0, "mount over {path:?}: {}", io::Error::last_os_error());
        Self(path)
    }
}

impl Drop for Covered {
    fn drop(&mut self) {
        // SAFETY: a C string. If the mount remains, the next test fails.
        unsafe { libc::umount2(self.0.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn without_tracefs_events_kretprobes_count_the_returns() {
    let Some(_alone) = stand_in("without_tracefs_events_kretprobes_count_the_returns") else { return };
    reload("");
    let hooks = |probe: &DriverProbe| {
        let groups = probe.kernel.outcomes().iter().flat_map(|outcome| &outcome.functions);
        groups.map(FunctionGroup::events).sum::<usize>()
    };
    // Entry and return of nvidia's ioctl function, of uvm's two, and of that of nvidia-modeset, which may be loaded later;
    // poll and report.
    assert_eq!(hooks(&DriverProbe::start()), 10);

    let _tracefs = Tracefs::mounted();
    let events = PathBuf::from("/sys/kernel/tracing/kprobe_events");
    let directory = tempfile::tempdir().unwrap();
    let full = CString::new(directory.path().join("full").as_os_str().as_bytes()).unwrap();
    // SAFETY: a C string that outlives the call.
    let made = unsafe { libc::mknod(full.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(1, 7)) };
    assert_eq!(made, 0, "mknod {full:?}: {}", io::Error::last_os_error());
    let covered = Covered::new(events.clone(), &full);
    assert!(fs::write(&events, "p:none none").is_err(), "no event can be made");
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt().with_writer(Arc::new(log.reopen().unwrap())).finish();
    let mut probe = tracing::subscriber::with_default(subscriber, DriverProbe::start);
    drop(covered);
    let logged = fs::read_to_string(log.path()).unwrap();
    for function in ["nvidia_unlocked_ioctl", "uvm_unlocked_ioctl_entry"] {
        assert!(logged.contains(&format!("{function}: some concurrent calls will be missed")), "{logged}");
    }
    assert_eq!(probe.kernel.method("nvidia_driver").map(|method| method.name).unwrap(), METHOD);
    assert_eq!(hooks(&probe), 0);
    let (cgroup, container) = probe.container();
    Caller::start(Some(&cgroup), &Nodes::new(), vec![control(0x101); 100]).outcomes();
    let usage = probe.read(&container).expect("a row");
    assert_eq!((counts(&usage).values().sum::<u64>(), usage.in_flight), (100, 0));
}
