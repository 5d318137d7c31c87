//! The log: plain lines on standard error. Logging never blocks, never fails and never floods.
//!
//! - If standard error cannot be written (closed, full disk, pipe without a reader), or a write would block (full pipe),
//!   lines are dropped; no thread waits. The number of dropped lines is logged as soon as a line can be written again.
//! - Each [kind](Kind) of message is limited to [`BURST`] lines, and then to one line per [`REFILL`], preceded by the
//!   number of suppressed lines. Debug and trace lines are not limited, because they are only written on request. Lines
//!   with the target [`SLOW_REQUEST`] are limited by their author.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    hash::{DefaultHasher, Hash, Hasher as _},
    io::{self, IsTerminal as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    registry::LookupSpan,
    reload,
};

/// Target of the lines about slow requests.
pub const SLOW_REQUEST: &str = "glassbox::slow_request";

/// Lines of one kind that may be written in a row.
const BURST: u32 = 5;
/// Time after which one more line of a kind may be written.
const REFILL: Duration = Duration::from_secs(30);
/// Maximum number of kinds that are limited separately; all others share one limit.
const KINDS_MAX: usize = 256;
/// Maximum length of the prefix that identifies a kind, in bytes.
const KIND_BYTES: usize = 48;
/// Maximum length of a line: a pipe that is ready for writing accepts this many bytes without blocking.
const LINE_BYTES: usize = 4096;

/// Starts logging to standard error, including panics.
///
/// # Errors
/// A log has already been started.
pub fn start(filter: EnvFilter) -> anyhow::Result<FilterHandle> {
    let format = tracing_subscriber::fmt::format().with_target(false);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        // The library would print its own errors with a macro that panics if standard error cannot be written.
        .log_internal_errors(false)
        .with_writer(StandardError::default());
    // The journal adds the time itself.
    let (handle, started) = match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => {
            let builder = builder.event_format(Limited::new(format.without_time())).with_filter_reloading();
            (FilterHandle::new(builder.reload_handle()), builder.try_init())
        }
        None => {
            let builder = builder.event_format(Limited::new(format)).with_filter_reloading();
            (FilterHandle::new(builder.reload_handle()), builder.try_init())
        }
    };
    started.map_err(|error| anyhow::anyhow!("start the log: {error}"))?;
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        tracing::error!("thread {} panicked: {panic}", thread.name().unwrap_or("without a name"));
    }));
    Ok(handle)
}

/// Replaces the filter of the log while it runs.
pub struct FilterHandle(Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>);

impl FilterHandle {
    fn new<S: 'static>(handle: reload::Handle<EnvFilter, S>) -> Self {
        Self(Box::new(move |filter| handle.reload(filter).context("replace the filter of the log")))
    }

    /// Applies a filter to all further lines.
    ///
    /// # Errors
    /// A thread has panicked while it wrote to the log.
    pub fn replace(&self, filter: EnvFilter) -> anyhow::Result<()> {
        (self.0)(filter)
    }
}

/// Standard error, written only if that does not block.
#[derive(Default)]
struct StandardError {
    lost: Mutex<u64>,
}

/// One line.
struct Line<'a>(&'a StandardError);

impl<'a> MakeWriter<'a> for StandardError {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

impl io::Write for Line<'_> {
    /// Never fails, because there is no place to report an error.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Held while writing, so that no other thread writes between poll(2) and write(2).
        let mut lost = self.0.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if *lost > 0 {
            let notice = format!("{lost} log lines were lost because standard error could not be written\n");
            if put(notice.as_bytes()) {
                *lost = 0;
            }
        }
        if !put(line) {
            *lost += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line to standard error, truncated to [`LINE_BYTES`]. Returns false if the write would block or fails.
fn put(line: &[u8]) -> bool {
    let mut cut;
    let line = if line.len() > LINE_BYTES {
        cut = line[..LINE_BYTES - 5].to_vec();
        cut.extend_from_slice(b" ...\n");
        &cut
    } else {
        line
    };
    let mut ready = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd, which lives through the call.
    let polled = unsafe { libc::poll(&raw mut ready, 1, 0) };
    if polled != 1 || ready.revents & libc::POLLOUT == 0 {
        return false;
    }
    // SAFETY: the pointer and the length are those of a slice. The descriptor may be anything.
    let written = unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    written >= 0
}

/// The kind of a message: its call site and its prefix up to the first digit. Messages of one kind are limited
/// together.
type Kind = Option<(Identifier, u64)>;

/// A format that suppresses lines above the limit of their kind.
struct Limited<F> {
    format: F,
    kinds: Mutex<HashMap<Kind, Allowance>>,
}

/// The remaining allowance of a kind.
struct Allowance {
    lines: u32,
    refilled: Instant,
    left_out: u64,
}

impl<F> Limited<F> {
    fn new(format: F) -> Self {
        Self { format, kinds: Mutex::default() }
    }

    /// Returns the number of lines of this kind that were suppressed since the last written one, or `None` to suppress
    /// this line, too.
    fn admit(&self, kind: Kind, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = if kinds.len() < KINDS_MAX || kinds.contains_key(&kind) { kind } else { None };
        let full = || Allowance { lines: BURST, refilled: now, left_out: 0 };
        let allowance = kinds.entry(kind).or_insert_with(full);
        let refills = now.saturating_duration_since(allowance.refilled).as_secs() / REFILL.as_secs();
        if refills > 0 {
            allowance.lines =
                BURST.min(allowance.lines.saturating_add(u32::try_from(refills).unwrap_or(BURST)));
            allowance.refilled = now;
        }
        match allowance.lines.checked_sub(1) {
            Some(lines) => {
                allowance.lines = lines;
                Some(std::mem::take(&mut allowance.left_out))
            }
            None => {
                allowance.left_out += 1;
                None
            }
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        if *metadata.level() >= Level::DEBUG || metadata.target() == SLOW_REQUEST {
            return self.format.format_event(context, writer, event);
        }
        let Some(left_out) = self.admit(kind(event), Instant::now()) else { return Ok(()) };
        if left_out > 0 {
            writeln!(writer, "{left_out} messages similar to the next one were suppressed")?;
        }
        self.format.format_event(context, writer, event)
    }
}

fn kind(event: &Event<'_>) -> Kind {
    let mut beginning = Beginning(String::new());
    event.record(&mut beginning);
    let mut hasher = DefaultHasher::new();
    beginning.0.hash(&mut hasher);
    Some((event.metadata().callsite(), hasher.finish()))
}

/// Collects the prefix of a message up to its first digit.
struct Beginning(String);

impl Visit for Beginning {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Returns an error to stop formatting once the prefix is complete.
            let _ = write!(self, "{value:?}");
        }
    }
}

impl fmt::Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let wanted = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
        let room = KIND_BYTES.saturating_sub(self.0.len());
        let end = text.floor_char_boundary(wanted.min(room));
        self.0.push_str(&text[..end]);
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(parts: &[&str]) -> String {
        let mut beginning = Beginning(String::new());
        for part in parts {
            if beginning.write_str(part).is_err() {
                break;
            }
        }
        beginning.0
    }

    #[test]
    fn messages_that_differ_only_after_the_first_digit_are_of_one_kind() {
        assert_eq!(beginning(&["no free slot for cgroup ", "17", ": raise"]), "no free slot for cgroup ");
        assert_eq!(beginning(&["collector ", "network", ": x1"]), "collector network: x");
        assert_eq!(beginning(&[&"é".repeat(40)]).len(), KIND_BYTES);
    }

    #[test]
    fn a_flood_is_limited_to_a_burst_and_then_to_one_line_per_half_minute() {
        let limited = Limited::new(());
        let begun = Instant::now();
        let admitted = |at_ms| limited.admit(None, begun + Duration::from_millis(at_ms));
        let written = (0..1000).filter_map(|number| admitted(number * 10)).count();
        assert_eq!(written, BURST as usize);
        assert_eq!(admitted(30_000), Some(995));
        assert_eq!(admitted(30_001), None);
        assert_eq!(admitted(70_000), Some(1));
        // After a long pause, a full burst is allowed again, but not more.
        let written = (0..20).filter_map(|number| admitted(10_000_000 + number)).count();
        assert_eq!(written, BURST as usize);
    }

    #[test]
    fn the_number_of_kinds_in_memory_is_bounded() {
        let limited = Limited::new(());
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            let callsite = || {
                let span = tracing::info_span!("any");
                span.metadata().map(tracing::Metadata::callsite)
            };
            let Some(callsite) = callsite() else { panic!("no call site") };
            let now = Instant::now();
            let written =
                (0..10_000).filter_map(|kind| limited.admit(Some((callsite.clone(), kind)), now)).count();
            assert!(written <= KINDS_MAX + BURST as usize, "{written}");
            assert!(limited.kinds.lock().unwrap().len() <= KINDS_MAX + 1);
        });
    }
}
