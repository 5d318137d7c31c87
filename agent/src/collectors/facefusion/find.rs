//! Finds FaceFusion in a container, and the directory with its jobs.
//!
//! A process is recognized by its command line. The directory is `--jobs-path`, else `jobs_path` of the configuration file, else
//! `.jobs`, relative to the working directory. All paths are resolved inside the container's root.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read as _},
    mem,
    os::fd::{AsRawFd as _, FromRawFd as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::command::{self, Command};
use crate::containers::{
    cgroup::Layout,
    directory::Directory,
    process::{self, stat::Stat},
};

/// Maximum number of processes of a container that are looked at.
const PROCESSES_MAX: usize = 64;
/// Maximum number of bytes of a command line, and of a configuration file.
const TEXT_BYTES_MAX: u64 = 64 * 1024;
/// Maximum number of bytes of `stat`: some fifty numbers and a short name.
const STAT_BYTES_MAX: u64 = 4096;

/// A running FaceFusion.
#[derive(Debug)]
pub(super) struct Process {
    id: String,
    directory: PathBuf,
    /// Of `/proc/PID`: reading below it fails when the process has ended, even if its ID is used again.
    alive: File,
    started: Option<SystemTime>,
    /// The ID of its parent; `None` if that is unknown.
    parent: Option<String>,
    command: Command,
}

impl Process {
    /// The process with this ID, if it is FaceFusion.
    pub(super) fn of(proc_root: &Path, process: &str) -> Option<Self> {
        let directory = proc_root.join(process);
        let command = Command::of(&text(&directory.join("cmdline")).ok()?)?;
        let alive = File::open(&directory).ok()?;
        let stat = stat(&alive).ok().and_then(|line| Stat::of(&line));
        let started = stat.and_then(Stat::started);
        let parent = stat.and_then(|stat| stat.parent).map(|parent| parent.to_string());
        Some(Self { id: process.to_owned(), alive, started, parent, directory, command })
    }

    /// The process ID.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether the other process is its parent. `docker-init`, `tini` and `timeout` have the command line of their child in their
    /// own, and so does a copy of a process that has not become another program yet.
    pub(super) fn is_child_of(&self, other: &Self) -> bool {
        self.parent.as_ref() == Some(&other.id)
    }

    /// When it started; `None` if that is unknown.
    pub(super) const fn started(&self) -> Option<SystemTime> {
        self.started
    }

    /// False if it has ended, even if its parent has not waited for it: a container may never do that.
    pub(super) fn is_alive(&self) -> bool {
        match stat(&self.alive) {
            Ok(line) => Stat::of(&line).is_none_or(|stat| !stat.is_over),
            // Any other error is one of the agent.
            Err(error) => !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)),
        }
    }

    /// Opens the directory with the jobs; the parent directory, and the name in it, if there is none yet.
    ///
    /// # Errors
    /// If neither can be opened.
    pub(super) fn store(&self, proc_root: &Path) -> io::Result<Location> {
        let root = Directory::process_root(proc_root, &self.id)?;
        let working = fs::read_link(self.directory.join("cwd"))?;
        let configured = || {
            let name = self.command.config_path.as_deref().unwrap_or(Path::new("facefusion.ini"));
            let path = working.join(name);
            let directory = root.on_host(&path.parent()?.join(".")).ok()?;
            let file = directory.regular_file(Path::new(path.file_name()?)).ok()??;
            let mut text = Vec::new();
            file.take(TEXT_BYTES_MAX).read_to_end(&mut text).ok()?;
            command::jobs_path_of(&text)
        };
        let relative = self.command.jobs_path.clone().or_else(configured).unwrap_or_else(|| ".jobs".into());
        let path = working.join(relative);
        // With the dot, the last component may be a link, too; it leads nowhere beyond the root.
        match root.on_host(&path.join(".")) {
            Ok(directory) => Ok(Location::Store(directory)),
            Err(error) => match path.parent() {
                Some(parent) => root.on_host(&parent.join(".")).map(Location::Parent),
                None => Err(error),
            },
        }
    }
}

/// Where jobs are or will be.
#[derive(Debug)]
pub(super) enum Location {
    /// The directory with the jobs.
    Store(Directory),
    /// It does not exist yet; this is the directory in which it is going to be created.
    Parent(Directory),
}

/// The FaceFusion processes of a container.
#[derive(Debug, Default)]
pub(super) struct Finder {
    known: HashSet<String>,
}

impl Finder {
    /// The FaceFusion processes that have started since the last call. The command lines of the others are read by each call,
    /// because a script that prepares the container becomes FaceFusion with `exec`.
    pub(super) fn started(&mut self, layout: &Layout, proc_root: &Path, cgroup_path: &str) -> Vec<Process> {
        let mut before = mem::take(&mut self.known);
        let mut found = Vec::new();
        for id in process::all_of(layout, cgroup_path, PROCESSES_MAX) {
            let known = before.take(&id);
            let process = if known.is_none() { Process::of(proc_root, &id) } else { None };
            if known.is_some() || process.is_some() {
                self.known.insert(id);
            }
            found.extend(process);
        }
        found
    }

    /// These processes are found once more by the next call.
    pub(super) fn forget(&mut self, found: &[Process]) {
        for process in found {
            self.known.remove(process.id());
        }
    }
}

/// The file `stat` in this directory of a process.
fn stat(directory: &File) -> io::Result<Vec<u8>> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a constant C string, and the descriptor is open.
    let descriptor = unsafe { libc::openat(directory.as_raw_fd(), c"stat".as_ptr(), flags) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was opened just now, and nothing else owns it.
    let file = unsafe { File::from_raw_fd(descriptor) };
    let mut line = Vec::new();
    file.take(STAT_BYTES_MAX).read_to_end(&mut line)?;
    Ok(line)
}

/// The command line of a process.
///
/// # Errors
/// If it cannot be read.
pub(super) fn text(path: &Path) -> io::Result<Vec<u8>> {
    process::text(path, TEXT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Command as Program, Stdio},
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn a_zombie_has_ended() {
        let mut shell = Program::new("sh");
        let mut child = shell.args(["-c", "read x", "facefusion.py"]).stdin(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        let process = loop {
            // Until the child has become the shell, its command line is that of this program.
            if let Some(process) = Process::of(Path::new("/proc"), &child.id().to_string()) {
                break process;
            }
            assert!(begun.elapsed() < Duration::from_secs(20));
        };
        assert!(process.is_alive() && process.started().is_some());
        child.kill().unwrap();
        let is_over = || {
            (0..2000).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                !process.is_alive()
            })
        };
        assert!(is_over(), "a zombie");
        child.wait().unwrap();
        assert!(!process.is_alive());
    }
}
