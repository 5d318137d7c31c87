//! Compares the counters of the NVIDIA driver's ioctls with the calls that were sent, with the method that hooks the
//! driver's functions.
//!
//! These tests apply only to guests with the stand-in for the driver. They reload it with the release and memory that they
//! need, so they must not run concurrently.

mod application;
mod call;
mod caller;
mod collision;
mod cost;
mod modules;
mod monitor;
mod perf_events;
mod poll;
mod probe;
mod returns;
mod storm;
mod xid;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use glassbox::{containers::tracker::Container, snapshot::nvidia_driver::Failure};
use glassbox_ebpf::Lost;
use glassbox_tests::{inapplicable, nvidia_module};

use self::{
    call::{
        Call, Device, alloc, alloc_memory, alloc_memory_short, control, free, heap_alloc, pin, request, uvm,
        wrapped,
    },
    caller::{Caller, Nodes, make},
    probe::{DriverProbe, METHOD, counts, failures, method_of, reload},
};
use super::probe::ALONE;

/// Holds the machine for a test that needs the stand-in. `None` after printing a skip if there is none.
fn stand_in(test: &str) -> Option<impl Drop> {
    let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if nvidia_module::directory().is_some() {
        return Some(alone);
    }
    inapplicable(test, "no stand-in for the NVIDIA driver, see `cargo xtask vm`");
    None
}

const MIB: u64 = 1 << 20;
const CLIENT: u32 = 0xC1D0_0001;
const PAGE: u64 = 0x7000_0000_0000;

/// A minimal version of CUDA's first requests: a client, a context with two channels, an event, and memory until it is
/// exhausted.
fn session() -> Vec<Call> {
    let ctl = |number, size| request(Device::Ctl, number, size);
    vec![
        ctl(0xD6, 8),
        ctl(0xC8, 72),
        alloc(CLIENT, CLIENT, 0x41),
        alloc(CLIENT, 2, 0x80),
        control(0x101),
        control(0x2080_1303),
        // The stand-in refuses this one.
        control(0x127),
        uvm(0x3000_0001, 0),
        uvm(75, 0),
        uvm(37, 0),
        uvm(25, 0),
        uvm(27, 0),
        uvm(27, 0),
        alloc(CLIENT, 3, 0x79),
        request(Device::Gpu, 0xCE, 16),
        // 32 of 64 MiB by one request and 16 by the other. The first one is granted a little more than requested.
        alloc_memory(CLIENT, 10, 32 * MIB - 1),
        heap_alloc(CLIENT, 11, 16 * MIB),
        uvm(73, PAGE),
        uvm(33, PAGE),
        // Both requests ask for too much, then for less after the first allocation is freed.
        alloc_memory(CLIENT, 12, 32 * MIB),
        heap_alloc(CLIENT, 13, 17 * MIB),
        free(CLIENT, 10),
        alloc_memory_short(CLIENT, 14, 32 * MIB),
        pin(2 * MIB),
        wrapped(control(0x101)),
        wrapped(heap_alloc(CLIENT, 15, MIB)),
        // An address that is not page-aligned, in structures whose layout differs between releases.
        uvm(33, PAGE + 1),
        uvm(34, PAGE + 1),
        uvm(34, PAGE),
        uvm(51, PAGE),
        // A request that the driver does not have, and one of a size that it never had.
        ctl(0x99, 16),
        ctl(0x2A, 24),
        uvm(90, 0),
        free(CLIENT, CLIENT),
    ]
}

#[test]
fn every_call_is_counted_by_command_and_status_with_four_layouts() {
    let Some(_alone) = stand_in("every_call_is_counted_by_command_and_status_with_four_layouts") else {
        return;
    };
    for release in ["535.104.05", "550.54.14", "580.65.06", "595.45.04"] {
        println!("release {release}");
        reload(&format!("memory_mib=64 release={release}"));
        let mut probe = DriverProbe::start();
        assert_eq!(
            probe.kernel.method("nvidia_driver").map(|method| method.name).unwrap(),
            method_of(release.parse().unwrap())
        );
        let (cgroup, container) = probe.container();
        let sent = session();
        let outcomes = Caller::start(Some(&cgroup), &Nodes::new(), sent.clone()).outcomes();
        // The counters must also match what the stand-in wrote into the structures.
        let granted = u64::from_le_bytes(outcomes[15].nested[64..72].try_into().unwrap());
        assert_eq!((outcomes[15].bytes[40], granted), (0, 32 * MIB), "rounded");
        assert_eq!((outcomes[19].bytes[40], outcomes[20].bytes[20]), (0x51, 0x51), "{outcomes:?}");
        let refused: Vec<_> =
            outcomes.iter().map(|outcome| outcome.errno).filter(|&errno| errno != 0).collect();
        assert_eq!(refused, [libc::EINVAL; 3]);

        let usage = probe.read(&container).expect("a row");
        let expected = [
            (("ctl", "sys_params"), 1),
            (("ctl", "card_info"), 1),
            (("ctl", "rm_alloc_client"), 1),
            (("ctl", "rm_alloc_device"), 1),
            (("ctl", "rm_alloc_event"), 1),
            (("ctl", "rm_alloc_memory_video"), 3),
            // Includes the one in an XFER request and the one of a size that no release has.
            (("ctl", "rm_control_system"), 3),
            (("ctl", "rm_control_memory_info"), 1),
            (("ctl", "rm_control_p2p"), 1),
            (("ctl", "rm_vid_heap_control"), 3),
            (("ctl", "rm_free"), 2),
            (("ctl", "unknown"), 1),
            (("gpu", "alloc_os_event"), 1),
            (("gpu", "rm_alloc_memory"), 1),
            (("uvm", "uvm_initialize"), 1),
            (("uvm", "uvm_mm_initialize"), 1),
            (("uvm", "uvm_register_gpu"), 1),
            (("uvm", "uvm_register_gpu_vaspace"), 1),
            (("uvm", "uvm_register_channel"), 2),
            (("uvm", "uvm_create_external_range"), 1),
            (("uvm", "uvm_map_external_allocation"), 2),
            (("uvm", "uvm_free"), 2),
            (("uvm", "uvm_migrate"), 1),
            (("uvm", "uvm_90"), 1),
        ];
        let expected = expected.map(|((device, command), count)| ((device, command.to_owned()), count));
        assert_eq!(counts(&usage), BTreeMap::from(expected));
        let status = |name: &'static str| Failure::Status(name.into());
        let errno = || Failure::Errno("EINVAL".into());
        let expected = [
            (("ctl", "rm_alloc_memory_video"), status("no_memory")),
            (("ctl", "rm_control_p2p"), status("not_supported")),
            (("ctl", "rm_control_system"), errno()),
            (("ctl", "rm_vid_heap_control"), status("no_memory")),
            (("ctl", "unknown"), errno()),
            (("uvm", "uvm_90"), errno()),
            (("uvm", "uvm_free"), status("0x1e")),
            (("uvm", "uvm_map_external_allocation"), status("0x1e")),
        ];
        assert_eq!(
            failures(&usage),
            expected.map(|((device, command), why)| (device, command.to_owned(), why, 1))
        );
        let meaning = &usage.counters;
        assert_eq!(meaning.allocations, 4);
        assert_eq!(meaning.allocated_bytes, (32 + 16 + 32 + 1) * MIB);
        // The rest is freed with the client, without a call.
        assert_eq!(meaning.freed_bytes, 32 * MIB);
        assert_eq!((meaning.failed_no_memory, meaning.failed_insufficient_resources), (2, 0));
        assert_eq!((meaning.recovered, meaning.failed_host_memory), (2, 0));
        assert_eq!((meaning.pinned_bytes, meaning.unreadable), (2 * MIB, 0));
        assert_eq!((meaning.contexts, meaning.channels, meaning.events), (1, 2, 1));
        // Number 0x99, the control of 24 bytes, UVM command 90.
        assert_eq!(meaning.undecoded, 3);
        assert_eq!((usage.in_flight, usage.waiting), (0, None));
        let cold = usage.cold_start.expect("a context was made");
        assert!(cold.driver_opened <= cold.context_ready, "{cold:?}");
        assert!(cold.last_large_allocation.is_some_and(|last| last >= cold.context_ready), "{cold:?}");
        assert_eq!(probe.lost(Lost::NvidiaCalls) + probe.lost(Lost::NvidiaCommands), 0);
    }
}

#[test]
fn only_the_container_that_runs_out_of_memory_has_failures() {
    let Some(_alone) = stand_in("only_the_container_that_runs_out_of_memory_has_failures") else { return };
    reload("memory_mib=64");
    let mut probe = DriverProbe::start();
    let (nodes, [(greedy_cgroup, greedy), (modest_cgroup, modest)]) =
        (Nodes::new(), [probe.container(), probe.container()]);
    let modest_calls = vec![alloc_memory(CLIENT, 1, MIB), free(CLIENT, 1)];
    Caller::start(Some(&modest_cgroup), &nodes, modest_calls.clone()).outcomes();
    let greedy_calls = (1..=10).map(|object| alloc_memory(CLIENT, object, 16 * MIB)).collect();
    Caller::start(Some(&greedy_cgroup), &nodes, greedy_calls).outcomes();
    // The memory of the first process was freed when it exited.
    let outcomes = Caller::start(Some(&modest_cgroup), &nodes, modest_calls).outcomes();
    assert_eq!(outcomes[0].bytes[40], 0);
    let (greedy, modest) = (probe.read(&greedy).unwrap(), probe.read(&modest).unwrap());
    assert_eq!((greedy.counters.allocations, greedy.counters.failed_no_memory), (4, 6));
    assert_eq!((greedy.counters.allocated_bytes, greedy.counters.freed_bytes), (64 * MIB, 0));
    assert_eq!((modest.counters.allocations, modest.counters.failed_no_memory), (2, 0));
    assert_eq!((modest.counters.allocated_bytes, modest.counters.freed_bytes), (2 * MIB, 2 * MIB));
    assert!(modest.failures.is_empty(), "{:?}", modest.failures);
}

#[test]
fn calls_from_outside_containers_and_by_the_agent_are_not_counted() {
    let Some(_alone) = stand_in("calls_from_outside_containers_and_by_the_agent_are_not_counted") else {
        return;
    };
    reload("");
    let mut probe = DriverProbe::start();
    let (nodes, (cgroup, container)) = (Nodes::new(), probe.container());
    let calls = || [control(0x101), uvm(25, 0)];
    Caller::start(None, &nodes, calls().into()).outcomes();
    assert!(probe.read(&container).is_none(), "a process outside");
    let descriptors = nodes.open();
    cgroup.enter(std::process::id().cast_signed()).unwrap();
    let errors =
        calls().map(|mut call| make(descriptors, call.device, call.request, call.bytes.as_mut_ptr()));
    probe::leave();
    for descriptor in descriptors {
        // SAFETY: our own descriptor, which is not used any more.
        unsafe { libc::close(descriptor) };
    }
    assert_eq!(errors, [0, 0]);
    assert!(probe.read(&container).is_none(), "the agent itself");
    Caller::start(Some(&cgroup), &nodes, calls().into()).outcomes();
    assert_eq!(
        counts(&probe.read(&container).expect("the container has called the driver")).values().sum::<u64>(),
        2
    );
}

#[test]
fn a_reloaded_driver_is_traced_again() {
    let Some(_alone) = stand_in("a_reloaded_driver_is_traced_again") else { return };
    reload("");
    let mut probe = DriverProbe::start();
    let (cgroup, container) = probe.container();
    let total = |probe: &mut DriverProbe, container: &Container| {
        let calls = [vec![control(0x101); 9], vec![uvm(25, 0)]].concat();
        Caller::start(Some(&cgroup), &Nodes::new(), calls).outcomes();
        counts(&probe.read(container).unwrap()).values().sum::<u64>()
    };
    assert_eq!(total(&mut probe, &container), 10);
    nvidia_module::unload().unwrap();
    probe.look();
    assert!(probe.kernel.method("nvidia_driver").is_err(), "detached");
    nvidia_module::load("").unwrap();
    probe.look();
    assert_eq!(probe.kernel.method("nvidia_driver").map(|method| method.name).unwrap(), METHOD);
    assert_eq!(total(&mut probe, &container), 20);
    // The kernel attaches the previous hooks again, so nothing depends on the time at which the agent notices.
    reload("release=550.54.14");
    assert_eq!(total(&mut probe, &container), 30);
    probe.look();
    // This release has functions with other names.
    reload("release=535.104.05");
    probe.look();
    let method = probe.kernel.method("nvidia_driver").map(|method| method.name).unwrap();
    assert_eq!(method, method_of("535.104.05".parse().unwrap()));
    assert_eq!(total(&mut probe, &container), 40);
    assert_eq!(probe.lost(Lost::NvidiaAttach) + probe.lost(Lost::NvidiaCalls), 0);
}

#[test]
fn a_call_that_has_not_returned_is_in_flight() {
    let Some(_alone) = stand_in("a_call_that_has_not_returned_is_in_flight") else { return };
    reload("latency_us=1000000");
    let mut probe = DriverProbe::start();
    let (cgroup, container) = probe.container();
    let nodes = Nodes::new();
    let caller = Caller::start(Some(&cgroup), &nodes, vec![control(0x101)]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while probe.read(&container).is_none() {
        assert!(Instant::now() < deadline, "no call has begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    let usage = probe.read(&container).unwrap();
    assert_eq!(usage.in_flight, 1);
    let waiting = usage.waiting.expect("it waits");
    assert!(waiting >= Duration::from_millis(300) && waiting < Duration::from_secs(1), "{waiting:?}");
    caller.outcomes();
    let usage = probe.read(&container).unwrap();
    assert_eq!((usage.in_flight, usage.waiting), (0, None));
    let took = Duration::from_nanos(usage.commands[0].durations.sum_ns);
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(2), "{took:?}");
}
