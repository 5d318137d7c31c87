//! The programs for the NVIDIA driver with the fake driver and the fake CUDA application, with the tracepoint method. Needs
//! root and FUSE. `kernel/nvidia_driver/application.rs` runs the same checks with kprobes in guests.
#![expect(clippy::panic, reason = "a panic fails the test, also in its helpers")]

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use glassbox::{
    analysis::exit_reason::ExitReasons,
    collectors::nvidia_driver,
    config::{self, Config},
    containers::Moment,
    snapshot::{
        ContainerRow,
        host::Host,
        identity::Identity,
        lifecycle::{ExitReason, LastExit},
        nvidia_driver::{DriverUsage, LayoutSupport},
    },
};
use glassbox_ebpf::programs;
use glassbox_tests::nvidia::{
    Driver as _,
    abi::Release,
    account::{agree, succeeded},
    driver::{FakeDriver, Options},
    truth::{Setup, Workload},
    watch::Watch,
};

fn setup() -> Setup {
    Setup {
        program: program(),
        driver: |release, memory_mib| {
            Ok(Box::new(FakeDriver::start(Options { release, memory_mib, ..Options::default() })?))
        },
        method: |_| "tracepoint sys_enter_ioctl + sys_exit_ioctl",
        on_functions: false,
    }
}

fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_fake-cuda").into()
}

fn driver(options: Options) -> FakeDriver {
    FakeDriver::start(options).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn counters_match_the_account_in_every_release() {
    setup().on_every_release(Workload::counters_match_the_account);
}

#[test]
fn only_the_container_that_exhausts_the_gpu_has_failures() {
    setup().only_the_container_that_exhausts_the_memory_shows_the_failure();
}

#[test]
fn a_cold_start_lasts_until_the_last_large_allocation() {
    setup().a_cold_start_lasts_until_the_last_large_allocation();
}

#[test]
fn every_call_of_a_storm_is_counted_or_lost() {
    setup()
        .on_every_release(|workload| workload.every_call_of_a_storm_is_counted_or_reported_as_lost(50_000));
}

#[test]
fn a_hostile_caller_does_not_corrupt_counters_or_stop_the_agent() {
    setup().on_every_release(Workload::a_hostile_caller_does_not_corrupt_counters);
}

#[test]
fn calls_from_outside_containers_are_not_counted() {
    setup().calls_from_outside_containers_are_not_counted();
}

#[test]
fn without_a_release_only_layouts_common_to_all_are_decoded() {
    let driver = driver(Options { release: Release(535, 104, 5), memory_mib: 256, ..Options::default() });
    let mut config = Config::default();
    driver.configure(&mut config);
    config.nvidia_driver.release = None;
    let mut watch = Watch::with(&config, program());
    let truth = watch.run(&driver, "context");
    let usage = watch.usage().unwrap();
    // Layouts that differ between releases, and the short form of RM_ALLOC, which creates events.
    let untold = succeeded(&truth, "uvm", 33) + succeeded(&truth, "gpu", 0x2B);
    assert!(untold > 0);
    assert_eq!(usage.counters.undecoded, untold, "{:?}", usage.counters);
    assert_eq!(usage.counters.contexts, 1);
}

#[test]
fn per_command_histograms_follow_the_configuration() {
    let driver = driver(Options { memory_mib: 256, ..Options::default() });
    for per_command_histograms in [false, true] {
        let mut config = Config::default();
        config.nvidia_driver.per_command_histograms = per_command_histograms;
        driver.configure(&mut config);
        let mut watch = Watch::with(&config, program());
        drop(watch.run(&driver, "context"));
        assert_eq!(watch.usage().unwrap().per_command_histograms, per_command_histograms);
    }
}

#[test]
fn a_driver_newer_than_all_known_ones_is_decoded_as_the_newest_and_reported() {
    let driver = driver(Options { release: Release(595, 45, 4), memory_mib: 256, ..Options::default() });
    let mut config = Config::default();
    driver.configure(&mut config);
    config.nvidia_driver.release = Some(config::Release(610, 57, 4));
    let mut watch = Watch::with(&config, program());
    let truth = watch.run(&driver, "context");
    agree(&watch.usage().unwrap(), &truth, "610.57.04");
    let info = watch.host().nvidia_driver.unwrap();
    assert_eq!((info.release.as_str(), info.layouts), ("610.57.04", LayoutSupport::AssumedNewest));
    let finding = nvidia_driver::describe(&config).unwrap();
    assert!(finding.contains("610.57.04 is newer than 595.45.04"), "{finding}");
}

#[test]
fn without_xid_reports_of_the_driver_nvml_counts_the_errors() {
    let driver = driver(Options { memory_mib: 256, ..Options::default() });
    let mut watch = Watch::start(&driver, program());
    let kernel = watch.kernel();
    kernel.method("nvidia_driver").expect("the collector works without it");
    let without: Vec<_> = kernel.missing_programs("nvidia_driver").collect();
    let [(program, reason)] = without[..] else { panic!("{without:?}") };
    assert_eq!(*program, programs::NVIDIA_DRIVER_XID);
    assert!(reason.contains("events/nvidia/nvidia_dev_xid/format"), "{reason}");
    let shown = kernel.programs();
    let attached = |name| shown.iter().find(|shown| shown.name == name).map(|shown| shown.attached);
    assert_eq!(attached(programs::NVIDIA_DRIVER_XID), Some(false));
    assert_eq!(attached(programs::NVIDIA_DRIVER_ENTER), Some(true));
    assert_eq!(watch.host().reported_xids, None);
}

/// The reason of the exit that the agent shows, if the runtime reports it now.
fn reason_of_exit(usage: DriverUsage, code: i32) -> Option<&'static str> {
    let now = Moment::now();
    let mut row = ContainerRow::new(Arc::new(Identity::default()), now.wall);
    row.nvidia_driver = Some(Box::new(usage));
    let reason = Some(ExitReason::Error);
    row.status.last_exit = Some(LastExit { at: now.wall, code: Some(code.cast_unsigned()), reason });
    ExitReasons::default().fill(std::slice::from_mut(&mut row), &Host::default(), now);
    row.status.last_exit?.reason.map(ExitReason::as_str)
}

#[test]
fn an_application_that_fails_because_memory_is_refused_has_that_reason() {
    let driver = driver(Options { memory_mib: 256, ..Options::default() });
    let mut watch = Watch::start(&driver, program());
    let begun = SystemTime::now();
    // More than the GPU has.
    let code = watch.start_in_container(&driver, "context allocate --bytes 1073741824").exit_code();
    let refused = watch.usage().unwrap();
    assert_eq!((code, refused.counters.failed_no_memory), (Some(1), 1));
    let refused_at = refused.refused_at.expect("nothing was granted afterwards");
    // The time is computed from two clocks.
    let slack = Duration::from_millis(50);
    assert!(refused_at + slack >= begun && refused_at <= SystemTime::now() + slack, "{refused_at:?}");
    assert_eq!(reason_of_exit(refused, 1), Some("gpu_memory"));

    // A neighbour that frees memory, and gets some afterwards.
    let mut neighbour = watch.beside();
    drop(watch.run_in(&neighbour, &driver, "context exhaust-and-recover --bytes 16777216"));
    let recovered = watch.usage_of(&mut neighbour).unwrap();
    assert_eq!((recovered.counters.failed_no_memory, recovered.refused_at), (1, None));
    assert_eq!(reason_of_exit(recovered, 1), Some("error"));
}

#[test]
fn a_hanging_call_is_reported_as_waiting() {
    let hang = "0x2a".parse().unwrap();
    let driver = driver(Options { hang: Some(hang), memory_mib: 64, ..Options::default() });
    let mut watch = Watch::start(&driver, program());
    let mut stuck = watch.start_in_container(&driver, "context");
    let deadline = Instant::now() + Duration::from_secs(10);
    while driver.hanging() == 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    let usage = watch.usage().unwrap();
    assert_eq!(usage.in_flight, 1);
    assert!(usage.waiting.unwrap() >= Duration::from_millis(300), "{:?}", usage.waiting);
    stuck.kill();
}
