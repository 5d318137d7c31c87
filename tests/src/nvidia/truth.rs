//! Compares the agent's counters with the application's account: the same tests for every driver and method.
#![expect(clippy::unwrap_used, reason = "a panic fails the test, also in its helpers")]

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use glassbox::snapshot::nvidia_driver::{DriverUsage, Failure, FailureCount};
use serde_json::Value;

use super::{
    Driver,
    abi::{RELEASES, Release},
    account::{agree, counted, errors_counted, errors_sent, foreign},
    watch::Watch,
};

/// Everything that the application can do with a full account. It fills the GPU twice; after each refusal, it frees memory
/// and allocates the same amount.
const EVERYTHING: &str = "context \
    allocate --bytes 4194304 --count 6 free \
    allocate --bytes 1000000 --count 3 --range free --heap \
    pin --bytes 8192 --count 2 pin --bytes 4096 --heap \
    migrate --bytes 2097152 --count 2 \
    exhaust --bytes 16777216 free \
    exhaust-and-recover --bytes 16777216";

/// The release of tests that are not about layouts.
const USUAL: Release = Release(580, 65, 6);

/// A combination of driver and method of the agent, in which the application runs.
pub struct Setup {
    /// `fake-cuda`
    pub program: PathBuf,
    /// Starts a driver of a release with this much memory, in MiB.
    pub driver: fn(Release, u64) -> anyhow::Result<Box<dyn Driver>>,
    /// The method that the agent must use with a release.
    pub method: fn(Release) -> &'static str,
    /// Whether that method hooks the driver's own functions, so that it sees exactly the calls that reach them. The method
    /// of the system call also sees calls on a file that another thread closes, and ignores words of other drivers.
    pub on_functions: bool,
}

impl Setup {
    /// Starts a driver, and an agent with its method.
    ///
    /// # Panics
    /// If one of them fails, or the agent uses another method.
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

    /// If one of two containers on a GPU exhausts its memory, the other one shows no failure.
    ///
    /// # Panics
    /// If the check fails.
    pub fn only_the_container_that_exhausts_the_memory_shows_the_failure(&self) {
        let Workload { driver, mut watch, .. } = self.start(USUAL, 256);
        let [mut hungry, mut modest] = [watch.beside(), watch.beside()];
        let modest_truth =
            watch.run_in(&modest, driver.as_ref(), "context allocate --bytes 1048576 --count 4");
        let hungry_truth = watch.run_in(&hungry, driver.as_ref(), "context exhaust --bytes 16777216");
        let usage = watch.usage_of(&mut hungry).unwrap();
        agree(&usage, &hungry_truth, "the container that exhausts the memory");
        assert_eq!((usage.counters.failed_no_memory, usage.counters.recovered), (1, 0));
        let no_memory = |failure: &&FailureCount| failure.reason == Failure::Status("no_memory".into());
        let refused: Vec<_> = usage.failures.iter().filter(no_memory).collect();
        let commands: Vec<_> = refused.iter().map(|failure| failure.command.as_ref()).collect();
        assert!(matches!(commands[..], ["rm_vid_heap_control" | "rm_alloc_memory_video"]), "{commands:?}");
        let usage = watch.usage_of(&mut modest).unwrap();
        agree(&usage, &modest_truth, "the other container");
        assert_eq!(usage.counters.failed_no_memory, 0);
    }

    /// The phases of a cold start are in order and as long as the application took.
    ///
    /// # Panics
    /// If the check fails.
    pub fn a_cold_start_lasts_until_the_last_large_allocation(&self) {
        let Workload { driver, mut watch, .. } = self.start(USUAL, 512);
        // The storm registers and frees channels, which is not part of creating the context.
        let profiles = "context storm --threads 1 --rate 200 --seconds 2 allocate --bytes 33554432 --count 4";
        let _truth = watch.run(driver.as_ref(), profiles);
        let cold = watch.usage().unwrap().cold_start.unwrap_or_else(|| panic!("no cold start"));
        let last = cold.last_large_allocation.unwrap_or_else(|| panic!("no large allocation"));
        assert!(cold.driver_opened <= cold.context_ready, "{cold:?}");
        assert!(cold.context_ready + Duration::from_secs(1) <= last, "{cold:?}");
        assert!(last < Duration::from_secs(60), "{cold:?}");
        assert_eq!(cold.process, "fake-cuda");
    }

    /// Calls from outside containers are not counted for any container.
    ///
    /// # Panics
    /// If the check fails.
    pub fn calls_from_outside_containers_are_not_counted(&self) {
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
    // Its programs are attached to the driver, so it must be dropped first.
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

    /// Compares the full account of every profile.
    ///
    /// # Panics
    /// If the check fails.
    pub fn counters_match_the_account(&mut self) {
        let (release, lost_before) = (self.release(), self.watch.lost());
        let (truth, usage) = self.run(EVERYTHING);
        agree(&usage, &truth, &release.to_string());
        assert_eq!((usage.counters.failed_no_memory, usage.counters.recovered), (2, 2), "{release}");
        assert_eq!(self.watch.lost(), lost_before, "{release}");
        println!("{release}: {} calls, all accounts agree", truth["sent"]);
    }

    /// Eight threads send `rate` calls per second in total; 0 is as fast as possible. Every call is either counted or
    /// reported as lost.
    ///
    /// # Panics
    /// If the check fails.
    pub fn every_call_of_a_storm_is_counted_or_reported_as_lost(&mut self, rate: u64) {
        let (release, lost_before) = (self.release(), self.watch.lost());
        let (truth, usage) = self.run(&format!("storm --threads 8 --rate {rate} --seconds 2"));
        let (sent, lost) = (truth["sent"].as_u64().unwrap(), self.watch.lost() - lost_before);
        let (counted, seconds) = (counted(&usage), truth["phases"][0]["took_ns"].as_f64().unwrap() / 1e9);
        let achieved = sent as f64 / seconds;
        println!("{release}: sent {sent} in {seconds:.2} s, {achieved:.0}/s; counted {counted}, lost {lost}");
        assert_eq!(counted + lost, sent, "{release}");
        assert!(sent > 1000, "{release}: too few calls for a storm");
        if lost == 0 {
            agree(&usage, &truth, &release.to_string());
        }
    }

    /// Hostile requests of every kind: every call and error is counted, under a limited number of names, and a well-behaved
    /// caller is still counted correctly.
    ///
    /// # Panics
    /// If the check fails.
    pub fn a_hostile_caller_does_not_corrupt_counters(&mut self) {
        let release = self.release();
        let (truth, usage) = self.run("hostile --count 300");
        self.agree_on_errors(&usage, &truth);
        let names: BTreeSet<_> = usage.commands.iter().map(|usage| &usage.command).collect();
        assert!(names.len() < 160, "{release}: {names:?}");
        let (truth, usage) = self.run("context");
        agree(&usage, &truth, "the context after it");
        assert_eq!(truth["sent"].as_u64(), Some(711));
    }

    /// Every call and every error is counted, except those that the method does not see.
    fn agree_on_errors(&self, usage: &DriverUsage, truth: &Value) {
        let release = self.release();
        let (foreign, foreign_errors) = foreign(truth);
        let (mut sent, mut errors) = (truth["sent"].as_u64().unwrap(), errors_sent(truth));
        println!(
            "{release}: sent {sent} hostile requests, {foreign} of them with words of other drivers, errors {errors:?}"
        );
        if !self.on_functions {
            sent -= foreign;
            for (name, count) in foreign_errors {
                *errors.entry(name).or_default() -= count;
            }
        }
        let (mut counted, mut seen) = (counted(usage), errors_counted(usage));
        let closed = seen.remove("EBADF").unwrap_or(0);
        assert!(closed == 0 || !self.on_functions, "{release}: {closed} calls on closed files");
        counted -= closed;
        sent -= errors.remove("EBADF").unwrap_or(0);
        assert_eq!((counted, seen), (sent, errors), "{release}");
        assert_eq!(usage.in_flight, 0, "{release}");
    }
}
