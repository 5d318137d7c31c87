//! Exits with and without a cause in the GPU.

use std::sync::Arc;

use super::*;
use crate::{
    analysis::earlier_runs,
    snapshot::{
        Totals,
        gpu::KnownBy,
        identity::Identity,
        nvidia_driver::{DriverCounters, DriverUsage},
    },
};

const EXIT: u64 = 1_000;

fn wall(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

/// The derivation, one GPU, and the time of the first tick.
struct Watched {
    reasons: ExitReasons,
    host: Host,
    begun: Instant,
}

impl Watched {
    fn new() -> Self {
        let gpu = Gpu { pci_bus_id: "00000000:01:00.0".into(), uuid: "GPU-a".into(), ..Gpu::default() };
        let host = Host { gpus: vec![gpu], ..Host::default() };
        Self { reasons: ExitReasons::default(), host, begun: Instant::now() }
    }

    /// The reason of the row's exit in the snapshot of this second.
    fn at(&mut self, second: u64, row: &ContainerRow) -> Option<&'static str> {
        let mut row = row.clone();
        earlier_runs::add(&mut row);
        let now = Moment { wall: wall(second), monotonic: self.begun + Duration::from_secs(second) };
        self.reasons.fill(std::slice::from_mut(&mut row), &self.host, now);
        row.status.last_exit.and_then(|exit| exit.reason).map(ExitReason::as_str)
    }

    /// An Xid error, read at this second.
    fn xid(&mut self, number: u64, second: u64) {
        let gpu = &mut self.host.gpus[0];
        match gpu.xids.iter_mut().find(|(known, _)| *known == number) {
            Some((_, count)) => *count += 1,
            None => gpu.xids.push((number, 1)),
        }
        assert_eq!(self.at(second, &row()), None);
    }
}

/// A container that has not exited.
fn row() -> ContainerRow {
    let identity = Identity { id: "1".into(), container: "swap".into(), ..Identity::default() };
    ContainerRow::new(Arc::new(identity), wall(0))
}

fn exited(code: Option<u32>, reason: Option<ExitReason>) -> ContainerRow {
    let mut row = row();
    row.status.last_exit = Some(LastExit { at: wall(EXIT), code, reason });
    row
}

fn failed() -> ContainerRow {
    exited(Some(1), Some(ExitReason::Error))
}

fn refused(row: ContainerRow, second: u64) -> ContainerRow {
    let driver = DriverUsage { refused_at: Some(wall(second)), ..DriverUsage::default() };
    ContainerRow { nvidia_driver: Some(Box::new(driver)), ..row }
}

/// The row, on this GPU.
fn on(row: ContainerRow, uuid: &str) -> ContainerRow {
    ContainerRow { gpus: vec![ContainerGpu { uuid: uuid.into(), ..ContainerGpu::default() }], ..row }
}

#[test]
fn only_a_refusal_shortly_before_the_exit_is_its_reason() {
    for (second, reason) in [
        (EXIT - 11, "error"),
        (EXIT - 10, "gpu_memory"),
        (EXIT, "gpu_memory"),
        (EXIT + 1, "gpu_memory"), // The runtime has truncated the time of the exit.
        (EXIT + 2, "error"),
    ] {
        assert_eq!(Watched::new().at(EXIT + 3, &refused(failed(), second)), Some(reason), "{second}");
    }
}

#[test]
fn without_a_refusal_the_reason_stays() {
    assert_eq!(Watched::new().at(EXIT, &failed()), Some("error"), "the driver is not traced");
    let mut recovered = refused(failed(), EXIT);
    recovered.nvidia_driver.as_mut().unwrap().refused_at = None;
    recovered.nvidia_driver.as_mut().unwrap().counters =
        DriverCounters { failed_no_memory: 1, allocations: 2, ..DriverCounters::default() };
    assert_eq!(Watched::new().at(EXIT, &recovered), Some("error"), "memory was granted afterwards");
    assert_eq!(Watched::new().at(EXIT, &row()), None, "it runs");
}

#[test]
fn only_failures_without_a_known_cause_get_a_reason() {
    for (code, reason, expected) in [
        (Some(0), Some(ExitReason::Completed), Some("completed")),
        (Some(137), Some(ExitReason::OomKilled), Some("oom_killed")),
        (Some(143), Some(ExitReason::Signal("SIGTERM")), Some("SIGTERM")),
        (Some(130), Some(ExitReason::Signal("SIGINT")), Some("SIGINT")),
        (None, None, None),
        (Some(1), Some(ExitReason::Error), Some("gpu")),
        (Some(255), Some(ExitReason::Error), Some("gpu")),
        (Some(134), Some(ExitReason::Signal("SIGABRT")), Some("gpu")),
        (Some(137), Some(ExitReason::Signal("SIGKILL")), Some("SIGKILL")),
        (Some(139), Some(ExitReason::Signal("SIGSEGV")), Some("gpu")),
    ] {
        let expect = |gpu| expected.map(|reason| if reason == "gpu" { gpu } else { reason });
        let row = exited(code, reason);
        let found = Watched::new().at(EXIT, &refused(row.clone(), EXIT));
        assert_eq!(found, expect("gpu_memory"), "{code:?}");
        let mut watched = Watched::new();
        watched.xid(31, EXIT - 1);
        assert_eq!(watched.at(EXIT, &on(row, "GPU-a")), expect("gpu_fault"), "{code:?}");
    }
}

#[test]
fn only_a_fatal_error_of_its_gpu_shortly_before_the_exit_is_the_reason() {
    let reason = |number, second, uuid| {
        let mut watched = Watched::new();
        assert_eq!(watched.at(second - 1, &row()), None);
        watched.xid(number, second);
        watched.at(second.max(EXIT) + 1, &on(failed(), uuid))
    };
    assert_eq!(reason(79, EXIT - 10, "GPU-a"), Some("gpu_fault"));
    assert_eq!(reason(79, EXIT - 11, "GPU-a"), Some("error"));
    assert_eq!(reason(79, EXIT + 2, "GPU-a"), Some("gpu_fault"), "reported up to a second after the exit");
    assert_eq!(reason(79, EXIT + 3, "GPU-a"), Some("error"), "of the next run");
    assert_eq!(reason(79, EXIT, "GPU-b"), Some("error"), "another GPU");
    assert_eq!(reason(45, EXIT, "GPU-a"), Some("error"), "a consequence of the exit");
    assert_eq!(reason(63, EXIT, "GPU-a"), Some("error"), "no application ends");
}

#[test]
fn errors_of_the_first_tick_are_new_and_errors_that_were_seen_before_are_not() {
    let mut watched = Watched::new();
    watched.xid(31, EXIT);
    assert_eq!(watched.at(EXIT, &on(failed(), "GPU-a")), Some("gpu_fault"));
    let mut watched = Watched::new();
    watched.xid(31, EXIT - 100);
    let lost = std::mem::take(&mut watched.host.gpus);
    assert_eq!(watched.at(EXIT - 1, &row()), None);
    watched.host.unreported_gpus = lost;
    watched.host.unreported_gpus[0].pci_bus_id = "0000:01:00.0".into();
    assert_eq!(watched.at(EXIT, &on(failed(), "GPU-a")), Some("error"), "NVML no longer reports the GPU");
}

#[test]
fn a_container_that_nvml_has_not_seen_used_the_only_gpu_if_it_has_a_context() {
    let mut with_context = failed();
    let counters = DriverCounters { contexts: 1, ..DriverCounters::default() };
    with_context.nvidia_driver = Some(Box::new(DriverUsage { counters, ..DriverUsage::default() }));
    let reason = |row: &ContainerRow, gpus: usize| {
        let mut watched = Watched::new();
        let stray = |number| Gpu {
            pci_bus_id: format!("0000:0{number}:00.0"),
            known_by: KnownBy::Driver,
            ..Gpu::default()
        };
        watched.host.unreported_gpus = (1..gpus).map(|number| stray(number + 1)).collect();
        watched.xid(79, EXIT);
        watched.at(EXIT, row)
    };
    assert_eq!(reason(&with_context, 1), Some("gpu_fault"));
    assert_eq!(reason(&with_context, 2), Some("error"), "it may have used the other GPU");
    assert_eq!(reason(&failed(), 1), Some("error"), "it did not use the GPU");
}

#[test]
fn a_refusal_wins_over_an_error_of_the_gpu() {
    let mut watched = Watched::new();
    watched.xid(31, EXIT);
    assert_eq!(watched.at(EXIT, &on(refused(failed(), EXIT), "GPU-a")), Some("gpu_memory"));
}

/// The row of a run that began before the report of the exit of the run before, so that no tick has seen its end.
fn next_run(ended: &ContainerRow, exit: Option<LastExit>) -> ContainerRow {
    let mut next = ContainerRow { earlier: Some(Arc::new(Totals::of(ended))), ..row() };
    next.status.last_exit = exit;
    next
}

#[test]
fn the_reason_stays_with_its_exit_during_the_next_runs() {
    let ended = refused(failed(), EXIT);
    let exit = ended.status.last_exit;
    let next = next_run(&ended, exit);
    let mut watched = Watched::new();
    for second in [EXIT + 1, EXIT + 299] {
        assert_eq!(watched.at(second, &next), Some("gpu_memory"), "{second}");
        // A refusal of the next run belongs to no exit yet.
        let refused_again = refused(next.clone(), EXIT + 200);
        assert_eq!(watched.at(second, &refused_again), Some("gpu_memory"), "{second}");
    }
    // The next run fails for another reason, and the one after it does not.
    let mut second = next.clone();
    second.status.last_exit = Some(LastExit { at: wall(EXIT + 300), ..exit.unwrap() });
    assert_eq!(watched.at(EXIT + 301, &second), Some("error"));
    earlier_runs::add(&mut second);
    assert_eq!(watched.at(EXIT + 302, &next_run(&second, second.status.last_exit)), Some("error"));
}

#[test]
fn a_fault_stays_the_reason_of_its_exit_after_further_errors_and_when_the_gpu_is_gone() {
    let mut watched = Watched::new();
    watched.xid(79, EXIT);
    let ended = on(failed(), "GPU-a");
    let next = next_run(&ended, ended.status.last_exit);
    assert_eq!(watched.at(EXIT + 1, &next), Some("gpu_fault"), "no tick saw the end of the run");
    watched.host.gpus.clear();
    for second in [EXIT + 61, EXIT + 299] {
        assert_eq!(watched.at(second, &next), Some("gpu_fault"), "{second}");
    }
    let mut another = next.clone();
    another.status.last_exit = Some(LastExit { at: wall(EXIT + 300), ..ended.status.last_exit.unwrap() });
    assert_eq!(watched.at(EXIT + 300, &another), Some("error"), "another exit");
    assert!(watched.reasons.by_fault.is_empty(), "kept only while a row has the exit");
}

#[test]
fn a_successor_in_kubernetes_has_the_reason_of_its_predecessor() {
    let named = |id: &str, mut row: ContainerRow| {
        let text = |text: &str| Some(text.to_owned());
        row.identity = Arc::new(Identity {
            id: id.into(),
            container: "app".into(),
            namespace: text("prod"),
            pod: text("web-0"),
            ..Identity::default()
        });
        row
    };
    let mut watched = Watched::new();
    watched.xid(48, EXIT - 1);
    let ended = named("1", on(failed(), "GPU-a"));
    assert_eq!(watched.at(EXIT, &ended), Some("gpu_fault"));
    // The row of the predecessor may be dropped before the exit expires.
    let mut successor = named("2", row());
    successor.status.last_exit = ended.status.last_exit;
    assert_eq!(watched.at(EXIT + 100, &successor), Some("gpu_fault"));
    let mut other = successor.clone();
    other.identity = Arc::new(Identity { pod: Some("web-1".into()), ..(*successor.identity).clone() });
    assert_eq!(watched.at(EXIT + 101, &other), Some("error"), "another pod with the same exit");
}

#[test]
fn faults_are_bounded_in_a_storm_of_errors() {
    let mut watched = Watched::new();
    for second in 0..1_000 {
        watched.xid(31, second);
        assert!(watched.reasons.faults.len() <= 1, "{second}");
    }
    assert_eq!(watched.at(EXIT, &on(failed(), "GPU-a")), Some("gpu_fault"));
    assert_eq!(watched.at(EXIT + 100, &row()), None);
    assert!(watched.reasons.faults.is_empty());
}

#[test]
fn no_time_of_a_runtime_panics() {
    let far = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(i64::MAX.unsigned_abs() - 1)).unwrap();
    for at in [SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 40), SystemTime::UNIX_EPOCH, far] {
        let mut watched = Watched::new();
        watched.xid(31, EXIT);
        let mut row = on(refused(failed(), EXIT), "GPU-a");
        row.status.last_exit = Some(LastExit { at, code: Some(1), reason: Some(ExitReason::Error) });
        assert_eq!(watched.at(EXIT, &row), Some("error"), "{at:?}");
    }
}
