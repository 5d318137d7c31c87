//! The programs that run in a container beside FaceFusion, and their bytes, from `/proc`.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use super::{children::Child, find::text, phases::Running};
use crate::containers::{
    cgroup::Layout,
    process::{self, io_counts::Io, stat::Stat},
};

/// Maximum number of processes that are looked at.
const PROCESSES_MAX: usize = 64;

/// Another program is looked at again for this long: it may become one of those that are recognized.
const YOUNG: Duration = Duration::from_secs(2);

/// The processes of a container, and what they were recognized as.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    known: HashMap<u32, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    since: Instant,
    /// When it started; `None` if that is unknown.
    started: Option<SystemTime>,
    /// `None` if its arguments could not be read, or it has none yet.
    child: Option<Child>,
}

impl Known {
    /// Whether to look at its arguments again.
    fn is_due(&self, now: Instant) -> bool {
        match self.child {
            None | Some(Child::Starting) => true,
            Some(Child::Other) => now.saturating_duration_since(self.since) < YOUNG,
            Some(_) => false,
        }
    }
}

impl Sampled {
    /// The programs that run now, and those that sent or received frames and have just ended.
    pub(super) fn sample(
        &mut self,
        layout: &Layout,
        proc_root: &Path,
        cgroup_path: &str,
        now: Instant,
    ) -> Vec<Running> {
        let all = process::all_of(layout, cgroup_path, PROCESSES_MAX);
        let mut known = HashMap::with_capacity(all.len());
        let mut running = Vec::new();
        for id in all {
            let Ok(process) = id.parse::<u32>() else { continue };
            let directory = proc_root.join(&id);
            let mut one = self.known.remove(&process).unwrap_or_else(|| Known {
                since: now,
                started: stat(&directory).and_then(Stat::started),
                child: None,
            });
            if one.is_due(now) {
                let arguments = text(&directory.join("cmdline")).ok().filter(|text| !text.is_empty());
                one.child = arguments.map(|arguments| Child::of(&arguments));
            }
            if let Some(child) =
                one.child.clone().filter(|child| !matches!(child, Child::Other | Child::Starting))
            {
                let (read_bytes, written_bytes) = bytes(&directory).unwrap_or_default();
                let started = one.started;
                running.push(Running { process, started, child, is_over: false, read_bytes, written_bytes });
            }
            known.insert(process, one);
        }
        let ended = std::mem::replace(&mut self.known, known).into_iter();
        running.extend(ended.filter_map(|(process, one)| {
            let child = one.child?;
            let is_counted = matches!(child, Child::Reader { .. } | Child::Writer { .. });
            let (read_bytes, written_bytes) =
                is_counted.then(|| last_bytes(&proc_root.join(process.to_string())))??;
            Some(Running { process, started: one.started, child, is_over: true, read_bytes, written_bytes })
        }));
        running
    }
}

/// The bytes of a process that has ended, while its parent has not waited for it.
fn last_bytes(directory: &Path) -> Option<(u64, u64)> {
    if stat(directory)?.is_over { bytes(directory) } else { None }
}

fn stat(directory: &Path) -> Option<Stat> {
    Stat::of(&text(&directory.join("stat")).ok()?)
}

/// The bytes that a process has read and written, pipes included.
fn bytes(directory: &Path) -> Option<(u64, u64)> {
    let io = Io::of(&text(&directory.join("io")).ok()?)?;
    Some((io.read_bytes, io.written_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_process_is_looked_at_again() {
        let since = Instant::now();
        let is_due = |child: Option<Child>, age| Known { since, started: None, child }.is_due(since + age);
        for (child, expected) in [
            (None, (true, true)),
            (Some(Child::Starting), (true, true)),
            (Some(Child::Other), (true, false)),
            (Some(Child::Probe), (false, false)),
        ] {
            let due = (is_due(child.clone(), Duration::ZERO), is_due(child.clone(), YOUNG));
            assert_eq!(due, expected, "{child:?}");
        }
    }
}
