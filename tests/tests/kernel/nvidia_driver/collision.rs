//! Calls that must be lost. The programs store a call at the index of its thread ID modulo the number of entries, so of two
//! threads with the same index that call at the same time, one call is lost. The loss counter must count each of them.

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

/// The ID for the first thread. The second thread gets one that no other process in a guest has.
const FIRST: u32 = 20_000;

/// Pins a process and its future threads to the first CPU, where the programs of two threads never run concurrently.
fn pin(cuda: &FakeCuda) {
    // SAFETY: a CPU set is plain data and outlives the call.
    let result = unsafe {
        let mut cpus: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut cpus);
        libc::sched_setaffinity(cuda.pid(), size_of::<libc::cpu_set_t>(), &raw const cpus)
    };
    assert_eq!(result, 0, "keep the application on one CPU");
}

/// Lets an application continue, and gives its next thread this ID unless another process takes it. Returns the thread's ID.
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
fn concurrent_calls_of_threads_with_one_entry_are_counted_as_lost() {
    let Some(_alone) = stand_in("concurrent_calls_of_threads_with_one_entry_are_counted_as_lost") else {
        return;
    };
    let driver = StandIn::load("580.65.06".parse().unwrap(), 64).unwrap();
    let mut watch = Watch::start(&driver, APPLICATION.into());
    // Long enough for both threads to be in the driver at the same time.
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
            assert!(lost > 0, "the threads were never in the driver at the same time");
            return;
        }
        assert_eq!(lost, 0, "the threads had different entries");
    }
    panic!("another process took the id each time");
}
