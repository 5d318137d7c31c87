//! Real OOM kills in cgroups with the paths of containers.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

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
fn programs() -> (Kernel, Array<aya::maps::MapData, u64>) {
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

/// Restricts a thread to a CPU; 0 is the current thread.
fn pin(thread: i32, cpu: usize) {
    // SAFETY: a CPU set is plain data and outlives the calls.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    assert_eq!(failed, 0, "pin {thread} to CPU {cpu}: {}", std::io::Error::last_os_error());
}

/// Uses a CPU with a real-time priority, so that no other process runs there, until `over`. Ends before the kernel throttles
/// real-time threads (after 0.95 s).
fn hold_cpu(cpu: usize, over: &AtomicBool) {
    pin(0, cpu);
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameter is plain data and outlives the call.
    let failed = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    assert_eq!(failed, 0, "get a real-time priority: {}", std::io::Error::last_os_error());
    let begun = Instant::now();
    while !over.load(Ordering::Relaxed) && begun.elapsed() < Duration::from_millis(900) {}
}

/// `docker kill` of a container at its memory limit: one process has SIGKILL pending when another one needs memory. The kernel
/// chooses the dying one and marks it, but does not kill it. On a busy machine, the dying process sometimes ends too early.
#[test]
fn a_process_that_is_dying_when_memory_runs_out_is_not_counted() {
    let test = "a_process_that_is_dying_when_memory_runs_out_is_not_counted";
    if glassbox_tests::guest::is_guest() {
        // Its CPUs run in turn, so the process ends before memory runs out.
        return glassbox_tests::inapplicable(test, "needs two CPUs that run at the same time");
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return glassbox_tests::skip(test, "needs two CPUs");
    }
    let _alone = ALONE.lock();
    let (kernel, kills) = programs();
    if !(0..5).any(|_| a_dying_process_is_marked(&kernel, &kills)) {
        glassbox_tests::skip(test, "in five attempts, the process ended before memory ran out");
    }
}

/// Kills a process while memory runs out. Returns whether the kernel has marked it.
fn a_dying_process_is_marked(kernel: &Kernel, kills: &Array<aya::maps::MapData, u64>) -> bool {
    let container = Contained::new().limited();
    let slot = kernel.slots.created(container.cgroup.id().unwrap()).expect("a slot");
    let dying = container.start(Work::Eat(LIMIT_BYTES * 3 / 4));
    let eater = container.start(Work::Eat(LIMIT_BYTES / 2));
    pin(eater.pid, 1);
    dying.go();
    let resident_bytes = || {
        let text = fs::read_to_string(format!("/proc/{}/statm", dying.pid)).unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    while resident_bytes() < LIMIT_BYTES * 3 / 4 {
        std::thread::sleep(Duration::from_millis(1));
    }
    pin(dying.pid, 0);
    let marks = || kills.get(&SHARED_SLOT, 0).unwrap();
    let (before, over) = (marks(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| hold_cpu(0, &over));
        std::thread::sleep(Duration::from_millis(50));
        // SAFETY: no pointers; the child is ours.
        unsafe { libc::kill(dying.pid, libc::SIGKILL) };
        eater.go();
        let begun = Instant::now();
        while marks() == before && begun.elapsed() < Duration::from_millis(800) {
            std::thread::sleep(Duration::from_millis(1));
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(dying.killed_by(), libc::SIGKILL);
    let is_marked = marks() > before;
    if is_marked {
        assert_eq!(kills.get(&slot, 0).unwrap(), 0, "the dying process counts as an OOM kill");
    }
    is_marked
}
