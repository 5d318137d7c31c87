//! Cgroups that tests create, fill with processes and remove.

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

/// The mount point of cgroups under systemd and in this project's guests.
pub const ROOT: &str = "/sys/fs/cgroup";

/// The v2 hierarchy of this host, alone or beside v1. `None` on a host with v1 only.
#[must_use]
pub fn v2_root() -> Option<PathBuf> {
    let pure = Path::new(ROOT);
    let beside = pure.join("unified");
    [pure, &beside].into_iter().find(|root| root.join("cgroup.controllers").exists()).map(Path::to_owned)
}

/// A container ID that no other test uses. Its first twelve digits, which are shown for containers without a name, are unique.
#[must_use]
pub fn fresh_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{number:04x}{:08x}{:0>52}", std::process::id(), "ab")
}

/// A cgroup. When dropped, its processes are killed, and it is removed with the cgroups below it.
pub struct Cgroup {
    path: PathBuf,
    /// The first directory that was created for it.
    top: PathBuf,
}

impl Cgroup {
    /// Creates `relative` and its missing parents below the root of a hierarchy.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new(root: &Path, relative: &str) -> io::Result<Self> {
        let path = root.join(relative.trim_start_matches('/'));
        let missing = path.ancestors().take_while(|ancestor| !ancestor.exists()).last();
        let top = missing.unwrap_or(&path).to_owned();
        // A test in another process may remove a parent at this moment.
        let mut attempts = 0..5;
        while let Err(error) = fs::create_dir_all(&path) {
            if error.kind() != io::ErrorKind::NotFound || attempts.next().is_none() {
                return Err(error);
            }
        }
        Ok(Self { path, top })
    }

    /// Creates a cgroup with the path of a Docker container. Returns it with the container ID.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn container(root: &Path) -> io::Result<(Self, String)> {
        let id = fresh_id();
        Ok((Self::new(root, &format!("docker/{id}"))?, id))
    }

    /// Like [`container`](Self::container), for kernel programs that are already attached and thus give it a slot. Returns
    /// the entry that the tracker would have for it.
    ///
    /// # Panics
    /// If the cgroup cannot be created, or gets no slot.
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

    /// Its cgroup ID.
    ///
    /// # Errors
    /// If it has been removed.
    pub fn id(&self) -> io::Result<u64> {
        Ok(fs::metadata(&self.path)?.ino())
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn enter(&self, pid: i32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while remove(&self.path).is_err() && self.path.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Parents that have other children remain: a test in another process may use them.
        let parents = self.path.ancestors().skip(1).take_while(|parent| parent.starts_with(&self.top));
        for parent in parents {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// The controllers that the root of the v2 hierarchy had enabled for its children before a test. When dropped, controllers
/// that have been enabled since are disabled again: container runtimes enable all of them.
pub struct SubtreeControl {
    file: Option<PathBuf>,
    before: String,
}

impl SubtreeControl {
    /// Records the controllers that are enabled now.
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
            // Fails if another cgroup uses the controller by now. It then stays enabled.
            let _ = fs::write(file, format!("-{controller}"));
        }
    }
}

fn remove(directory: &Path) -> io::Result<()> {
    for pid in fs::read_to_string(directory.join("cgroup.procs"))?.lines().filter_map(|pid| pid.parse().ok())
    {
        // SAFETY: no pointers. The test put the process into this cgroup.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    for child in fs::read_dir(directory)?.flatten() {
        if child.file_type()?.is_dir() {
            remove(&child.path())?;
        }
    }
    fs::remove_dir(directory)
}
