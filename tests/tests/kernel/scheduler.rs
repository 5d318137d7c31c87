//! Compares the scheduler program's counters with the kernel's own.

use std::time::Duration;

use glassbox_ebpf::Lost;
use glassbox_tests::{
    cgroup::ROOT,
    worker::{Work, Worker},
};

use super::probe::{ALONE, Probe, without_sched_info};

/// Lets the workers run for a while. Returns the waits of the probe and the kernel and the run times of the probe and the
/// kernel, in ns.
fn contend(probe: &mut Probe, workers: &[Worker], time: Duration) -> (u64, u64, u64, u64, u64) {
    let sums = || -> (u64, u64) {
        (workers.iter().map(Worker::run_delay_ns).sum(), workers.iter().map(Worker::run_time_ns).sum())
    };
    // All workers have run once and are stopped, so nothing changes while both counters are read.
    workers.iter().for_each(Worker::go);
    std::thread::sleep(Duration::from_millis(50));
    workers.iter().for_each(Worker::stop);
    let (ours, theirs, stolen) = (probe.read(), sums(), stolen_ns());
    workers.iter().for_each(Worker::go);
    std::thread::sleep(time);
    workers.iter().for_each(Worker::stop);
    let (ours_after, theirs_after, stolen_after) = (probe.read(), sums(), stolen_ns());
    (
        ours_after.waits.sum_ns - ours.waits.sum_ns,
        theirs_after.0 - theirs.0,
        ours_after.oncpu_ns - ours.oncpu_ns,
        theirs_after.1 - theirs.1,
        stolen_after - stolen,
    )
}

/// Time that the hypervisor took from this machine's CPUs since boot, in ns, with a resolution of 10 ms.
fn stolen_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    let ticks: u64 = text.lines().next().unwrap().split_whitespace().nth(8).unwrap().parse().unwrap();
    ticks * 10_000_000
}

/// The run queue's clock continues while the hypervisor has taken the CPU away. The kernel's run time of a task excludes
/// that time (CONFIG_PARAVIRT_TIME_ACCOUNTING), so it is allowed as a difference.
fn assert_run_within(what: &str, ours: u64, theirs: u64, stolen: u64, percent: f64) {
    let most = theirs + stolen;
    assert_within(what, ours, ours.clamp(theirs, most), percent);
    println!("{what}: {stolen} ns stolen");
}

fn assert_within(what: &str, ours: u64, theirs: u64, percent: f64) {
    assert!(theirs > 100_000_000, "{what}: the workload made only {theirs} ns, too little to compare");
    let ratio = ours as f64 / theirs as f64 * 100.0;
    println!("{what}: probe {ours} ns, kernel {theirs} ns, {ratio:.3} %");
    assert!((ratio - 100.0).abs() <= percent, "{what}: probe {ours} ns, kernel {theirs} ns, {ratio:.3} %");
}

fn workers(probe: &Probe, spinning: usize, sleeping: usize, cpu: Option<usize>) -> Vec<Worker> {
    let spin = (0..spinning).map(|_| Worker::start(&probe.cgroup, Work::Spin, cpu));
    let sleep = (0..sleeping).map(|_| Worker::start(&probe.cgroup, Work::SpinAndSleep, cpu));
    spin.chain(sleep).collect()
}

#[test]
fn waits_of_pinned_tasks_match_the_kernels_run_delay_within_1_percent() {
    let _alone = ALONE.lock();
    let mut probe = Probe::start();
    let workers = workers(&probe, 3, 2, Some(0));
    let (wait, run_delay, run, run_time, stolen) = contend(&mut probe, &workers, Duration::from_secs(4));
    assert_within("pinned wait", wait, run_delay, 1.0);
    assert_run_within("pinned run", run, run_time, stolen, 1.0);
}

#[test]
fn waits_of_migrating_tasks_match_the_kernels_run_delay_within_3_percent() {
    let _alone = ALONE.lock();
    let mut probe = Probe::start();
    let workers = workers(&probe, 5, 3, None);
    let (wait, run_delay, run, run_time, stolen) = contend(&mut probe, &workers, Duration::from_secs(6));
    assert_within("migrating wait", wait, run_delay, 3.0);
    assert_run_within("migrating run", run, run_time, stolen, 3.0);
    println!("waits whose first part was lost: {}", probe.lost(Lost::SchedulerWaits));
}

#[test]
fn the_wakeup_method_matches_the_kernels_run_delay_within_5_percent() {
    let _alone = ALONE.lock();
    let root = glassbox_tests::cgroup::v2_root().unwrap();
    let mut probe = Probe::with(&root, 0, without_sched_info);
    assert_eq!(probe.kernel.method("scheduler").unwrap().name, glassbox::kernel::plans::WAKEUP);
    let workers = workers(&probe, 3, 2, Some(0));
    let (wait, run_delay, run, run_time, stolen) = contend(&mut probe, &workers, Duration::from_secs(4));
    assert_within("fallback wait", wait, run_delay, 5.0);
    assert_run_within("fallback run", run, run_time, stolen, 5.0);
}

#[test]
fn switches_match_the_kernels_voluntary_and_involuntary_switches() {
    let _alone = ALONE.lock();
    let mut probe = Probe::start();
    let workers = workers(&probe, 2, 2, Some(0));
    let sums =
        || workers.iter().map(Worker::switches).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    workers.iter().for_each(Worker::go);
    std::thread::sleep(Duration::from_millis(50));
    workers.iter().for_each(Worker::stop);
    let (ours, theirs) = (probe.read(), sums());
    workers.iter().for_each(Worker::go);
    std::thread::sleep(Duration::from_secs(3));
    workers.iter().for_each(Worker::stop);
    let (ours_after, theirs_after) = (probe.read(), sums());
    let voluntary = (ours_after.voluntary_switches - ours.voluntary_switches, theirs_after.0 - theirs.0);
    let involuntary =
        (ours_after.involuntary_switches - ours.involuntary_switches, theirs_after.1 - theirs.1);
    println!("voluntary {voluntary:?}, involuntary {involuntary:?}");
    // A signal to a sleeping task turns a switch of one kind into the other, so one is allowed for each signal.
    let slack = 4 * workers.len() as u64;
    assert!(theirs_after.0 - theirs.0 > 100 && theirs_after.1 - theirs.1 > 50, "too few switches to compare");
    assert!(voluntary.0.abs_diff(voluntary.1) <= slack, "voluntary {voluntary:?}");
    assert!(involuntary.0.abs_diff(involuntary.1) <= slack, "involuntary {involuntary:?}");
}

#[test]
fn the_histogram_has_every_wait_once() {
    let _alone = ALONE.lock();
    let mut probe = Probe::start();
    let workers = workers(&probe, 2, 1, Some(0));
    let before = probe.read();
    assert_eq!(before.waits.count(), before.voluntary_switches + before.involuntary_switches);
    workers.iter().for_each(Worker::go);
    std::thread::sleep(Duration::from_secs(1));
    workers.iter().for_each(Worker::stop);
    let usage = probe.read();
    let waits = usage.waits.count();
    let switches = usage.voluntary_switches + usage.involuntary_switches;
    // Every task gets a CPU before it leaves one, except a task that the test moved to the container meanwhile, and one that
    // is still waiting.
    let slack = 2 * workers.len() as u64;
    assert!(waits > 100 && waits.abs_diff(switches) <= slack, "{waits} waits, {switches} switches");
}

#[test]
fn a_sleeping_container_adds_nothing() {
    let _alone = ALONE.lock();
    let mut probe = Probe::start();
    let sleeper = Worker::start(&probe.cgroup, Work::Sleep, None);
    let before = probe.read();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(probe.read(), before, "a stopped process was counted");
    sleeper.go();
    std::thread::sleep(Duration::from_millis(500));
    let after = probe.read();
    assert!(
        after.voluntary_switches > before.voluntary_switches + 50,
        "a sleeper's wakeups were not counted"
    );
    assert!(after.oncpu_ns < 250_000_000, "idle time was counted: {} ns", after.oncpu_ns);
}

#[test]
fn the_agents_own_threads_are_not_counted() {
    let _alone = ALONE.lock();
    let mut probe = Probe::start();
    let me = std::process::id() as i32;
    let home = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let home =
        home.lines().find_map(|line| line.strip_prefix("0::")).unwrap().trim_start_matches('/').to_owned();
    probe.cgroup.enter(me).unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        std::thread::sleep(Duration::from_micros(100));
    }
    let usage = probe.read();
    let root = glassbox_tests::cgroup::v2_root().unwrap();
    std::fs::write(root.join(home).join("cgroup.procs"), me.to_string()).unwrap();
    assert_eq!(usage.oncpu_ns, 0);
    assert_eq!(usage.voluntary_switches + usage.involuntary_switches, 0);
}

#[test]
fn a_container_in_a_v1_cpu_hierarchy_is_counted() {
    let _alone = ALONE.lock();
    let root = std::path::Path::new(ROOT).join("cpu");
    if !root.join("cgroup.procs").exists() {
        glassbox_tests::inapplicable(
            "a_container_in_a_v1_cpu_hierarchy_is_counted",
            "this host mounts no v1 cpu hierarchy",
        );
        return;
    }
    let table = std::fs::read_to_string("/proc/cgroups").unwrap();
    let hierarchy = table.lines().find_map(|line| line.strip_prefix("cpu\t")).unwrap();
    let hierarchy_id = hierarchy.split('\t').next().unwrap().parse().unwrap();
    let mut probe = Probe::with(&root, hierarchy_id, |_| ());
    let workers = workers(&probe, 2, 1, Some(0));
    let (wait, run_delay, run, run_time, stolen) = contend(&mut probe, &workers, Duration::from_secs(2));
    assert_within("v1 wait", wait, run_delay, 1.0);
    assert_run_within("v1 run", run, run_time, stolen, 1.0);
}
