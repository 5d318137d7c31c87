//! The loop of the NVML thread: loads the library, and reads until the library has to be reloaded.

use std::{
    ffi::OsStr,
    time::{Duration, Instant},
};

use nvml_wrapper::{Nvml, error::NvmlError};
use nvml_wrapper_sys::bindings::NvmlLib;

use super::{
    Options,
    backoff::Backoff,
    calls::{Failures, describe},
    driver_gpus::{DriverGpus, Presence},
    reading::{Latest, Reading},
    session::{Record, Session},
};
use crate::{collectors::thread::Stop, snapshot::gpu::Gpu};

/// How often the driver's devices and module are checked while NVML lacks a GPU. This reads no file of the driver.
const LOOK: Duration = Duration::from_secs(2);

pub(super) fn run(options: &Options, mut record: Record, latest: &Latest, stop: &Stop) {
    let mut backoff = Backoff::new(options.retry, options.retry_max);
    let mut presence = record.driver_gpus.presence();
    let mut logged = String::new();
    loop {
        let refusal = match open(&options.library, &mut record.failures) {
            Ok(nvml) => {
                let state =
                    &mut KeptState { backoff: &mut backoff, presence: &mut presence, logged: &mut logged };
                serve(&nvml, options, &mut record, latest, stop, state);
                if stop.wait(Duration::ZERO) {
                    return;
                }
                continue;
            }
            Err(refusal) => refusal,
        };
        // The tick logs a limitation.
        let limitation = refusal.is_fault.then(|| refusal.finding.clone());
        if limitation.is_none() {
            say(&mut logged, &refusal.finding);
        }
        let gpus: Vec<_> = record.lost(&[]).collect();
        let unreported = refusal.unreported(&mut record.driver_gpus, &gpus);
        latest.put(Reading {
            finding: refusal.finding,
            limitation,
            gpus,
            unreported,
            failures: record.failures.all(),
            rejected: record.checks.all(),
            ..Reading::default()
        });
        // Looking for a missing library is cheap.
        let wait = if refusal.loaded { backoff.next() } else { options.retry };
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if stop.wait(left.min(LOOK).min(options.retry)) {
                return;
            }
            if has_changed(&mut presence, &record.driver_gpus) {
                backoff.reset();
                break;
            }
        }
    }
}

/// State that is kept between sessions.
struct KeptState<'a> {
    backoff: &'a mut Backoff,
    presence: &'a mut Presence,
    logged: &'a mut String,
}

fn has_changed(presence: &mut Presence, gpus: &DriverGpus) -> bool {
    let now = gpus.presence();
    let changed = now != *presence;
    *presence = now;
    changed
}

/// Reads until the library has to be reloaded, or the agent ends.
fn serve(
    nvml: &Nvml,
    options: &Options,
    record: &mut Record,
    latest: &Latest,
    stop: &Stop,
    state: &mut KeptState<'_>,
) {
    let mut session = Session::new(nvml, record);
    let mut due = Instant::now();
    let mut looked = due;
    // Determined by the first reading.
    let mut wait = None;
    loop {
        let begun = Instant::now();
        session.sample(record);
        if begun >= due {
            let reading = session.read(record);
            say(state.logged, &reading.finding);
            latest.put(reading);
            due = begun + options.tick;
        }
        let wait = *wait.get_or_insert_with(|| {
            if session.is_complete() {
                state.backoff.reset();
                options.retry
            } else {
                state.backoff.next()
            }
        });
        let mut changed = false;
        if begun.duration_since(looked) >= LOOK.min(options.retry) {
            looked = begun;
            changed = has_changed(state.presence, &record.driver_gpus);
            if changed {
                state.backoff.reset();
            }
        }
        if session.should_reopen(record, options, wait, changed) {
            return;
        }
        let next = (begun + options.sample).max(Instant::now() + options.sample / 10);
        let wait = next.min(due.max(Instant::now())).saturating_duration_since(Instant::now());
        session.wait(wait, record, |wait| stop.wait(wait));
        if stop.wait(Duration::ZERO) {
            return;
        }
    }
}

/// Why NVML could not be initialized.
pub(super) struct Refusal {
    /// The reason, for people.
    pub(super) finding: String,
    /// True if a library was loaded. Only then does its result concern GPUs.
    pub(super) loaded: bool,
    /// True unless NVML reports that the driver is not loaded. An example is a library that is newer than the driver: the
    /// packages were updated, and the module was not reloaded.
    is_fault: bool,
}

impl Refusal {
    fn without_library(finding: String) -> Self {
        Self { finding, loaded: false, is_fault: false }
    }

    /// The GPUs that the driver lists, except those in `known`.
    pub(super) fn unreported(&self, listed: &mut DriverGpus, known: &[Gpu]) -> Vec<String> {
        if self.loaded { listed.missing(known) } else { Vec::new() }
    }
}

/// Loads and initializes the library.
///
/// # Errors
/// Why the library cannot be used. A missing library does not count as a failed call.
pub(super) fn open(library: &OsStr, failures: &mut Failures) -> Result<Nvml, Refusal> {
    // SAFETY: loading runs code of the library that the configuration names, which is trusted.
    let symbols = unsafe { NvmlLib::new(library) };
    let symbols = symbols.map_err(|error| {
        Refusal::without_library(format!("cannot load NVML, so NVIDIA GPUs are not shown ({error})"))
    })?;
    // nvml-wrapper panics on drop if the library cannot be shut down.
    if symbols.nvmlInit_v2.is_err() || symbols.nvmlShutdown.is_err() {
        return Err(Refusal::without_library(format!("{} is not a usable NVML library", library.display())));
    }
    let nvml = Nvml::builder().lib_path(library).init();
    nvml.map_err(|error| {
        failures.count("nvmlInit_v2", &error);
        Refusal {
            finding: format!("cannot initialize NVML: {}", describe(&error)),
            loaded: true,
            is_fault: !matches!(error, NvmlError::DriverNotLoaded),
        }
    })
}

/// Logs the finding if it has changed.
fn say(logged: &mut String, finding: &str) {
    if logged != finding {
        tracing::info!("GPUs: {finding}");
        finding.clone_into(logged);
    }
}
