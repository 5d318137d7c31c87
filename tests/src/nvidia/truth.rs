//! What the agent decoded, held against what the application knows it sent: the same tests on every driver and method.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use glassbox::snapshot::nvidia_driver::{DriverUsage, Failure, FailureCount};
use serde_json::Value;

use super::{
    Driver,
    abi::{RELEASES, Release},
    account::{agree, counted, errors_counted, errors_sent, foreign},
    watch::Watch,
};

/// Everything that the application can do and account for in full. Twice it takes all that a GPU has, and each refusal
/// is followed by an allocation of as much.
const EVERYTHING: &str = "context \
    allocate --bytes 4194304 --count 6 free \
    allocate --bytes 1000000 --count 3 --range free --heap \
    pin --bytes 8192 --count 2 pin --bytes 4096 --heap \
    migrate --bytes 2097152 --count 2 \
    exhaust --bytes 16777216 free \
    exhaust-and-recover --bytes 16777216";

/// The release of tests that are not about layouts.
const USUAL: Release = Release(580, 65, 6);

/// How the application runs: on which driver, and watched by which method of the agent.
pub struct Setup {
    /// `fake-cuda`
    pub program: PathBuf,
    /// Starts a driver of a release with so many MiB of memory.
    pub driver: fn(Release, u64) -> anyhow::Result<Box<dyn Driver>>,
    /// The method that the agent must be on with a release.
    pub method: fn(Release) -> &'static str,
    /// Whether that method hooks the driver's own functions: it sees every call that reaches them and no other. The method
    /// of the system call also sees calls on a file that another thread closes meanwhile, and passes over words that
    /// are no driver's.
    pub on_functions: bool,
}

impl Setup {
    /// Starts a driver and an agent on its method.
    ///
    /// # Panics
    /// Where one of them fails, or the agent is on another method.
    #[must_use]
    pub fn start(&self, release: Release, memory_mib: u64) -> Workload {
        let driver = (self.driver)(release, memory_mib).unwrap_or_else(|error| panic!("{error:#}"));
        let watch = Watch::start(driver.as_ref(), self.program.clone());
        assert_eq!(watch.method(), (self.method)(release));
        Workload { on_functions: self.on_functions, watch, driver }
    }

    /// Runs a check on each release, one after the other.
    ///
    /// # Panics
    /// If the check fails.
    pub fn on_every_release(&self, check: impl Fn(&mut Workload)) {
        for release in RELEASES {
            check(&mut self.start(release.parse().unwrap(), 512));
        }
    }

    /// Two containers share a GPU, and one exhausts it: the other shows nothing of it.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn of_two_containers_only_the_one_that_exhausts_shows_the_failure(&self) {
        let Workload { driver, mut watch, .. } = self.start(USUAL, 256);
        let [mut hungry, mut modest] = [watch.beside(), watch.beside()];
        let modest_truth =
            watch.run_in(&modest, driver.as_ref(), "context allocate --bytes 1048576 --count 4");
        let hungry_truth = watch.run_in(&hungry, driver.as_ref(), "context exhaust --bytes 16777216");
        let usage = watch.usage_of(&mut hungry).unwrap();
        agree(&usage, &hungry_truth, "the hungry one");
        assert_eq!((usage.counters.failed_no_memory, usage.counters.recovered), (1, 0));
        let no_memory = |failure: &&FailureCount| failure.reason == Failure::Status("no_memory".into());
        let refused: Vec<_> = usage.failures.iter().filter(no_memory).collect();
        let commands: Vec<_> = refused.iter().map(|failure| failure.command.as_ref()).collect();
        assert!(matches!(commands[..], ["rm_vid_heap_control" | "rm_alloc_memory_video"]), "{commands:?}");
        let usage = watch.usage_of(&mut modest).unwrap();
        agree(&usage, &modest_truth, "the modest one");
        assert_eq!(usage.counters.failed_no_memory, 0);
    }

    /// The parts of a cold start come in their order, and in the time that the application took.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn a_cold_start_goes_from_the_process_to_its_last_large_allocation(&self) {
        let Workload { driver, mut watch, .. } = self.start(USUAL, 512);
        // The storm registers channels and gives them back, which is no longer part of making the context.
        let profiles = "context storm --threads 1 --rate 200 --seconds 2 allocate --bytes 33554432 --count 4";
        let _truth = watch.run(driver.as_ref(), profiles);
        let cold = watch.usage().unwrap().cold_start.unwrap_or_else(|| panic!("a context was made"));
        let last = cold.last_large_allocation.unwrap_or_else(|| panic!("a large allocation was made"));
        assert!(cold.driver_opened <= cold.context_ready, "{cold:?}");
        assert!(cold.context_ready + Duration::from_secs(1) <= last, "{cold:?}");
        assert!(last < Duration::from_secs(60), "{cold:?}");
        assert_eq!(cold.process, "fake-cuda");
    }

    /// Calls from outside containers are nobody's.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn calls_from_outside_containers_are_nobodys(&self) {
        let Workload { driver, mut watch, .. } = self.start(USUAL, 256);
        let truth = watch.outside(driver.as_ref(), "context").truth();
        assert_eq!(truth["sent"].as_u64(), Some(711));
        assert_eq!(watch.usage(), None);
    }
}

/// A driver of one release and an agent that watches it. Loading the programs takes 5 s on an emulated CPU, so checks that
/// need no agent of their own run in separate containers under the same one.
pub struct Workload {
    on_functions: bool,
    // Its programs hook the driver's functions: it goes first.
    watch: Watch,
    driver: Box<dyn Driver>,
}

impl Workload {
    fn release(&self) -> Release {
        self.driver.release()
    }

    /// Runs profiles in a new container. Returns what the application sent and what the agent counted.
    fn run(&mut self, profiles: &str) -> (Value, DriverUsage) {
        let mut watched = self.watch.beside();
        let truth = self.watch.run_in(&watched, self.driver.as_ref(), profiles);
        let usage = self.watch.usage_of(&mut watched);
        (truth, usage.unwrap_or_else(|| panic!("{}: nothing was counted", self.release())))
    }

    /// Every profile with a full account.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn what_is_counted_is_what_was_sent(&mut self) {
        let (release, lost_before) = (self.release(), self.watch.lost());
        let (truth, usage) = self.run(EVERYTHING);
        agree(&usage, &truth, &release.to_string());
        assert_eq!((usage.counters.failed_no_memory, usage.counters.recovered), (2, 2), "{release}");
        assert_eq!(self.watch.lost(), lost_before, "{release}");
        println!("{release}: {} calls, all accounts agree", truth["sent"]);
    }

    /// Eight threads, `rate` calls a second together; 0 is as fast as it goes. All of it is accounted for, or what was
    /// lost is.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn a_storm_is_counted_to_the_last_or_what_was_lost_is(&mut self, rate: u64) {
        let (release, lost_before) = (self.release(), self.watch.lost());
        let (truth, usage) = self.run(&format!("storm --threads 8 --rate {rate} --seconds 2"));
        let (sent, lost) = (truth["sent"].as_u64().unwrap(), self.watch.lost() - lost_before);
        let (counted, seconds) = (counted(&usage), truth["phases"][0]["took_ns"].as_f64().unwrap() / 1e9);
        let achieved = sent as f64 / seconds;
        println!("{release}: sent {sent} in {seconds:.2} s, {achieved:.0}/s; counted {counted}, lost {lost}");
        assert_eq!(counted + lost, sent, "{release}");
        assert!(sent > 1000, "{release}: the storm was none");
        if lost == 0 {
            agree(&usage, &truth, &release.to_string());
        }
    }

    /// Lies of every kind: every call and every error is counted, under few names, and who is honest is still
    /// believed.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn a_hostile_caller_leaves_honest_counters(&mut self) {
        let release = self.release();
        let (truth, usage) = self.run("hostile --count 300");
        self.agree_on_errors(&usage, &truth);
        let names: BTreeSet<_> = usage.commands.iter().map(|usage| &usage.command).collect();
        assert!(names.len() < 160, "{release}: {names:?}");
        let (truth, usage) = self.run("context");
        agree(&usage, &truth, "an honest one after it");
        assert_eq!(truth["sent"].as_u64(), Some(711));
    }

    /// Every call is counted, and every error, but for what the method does not see.
    fn agree_on_errors(&self, usage: &DriverUsage, truth: &Value) {
        let release = self.release();
        let (foreign, foreign_errors) = foreign(truth);
        let (mut sent, mut errors) = (truth["sent"].as_u64().unwrap(), errors_sent(truth));
        println!("{release}: sent {sent} lies, {foreign} of them with foreign words, errors {errors:?}");
        if !self.on_functions {
            sent -= foreign;
            for (name, count) in foreign_errors {
                *errors.entry(name).or_default() -= count;
            }
        }
        let (mut counted, mut seen) = (counted(usage), errors_counted(usage));
        let closed = seen.remove("EBADF").unwrap_or(0);
        assert!(closed == 0 || !self.on_functions, "{release}: {closed} calls of no file");
        counted -= closed;
        sent -= errors.remove("EBADF").unwrap_or(0);
        assert_eq!((counted, seen), (sent, errors), "{release}");
        assert_eq!(usage.in_flight, 0, "{release}");
    }
}
