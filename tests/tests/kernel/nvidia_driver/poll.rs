//! Waits in poll(2) and select(2) are counted if a thread slept for the driver.

use std::time::{Duration, Instant};

use glassbox::{config::NvidiaDriverHook, containers::tracker::Container};
use glassbox_ebpf::{Lost, histogram, programs};

use super::{
    call::control,
    caller::{Nodes, fork, make, wait},
    probe::{DriverProbe, reload, set},
    stand_in,
};

/// The index of the GPU among the devices of [`Nodes::open`].
const GPU: usize = 1;

fn poll(descriptors: &[i32], timeout_ms: i32) -> i32 {
    let entry = |&fd: &i32| libc::pollfd { fd, events: libc::POLLIN | libc::POLLPRI, revents: 0 };
    let mut entries: Vec<_> = descriptors.iter().map(entry).collect();
    // SAFETY: the entries outlive the call.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, timeout_ms) }
}

fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Runs `work` with the descriptors of ctl, GPU and UVM in a process of a container that has made a call. Returns the
/// container's waits by device, with their number and sum.
fn waits(
    probe: &mut DriverProbe,
    container: &(glassbox_tests::cgroup::Cgroup, Container),
    work: impl FnOnce([i32; 3]),
) -> Vec<(&'static str, u64, Duration)> {
    let nodes = Nodes::new();
    let pid = fork(Some(&container.0), || {
        let descriptors = nodes.open();
        let mut call = control(0x101);
        make(descriptors, call.device, call.request, call.bytes.as_mut_ptr());
        work(descriptors);
    });
    wait(pid);
    let usage = probe.read(&container.1).expect("a row");
    let polls = usage.polls.iter();
    polls.map(|(device, waits)| (*device, waits.count(), Duration::from_nanos(waits.sum_ns))).collect()
}

#[test]
fn a_sleep_in_poll_for_the_driver_is_counted_with_its_duration() {
    let Some(_alone) = stand_in("a_sleep_in_poll_for_the_driver_is_counted_with_its_duration") else {
        return;
    };
    reload("");
    let mut probe = DriverProbe::start();
    assert!(probe.kernel.has(programs::NVIDIA_DRIVER_POLL), "{:?}", probe.kernel.outcomes());
    let container = probe.container();
    let begun = Instant::now();
    let counted = waits(&mut probe, &container, |descriptors| {
        set("wake_after_ms", "50");
        assert_eq!(poll(&[descriptors[GPU]], 10_000), 1);
        // No event ends this wait.
        assert_eq!(poll(&[descriptors[GPU]], 30), 0);
        set("wake_after_ms", "40");
        // SAFETY: an all-zero set is valid and empty.
        let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
        // SAFETY: the set outlives the call, and the descriptor is below its size.
        let ready = unsafe {
            libc::FD_SET(descriptors[GPU], &raw mut set);
            let none = std::ptr::null_mut();
            libc::select(descriptors[GPU] + 1, &raw mut set, none, none, none.cast())
        };
        assert_eq!(ready, 1);
    });
    let [("gpu", 3, slept)] = counted[..] else { panic!("{counted:?}") };
    println!("slept {slept:?}");
    assert!(slept >= Duration::from_millis(115) && slept < begun.elapsed(), "{slept:?}");
    let usage = probe.read(&container.1).unwrap();
    let shortest = usage.polls[0].1.buckets.iter().position(|&count| count != 0).unwrap();
    assert!(shortest >= histogram::bucket(28_000_000), "bucket {shortest}");
    assert_eq!(usage.commands.len(), 1, "a wait was counted as a command: {:?}", usage.commands);
    assert_eq!(probe.lost(Lost::NvidiaPolls), 0);
}

#[test]
fn calls_that_do_not_sleep_for_the_driver_are_not_counted() {
    let Some(_alone) = stand_in("calls_that_do_not_sleep_for_the_driver_are_not_counted") else { return };
    reload("");
    let mut probe = DriverProbe::start();
    let container = probe.container();
    let counted = waits(&mut probe, &container, |descriptors| {
        let gpu = descriptors[GPU];
        let ready = |descriptor| {
            set("wake_after_ms", "0");
            sleep(20);
            assert!(poll(&[descriptor], 5000) == 1);
            // Sleeps, but not in poll.
            sleep(30);
        };
        assert_eq!(poll(&[gpu], 0), 0);
        // Each of these calls finds a device ready, so its start is recorded without an end.
        ready(gpu);
        assert_eq!(poll(&[gpu], 0), 0);
        let mut pipe = [0; 2];
        // SAFETY: space for two descriptors; one byte of ours.
        unsafe {
            assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
            assert_eq!(libc::write(pipe[1], [0u8].as_ptr().cast(), 1), 1);
        }
        ready(gpu);
        assert_eq!(poll(&[pipe[0], gpu], 5000), 1, "the pipe is ready, and the device was polled as well");
        ready(gpu);
        assert_eq!(poll(&[gpu, pipe[0]], 5000), 1);
        sleep(30);
        assert_eq!(poll(&[pipe[0], gpu], 5000), 1);
        ready(gpu);
        epoll(gpu);
    });
    assert_eq!(counted, []);
}

/// Waits for a device with epoll.
fn epoll(descriptor: i32) {
    set("wake_after_ms", "40");
    // SAFETY: the events outlive the calls.
    unsafe {
        let epoll = libc::epoll_create1(0);
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        assert_eq!(libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, descriptor, &raw mut event), 0);
        assert_eq!(libc::epoll_wait(epoll, &raw mut event, 1, 10_000), 1);
    }
}

#[test]
fn waits_for_several_files_and_by_many_threads_are_counted() {
    let Some(_alone) = stand_in("waits_for_several_files_and_by_many_threads_are_counted") else {
        return;
    };
    reload("");
    let mut probe = DriverProbe::start();
    let container = probe.container();
    let counted = waits(&mut probe, &container, |descriptors| {
        let mut pipe = [0; 2];
        // SAFETY: space for two descriptors.
        assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
        // A wait for several devices is attributed to the last one.
        assert_eq!(poll(&[pipe[0], descriptors[0], descriptors[GPU]], 20), 0);
        assert_eq!(poll(&[descriptors[0], pipe[0]], 20), 0);
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        assert_eq!(poll(&[descriptors[GPU]], 10), 0);
                    }
                });
            }
        });
    });
    let [("ctl", 1, ctl), ("gpu", gpu_waits, gpu)] = counted[..] else { panic!("{counted:?}") };
    // On a busy host, a timeout may expire before its thread sleeps, and a thread may wake up early and sleep again.
    assert!((155..=167).contains(&gpu_waits), "{gpu_waits} of 161");
    assert!(ctl >= Duration::from_millis(19), "{ctl:?}");
    assert!(gpu >= Duration::from_millis(19 + 160 * 10 * 95 / 100), "{gpu:?}");
    assert_eq!(probe.lost(Lost::NvidiaPolls), 0);
}

#[test]
fn the_system_call_method_counts_calls_but_not_waits() {
    let Some(_alone) = stand_in("the_system_call_method_counts_calls_but_not_waits") else { return };
    reload("");
    let mut probe = DriverProbe::on(NvidiaDriverHook::Syscalls);
    let container = probe.container();
    assert!(!probe.kernel.has(programs::NVIDIA_DRIVER_POLL));
    let counted = waits(&mut probe, &container, |descriptors| {
        assert_eq!(poll(&[descriptors[GPU]], 30), 0);
    });
    assert_eq!(counted, []);
    assert_eq!(probe.read(&container.1).unwrap().commands.len(), 1);
}
