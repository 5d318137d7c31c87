//! The programs that run in a container beside FaceFusion, and their bytes, from `/proc`.

use std::{collections::HashMap, path::Path};

use super::{children::Child, find::text, phases::Running, stat::Stat};
use crate::containers::{cgroup::Layout, process};

/// Maximum number of processes that are looked at.
const PROCESSES_MAX: usize = 64;

/// The processes of a container, recognized once.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    known: HashMap<u32, Child>,
}

impl Sampled {
    /// The programs that run now, and those that sent or received frames and have just ended.
    pub(super) fn sample(&mut self, layout: &Layout, proc_root: &Path, cgroup_path: &str) -> Vec<Running> {
        let all = process::all_of(layout, cgroup_path, PROCESSES_MAX);
        let mut known = HashMap::with_capacity(all.len());
        let mut running = Vec::new();
        for id in all {
            let Ok(process) = id.parse::<u32>() else { continue };
            let directory = proc_root.join(&id);
            let child = self.known.remove(&process).filter(|child| *child != Child::Starting);
            let child = child.unwrap_or_else(|| {
                text(&directory.join("cmdline")).map_or(Child::Other, |arguments| Child::of(&arguments))
            });
            known.insert(process, child.clone());
            if !matches!(child, Child::Other | Child::Starting) {
                let (read_bytes, written_bytes) = bytes(&directory).unwrap_or_default();
                running.push(Running { process, child, is_over: false, read_bytes, written_bytes });
            }
        }
        let ended = std::mem::replace(&mut self.known, known).into_iter();
        running.extend(ended.filter_map(|(process, child)| {
            let is_counted = matches!(child, Child::Reader | Child::Writer { .. });
            let (read_bytes, written_bytes) =
                is_counted.then(|| last_bytes(&proc_root.join(process.to_string())))??;
            Some(Running { process, child, is_over: true, read_bytes, written_bytes })
        }));
        running
    }
}

/// The bytes of a process that has ended, while its parent has not waited for it.
fn last_bytes(directory: &Path) -> Option<(u64, u64)> {
    let stat = Stat::of(&text(&directory.join("stat")).ok()?)?;
    if stat.is_over { bytes(directory) } else { None }
}

/// The bytes that a process has read and written, pipes included.
fn bytes(directory: &Path) -> Option<(u64, u64)> {
    let io = text(&directory.join("io")).ok()?;
    let io = std::str::from_utf8(&io).ok()?;
    let of = |name: &str| io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some((of("rchar:")?, of("wchar:")?))
}
