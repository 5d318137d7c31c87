//! What the agent decoded, held against what the application knows it sent: the same tests on every driver and rung.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use glassbox::snapshot::nvidia_driver::{DriverUsage, Failure};
use serde_json::Value;

use super::{
    Driver,
    abi::{RELEASES, Release},
    account::{agree, counted, errors_counted, errors_sent, foreign, succeeded},
    watch::Watch,
};

/// Everything that the application can do and account for in full. It holds two times what a GPU of 256 MiB has left;
/// both refusals are followed by an allocation of as much.
const EVERYTHING: &str = "context \
    allocate --bytes 4194304 --count 6 free \
    allocate --bytes 1000000 --count 3 --range free --heap \
    pin --bytes 8192 --count 2 pin --bytes 4096 --heap \
    migrate --bytes 2097152 --count 2 \
    exhaust --bytes 16777216 free \
    exhaust-and-recover --bytes 16777216";

/// Where the application is played.
pub struct Stage {
    /// `fake-cuda`
    pub program: PathBuf,
    /// Starts a driver of a release with so many MiB of memory.
    pub driver: fn(Release, u64) -> anyhow::Result<Box<dyn Driver>>,
    /// The rung that the agent must be on.
    pub rung: &'static str,
    /// Whether that rung hooks the driver's own functions: it sees every call that reaches them and no other. The rung
    /// of the system call also sees calls on a file that another thread closes meanwhile, and passes over words that
    /// are no driver's.
    pub on_functions: bool,
}

fn releases() -> impl Iterator<Item = Release> {
    RELEASES.into_iter().map(|release| release.parse().unwrap())
}

impl Stage {
    fn start(&self, release: Release, memory_mib: u64) -> (Box<dyn Driver>, Watch) {
        let driver = (self.driver)(release, memory_mib).unwrap_or_else(|error| panic!("{error:#}"));
        let watch = Watch::start(driver.as_ref(), self.program.clone());
        assert_eq!(watch.rung(), self.rung);
        (driver, watch)
    }

    fn start_usual(&self, memory_mib: u64) -> (Box<dyn Driver>, Watch) {
        self.start(Release(580, 65, 6), memory_mib)
    }

    /// Every profile with a full account, in the layouts of every release.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn what_is_counted_is_what_was_sent(&self) {
        for release in releases() {
            let (driver, mut watch) = self.start(release, 256);
            let truth = watch.play(driver.as_ref(), EVERYTHING);
            let usage = watch.usage().unwrap_or_else(|| panic!("{release}: nothing was counted"));
            agree(&usage, &truth, &release.to_string());
            assert_eq!((usage.meaning.failed_no_memory, usage.meaning.recovered), (2, 2), "{release}");
            assert_eq!(watch.lost(), 0, "{release}");
            println!("{release}: {} calls, all accounts agree", truth["sent"]);
        }
    }

    /// A refusal stays one until as much is granted.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn of_two_containers_only_the_one_that_exhausts_shows_the_failure(&self) {
        let (driver, mut hungry) = self.start_usual(256);
        let mut modest = hungry.beside();
        let modest_truth =
            hungry.play_in(&modest, driver.as_ref(), "context allocate --bytes 1048576 --count 4");
        let hungry_truth = hungry.play(driver.as_ref(), "context exhaust --bytes 16777216");
        let usage = hungry.usage().unwrap();
        agree(&usage, &hungry_truth, "the hungry one");
        assert_eq!((usage.meaning.failed_no_memory, usage.meaning.recovered), (1, 0));
        let refused =
            usage.failures.iter().find(|failure| failure.reason == Failure::Status("no_memory".into()));
        let command = &refused.unwrap_or_else(|| panic!("no failure for want of memory")).command;
        assert!(["rm_vid_heap_control", "rm_alloc_memory_video"].contains(&command.as_ref()), "{command}");
        let usage = hungry.usage_of(&mut modest).unwrap();
        agree(&usage, &modest_truth, "the modest one");
        assert_eq!(usage.meaning.failed_no_memory, 0);
    }

    /// The parts of a cold start come in their order, and in the time that the application took.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn a_cold_start_goes_from_the_process_to_its_last_large_allocation(&self) {
        let (driver, mut watch) = self.start_usual(512);
        let _truth = watch.play(driver.as_ref(), "context allocate --bytes 33554432 --count 4");
        let cold = watch.usage().unwrap().cold_start.unwrap_or_else(|| panic!("a context was made"));
        let last = cold.last_large_allocation.unwrap_or_else(|| panic!("a large allocation was made"));
        assert!(cold.driver_opened <= cold.context_ready && cold.context_ready <= last, "{cold:?}");
        assert!(last < Duration::from_secs(60), "{cold:?}");
    }

    /// Eight threads, `rate` calls a second together; 0 is as fast as it goes. All of it is accounted for, or what was
    /// lost is.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn a_storm_is_counted_to_the_last_or_what_was_lost_is(&self, rate: u64) {
        for release in releases() {
            let (driver, mut watch) = self.start(release, 256);
            let truth = watch.play(driver.as_ref(), &format!("storm --threads 8 --rate {rate} --seconds 2"));
            let (sent, usage, lost) = (truth["sent"].as_u64().unwrap(), watch.usage().unwrap(), watch.lost());
            let counted = counted(&usage);
            let seconds = truth["phases"][0]["took_ns"].as_f64().unwrap() / 1e9;
            let achieved = sent as f64 / seconds;
            println!(
                "{release}: sent {sent} in {seconds:.2} s, {achieved:.0}/s; counted {counted}, lost {lost}"
            );
            assert_eq!(counted + lost, sent, "{release}");
            assert!(sent > 1000, "{release}: the storm was none");
            if lost == 0 {
                agree(&usage, &truth, &release.to_string());
            }
        }
    }

    /// Lies of every kind: every call and every error is counted, under few names.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn a_hostile_caller_leaves_honest_counters(&self) {
        for release in releases() {
            let (driver, mut watch) = self.start(release, 512);
            let truth = watch.play(driver.as_ref(), "hostile --count 300");
            let usage = watch.usage().unwrap();
            self.agree_on_errors(&usage, &truth, release);
            // Whatever it invented, there are few names.
            let names: BTreeSet<_> = usage.commands.iter().map(|usage| &usage.command).collect();
            assert!(names.len() < 160, "{release}: {names:?}");
            let mut beside = watch.beside();
            let after = watch.play_in(&beside, driver.as_ref(), "context");
            agree(&watch.usage_of(&mut beside).unwrap(), &after, "an honest one after it");
            assert_eq!(after["sent"].as_u64(), Some(711));
        }
    }

    /// Every call is counted, and every error, but for what the rung does not see.
    fn agree_on_errors(&self, usage: &DriverUsage, truth: &Value, release: Release) {
        let (foreign, foreign_errors) = foreign(truth);
        let (mut sent, mut errors) = (truth["sent"].as_u64().unwrap(), errors_sent(truth));
        println!("{release}: sent {sent}, of them {foreign} with foreign words, errors {errors:?}");
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

    /// Calls from outside containers are nobody's.
    ///
    /// # Panics
    /// Where it does not hold.
    pub fn calls_from_outside_containers_are_nobodys(&self) {
        let (driver, mut watch) = self.start_usual(256);
        let truth = watch.outside(driver.as_ref(), "context").truth();
        assert_eq!(truth["sent"].as_u64(), Some(711));
        assert!(succeeded(&truth, "uvm", 27) > 0);
        assert_eq!(watch.usage(), None);
    }
}
