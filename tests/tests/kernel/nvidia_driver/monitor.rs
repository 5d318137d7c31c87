//! Processes that only query the driver, and the name of a process that computes.

use std::time::Instant;

use glassbox::{
    analysis::{
        Recent,
        gpu_state::{GpuStates, Sources},
    },
    snapshot::gpu_state::GpuState,
};

use super::{
    CLIENT,
    call::{Call, Device, alloc, control, request, uvm},
    caller::{Caller, Nodes, fork, make, wait},
    probe::{DriverProbe, reload},
    stand_in,
};

/// The requests of nvidia-smi: a client, a device, queries.
fn questions() -> Vec<Call> {
    vec![
        request(Device::Ctl, 0xD6, 8),
        request(Device::Ctl, 0xC8, 72),
        alloc(CLIENT, CLIENT, 0x41),
        alloc(CLIENT, 2, 0x80),
        control(0x2080_018D),
        control(0x2080_2096),
        control(0x2080_1303),
    ]
}

/// The requests that create a context.
fn context() -> Vec<Call> {
    vec![uvm(0x3000_0001, 0), uvm(25, 0), uvm(27, 0)]
}

#[test]
fn nvidia_smi_in_a_container_does_not_count_as_gpu_work() {
    let Some(_alone) = stand_in("nvidia_smi_in_a_container_does_not_count_as_gpu_work") else { return };
    reload("");
    let mut probe = DriverProbe::start();
    let (nodes, (cgroup, container)) = (Nodes::new(), probe.container());
    let mut states = GpuStates::default();
    let mut state = |probe: &mut DriverProbe| {
        let usage = probe.read(&container).expect("it called the driver");
        let mut row = probe.row(&container);
        let sources = Sources { present: true, driver: true, nvml: true, lists_processes: true };
        states.fill(std::slice::from_mut(&mut row), Recent::default(), sources, Instant::now());
        (usage.cold_start, row.gpu_state)
    };
    Caller::start(Some(&cgroup), &nodes, questions()).outcomes();
    assert_eq!(state(&mut probe), (None, Some(GpuState::NoGpu)));
    Caller::start(Some(&cgroup), &nodes, context()).outcomes();
    let (cold_start, state) = state(&mut probe);
    assert!(cold_start.is_some());
    assert_eq!(state, Some(GpuState::Loading));
}

#[test]
fn a_cold_start_has_the_name_of_its_process() {
    let Some(_alone) = stand_in("a_cold_start_has_the_name_of_its_process") else { return };
    reload("");
    let mut probe = DriverProbe::start();
    let (nodes, (cgroup, container)) = (Nodes::new(), probe.container());
    for (name, shown) in [(c"python3", "python3"), (c"\"}\n\xFF{ more than it", "\"}\n\u{FFFD}{ more than")] {
        let pid = fork(Some(&cgroup), || {
            // SAFETY: a static C string.
            unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
            let descriptors = nodes.open();
            // The name of another thread is not the name of the process.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // SAFETY: as above.
                    unsafe { libc::prctl(libc::PR_SET_NAME, c"worker".as_ptr()) };
                    for mut call in context() {
                        assert_eq!(make(descriptors, call.device, call.request, call.bytes.as_mut_ptr()), 0);
                    }
                });
            });
        });
        wait(pid);
        let cold_start = probe.read(&container).unwrap().cold_start.expect("a context was made");
        assert_eq!(cold_start.process, shown);
    }
}
