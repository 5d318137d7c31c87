//! A directory tree with the cgroup v2 files of real containers. It stands in for the cgroup tree of a host with a thousand
//! containers.

use std::{fs, io, path::Path};

/// The real cgroup files that are copied.
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/cgroup/v2");

/// The tree, which is removed when dropped.
pub struct FakeTree {
    directory: tempfile::TempDir,
    made: u64,
    containers: Vec<u64>,
}

impl FakeTree {
    /// Creates a tree with a number of Docker containers.
    ///
    /// # Errors
    /// If the directories cannot be created.
    pub fn new(containers: usize) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let fixture = Path::new(FIXTURE);
        for file in ["cgroup.controllers", "cgroup.procs"] {
            fs::copy(fixture.join(file), directory.path().join(file))?;
        }
        let container = fs::read_dir(fixture.join("system.slice"))?.next();
        let container = container.ok_or_else(|| io::Error::other("the fixture has no container"))??.path();
        fs::create_dir(directory.path().join("system.slice"))?;
        // The model is at a path that is not a container's.
        fs::create_dir(directory.path().join("model"))?;
        for file in fs::read_dir(container)? {
            let file = file?;
            if file.file_type()?.is_file() {
                fs::copy(file.path(), directory.path().join("model").join(file.file_name()))?;
            }
        }
        // So that the container has no processes of this host.
        fs::write(directory.path().join("model/cgroup.procs"), "")?;
        let mut tree = Self { directory, made: 0, containers: Vec::new() };
        tree.add(containers)?;
        Ok(tree)
    }

    /// The root, for `paths.cgroup`.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Adds containers. Their files are links to those of one model.
    ///
    /// # Errors
    /// If they cannot be created.
    pub fn add(&mut self, containers: usize) -> io::Result<()> {
        for _ in 0..containers {
            self.made += 1;
            let path = self.container(self.made);
            fs::create_dir(&path)?;
            for file in fs::read_dir(self.path().join("model"))? {
                let file = file?;
                fs::hard_link(file.path(), path.join(file.file_name()))?;
            }
            self.containers.push(self.made);
        }
        Ok(())
    }

    /// Removes all containers except the first ones.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn truncate(&mut self, containers: usize) -> io::Result<()> {
        for number in self.containers.split_off(containers.min(self.containers.len())) {
            fs::remove_dir_all(self.container(number))?;
        }
        Ok(())
    }

    fn container(&self, number: u64) -> std::path::PathBuf {
        self.path().join(format!("system.slice/docker-{number:064x}.scope"))
    }
}
