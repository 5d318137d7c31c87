//! Hooks on the return of a function that hold for many calls at once.
//!
//! The kernel sets aside a few records for a function's callers, whose returns it then catches: as many as there are
//! CPUs or twice that, which is too few for a driver that callers wait in. Only tracefs takes another number, so the
//! hook is an event there, named after this process and removed when dropped. Costs memory alone: some 256 KiB.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    path::PathBuf,
};

use anyhow::Context as _;

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

/// A program on the return of a function. Dropping it takes the program off.
#[derive(Debug)]
pub struct ReturnHook {
    event: Option<OwnedFd>,
    name: String,
    events: PathBuf,
}

impl ReturnHook {
    /// Runs `program` whenever `function` returns.
    pub(super) fn attach(function: &str, program: BorrowedFd<'_>) -> anyhow::Result<Self> {
        let root = tracefs::root().context("find tracefs")?;
        let name = format!("{GROUP}/{function}_{}", std::process::id());
        let mut hook = Self { event: None, name, events: root.join("kprobe_events") };
        // One of the same name may have outlived a process that was killed. It is not removed while anyone uses it.
        let _ = hook.write(&format!("-:{}", hook.name));
        hook.write(&format!("r{CALLS}:{} {function}", hook.name))
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

    fn write(&self, line: &str) -> io::Result<()> {
        // Without append, all events of everyone go.
        OpenOptions::new().append(true).open(&self.events)?.write_all(line.as_bytes())
    }
}

impl Drop for ReturnHook {
    fn drop(&mut self) {
        // Only an event that nobody has open can be removed.
        self.event = None;
        let _tracefs = Tracefs::mounted();
        // It was never made, or stays without effect.
        let _ = self.write(&format!("-:{}", self.name));
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
