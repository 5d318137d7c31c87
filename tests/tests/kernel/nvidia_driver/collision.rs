//! Calls that must be lost: the programs keep a call in the place that its thread's id has modulo the number of places,
//! so of two threads that share one and call at once, one is lost. The loss counter has to tell of each.

use std::{
    fs,
    time::{Duration, Instant},
};

use glassbox_ebpf::nvidia_driver::CALLS_IN_FLIGHT;
use glassbox_tests::nvidia::{
    account::counted,
    application::FakeCuda,
    stand_in::{APPLICATION, StandIn},
    watch::Watch,
};

use super::stand_in;

/// The id that the first thread is to have; the other then has one that nobody has in a guest.
const FIRST: u32 = 20_000;

/// Keeps a process and its future threads on the first CPU, where the programs of two threads never run at once.
fn pin(cuda: &FakeCuda) {
    // SAFETY: a set of CPUs is plain data, and lives through the call.
    let result = unsafe {
        let mut cpus: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut cpus);
        libc::sched_setaffinity(cuda.pid(), size_of::<libc::cpu_set_t>(), &raw const cpus)
    };
    assert_eq!(result, 0, "keep the application on one CPU");
}

/// Lets an application go on and gives its next thread an id, unless another process takes it; the id that it got.
fn go_as(cuda: &mut FakeCuda, id: u32) -> u32 {
    fs::write("/proc/sys/kernel/ns_last_pid", (id - 1).to_string()).unwrap();
    cuda.go();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let threads = fs::read_dir(format!("/proc/{}/task", cuda.pid())).unwrap();
        let ids = threads.map(|thread| thread.unwrap().file_name().to_str().unwrap().parse::<u32>().unwrap());
        if let Some(id) = ids.into_iter().find(|id| id.cast_signed() != cuda.pid()) {
            return id;
        }
        assert!(Instant::now() < deadline, "the application started no thread");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn calls_of_threads_that_share_a_place_are_lost_and_counted_as_lost() {
    let Some(_alone) = stand_in("calls_of_threads_that_share_a_place_are_lost_and_counted_as_lost") else {
        return;
    };
    let driver = StandIn::load("580.65.06".parse().unwrap(), 64).unwrap();
    let mut watch = Watch::start(&driver, APPLICATION.into());
    // So long that both are in the driver at once.
    fs::write("/sys/module/nvidia/parameters/latency_us", "2000").unwrap();
    for _ in 0..5 {
        let mut watched = watch.beside();
        let profiles = "storm --threads 1 --rate 0 --seconds 2";
        let lost_before = watch.lost();
        let [mut one, mut other] = [(); 2].map(|()| watch.ready_in(&watched, &driver, profiles));
        pin(&one);
        pin(&other);
        let one_id = go_as(&mut one, FIRST);
        let other_id = go_as(&mut other, one_id - CALLS_IN_FLIGHT);
        let sent: u64 = [one, other].map(|cuda| cuda.truth()["sent"].as_u64().unwrap()).iter().sum();
        let usage = watch.usage_of(&mut watched).unwrap();
        let (counted, lost) = (counted(&usage), watch.lost() - lost_before);
        println!("threads {one_id} and {other_id}: sent {sent}, counted {counted}, lost {lost}");
        assert_eq!((counted + lost, usage.in_flight), (sent, 0));
        if one_id == other_id + CALLS_IN_FLIGHT {
            assert!(lost > 0, "the threads did not meet");
            return;
        }
        assert_eq!(lost, 0, "the threads shared no place");
    }
    panic!("another process took the id each time");
}
