//! One look at a thread: its state, its system call and how often it has run, from `/proc/PID/task/TID/`.
//!
//! Files of the container are never opened or followed, because a hung file system would hang the agent: only the text
//! of a link in `/proc/PID/fd` is read.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use super::calls::{Call, activity_of, is_of_process, is_on_descriptor};
use crate::snapshot::threads::ThreadActivity;

/// Larger than the beginning of each file that is parsed.
const FILE_BYTES: usize = 512;

/// Buffers for the paths and the files.
#[derive(Default)]
pub(super) struct Look {
    path: String,
    text: Vec<u8>,
}

/// A thread whose number of runs was read.
pub(super) struct Seen<'a> {
    /// The thread ID.
    pub(super) thread: u32,
    /// How often it got a CPU; `None` if the kernel does not count it.
    pub(super) runs: Option<u64>,
    look: &'a mut Look,
    /// Length of the path of the thread's directory.
    directory: usize,
}

impl Look {
    /// Looks at up to `left` threads of a process. Returns how many of `left` remain. A process or thread that has ended is
    /// skipped.
    pub(super) fn process(
        &mut self,
        proc_root: &Path,
        process: &str,
        left: usize,
        each: &mut impl FnMut(Seen<'_>),
    ) -> usize {
        let tasks = proc_root.join(process).join("task");
        let Ok(entries) = fs::read_dir(&tasks) else { return left };
        let mut left = left;
        for entry in entries.flatten() {
            if left == 0 {
                break;
            }
            let name = entry.file_name();
            let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            left -= 1;
            self.path.clear();
            let _ = write!(self.path, "{}/{thread}", tasks.display());
            let directory = self.path.len();
            let runs = self.read(directory, "/schedstat").and_then(runs);
            each(Seen { thread, runs, look: self, directory });
        }
        left
    }

    /// The beginning of a file of the thread.
    fn read(&mut self, directory: usize, name: &str) -> Option<&str> {
        self.path.truncate(directory);
        self.path.push_str(name);
        self.text.resize(FILE_BYTES, 0);
        let length = File::open(&self.path).ok()?.read(&mut self.text).ok()?;
        std::str::from_utf8(self.text.get(..length)?).ok()
    }
}

impl Seen<'_> {
    /// What it does. `None` for a thread that has ended.
    pub(super) fn activity(&mut self) -> Option<ThreadActivity> {
        let state = self.look.read(self.directory, "/stat").and_then(state)?;
        match state {
            'R' => return Some(ThreadActivity::Runs),
            'T' | 't' => return Some(ThreadActivity::Stopped),
            'Z' | 'X' => return None,
            _ => {}
        }
        if self.is_frozen() {
            return Some(ThreadActivity::Stopped);
        }
        let call = self.look.read(self.directory, "/syscall").map(Call::parse)?;
        Some(match call {
            Call::Running => ThreadActivity::Runs,
            Call::Made { number, .. } if state == 'D' && is_of_process(number) => ThreadActivity::Other,
            _ if state == 'D' => ThreadActivity::File,
            Call::Fault => ThreadActivity::Other,
            Call::Made { number, descriptor } if is_on_descriptor(number) => self.of_descriptor(descriptor),
            Call::Made { number, .. } => activity_of(number),
        })
    }

    /// Whether the cgroup's freezer holds it: it looks like a sleep otherwise.
    fn is_frozen(&mut self) -> bool {
        let place = self.look.read(self.directory, "/wchan");
        place.is_some_and(|place| matches!(place, "do_freezer_trap" | "__refrigerator"))
    }

    /// What a thread waits for that reads from a descriptor or writes to it.
    fn of_descriptor(&mut self, descriptor: u64) -> ThreadActivity {
        let directory = self.look.path.get(..self.directory);
        let Some((process, _)) = directory.and_then(|path| path.rsplit_once("/task/")) else {
            return ThreadActivity::Other;
        };
        match fs::read_link(format!("{process}/fd/{descriptor}")) {
            Ok(target) => of_target(target.as_os_str()),
            Err(_) => ThreadActivity::Other,
        }
    }
}

/// The target of a link in `/proc/PID/fd`: `socket:[1]`, `pipe:[1]`, `anon_inode:[eventfd]` or a path.
fn of_target(target: &OsStr) -> ThreadActivity {
    let target = target.as_bytes();
    if target.starts_with(b"socket:[") {
        ThreadActivity::Socket
    } else if target.starts_with(b"/") && !target.starts_with(b"/dev/") {
        ThreadActivity::File
    } else {
        ThreadActivity::Other
    }
}

/// The third number of `/proc/PID/task/TID/schedstat`.
fn runs(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// The state in `/proc/PID/task/TID/stat`. The name before it may contain any character, parentheses included.
fn state(text: &str) -> Option<char> {
    text.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_behind_the_last_parenthesis_because_a_process_chooses_its_name() {
        assert_eq!(state("7 (x) R 1 (y) S 1 2 3"), Some('S'));
        assert_eq!(state("7 (x"), None);
        assert_eq!(runs("150312 82374 66\n"), Some(66));
        assert_eq!(runs("0"), None);
    }

    #[test]
    fn a_path_is_a_file_unless_it_is_a_device() {
        for (target, activity) in [
            ("socket:[4026]", ThreadActivity::Socket),
            ("/data/model.onnx", ThreadActivity::File),
            ("/dev/nvidiactl", ThreadActivity::Other),
            ("pipe:[7]", ThreadActivity::Other),
            ("anon_inode:[eventfd]", ThreadActivity::Other),
        ] {
            assert_eq!(of_target(OsStr::new(target)), activity, "{target}");
        }
    }

    #[test]
    fn a_look_at_a_process_sees_its_threads_up_to_the_limit() {
        let waiting = std::thread::spawn(std::thread::park);
        let (mut look, mut seen) = (Look::default(), Vec::new());
        let own = std::process::id().to_string();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !seen.contains(&Some(ThreadActivity::Lock)) && std::time::Instant::now() < deadline {
            seen.clear();
            look.process(Path::new("/proc"), &own, 64, &mut |mut thread| seen.push(thread.activity()));
        }
        assert!(seen.contains(&Some(ThreadActivity::Lock)), "{seen:?}");
        assert!(seen.contains(&Some(ThreadActivity::Runs)), "{seen:?}");
        let mut count = 0;
        assert_eq!(look.process(Path::new("/proc"), &own, 1, &mut |_| count += 1), 0);
        assert_eq!(count, 1);
        assert_eq!(look.process(Path::new("/proc"), "0", 5, &mut |_| count += 1), 5);
        waiting.thread().unpark();
        waiting.join().unwrap();
    }
}
