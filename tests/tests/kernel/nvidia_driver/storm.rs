//! Many concurrent threads, and hostile callers.

use std::time::Instant;

use glassbox_ebpf::Lost;

use super::{
    call::{Call, Device, control, uvm},
    caller::{Caller, Nodes, fork, make, wait},
    probe::{DriverProbe, counts, reload},
    stand_in,
};

/// Starts threads in one process of a new container that call as fast as they can. Returns the calls that were counted, the
/// calls still in flight, and the calls reported as lost.
fn storm(threads: usize, calls: usize) -> (u64, u64, u64) {
    let mut probe = DriverProbe::start();
    let (nodes, (cgroup, container)) = (Nodes::new(), probe.container());
    let begun = Instant::now();
    let pid = fork(Some(&cgroup), || {
        let descriptors = nodes.open();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let of_manager = thread % 2 == 0;
                scope.spawn(move || {
                    let mut call = if of_manager { control(0x101) } else { uvm(39, 0) };
                    for _ in 0..calls {
                        make(descriptors, call.device, call.request, call.bytes.as_mut_ptr());
                    }
                });
            }
        });
    });
    wait(pid);
    let took = begun.elapsed();
    let usage = probe.read(&container).expect("a row");
    let counted = counts(&usage).values().sum();
    let lost = probe.lost(Lost::NvidiaCalls);
    let sent = (threads * calls) as f64;
    println!(
        "{sent} calls by {threads} threads in {took:?}, {:.0} per second; counted {counted}, in flight {}, lost {lost}",
        sent / took.as_secs_f64(),
        usage.in_flight
    );
    (counted, usage.in_flight, lost)
}

#[test]
fn eight_threads_at_full_speed_lose_no_call() {
    let Some(_alone) = stand_in("eight_threads_at_full_speed_lose_no_call") else { return };
    reload("");
    assert_eq!(storm(8, 10_000), (80_000, 0, 0));
}

#[test]
fn sixty_four_threads_that_wait_in_the_driver_at_once_lose_no_call() {
    let Some(_alone) = stand_in("sixty_four_threads_that_wait_in_the_driver_at_once_lose_no_call") else {
        return;
    };
    // More concurrent calls than the default kretprobe limit allows.
    reload("latency_us=5000");
    assert_eq!(storm(64, 50), (3200, 0, 0));
}

/// The same random numbers in each run (xorshift).
fn garbage(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn random_requests_are_counted_and_affect_no_other_container() {
    let Some(_alone) = stand_in("random_requests_are_counted_and_affect_no_other_container") else { return };
    reload("memory_mib=1");
    let mut probe = DriverProbe::start();
    let (cgroup, container) = probe.container();
    let mut state = 0x9E37_79B9_7F4A_7C15;
    let devices = [Device::Ctl, Device::Gpu, Device::Uvm];
    let calls: Vec<Call> = (0..3000)
        .map(|_| {
            let word = garbage(&mut state);
            let device = devices[(word % 3) as usize];
            // Half of the words have the driver's type and size, so that the structures are read.
            let request = if word & 8 == 0 { word >> 32 } else { 0xC000_4620 | (word >> 32) & 0x3FFF_007F };
            let mut call = Call::new(device, request as u32, 16_384);
            call.bytes.iter_mut().for_each(|byte| *byte = garbage(&mut state) as u8);
            call
        })
        .collect();
    Caller::start(Some(&cgroup), &Nodes::new(), calls).outcomes();
    let usage = probe.read(&container).expect("a row");
    assert_eq!((counts(&usage).values().sum::<u64>(), usage.in_flight), (3000, 0));
    assert!(usage.commands.len() < 300, "{} combinations", usage.commands.len());
    // Structures at invalid addresses.
    let pid = fork(Some(&cgroup), || {
        let descriptors = Nodes::new().open();
        for address in [0usize, 1, 4096, usize::MAX, 1 << 47, 0xFFFF_8000_0000_0000] {
            for call in [control(1), uvm(27, 0), super::alloc_memory(1, 1, 1), super::wrapped(control(1))] {
                make(descriptors, call.device, call.request, address as *mut u8);
            }
        }
    });
    wait(pid);
    let usage = probe.read(&container).expect("a row");
    assert_eq!((counts(&usage).values().sum::<u64>(), usage.in_flight), (3024, 0));
    assert!(usage.counters.unreadable >= 24, "{:?}", usage.counters);
    assert_eq!(probe.lost(Lost::NvidiaCalls) + probe.lost(Lost::NvidiaCommands), 0);
}
