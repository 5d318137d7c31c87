//! The NVIDIA driver's programs against a driver without a GPU and an application that knows what it sent. Needs root and
//! FUSE; the tracepoint rung. The kprobe rung is tested in guests: `kernel/nvidia_driver.rs`.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what these functions do for tests, tests may do")]

#[path = "nvidia_driver/account.rs"]
mod account;
#[path = "nvidia_driver/watch.rs"]
mod watch;

use std::time::Duration;

use glassbox::snapshot::nvidia_driver::{DriverUsage, Failure};
use glassbox_ebpf::{Lost, programs};
use glassbox_tests::nvidia::{
    abi::Release,
    driver::{FakeDriver, Options},
};

use account::{commands, failures, succeeded};
use watch::{Watch, cuda};

const RELEASES: [Release; 4] =
    [Release(535, 104, 5), Release(550, 54, 14), Release(580, 65, 6), Release(595, 45, 4)];

fn driver(release: Release, memory_mib: u64) -> FakeDriver {
    FakeDriver::start(Options { release, memory_mib, ..Options::default() })
        .unwrap_or_else(|error| panic!("{error:#}"))
}

/// Everything that the application counted is what the programs counted.
fn agree(usage: &DriverUsage, truth: &serde_json::Value, about: &str) {
    let counted = |usage: &DriverUsage| {
        let calls = usage.commands.iter();
        calls
            .map(|usage| {
                let count: u64 = usage.durations.slots.iter().sum();
                (format!("{} {}", usage.device, usage.command), count)
            })
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(counted(usage), commands(truth), "{about}: calls");
    let failed: std::collections::BTreeMap<_, _> = usage
        .failures
        .iter()
        .map(|failure| {
            let reason = match &failure.reason {
                Failure::Status(name) | Failure::Errno(name) => name,
            };
            (format!("{} {} {reason}", failure.device, failure.command), failure.count)
        })
        .collect();
    assert_eq!(failed, failures(truth), "{about}: failures");
    let (meaning, sums) = (&usage.meaning, &truth["sums"]);
    assert_eq!(meaning.allocated_bytes, sums["allocated_bytes"].as_u64().unwrap(), "{about}: allocated");
    assert_eq!(meaning.freed_bytes, sums["freed_bytes"].as_u64().unwrap(), "{about}: freed");
    assert_eq!(meaning.pinned_bytes, sums["pinned_bytes"].as_u64().unwrap(), "{about}: pinned");
    assert_eq!(meaning.failed_no_memory, sums["refused"].as_u64().unwrap(), "{about}: refused");
    assert_eq!(meaning.contexts, succeeded(truth, "uvm", 25), "{about}: contexts");
    assert_eq!(meaning.channels, succeeded(truth, "uvm", 27), "{about}: channels");
    assert_eq!((meaning.undecoded, meaning.unreadable, usage.in_flight), (0, 0, 0), "{about}");
}

#[test]
fn what_is_counted_is_what_was_sent_in_the_layouts_of_every_release() {
    for release in RELEASES {
        let driver = driver(release, 256);
        let mut watch = Watch::start(&driver, Some(release));
        let truth = watch.play(
            &driver,
            "context allocate --bytes 4194304 --count 10 free pin --bytes 8192 migrate exhaust --bytes 16777216",
        );
        let usage = watch.usage().unwrap_or_else(|| panic!("{release}: nothing was counted"));
        agree(&usage, &truth, &release.to_string());
        assert!(usage.meaning.failed_no_memory > 0 && usage.meaning.recovered == 0, "{release}");
    }
}

#[test]
fn a_failure_that_is_followed_by_a_success_is_recovered() {
    let driver = driver(Release(580, 65, 6), 512);
    let mut watch = Watch::start(&driver, Some(driver.release()));
    let truth = watch.play(&driver, "context exhaust-and-recover --bytes 16777216");
    let usage = watch.usage().unwrap();
    agree(&usage, &truth, "exhaust and recover");
    let meaning = &usage.meaning;
    assert!(meaning.failed_no_memory > 0, "{meaning:?}");
    assert_eq!(meaning.recovered, meaning.failed_no_memory, "{meaning:?}");
}

#[test]
fn of_two_containers_on_one_gpu_only_the_one_that_exhausts_it_shows_the_failure() {
    let driver = driver(Release(580, 65, 6), 256);
    let mut hungry = Watch::start(&driver, Some(driver.release()));
    let mut modest = hungry.beside();
    let modest_truth = hungry.play_in(&modest, &driver, "context allocate --bytes 1048576 --count 4");
    let hungry_truth = hungry.play(&driver, "context exhaust --bytes 16777216");
    let usage = hungry.usage().unwrap();
    agree(&usage, &hungry_truth, "the hungry one");
    let refused = usage.failures.iter().find(|failure| failure.reason == Failure::Status("no_memory".into()));
    let command = &refused.expect("a failure for want of memory").command;
    assert!(["rm_vid_heap_control", "rm_alloc_memory_video"].contains(&command.as_ref()), "{command}");
    let usage = hungry.usage_of(&mut modest).unwrap();
    agree(&usage, &modest_truth, "the modest one");
    assert_eq!(usage.meaning.failed_no_memory, 0);
}

#[test]
fn a_cold_start_goes_from_the_process_to_its_last_large_allocation() {
    let driver = driver(Release(580, 65, 6), 512);
    let mut watch = Watch::start(&driver, Some(driver.release()));
    let _truth = watch.play(&driver, "context allocate --bytes 33554432 --count 4");
    let cold = watch.usage().unwrap().cold_start.expect("a context was made");
    let last = cold.last_large_allocation.expect("a large allocation was made");
    assert!(cold.driver_opened <= cold.context_ready && cold.context_ready <= last, "{cold:?}");
    assert!(last < Duration::from_secs(60), "{cold:?}");
    assert_eq!(cold.process, "fake-cuda");
}

#[test]
fn a_driver_that_reports_no_errors_to_the_kernel_leaves_them_to_nvml() {
    let driver = driver(Release(580, 65, 6), 256);
    let mut watch = Watch::start(&driver, Some(driver.release()));
    watch.kernel.rung("nvidia_driver").expect("it holds without");
    let without: Vec<_> = watch.kernel.without("nvidia_driver").collect();
    let [(program, reason)] = without[..] else { panic!("{without:?}") };
    assert_eq!(*program, programs::NVIDIA_DRIVER_XID);
    assert!(reason.contains("events/nvidia/nvidia_dev_xid/format"), "{reason}");
    let shown = watch.kernel.programs();
    let attached = |name| shown.iter().find(|shown| shown.name == name).map(|shown| shown.attached);
    assert_eq!(attached(programs::NVIDIA_DRIVER_XID), Some(false));
    assert_eq!(attached(programs::NVIDIA_DRIVER_ENTER), Some(true));
    assert_eq!(watch.host().reported_xids, None);
}

#[test]
fn a_storm_of_calls_is_counted_to_the_last_or_what_was_lost_is() {
    let driver = driver(Release(580, 65, 6), 256);
    let mut watch = Watch::start(&driver, Some(driver.release()));
    let lost_before = watch.kernel.lost_of(Lost::NvidiaCalls);
    let truth = watch.play(&driver, "storm --threads 8 --rate 50000 --seconds 2");
    let sent = truth["sent"].as_u64().unwrap();
    let usage = watch.usage().unwrap();
    let counted: u64 = usage.commands.iter().map(|usage| usage.durations.slots.iter().sum::<u64>()).sum();
    let lost = watch.kernel.lost_of(Lost::NvidiaCalls) - lost_before;
    println!("sent {sent}, counted {counted}, lost {lost}");
    assert_eq!(counted + lost, sent);
    assert!(sent > 1000, "the storm was none");
}

#[test]
fn a_hostile_caller_leaves_honest_counters_and_a_living_agent() {
    let driver = driver(Release(580, 65, 6), 512);
    let mut watch = Watch::start(&driver, Some(driver.release()));
    let truth = watch.play(&driver, "hostile --count 300");
    let usage = watch.usage().unwrap();
    let counted: u64 = usage.commands.iter().map(|usage| usage.durations.slots.iter().sum::<u64>()).sum();
    // Some never reached the driver: their file was closed meanwhile.
    let sent = truth["sent"].as_u64().unwrap();
    assert!(counted > sent / 2 && counted <= sent, "counted {counted} of {sent}");
    assert_eq!(usage.in_flight, 0);
    // Whatever it invented, there are few names.
    let names: std::collections::BTreeSet<_> = usage.commands.iter().map(|usage| &usage.command).collect();
    assert!(names.len() < 160, "{names:?}");
    let after = watch.play(&driver, "context");
    assert_eq!(after["sent"].as_u64(), Some(711));
}

#[test]
fn without_a_release_only_what_all_lay_out_alike_is_decoded() {
    let driver = driver(Release(535, 104, 5), 256);
    let mut watch = Watch::start(&driver, None);
    let truth = watch.play(&driver, "context");
    let usage = watch.usage().unwrap();
    // What moved between releases, and the short form of RM_ALLOC, which events are made with.
    let untold = succeeded(&truth, "uvm", 33) + succeeded(&truth, "gpu", 0x2B);
    assert!(untold > 0);
    assert_eq!(usage.meaning.undecoded, untold, "{:?}", usage.meaning);
    assert_eq!(usage.meaning.contexts, 1);
}

#[test]
fn calls_from_outside_containers_are_nobodys() {
    let driver = driver(Release(580, 65, 6), 256);
    let mut watch = Watch::start(&driver, Some(driver.release()));
    let truth = cuda(&driver, "context").truth();
    assert_eq!(truth["sent"].as_u64(), Some(711));
    assert_eq!(watch.usage(), None);
}

#[test]
fn a_call_that_hangs_is_seen_waiting() {
    let hang = "0x2a".parse().unwrap();
    let options = Options { hang: Some(hang), memory_mib: 64, ..Options::default() };
    let driver = FakeDriver::start(options).unwrap_or_else(|error| panic!("{error:#}"));
    let mut watch = Watch::start(&driver, Some(driver.release()));
    let mut stuck = watch.start_playing(&driver, "context");
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while driver.hanging() == 0 && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    let usage = watch.usage().unwrap();
    assert_eq!(usage.in_flight, 1);
    assert!(usage.waiting.unwrap() >= Duration::from_millis(300), "{:?}", usage.waiting);
    stuck.kill();
}
