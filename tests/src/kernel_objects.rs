//! What the kernel keeps for a process that traces it: eBPF programs, maps and links, probes in tracefs, and mounts. A link also
//! stands for the attachment of a program to a cgroup or a perf event: without the link, the kernel detaches the program.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

/// The objects at one time, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelObjects(BTreeSet<String>);

impl KernelObjects {
    /// All objects of this host.
    ///
    /// # Panics
    /// If the programs cannot be listed, which needs root.
    #[must_use]
    pub fn now() -> Self {
        let programs = aya::programs::loaded_programs().map(|program| match program {
            Ok(program) => format!("program {} {}", program.id(), program.name_as_str().unwrap_or_default()),
            // It was unloaded while the list was read.
            Err(error) => unlisted("program", &error),
        });
        let maps = aya::maps::loaded_maps().map(|map| match map {
            Ok(map) => format!("map {} {}", map.id(), map.name_as_str().unwrap_or_default()),
            Err(error) => unlisted("map", &error),
        });
        let links = aya::programs::loaded_links().map(|link| match link {
            Ok(link) => format!("link {}", link.id()),
            Err(error) => unlisted("link", &error),
        });
        let mut objects: BTreeSet<_> = programs.chain(maps).chain(links).collect();
        objects.remove("");
        for file in
            ["/sys/kernel/tracing/kprobe_events", "/sys/kernel/tracing/uprobe_events", "/proc/self/mounts"]
        {
            let text = fs::read_to_string(file).unwrap_or_default();
            objects.extend(text.lines().map(|line| format!("{file}: {line}")));
        }
        Self(objects)
    }

    /// The objects that did not exist before.
    #[must_use]
    pub fn since<'a>(&'a self, before: &'a Self) -> Vec<&'a str> {
        self.0.difference(&before.0).map(String::as_str).collect()
    }

    /// Waits until there are no objects that did not exist before. The kernel frees them some time after a process has ended.
    ///
    /// # Panics
    /// If some are left after ten seconds. The panic lists them.
    pub fn wait_for_none_since(before: &Self, after: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let now = Self::now();
            let left = now.since(before);
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "after {after}: {left:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// An object that has vanished between listing and reading, which is no object.
fn unlisted(kind: &str, error: &(dyn std::error::Error + 'static)) -> String {
    let mut source = Some(error);
    while let Some(error) = source {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|error| error.raw_os_error() == Some(libc::ENOENT)) {
            return String::new();
        }
        source = error.source();
    }
    panic!("list the {kind}s of this host: {error}")
}
