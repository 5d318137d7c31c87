//! OOM kills of a container's processes.
//!
//! There are two sources. The kernel's own count is in a file, `memory.events` (v2) or `memory.oom_control` (v1), in
//! the line `oom_kill` (from 4.13 on). It is exact, but when a container's main process is killed, its cgroup
//! disappears within milliseconds, before the agent can read the file again. The kernel program
//! (agent-ebpf/src/probes/oom.rs, from 5.5 on) counts each kill in the container's slot, which user space still holds
//! at that time, but has no kills from before the agent's start.
//!
//! The two counts are joined, never added; see [`account`]. Cost: one map lookup per tick for the host. A container's
//! slot and file are read when the container is first seen, and when any process on the host was killed. Without the
//! program, the file of each container is read at every tick.

mod account;

use std::{
    collections::HashMap,
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use glassbox_ebpf::{containers::SHARED_SLOT, maps};

use self::account::Account;
use super::{
    Collector, Context, Spec,
    examination::{self, Examination, Finding, Verdict},
};
use crate::{
    containers::{cgroup::Layout, tracker::Container},
    kernel::{Kernel, slot_array::SharedSlotArray},
    snapshot::ContainerRow,
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "oom",
    summary: "processes killed because memory ran out, from the kernel's OOM killer and cgroup files",
    capabilities: &[],
    needs: &[],
    start: |context| Ok(Box::new(Oom::new(context)?)),
    examine,
};

/// Larger than either file.
const FILE_BYTES: usize = 512;

struct Oom {
    layout: Layout,
    /// True if a file also counts the kills of nested cgroups.
    files_count_nested: bool,
    marks: Option<ProgramCounts>,
    containers: HashMap<u64, ContainerKills>,
}

/// The kernel program's counts.
struct ProgramCounts {
    kills: SharedSlotArray<u64>,
    /// Kills on the whole host as of the last refresh.
    on_host: u64,
}

struct ContainerKills {
    path: Option<PathBuf>,
    /// Held open if it is read at every tick.
    file: Option<File>,
    account: Account,
    /// Kills on the whole host when this container was last read.
    on_host: Option<u64>,
}

impl Oom {
    fn new(context: &mut Context<'_>) -> anyhow::Result<Self> {
        let layout = context.layout.clone();
        let marks = match context.kernel().and_then(marks) {
            Ok(marks) => Some(marks),
            Err(error) => {
                anyhow::ensure!(
                    layout.directory("memory", "/").is_some(),
                    "find a source of OOM kills: this host has no memory controller, and {error:#}"
                );
                tracing::warn!(
                    "OOM kills are counted from cgroup files only, so a kill that ends its container is missed: {error:#}"
                );
                None
            }
        };
        let local = events_are_local(&context.config.paths.proc);
        let files_count_nested = layout.is_unified("memory") && !local;
        Ok(Self { layout, files_count_nested, marks, containers: HashMap::new() })
    }
}

fn marks(kernel: &mut Kernel) -> anyhow::Result<ProgramCounts> {
    kernel.method(SPEC.name)?;
    Ok(ProgramCounts { kills: kernel.shared_slot_array(maps::OOM_KILLS)?, on_host: 0 })
}

/// True if cgroups v2 are mounted so that `memory.events` excludes nested cgroups (from 5.2 on).
fn events_are_local(proc_root: &Path) -> bool {
    let mounts = std::fs::read_to_string(proc_root.join("self/mounts")).unwrap_or_default();
    let columns = mounts.lines().map(|line| line.split(' ').skip(2));
    let mut options =
        columns.filter_map(|mut columns| (columns.next()? == "cgroup2").then(|| columns.next())?);
    options.any(|options| options.split(',').any(|option| option == "memory_localevents"))
}

fn examine(host: &examination::Host<'_>) -> Examination {
    if host.kernel.is_some_and(|kernel| kernel.method(SPEC.name).is_ok()) {
        return Examination::default();
    }
    let verdict = if host.config.kernel.enabled { Verdict::Degraded } else { Verdict::Off };
    let text = "from cgroup files only: a kill that ends its container is missed";
    Examination { collector: Some(Finding::new(verdict, text)), ..Examination::default() }
}

impl Collector for Oom {
    fn refresh(&mut self, _kernel: Option<&mut Kernel>) {
        if let Some(marks) = &mut self.marks
            && let Ok(kills) = marks.kills.get(SHARED_SLOT)
        {
            marks.on_host = kills;
        }
    }

    fn collect(&mut self, container: &Container, row: &mut ContainerRow) -> anyhow::Result<()> {
        let on_host = self.marks.as_ref().map(|marks| marks.on_host);
        let tracked = self.containers.entry(container.key).or_insert_with(|| {
            let directory = self.layout.directory("memory", &container.identity.cgroup_path);
            let name = if self.layout.is_unified("memory") { "memory.events" } else { "memory.oom_control" };
            let path = directory.map(|directory| directory.join(name));
            ContainerKills { path, file: None, account: Account::default(), on_host: None }
        });
        if on_host.is_some() && tracked.on_host == on_host {
            return Ok(());
        }
        // The slot is read before the file. The kernel counts a kill in the file before it marks the victim, so every
        // kill counted in the slot is already in the file.
        let marked = match (&self.marks, container.slot) {
            (Some(marks), Some(slot)) => Some(marks.kills.get(slot)?),
            _ => None,
        };
        let in_file = tracked.read(on_host.is_none());
        if tracked.account.settle(marked, in_file, self.files_count_nested) {
            row.oom.last_at = Some(SystemTime::now());
        }
        row.oom.this_run = tracked.account.kills();
        tracked.on_host = on_host;
        Ok(())
    }

    fn forget(&mut self, container: &Container) {
        self.containers.remove(&container.key);
    }

    fn is_readable_after_exit(&self) -> bool {
        true
    }

    fn clear_slot(&mut self, slot: u32) {
        if let Some(marks) = &mut self.marks {
            marks.kills.clear(slot);
        }
    }
}

impl ContainerKills {
    /// The file's count; `None` if the file does not exist (any more).
    fn read(&mut self, keep_open: bool) -> Option<u64> {
        let mut buffer = [0; FILE_BYTES];
        let opened = match &self.file {
            Some(_) => None,
            None => Some(File::open(self.path.as_ref()?).ok()?),
        };
        let file = self.file.as_ref().or(opened.as_ref())?;
        let bytes = file.read_at(&mut buffer, 0).ok()?;
        let kills = kills(&buffer[..bytes]);
        if keep_open && opened.is_some() {
            self.file = opened;
        }
        kills
    }
}

/// The line `oom_kill N` of either file.
fn kills(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim_ascii().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oom_kill_is_read_from_either_file() {
        assert_eq!(kills(b"low 0\nhigh 0\nmax 35\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(kills(b"oom_kill_disable 0\nunder_oom 0\noom_kill 4\n"), Some(4));
        for text in [&b"oom_kill_disable 0\nunder_oom 0\n"[..], b"", b"oom_kill -1\n", b"oom_kill \xff\n"] {
            assert_eq!(kills(text), None);
        }
    }

    #[test]
    fn a_mount_with_local_events_is_recognized() {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir(proc.path().join("self")).unwrap();
        for (options, local) in
            [("rw,nsdelegate,memory_localevents", true), ("rw,memory_recursiveprot", false)]
        {
            let mounts = format!("proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 {options} 0 0\n");
            std::fs::write(proc.path().join("self/mounts"), mounts).unwrap();
            assert_eq!(events_are_local(proc.path()), local);
        }
        assert!(!events_are_local(&proc.path().join("nowhere")));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_the_count_is_read_from_the_file(
            bytes in proptest::collection::vec(0u8.., 0..100), lines in "([a-z_]{0,8} [0-9-]{0,25}\n){0,4}", count: u64,
        ) {
            let _ = (kills(&bytes), kills(lines.as_bytes()));
            proptest::prop_assert_eq!(kills(format!("low 0\noom_kill {count}\n").as_bytes()), Some(count));
        }
    }
}
