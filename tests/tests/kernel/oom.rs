//! Real OOM kills in cgroups with the paths of containers.

mod dying;

use std::{fs, path::Path};

use aya::maps::Array;
use glassbox::{
    config::{self, Config},
    containers::cgroup::Layout,
    kernel::{Kernel, Options},
    snapshot::oom::OomKills,
    tick::Snapshots,
};
use glassbox_ebpf::{containers::SHARED_SLOT, maps::OOM_KILLS};
use glassbox_tests::{
    cgroup::{Cgroup, ROOT, SubtreeControl, fresh_id, v2_root},
    worker::{Work, Worker},
};

use super::{
    probe::ALONE,
    starts::{config, engine, row},
};

const LIMIT_BYTES: usize = 16 << 20;

/// The programs' counters per slot.
type Kills = Array<aya::maps::MapData, u64>;

/// A cgroup in the hierarchy of processes and, if that is another one, in that of the memory controller.
struct Contained {
    id: String,
    cgroup: Cgroup,
    memory: Option<Cgroup>,
    /// Disables the memory controller again if the host had not enabled it.
    _controllers: SubtreeControl,
}

impl Contained {
    fn new() -> Self {
        let id = fresh_id();
        let path = format!("docker/{id}");
        let controllers = SubtreeControl::of_the_host();
        Self {
            cgroup: Cgroup::new(&v2_root().unwrap(), &path).unwrap(),
            memory: memory(&path),
            id,
            _controllers: controllers,
        }
    }

    /// A cgroup below it.
    fn nested(&self, name: &str) -> Self {
        let path = format!("docker/{}/{name}", self.id);
        let controllers = SubtreeControl::of_the_host();
        let cgroup = Cgroup::new(&v2_root().unwrap(), &path).unwrap();
        Self { cgroup, memory: memory(&path), id: self.id.clone(), _controllers: controllers }
    }

    /// Sets its memory limit.
    fn limited(self) -> Self {
        let (directory, file) = match &self.memory {
            Some(memory) => (memory.path(), "memory.limit_in_bytes"),
            None => {
                // Each cgroup above must enable the controller for its children.
                let root = v2_root().unwrap();
                let above =
                    self.cgroup.path().ancestors().skip(1).take_while(|above| above.starts_with(&root));
                for above in above.collect::<Vec<_>>().into_iter().rev() {
                    fs::write(above.join("cgroup.subtree_control"), "+memory").unwrap();
                }
                (self.cgroup.path(), "memory.max")
            }
        };
        fs::write(directory.join(file), LIMIT_BYTES.to_string()).unwrap();
        self
    }

    fn start(&self, work: Work) -> Worker {
        let worker = Worker::start(&self.cgroup, work, None);
        if let Some(memory) = &self.memory {
            memory.enter(worker.pid).unwrap();
        }
        worker
    }

    /// Reads a file of its memory controller: the first name is that in v1.
    fn read(&self, v1: &str, v2: &str) -> String {
        let path = match &self.memory {
            Some(memory) => memory.path().join(v1),
            None => self.cgroup.path().join(v2),
        };
        fs::read_to_string(path).unwrap()
    }

    /// The OOM kills that the kernel counts in it.
    fn counted_by_kernel(&self) -> u64 {
        let text = self.read("memory.oom_control", "memory.events");
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.expect("a count of OOM kills").parse().unwrap()
    }

    fn used_bytes(&self) -> usize {
        self.read("memory.usage_in_bytes", "memory.current").trim().parse().unwrap()
    }

    /// Starts a process in it that is killed.
    fn starve(&self) {
        let worker = self.start(Work::Eat(4 * LIMIT_BYTES));
        worker.go();
        assert_eq!(worker.killed_by(), libc::SIGKILL);
    }
}

/// The cgroup at `path` in the v1 hierarchy of memory, if this host uses it.
fn memory(path: &str) -> Option<Cgroup> {
    let layout = Layout::detect(Path::new(ROOT)).unwrap();
    let unified = layout.is_unified("memory");
    (!unified)
        .then(|| Cgroup::new(&layout.directory("memory", "/").expect("a memory controller"), path).unwrap())
}

fn kills(snapshots: &Snapshots, id: &str) -> OomKills {
    row(snapshots, id).expect("the container's row").oom
}

#[test]
fn only_the_killed_container_has_an_oom_kill() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let starved = Contained::new().limited();
    let other = Contained::new().limited();
    engine.tick();
    assert_eq!(kills(&snapshots, &starved.id).total(), Some(0));
    starved.starve();
    // The file is removed before it is read.
    let id = starved.id.clone();
    drop(starved);
    engine.tick();
    assert!(row(&snapshots, &id).unwrap().ended_at.is_some());
    assert_eq!(kills(&snapshots, &id).total(), Some(1));
    assert!(kills(&snapshots, &id).last_at.is_some());
    assert_eq!(kills(&snapshots, &other.id).total(), Some(0));
    // The next container in the slot starts with no kills.
    let next = Contained::new();
    engine.tick();
    assert_eq!(kills(&snapshots, &next.id).total(), Some(0));
}

#[test]
fn every_kill_in_a_running_container_is_counted_once() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    let container = Contained::new().limited();
    for number in 1..=3 {
        container.starve();
        engine.tick();
        assert_eq!(kills(&snapshots, &container.id).total(), Some(number));
        engine.tick();
        assert_eq!(kills(&snapshots, &container.id).total(), Some(number));
    }
    let id = container.id.clone();
    drop(container);
    engine.tick();
    assert_eq!(kills(&snapshots, &id).total(), Some(3));
}

#[test]
fn a_kill_in_a_nested_cgroup_is_counted_for_the_container() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let container = Contained::new();
    let nested = container.nested("app.service").limited();
    engine.tick();
    nested.starve();
    engine.tick();
    assert_eq!(kills(&snapshots, &container.id).total(), Some(1));
    drop(nested);
    engine.tick();
    assert_eq!(kills(&snapshots, &container.id).total(), Some(1));
}

#[test]
fn kills_before_the_agent_started_are_read_from_the_file_and_later_ones_added() {
    let _alone = ALONE.lock();
    let container = Contained::new().limited();
    container.starve();
    let (mut engine, snapshots) = engine(config());
    engine.tick();
    let first = kills(&snapshots, &container.id);
    assert_eq!((first.total(), first.last_at), (Some(1), None));
    container.starve();
    let id = container.id.clone();
    drop(container);
    engine.tick();
    assert_eq!(kills(&snapshots, &id).total(), Some(2));
}

#[test]
fn a_process_killed_by_a_signal_is_not_counted() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) = engine(config());
    let container = Contained::new().limited();
    let worker = container.start(Work::Sleep);
    // SAFETY: no pointers; the child is ours.
    unsafe { libc::kill(worker.pid, libc::SIGKILL) };
    assert_eq!(worker.killed_by(), libc::SIGKILL);
    engine.tick();
    assert_eq!(kills(&snapshots, &container.id).total(), Some(0));
}

#[test]
fn without_kernel_programs_kills_are_read_from_the_file() {
    let _alone = ALONE.lock();
    let (mut engine, snapshots) =
        engine(Config { kernel: config::Kernel { enabled: false, ..config::Kernel::default() }, ..config() });
    let container = Contained::new().limited();
    engine.tick();
    assert_eq!(kills(&snapshots, &container.id).total(), Some(0));
    container.starve();
    engine.tick();
    assert_eq!(kills(&snapshots, &container.id).total(), Some(1));
    let id = container.id.clone();
    drop(container);
    engine.tick();
    // Only a walk has noticed its end.
    assert_eq!(kills(&snapshots, &id).total(), Some(1));
}

/// The programs, the container's slot, and the counters of kills.
fn programs() -> (Kernel, Kills) {
    let config = config();
    let mut kernel = Kernel::start(&Options { config: &config, hierarchy_id: 0, change_offsets: |_| () })
        .unwrap_or_else(|error| panic!("{error:#}"));
    kernel.method("oom").unwrap_or_else(|error| panic!("{error:#}"));
    let kills = kernel.take_map(OOM_KILLS).unwrap();
    (kernel, kills)
}

#[test]
fn the_programs_count_the_kernels_kills_and_no_other_signal() {
    let _alone = ALONE.lock();
    let (kernel, kills) = programs();
    let container = Contained::new().limited();
    let slot = kernel.slots.created(container.cgroup.id().unwrap()).expect("a slot");
    for number in 1..=3 {
        container.starve();
        assert_eq!(kills.get(&slot, 0).unwrap(), number);
    }
    let before = kills.get(&SHARED_SLOT, 0).unwrap();
    assert!(before >= 3);
    let worker = container.start(Work::Sleep);
    // SAFETY: no pointers; the child is ours.
    unsafe { libc::kill(worker.pid, libc::SIGKILL) };
    assert_eq!(worker.killed_by(), libc::SIGKILL);
    assert_eq!((kills.get(&slot, 0).unwrap(), kills.get(&SHARED_SLOT, 0).unwrap()), (3, before));
}
