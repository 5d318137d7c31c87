//! Hooks on the entry or the return of a function of a module, as events in tracefs. An event is named after this process
//! and removed when dropped. A perf event of the same hook would need no tracefs, but lacks two things:
//!
//! - An event that names the module stays when the module is unloaded. It can be made before the module is loaded, too.
//!   The kernel arms the event when the module is loaded, before the module's init function runs: no call is missed.
//! - The kernel follows a limited number of calls to catch their returns: as many as there are CPUs or twice that, which
//!   is too few for a driver in which callers wait. Only tracefs accepts another number. That costs memory alone, some
//!   256 KiB for each function.
//!
//! An event does not keep the module from being unloaded.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use aya::programs::ProbeKind;

use super::tracefs::{self, Tracefs};

/// Calls that are followed at once: the most that the kernel takes.
const CALLS: u32 = 4096;
const GROUP: &str = "glassbox";

const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_TYPE_TRACEPOINT: u64 = 2;
/// The first version of `struct perf_event_attr`, in 64-bit words.
const ATTRIBUTE_WORDS: usize = 8;
/// `_IO('$', 0)` and `_IOW('$', 8, __u32)`.
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// A program on a function. Dropping it detaches the program.
#[derive(Debug)]
pub(super) struct FunctionHook {
    event: Option<OwnedFd>,
    name: String,
    events: PathBuf,
}

impl FunctionHook {
    /// Runs `program` whenever `function` of `module` is called or returns. If the module is not loaded, that begins when
    /// the module is loaded.
    ///
    /// # Errors
    /// If the module is loaded and has no such function, or tracefs is not writable.
    pub(super) fn attach(
        kind: ProbeKind,
        module: &str,
        function: &str,
        program: BorrowedFd<'_>,
    ) -> anyhow::Result<Self> {
        let root = tracefs::root().context("find tracefs")?;
        let (place, probe) = match kind {
            ProbeKind::Entry => ("entry", "p".to_owned()),
            ProbeKind::Return => ("return", format!("r{CALLS}")),
        };
        let name = format!("{GROUP}/{function}_{place}_{}", std::process::id());
        let mut hook = Self { event: None, name, events: root.join("kprobe_events") };
        // One of the same name may have outlived a process that was killed. It is not removed while it is in use.
        let _ = write(&hook.events, &format!("-:{}", hook.name));
        write(&hook.events, &format!("{probe}:{} {module}:{function}", hook.name))
            .with_context(|| format!("write {}", hook.events.display()))?;
        let path = root.join("events").join(&hook.name).join("id");
        let number = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let number = number.trim().parse().with_context(|| format!("parse {}", path.display()))?;
        let event = open(number).context("open the event")?;
        command(&event, PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()).context("hand it the program")?;
        command(&event, PERF_EVENT_IOC_ENABLE, 0).context("enable it")?;
        hook.event = Some(event);
        Ok(hook)
    }
}

/// Whether a loaded module has a function that can be hooked: a hook that was made before the module was loaded does
/// not say whether the kernel could arm it.
pub(super) fn exists(module: &str, function: &str) -> bool {
    let Some(root) = tracefs::root() else { return false };
    let events = root.join("kprobe_events");
    let name = format!("{GROUP}/{function}_test_{}", std::process::id());
    let made = write(&events, &format!("p:{name} {module}:{function}")).is_ok();
    // It was never opened, so nothing holds it.
    let _ = write(&events, &format!("-:{name}"));
    made
}

fn write(events: &Path, line: &str) -> io::Result<()> {
    // Without append, the events of all processes would be removed.
    OpenOptions::new().append(true).open(events)?.write_all(line.as_bytes())
}

impl Drop for FunctionHook {
    fn drop(&mut self) {
        // Only an event that no process has open can be removed.
        self.event = None;
        let _tracefs = Tracefs::mounted();
        // It was never made, or stays without effect.
        let _ = write(&self.events, &format!("-:{}", self.name));
    }
}

/// Opens a tracepoint by its number. A program that it is handed runs on every CPU, whichever it was opened for.
fn open(number: u64) -> io::Result<OwnedFd> {
    let mut attribute = [0u64; ATTRIBUTE_WORDS];
    attribute[0] = PERF_TYPE_TRACEPOINT | (size_of_val(&attribute) as u64) << 32;
    attribute[1] = number;
    // SAFETY: the attribute is as long as it says and lives until the call returns; the rest are numbers.
    let descriptor = unsafe {
        libc::syscall(libc::SYS_perf_event_open, attribute.as_ptr(), -1, 0, -1, PERF_FLAG_FD_CLOEXEC)
    };
    let descriptor = i32::try_from(descriptor).ok().filter(|&descriptor| descriptor >= 0);
    // SAFETY: a new descriptor that nobody else has.
    descriptor.map(|new| unsafe { OwnedFd::from_raw_fd(new) }).ok_or_else(io::Error::last_os_error)
}

fn command(event: &OwnedFd, request: libc::c_ulong, argument: i32) -> io::Result<()> {
    // SAFETY: both requests take a number.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
