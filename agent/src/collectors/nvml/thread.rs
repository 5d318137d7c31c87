//! What the thread that talks to NVML does: it loads the library, and reads until that is to be loaded anew.

use std::{
    ffi::OsStr,
    time::{Duration, Instant},
};

use nvml_wrapper::Nvml;
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

/// How often the driver's devices and module are looked at while NVML lacks a GPU; no file of the driver is read for that.
const LOOK: Duration = Duration::from_secs(2);

pub(super) fn run(options: &Options, mut record: Record, latest: &Latest, stop: &Stop) {
    let mut backoff = Backoff::new(options.retry, options.retry_max);
    let mut presence = record.driver_gpus.presence();
    let mut said = String::new();
    loop {
        let refusal = match open(&options.library, &mut record.failures) {
            Ok(nvml) => {
                let state = &mut State { backoff: &mut backoff, presence: &mut presence, said: &mut said };
                serve(&nvml, options, &mut record, latest, stop, state);
                if stop.comes_within(Duration::ZERO) {
                    return;
                }
                continue;
            }
            Err(refusal) => refusal,
        };
        say(&mut said, &refusal.finding);
        let gpus: Vec<_> = record.lost(&[]).collect();
        let unreported = refusal.unreported(&mut record.driver_gpus, &gpus);
        latest.put(Reading {
            finding: refusal.finding,
            gpus,
            unreported,
            failures: record.failures.all(),
            rejected: record.checks.all(),
            ..Reading::default()
        });
        // A library that is not there costs nothing to look for.
        let wait = if refusal.loaded { backoff.next() } else { options.retry };
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if stop.comes_within(left.min(LOOK).min(options.retry)) {
                return;
            }
            if has_changed(&mut presence, &record.driver_gpus) {
                backoff.reset();
                break;
            }
        }
    }
}

/// What `run` keeps between sessions.
struct State<'a> {
    backoff: &'a mut Backoff,
    presence: &'a mut Presence,
    said: &'a mut String,
}

fn has_changed(presence: &mut Presence, gpus: &DriverGpus) -> bool {
    let now = gpus.presence();
    let changed = now != *presence;
    *presence = now;
    changed
}

/// Reads until the library is to be loaded anew, or the agent ends.
fn serve(
    nvml: &Nvml,
    options: &Options,
    record: &mut Record,
    latest: &Latest,
    stop: &Stop,
    state: &mut State<'_>,
) {
    let mut session = Session::new(nvml, record);
    let mut due = Instant::now();
    let mut looked = due;
    // Decided by the first reading.
    let mut wait = None;
    loop {
        let begun = Instant::now();
        session.sample(record);
        if begun >= due {
            let reading = session.read(record);
            say(state.said, &reading.finding);
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
        session.wait(wait, record, |wait| stop.comes_within(wait));
        if stop.comes_within(Duration::ZERO) {
            return;
        }
    }
}

/// Why NVML could not be initialized.
pub(super) struct Refusal {
    /// In words.
    pub(super) finding: String,
    /// Whether there is a library, so that its answer says something about GPUs.
    pub(super) loaded: bool,
}

impl Refusal {
    fn without_library(finding: String) -> Self {
        Self { finding, loaded: false }
    }

    /// The GPUs that the driver lists, but for these.
    pub(super) fn unreported(&self, listed: &mut DriverGpus, known: &[Gpu]) -> Vec<String> {
        if self.loaded { listed.missing(known) } else { Vec::new() }
    }
}

/// Loads and initialises the library.
///
/// # Errors
/// Why not; a library that is not there is not counted as a failed call.
pub(super) fn open(library: &OsStr, failures: &mut Failures) -> Result<Nvml, Refusal> {
    // SAFETY: loading runs the library's own code, which is what it was named for.
    let symbols = unsafe { NvmlLib::new(library) };
    let symbols = symbols
        .map_err(|error| Refusal::without_library(format!("no NVML, so no GPU of NVIDIA's ({error})")))?;
    // nvml-wrapper panics at the end of a library that it could not shut down.
    if symbols.nvmlInit_v2.is_err() || symbols.nvmlShutdown.is_err() {
        return Err(Refusal::without_library(format!("{} is not a usable NVML", library.display())));
    }
    let nvml = Nvml::builder().lib_path(library).init();
    nvml.map_err(|error| {
        failures.count("nvmlInit_v2", &error);
        Refusal { finding: format!("NVML does not start: {}", describe(&error)), loaded: true }
    })
}

/// Logs what is new.
fn say(said: &mut String, finding: &str) {
    if said != finding {
        tracing::info!("GPUs: {finding}");
        finding.clone_into(said);
    }
}
