//! An agent that traces the real driver, and its metrics of a container.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use glassbox_fixtures::exposition::{Sample, Scrape};
use glassbox_tests::{
    agent::Agent,
    inapplicable,
    real_driver::{
        account::{Account, Counts, Detail, key},
        container::Container,
        driver,
    },
};

/// NVML would keep the modules loaded, and is not under test here.
const CONFIGURATION: &str = "tick_ms = 250\n[collectors]\nnvml = false\n\
                             [nvidia_driver]\nper_command_histograms = true\n";
/// Time in which the agent must export an event.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Calls are counted when they return, and exported at the next tick.
const TWO_TICKS: Duration = Duration::from_millis(600);

static ALONE: Mutex<()> = Mutex::new(());

/// Holds the guest for a test. `None` after printing a skip if this is not a guest with the real driver.
pub(super) fn guest(test: &str) -> Option<MutexGuard<'static, ()>> {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if driver::is_here() {
        return Some(alone);
    }
    inapplicable(test, "no real NVIDIA driver, see `cargo xtask vm --real-driver`");
    None
}

/// A running agent.
pub(super) struct Watch {
    agent: Agent,
}

impl Watch {
    /// Starts an agent and waits until its programs are attached to the loaded driver.
    pub(super) fn start() -> Self {
        let watch = Self { agent: Agent::start(CONFIGURATION) };
        watch.expect_functions();
        watch
    }

    /// Starts an agent before the driver is loaded.
    pub(super) fn start_without_driver() -> Self {
        Self { agent: Agent::start(CONFIGURATION) }
    }

    /// Fails unless the programs are attached to the driver's own functions. Counts would not show the difference: the
    /// tracepoints of all system calls see most of the same calls, at a cost for the whole host.
    pub(super) fn expect_functions(&self) {
        self.wait("the programs are attached to the functions of the driver", |scrape| {
            let attached = |program: &str| {
                let samples = scrape.of("glassbox_probe_attached", &[]);
                let mut of_it = samples.filter(|sample| sample.labels["program"] == program);
                of_it.any(|sample| sample.value == 1.0 && sample.labels["hook"].starts_with("kprobe "))
            };
            ["nvidia_driver_call", "nvidia_driver_return", "nvidia_driver_poll", "nvidia_driver_report"]
                .into_iter()
                .all(attached)
        });
    }

    /// The agent's current metrics without histogram buckets. Buckets are two thirds of all lines, no test needs them, and
    /// an emulated CPU takes seconds to parse them.
    pub(super) fn scrape(&self) -> Scrape {
        let text = self.agent.metrics();
        let lines: String = text.split_inclusive('\n').filter(|line| !line.contains("_bucket{")).collect();
        Scrape::parse(&lines)
    }

    /// Waits until the agent's metrics satisfy `is_so`.
    pub(super) fn wait(&self, what: &str, is_so: impl Fn(&Scrape) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let scrape = self.scrape();
            if is_so(&scrape) {
                return;
            }
            let shown = || {
                let about = scrape.samples().filter(|sample| {
                    ["probe_attached", "lost_events", "collector_up"]
                        .iter()
                        .any(|name| sample.name.contains(name))
                });
                about.map(|sample| format!("{sample:?}")).collect::<Vec<_>>().join("\n")
            };
            assert!(Instant::now() < deadline, "after {TIMEOUT:?} not yet: {what}\n{}", shown());
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Waits until the agent's account of a container can have everything that was recorded, and a little longer, so that
    /// calls that are counted twice would show.
    fn settled(&self, container: &Container, recorded: &Account, detail: Detail) -> Scrape {
        let deadline = Instant::now() + TIMEOUT;
        let counts = |account: &Account| -> [u64; 4] {
            let Account { calls, errnos, statuses, polls, .. } = account;
            [calls, errnos, statuses, polls].map(|counts| counts.values().sum())
        };
        loop {
            std::thread::sleep(TWO_TICKS);
            let account = account(&self.scrape(), container, detail);
            let is_complete =
                counts(&account).iter().zip(counts(recorded)).all(|(counted, all)| *counted >= all);
            if is_complete || Instant::now() > deadline {
                break;
            }
        }
        std::thread::sleep(TWO_TICKS);
        self.scrape()
    }

    /// Fails unless the record of a container and the agent's metrics agree, and the agent reports no losses.
    pub(super) fn expect_agreement(&self, container: &Container, detail: Detail) -> Account {
        let records = container.records();
        let release = driver::release().unwrap_or_else(|error| panic!("{error:#}"));
        if detail == Detail::Groups {
            Account::expect_all_known(&records, release);
        }
        let recorded = Account::of(&records, release, detail);
        let scrape = self.settled(container, &recorded, detail);
        let counted = account(&scrape, container, detail);
        println!(
            "{release}: {} calls, {} errors, {} statuses, {} warnings, {} waits, {} events",
            recorded.total(),
            recorded.errnos.values().sum::<u64>(),
            recorded.statuses.values().sum::<u64>(),
            recorded.warnings.values().sum::<u64>(),
            recorded.polls.values().sum::<u64>(),
            recorded.events,
        );
        assert!(recorded.total() > 0, "nothing was recorded");
        agree("calls", &counted.calls, &recorded.calls);
        // These series also exist without per-command histograms; rare commands are counted as "other".
        agree("calls by device", &by_device(&scrape, container), &recorded_by_device(&recorded.calls));
        agree("errors", &counted.errnos, &recorded.errnos);
        if detail == Detail::Groups {
            agree("statuses", &counted.statuses, &recorded.statuses);
            agree("warnings", &counted.warnings, &recorded.warnings);
            assert_eq!(counted.events, recorded.events, "events");
        }
        agree("waits", &counted.polls, &recorded.polls);
        let apart_s = (counted.polls_s - recorded.polls_s).abs();
        assert!(
            apart_s < 0.02 + recorded.polls_s / 10.0,
            "waits took {} s and were counted as {} s",
            recorded.polls_s,
            counted.polls_s
        );
        expect_nothing_lost(&scrape);
        recorded
    }
}

/// Fails if the agent reports losses of the driver's events.
pub(super) fn expect_nothing_lost(scrape: &Scrape) {
    let lost: Vec<&Sample> = scrape
        .of("glassbox_lost_events_total", &[])
        .filter(|sample| sample.labels["source"].starts_with("nvidia_") && sample.value != 0.0)
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}

fn account(scrape: &Scrape, container: &Container, detail: Detail) -> Account {
    let own = |name: &'static str| {
        let samples = scrape.samples().filter(move |sample| sample.name == name);
        samples.filter(|sample| sample.labels.get("container").is_some_and(|label| label == container.name()))
    };
    let counts = |name: &'static str, reason: Option<&str>| {
        let mut counts = Counts::new();
        for sample in own(name).filter(|sample| sample.value != 0.0) {
            let mut key = key(&sample.labels["device"], &sample.labels["command"], detail);
            if let Some(reason) = reason {
                key = format!("{key} {}", sample.labels[reason]);
            }
            *counts.entry(key).or_default() += sample.value as u64;
        }
        counts
    };
    let polls = own("glassbox_container_nvidia_poll_wait_seconds_count");
    Account {
        calls: counts("glassbox_container_nvidia_ioctl_duration_seconds_count", None),
        errnos: counts("glassbox_container_nvidia_ioctl_errors_total", Some("errno")),
        statuses: counts("glassbox_container_nvidia_rm_errors_total", Some("status")),
        warnings: counts("glassbox_container_nvidia_rm_warnings_total", Some("status")),
        polls: polls.map(|sample| (sample.labels["device"].clone(), sample.value as u64)).collect(),
        polls_s: own("glassbox_container_nvidia_poll_wait_seconds_sum").map(|sample| sample.value).sum(),
        events: own("glassbox_container_gpu_events_created_total").map(|sample| sample.value as u64).sum(),
    }
}

/// The agent's count of a container's calls on each device, for all commands.
fn by_device(scrape: &Scrape, container: &Container) -> Counts {
    let mut counts = Counts::new();
    let labels = [("container".to_owned(), container.name().to_owned())];
    for sample in scrape.of("glassbox_container_nvidia_ioctls_total", &labels) {
        *counts.entry(sample.labels["device"].clone()).or_default() += sample.value as u64;
    }
    counts
}

/// The sum of recorded calls on each device: the first word of their keys.
fn recorded_by_device(calls: &Counts) -> Counts {
    let mut counts = Counts::new();
    for (key, count) in calls {
        let device = key.split(' ').next().unwrap_or_default();
        *counts.entry(device.to_owned()).or_default() += count;
    }
    counts
}

/// Fails with the counts that differ.
fn agree(what: &str, counted: &Counts, recorded: &Counts) {
    let of = |counts: &Counts, key: &String| counts.get(key).copied().unwrap_or(0);
    let keys: BTreeSet<_> = counted.keys().chain(recorded.keys()).collect();
    let different = keys.into_iter().filter(|key| of(counted, key) != of(recorded, key));
    let lines: Vec<_> = different
        .map(|key| format!("{key}: counted {}, recorded {}", of(counted, key), of(recorded, key)))
        .collect();
    assert!(lines.is_empty(), "{what} differ:\n{}", lines.join("\n"));
}
