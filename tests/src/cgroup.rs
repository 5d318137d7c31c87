//! Cgroups that tests make, fill with processes and remove again.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use glassbox::{
    containers::tracker::Container,
    kernel::Kernel,
    snapshot::identity::{Identity, Runtime},
};

/// Where cgroups are mounted on every system that systemd or this project's guest sets up.
pub const ROOT: &str = "/sys/fs/cgroup";

/// The v2 hierarchy of this host, pure or beside v1; `None` on a pure v1 host.
#[must_use]
pub fn v2_root() -> Option<PathBuf> {
    let pure = Path::new(ROOT);
    let beside = pure.join("unified");
    [pure, &beside].into_iter().find(|root| root.join("cgroup.controllers").exists()).map(Path::to_owned)
}

/// A container id that no other test uses.
#[must_use]
pub fn fresh_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}{:08x}{:0>48}", std::process::id(), number, "ab")
}

/// A cgroup that is removed, with what is nested in it, when dropped. Its processes are killed.
pub struct Cgroup {
    path: PathBuf,
    /// The first directory that was made for it.
    top: PathBuf,
}

impl Cgroup {
    /// Makes `relative` below a hierarchy's root, and its parents where they are missing.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn new(root: &Path, relative: &str) -> io::Result<Self> {
        let path = root.join(relative.trim_start_matches('/'));
        let missing = path.ancestors().take_while(|ancestor| !ancestor.exists()).last();
        let top = missing.unwrap_or(&path).to_owned();
        fs::create_dir_all(&path)?;
        Ok(Self { path, top })
    }

    /// A cgroup that looks like a Docker container's, with its id.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn container(root: &Path) -> io::Result<(Self, String)> {
        let id = fresh_id();
        Ok((Self::new(root, &format!("docker/{id}"))?, id))
    }

    /// The same for kernel programs that are already attached and so give it a slot; with the entry that the tracker would have.
    ///
    /// # Panics
    /// Where it is not made, or gets no slot.
    #[must_use]
    pub fn tracked(root: &Path, kernel: &Kernel) -> (Self, Container) {
        let (cgroup, id) = Self::container(root).unwrap_or_else(|error| panic!("make a cgroup: {error}"));
        let cgroup_id = cgroup.id().unwrap_or_else(|error| panic!("read its id: {error}"));
        let slot = kernel.slots.created(cgroup_id);
        assert!(slot.is_some(), "the kernel programs gave the new container no slot");
        let identity = Arc::new(Identity {
            cgroup_path: format!("/docker/{id}"),
            container: id.clone(),
            id,
            runtime: Runtime::Docker,
            ..Identity::default()
        });
        (cgroup, Container { key: cgroup_id, identity, cgroup_id, slot })
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its id.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn id(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.path)?.ino())
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn enter(&self, pid: i32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while remove(&self.top).is_err() && self.top.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The controllers that the root of the v2 hierarchy gave to its cgroups before a test. Those that were turned on since
/// are turned off again when dropped: runtimes turn on all there are.
pub struct SubtreeControl {
    file: Option<PathBuf>,
    before: String,
}

impl SubtreeControl {
    /// Notes what this host has turned on.
    #[must_use]
    pub fn of_the_host() -> Self {
        let file = v2_root().map(|root| root.join("cgroup.subtree_control"));
        let before = file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        Self { file: file.filter(|_| before.is_some()), before: before.unwrap_or_default() }
    }
}

impl Drop for SubtreeControl {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        let now = fs::read_to_string(file).unwrap_or_default();
        let was_on = |controller: &&str| self.before.split_whitespace().any(|before| before == *controller);
        for controller in now.split_whitespace().filter(|controller| !was_on(controller)) {
            // The kernel refuses if another cgroup has begun to use it, which then keeps it.
            let _ = fs::write(file, format!("-{controller}"));
        }
    }
}

fn remove(directory: &Path) -> io::Result<()> {
    for pid in fs::read_to_string(directory.join("cgroup.procs"))?.lines().filter_map(|pid| pid.parse().ok())
    {
        // SAFETY: no pointers. The process was put here by the test.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    for child in fs::read_dir(directory)?.flatten() {
        if child.file_type()?.is_dir() {
            remove(&child.path())?;
        }
    }
    fs::remove_dir(directory)
}
