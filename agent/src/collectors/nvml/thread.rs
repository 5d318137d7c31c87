//! What the thread that talks to NVML does: it loads the library, and reads until that is to be loaded anew.

use std::{
    collections::HashMap,
    ffi::OsStr,
    time::{Duration, Instant},
};

use nvml_wrapper::Nvml;
use nvml_wrapper_sys::bindings::NvmlLib;

use super::{
    Options,
    calls::Failures,
    owner::Owners,
    reading::{Latest, Reading},
    session::{Record, Session},
};
use crate::collectors::thread::Stop;

pub(super) fn run(options: &Options, owners: Owners, latest: &Latest, stop: &Stop) {
    let mut record = Record { failures: Failures::default(), histories: HashMap::new(), owners };
    let mut said = String::new();
    loop {
        let finding = match open(&options.library, &mut record.failures) {
            Ok(nvml) => {
                serve(&nvml, options, &mut record, latest, stop, &mut said);
                if stop.comes_within(Duration::ZERO) {
                    return;
                }
                continue;
            }
            Err(reason) => reason,
        };
        say(&mut said, &finding);
        let gpus = record.lost(&[]).collect();
        latest.put(Reading { finding, gpus, failures: record.failures.all(), ..Reading::default() });
        if stop.comes_within(options.retry) {
            return;
        }
    }
}

/// Reads until the library is to be loaded anew, or the agent ends.
fn serve(
    nvml: &Nvml,
    options: &Options,
    record: &mut Record,
    latest: &Latest,
    stop: &Stop,
    said: &mut String,
) {
    let mut session = Session::new(nvml, record);
    let mut due = Instant::now();
    loop {
        let begun = Instant::now();
        session.sample(record);
        if begun >= due {
            let reading = session.read(record);
            say(said, &reading.finding);
            latest.put(reading);
            due = begun + options.tick;
        }
        if session.should_reopen(record, options) {
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

/// Loads and initialises the library.
///
/// # Errors
/// Why not, in words; a library that is not there is no failure.
pub(super) fn open(library: &OsStr, failures: &mut Failures) -> Result<Nvml, String> {
    // SAFETY: loading runs the library's own code, which is what it was named for.
    let symbols = unsafe { NvmlLib::new(library) };
    let symbols = symbols.map_err(|error| format!("no NVML, so no GPU of NVIDIA's ({error})"))?;
    // nvml-wrapper panics at the end of a library that it could not shut down.
    if symbols.nvmlInit_v2.is_err() || symbols.nvmlShutdown.is_err() {
        return Err(format!("{} is not a usable NVML", library.display()));
    }
    let nvml = Nvml::builder().lib_path(library).init();
    nvml.map_err(|error| {
        failures.count("nvmlInit_v2", &error);
        format!("NVML does not start: {error}")
    })
}

/// Logs what is new.
fn say(said: &mut String, finding: &str) {
    if said != finding {
        tracing::info!("GPUs: {finding}");
        finding.clone_into(said);
    }
}
