//! Runs guests, two at a time.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::boot::{Boot, Hung, Machine};
use super::kernels::Kernel;
use crate::counts::Counts;
use crate::failures::Failure;
use crate::parallel::{self, Job};
use crate::report::Row;

/// Maximum number of concurrent guests. Not more than the number of CPUs.
const AT_ONCE: usize = 2;

/// A guest that is ready to boot.
pub(super) struct Bootable {
    /// Short name, also used for the console log.
    pub(super) name: String,
    /// Name of the row.
    pub(super) layer: String,
    pub(super) kernel: Kernel,
    pub(super) initramfs: PathBuf,
    pub(super) machine: Machine,
    /// Comma-separated arguments of the test binary.
    pub(super) tests: String,
    /// Note of the row.
    pub(super) note: String,
}

/// A guest, or a row with the reason if it cannot be booted.
pub(super) enum Planned {
    Guest(Bootable),
    Row(Row),
}

/// Result of the first attempt.
enum Attempt {
    Row(Row),
    /// The guest hung. On an overloaded host, an emulated CPU sometimes stops getting timer interrupts.
    Silent(Box<Silent>),
}

struct Silent {
    guest: Bootable,
    took: Duration,
}

/// Runs the tests of all guests. Returns rows in the order of the guests.
pub(super) fn run(planned: Vec<Planned>, keep: bool) -> Vec<Row> {
    let leftovers: BTreeSet<PathBuf> = planned.iter().filter_map(Planned::initramfs).collect();
    let layers: Vec<String> = planned.iter().map(|planned| planned.layer().to_owned()).collect();
    let jobs = planned.into_iter().map(|planned| Job {
        name: planned.name().to_owned(),
        work: Box::new(move |emit: &dyn Fn(String)| match planned {
            Planned::Row(row) => Attempt::Row(row),
            Planned::Guest(guest) => first_attempt(guest, keep, emit),
        }),
    });
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let attempts = parallel::run(jobs.collect(), AT_ONCE.min(cpus));
    let rows = layers.iter().zip(attempts).map(|(layer, attempt)| match attempt {
        Some(Attempt::Row(row)) => row.announce(),
        Some(Attempt::Silent(silent)) => retry(*silent, keep).announce(),
        None => Row::broken(layer, Duration::ZERO, &anyhow::anyhow!("the thread of this guest panicked"))
            .announce(),
    });
    let rows = rows.collect();
    if !keep {
        for initramfs in leftovers {
            // An initramfs that cannot be removed only uses disk space.
            let _ = fs::remove_file(initramfs);
        }
    }
    rows
}

/// Runs the tests of one guest while another guest may run.
fn first_attempt(guest: Bootable, keep: bool, emit: &dyn Fn(String)) -> Attempt {
    let started = Instant::now();
    match guest.boot(keep, "quiet").run(emit) {
        Err(error) if error.is::<Hung>() => {
            emit(format!("{error:#}; retrying after the other guests"));
            let guest = Bootable { note: format!("{}, hung on first attempt", guest.note), ..guest };
            Attempt::Silent(Box::new(Silent { guest, took: started.elapsed() }))
        }
        outcome => Attempt::Row(guest.row(outcome, started.elapsed())),
    }
}

/// Repeats a guest that hung, with kernel warnings on the console and without other guests. If it hangs again, the cause is
/// not the load.
fn retry(silent: Silent, keep: bool) -> Row {
    let Silent { guest, took } = silent;
    let started = Instant::now();
    let outcome = guest.boot(keep, "loglevel=5").run(&|line| println!("[{}] {line}", guest.name));
    guest.row(outcome, took + started.elapsed())
}

impl Bootable {
    fn boot<'a>(&'a self, keep: bool, verbosity: &'a str) -> Boot<'a> {
        let Self { name, kernel, initramfs, machine, tests, .. } = self;
        Boot { name, kernel, initramfs, machine: *machine, tests, keep, verbosity }
    }

    fn row(&self, outcome: anyhow::Result<(Counts, Vec<Failure>)>, took: Duration) -> Row {
        let layer = self.layer.clone();
        match outcome {
            Ok((counts, failures)) => Row { layer, counts, took, note: Some(self.note.clone()), failures },
            Err(error) => Row::broken(&layer, took, &error),
        }
    }
}

impl Planned {
    /// The initramfs.
    fn initramfs(&self) -> Option<PathBuf> {
        match self {
            Self::Guest(guest) => Some(guest.initramfs.clone()),
            Self::Row(_) => None,
        }
    }

    /// The name of its row.
    pub(super) fn layer(&self) -> &str {
        match self {
            Self::Guest(guest) => &guest.layer,
            Self::Row(row) => &row.layer,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Guest(guest) => &guest.name,
            Self::Row(row) => &row.layer,
        }
    }
}
