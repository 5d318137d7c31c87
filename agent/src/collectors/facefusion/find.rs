//! Finds FaceFusion in a container, and the directory with its jobs.
//!
//! A process is recognized by its command line. The directory is `--jobs-path`, else `jobs_path` of the configuration file, else
//! `.jobs`, relative to the working directory. All paths are resolved inside the container's root.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read as _},
    mem,
    path::{Path, PathBuf},
};

use super::command::{self, Command};
use crate::containers::{cgroup::Layout, directory::Directory, process};

/// Maximum number of processes of a container that are looked at.
const PROCESSES_MAX: usize = 64;
/// Maximum number of bytes of a command line, and of a configuration file.
const TEXT_BYTES_MAX: u64 = 64 * 1024;

/// Longest interval at which a process is looked at, in calls of [`Finder::started`]: about a minute.
const CALLS_MAX: u32 = 12;

/// A running FaceFusion.
#[derive(Debug)]
pub(super) struct Process {
    id: String,
    directory: PathBuf,
    /// Of `/proc/PID`: reading below it fails when the process has ended, even if its ID is used again.
    alive: File,
    command: Command,
}

impl Process {
    /// The process with this ID, if it is FaceFusion.
    fn of(proc_root: &Path, process: &str) -> Option<Self> {
        let directory = proc_root.join(process);
        let command = Command::of(&text(&directory.join("cmdline")).ok()?)?;
        Some(Self { id: process.to_owned(), alive: File::open(&directory).ok()?, directory, command })
    }

    pub(super) fn is_alive(&self) -> bool {
        use std::os::fd::AsRawFd as _;
        // SAFETY: the path is a constant C string, and the descriptor is open.
        unsafe { libc::faccessat(self.alive.as_raw_fd(), c"stat".as_ptr(), libc::F_OK, 0) == 0 }
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

/// The processes of a container that were looked at.
#[derive(Debug, Default)]
pub(super) struct Finder {
    known: HashMap<String, Known>,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// It is FaceFusion.
    FaceFusion,
    /// It was not FaceFusion, in this number of calls. A script that prepares the container becomes FaceFusion with `exec`.
    Other(u32),
}

impl Known {
    /// Whether to read the command line. The intervals grow with the age of the process, up to [`CALLS_MAX`].
    const fn is_due(self) -> bool {
        match self {
            Self::FaceFusion => false,
            Self::Other(calls) if calls < CALLS_MAX => calls == 0 || calls.is_power_of_two(),
            Self::Other(calls) => calls % CALLS_MAX == 0,
        }
    }
}

impl Finder {
    /// The FaceFusion processes that have started since the last call.
    pub(super) fn started(&mut self, layout: &Layout, proc_root: &Path, cgroup_path: &str) -> Vec<Process> {
        let mut before = mem::take(&mut self.known);
        let mut found = Vec::new();
        for id in process::all_of(layout, cgroup_path, PROCESSES_MAX) {
            let mut known = before.remove(&id).unwrap_or(Known::Other(0));
            let process = if known.is_due() { Process::of(proc_root, &id) } else { None };
            known = match (known, &process) {
                (Known::FaceFusion, _) | (_, Some(_)) => Known::FaceFusion,
                (Known::Other(calls), None) => Known::Other(calls.wrapping_add(1)),
            };
            found.extend(process);
            self.known.insert(id, known);
        }
        found
    }
}

/// The command line of a process.
///
/// # Errors
/// If it cannot be read.
pub(super) fn text(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(TEXT_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_processes_are_looked_at_once_a_minute() {
        let due: Vec<_> = (0..40).filter(|calls| Known::Other(*calls).is_due()).collect();
        assert_eq!(due, [0, 1, 2, 4, 8, 12, 24, 36]);
        assert!(!Known::FaceFusion.is_due());
    }
}
