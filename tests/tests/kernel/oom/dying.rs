//! `docker kill` of a container at its memory limit: one process has SIGKILL pending when another one needs memory. The kernel
//! chooses the dying one and marks it as the victim, but does not kill it.

use std::{ffi::CString, fs, io, os::unix::ffi::OsStrExt as _, path::PathBuf, time::Duration};

use glassbox::containers::cgroup::Layout;
use glassbox_ebpf::containers::SHARED_SLOT;
use glassbox_tests::{
    cgroup::{Cgroup, ROOT, fresh_id},
    docker::wait_until,
    worker::Work,
};

use super::{ALONE, Contained, Kernel, Kills, LIMIT_BYTES, Path, programs};

const PATIENCE: Duration = Duration::from_secs(20);

/// The v1 hierarchy of the freezer. A process that is frozen there does not end before the OOM killer marks it; one that is
/// frozen in v2 would.
struct Freezer {
    root: PathBuf,
    /// Where a hierarchy was mounted for the test, because the host mounts none.
    mounted: Option<(tempfile::TempDir, CString)>,
}

impl Freezer {
    /// Finds the hierarchy, or mounts it.
    ///
    /// # Errors
    /// The reason to skip the test: the kernel has no freezer for v1.
    fn find_or_mount() -> Result<Self, String> {
        let layout = Layout::detect(Path::new(ROOT)).unwrap();
        if !layout.is_unified("freezer")
            && let Some(root) = layout.directory("freezer", "/")
        {
            return Ok(Self { root, mounted: None });
        }
        let directory = tempfile::tempdir().unwrap();
        let path = CString::new(directory.path().as_os_str().as_bytes()).unwrap();
        // SAFETY: C strings that outlive the call.
        let result = unsafe {
            libc::mount(c"cgroup".as_ptr(), path.as_ptr(), c"cgroup".as_ptr(), 0, c"freezer".as_ptr().cast())
        };
        if result != 0 {
            return Err(format!("mount the v1 freezer: {}", io::Error::last_os_error()));
        }
        Ok(Self { root: directory.path().to_owned(), mounted: Some((directory, path)) })
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.mounted {
            // SAFETY: a C string. If the mount remains, the directory remains, too.
            unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

/// A process that does not run, even to end, until dropped.
struct Frozen<'a> {
    cgroup: Cgroup,
    _freezer: &'a Freezer,
}

impl<'a> Frozen<'a> {
    fn new(freezer: &'a Freezer, pid: i32) -> Self {
        let frozen = Self { cgroup: Cgroup::new(&freezer.root, &fresh_id()).unwrap(), _freezer: freezer };
        frozen.cgroup.enter(pid).unwrap();
        fs::write(frozen.state(), "FROZEN").unwrap();
        wait_until("the process is frozen", PATIENCE, || {
            fs::read_to_string(frozen.state()).unwrap() == "FROZEN\n"
        });
        frozen
    }

    fn state(&self) -> PathBuf {
        self.cgroup.path().join("freezer.state")
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.state(), "THAWED");
    }
}

#[test]
fn a_process_that_is_dying_when_memory_runs_out_is_not_counted() {
    let test = "a_process_that_is_dying_when_memory_runs_out_is_not_counted";
    let _alone = ALONE.lock();
    let freezer = match Freezer::find_or_mount() {
        Ok(freezer) => freezer,
        Err(reason) => return glassbox_tests::skip(test, &reason),
    };
    let (kernel, kills) = programs();
    // If the memory of the dying process is freed late, the kernel really kills the other one.
    let is_only_marked = (0..10).any(|_| kills_beside_the_dying(&freezer, &kernel, &kills) == 0);
    assert!(is_only_marked, "the kernel killed a process in each attempt");
}

/// Lets memory run out while a process dies. Returns how many others the kernel kills.
fn kills_beside_the_dying(freezer: &Freezer, kernel: &Kernel, kills: &Kills) -> u64 {
    let container = Contained::new().limited();
    let slot = kernel.slots.created(container.cgroup.id().unwrap()).expect("a slot");
    let dying = container.start(Work::Eat(LIMIT_BYTES * 3 / 4));
    let eater = container.start(Work::Eat(LIMIT_BYTES / 2));
    dying.go();
    wait_until("the process has its memory", PATIENCE, || container.used_bytes() >= LIMIT_BYTES * 3 / 4);
    let frozen = Frozen::new(freezer, dying.pid);
    let marks = || kills.get(&SHARED_SLOT, 0).unwrap();
    let before = marks();

    // SAFETY: no pointers; the child is ours.
    unsafe { libc::kill(dying.pid, libc::SIGKILL) };
    eater.go();
    wait_until("a process is marked", PATIENCE, || marks() > before);
    drop(frozen);
    assert_eq!(dying.killed_by(), libc::SIGKILL);
    wait_until("the other process has its memory or is killed", PATIENCE, || {
        container.counted_by_kernel() > 0 || container.used_bytes() >= LIMIT_BYTES / 2
    });
    // The kernel counts a kill just before the program does.
    wait_until("the counts of OOM kills agree", PATIENCE, || {
        let counted = container.counted_by_kernel();
        kills.get(&slot, 0).unwrap() == counted && marks() - before == 1 + counted
    });
    container.counted_by_kernel()
}
