//! The thread that talks to NVML. A call may hang for as long as it likes: nobody waits for this thread, neither the tick
//! nor the end of the agent.

use std::{
    collections::HashMap,
    ffi::OsStr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nvml_wrapper::Nvml;
use nvml_wrapper_sys::bindings::NvmlLib;

use super::{
    Options,
    calls::Failures,
    owner::Owners,
    reading::{Latest, Reading},
    session::{Record, Session},
};

/// How long the end of the agent waits for NVML to be shut down properly.
const FAREWELL: Duration = Duration::from_millis(250);

/// Ends the thread when dropped, or leaves it behind in a call that hangs.
pub(super) struct Thread {
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
}

impl Thread {
    pub(super) fn start(options: Options, owners: Owners, latest: Latest) -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (ending, ended) = mpsc::channel();
        std::thread::Builder::new()
            .name("glassbox-nvml".into())
            .spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| run(&options, owners, &latest, &stopped)));
                if outcome.is_err() {
                    tracing::error!("the NVML thread panicked; GPUs are not read any more");
                }
                drop(ending);
            })
            .context("start the NVML thread")?;
        Ok(Self { stop: Some(stop), ended })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop = None;
        // Nothing is ever sent: this waits until the other end is dropped.
        let _ = self.ended.recv_timeout(FAREWELL);
    }
}

/// Waits; true where the thread is to end.
fn stopped_within(stop: &Receiver<()>, wait: Duration) -> bool {
    stop.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
}

fn run(options: &Options, owners: Owners, latest: &Latest, stop: &Receiver<()>) {
    let mut record = Record { failures: Failures::default(), histories: HashMap::new(), owners };
    let mut said = String::new();
    loop {
        let finding = match open(&options.library, &mut record.failures) {
            Ok(nvml) => {
                serve(&nvml, options, &mut record, latest, stop, &mut said);
                if stopped_within(stop, Duration::ZERO) {
                    return;
                }
                continue;
            }
            Err(reason) => reason,
        };
        say(&mut said, &finding);
        latest.put(Reading { finding, failures: record.failures.all(), ..Reading::default() });
        if stopped_within(stop, options.retry) {
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
    stop: &Receiver<()>,
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
        session.wait(wait, record, |wait| stopped_within(stop, wait));
        if stopped_within(stop, Duration::ZERO) {
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
