//! Hooks on the entry or the return of a module's function, as events in tracefs. The name of an event contains the ID
//! of this process, and the event is removed when the hook is dropped. A perf event would need no tracefs, but has two
//! disadvantages:
//!
//! - A tracefs event that names the module stays when the module is unloaded, and can be created before it is loaded.
//!   The kernel arms the event when the module is loaded, before its init function runs, so no call is missed. A perf
//!   event cannot do this.
//! - To catch returns, the kernel tracks a limited number of concurrent calls: as many as there are CPUs or twice that,
//!   which is too few for a driver in which callers wait. Only tracefs accepts another limit. A higher limit costs only
//!   memory, some 256 KiB per function.
//!
//! An event does not prevent the module from being unloaded. It stays if its process is killed, without a program and almost
//! without cost; the next agent removes it ([`remove_leftovers`]).

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use aya::programs::ProbeKind;

use super::tracefs::{self, Tracefs};

/// Limit of concurrent calls to track for returns: the maximum that the kernel accepts.
const CALLS: u32 = 4096;
const GROUP: &str = "glassbox";
/// Maximum bytes read from `kprobe_events`; enough for thousands of events.
const EVENTS_MAX_BYTES: u64 = 1 << 20;

const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_TYPE_TRACEPOINT: u64 = 2;
/// The first version of `struct perf_event_attr`, in 64-bit words.
const ATTRIBUTE_WORDS: usize = 8;
/// `_IO('$', 0)` and `_IOW('$', 8, __u32)`.
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// A program attached to a function. Dropping it detaches the program.
#[derive(Debug)]
pub(super) struct FunctionHook {
    event: Option<OwnedFd>,
    name: String,
    events: PathBuf,
}

impl FunctionHook {
    /// Runs `program` whenever `function` of `module` is called or returns. If the module is not loaded, the kernel
    /// arms the hook when the module is loaded.
    ///
    /// # Errors
    /// If the module is loaded and has no such function, or if tracefs is not writable.
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
        // An event of the same name may be left from a process that was killed. It is not removed while it is in use.
        let _ = write(&hook.events, &format!("-:{}", hook.name));
        write(&hook.events, &format!("{probe}:{} {module}:{function}", hook.name))
            .with_context(|| format!("write {}", hook.events.display()))?;
        let path = root.join("events").join(&hook.name).join("id");
        let number = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let number = number.trim().parse().with_context(|| format!("parse {}", path.display()))?;
        let event = open(number).context("open the event")?;
        command(&event, PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()).context("attach the program")?;
        command(&event, PERF_EVENT_IOC_ENABLE, 0).context("enable the event")?;
        hook.event = Some(event);
        Ok(hook)
    }
}

/// Removes the events of agents that were killed. The kernel does not remove an event that another agent uses.
pub(super) fn remove_leftovers() {
    let Some(root) = tracefs::root() else { return };
    let events = root.join("kprobe_events");
    // The file is missing if the kernel has no kprobes, and not readable without privileges: there are no hooks then.
    let Ok(text) = text_of(&events) else { return };
    let is_agent = |pid: u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "glassbox")
    };
    for name in leftovers(&text, is_agent) {
        if let Err(error) = write(&events, &format!("-:{name}")) {
            tracing::debug!("cannot remove the event {name} of an earlier agent: {error}");
        }
    }
}

/// Reads at most [`EVENTS_MAX_BYTES`]. Another file may be mounted over it, even an endless one.
fn text_of(events: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(events)?.take(EVENTS_MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The events in the text of `kprobe_events` that belong to agents that have ended. Events of running agents are left out:
/// between the creation of an event and its first use, the kernel would remove them, too.
fn leftovers(text: &str, is_agent: impl Fn(u32) -> bool) -> Vec<&str> {
    // A line is "p:GROUP/EVENT MODULE:FUNCTION", or "r4096:..." for returns.
    let names = text.lines().filter_map(|line| line.split_once(':')?.1.split(' ').next());
    let ours = names.filter(|name| name.strip_prefix(GROUP).is_some_and(|rest| rest.starts_with('/')));
    ours.filter(|name| {
        let pid = name.rsplit_once('_').and_then(|(_, pid)| pid.parse().ok());
        pid.is_some_and(|pid| pid == std::process::id() || !is_agent(pid))
    })
    .collect()
}

/// True if a loaded module has this function and the function can be hooked. A hook that was created before the module
/// was loaded does not show whether the kernel could arm it.
pub(super) fn exists(module: &str, function: &str) -> bool {
    let Some(root) = tracefs::root() else { return false };
    let events = root.join("kprobe_events");
    let name = format!("{GROUP}/{function}_test_{}", std::process::id());
    let made = write(&events, &format!("p:{name} {module}:{function}")).is_ok();
    // The event was never opened, so it is not in use and can be removed.
    let _ = write(&events, &format!("-:{name}"));
    made
}

fn write(events: &Path, line: &str) -> io::Result<()> {
    // If the file were opened without append, the kernel would remove the events of all processes.
    OpenOptions::new().append(true).open(events)?.write_all(line.as_bytes())
}

impl Drop for FunctionHook {
    fn drop(&mut self) {
        // Only an event that no process has open can be removed.
        self.event = None;
        let _tracefs = Tracefs::mounted();
        // If this fails, the event was never created, or it stays without effect.
        let _ = write(&self.events, &format!("-:{}", self.name));
    }
}

/// Opens a tracepoint by its ID. A program that is attached to it runs on all CPUs, regardless of the CPU given here.
fn open(number: u64) -> io::Result<OwnedFd> {
    let mut attribute = [0u64; ATTRIBUTE_WORDS];
    attribute[0] = PERF_TYPE_TRACEPOINT | (size_of_val(&attribute) as u64) << 32;
    attribute[1] = number;
    // SAFETY: the attribute contains its own length and is valid until the call returns; all other arguments are
    // numbers.
    let descriptor = unsafe {
        libc::syscall(libc::SYS_perf_event_open, attribute.as_ptr(), -1, 0, -1, PERF_FLAG_FD_CLOEXEC)
    };
    let descriptor = i32::try_from(descriptor).ok().filter(|&descriptor| descriptor >= 0);
    // SAFETY: the descriptor is new and has no other owner.
    descriptor.map(|new| unsafe { OwnedFd::from_raw_fd(new) }).ok_or_else(io::Error::last_os_error)
}

fn command(event: &OwnedFd, request: libc::c_ulong, argument: i32) -> io::Result<()> {
    // SAFETY: the argument of both requests is a number.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_of_agents_that_have_ended_are_leftovers() {
        let own = std::process::id();
        let text = format!(
            "p:glassbox/nvidia_unlocked_ioctl_entry_7 nvidia:nvidia_unlocked_ioctl\n\
             r4096:glassbox/nvidia_unlocked_ioctl_return_7 nvidia:nvidia_unlocked_ioctl\n\
             p:glassbox/nvidia_poll_entry_8 nvidia:nvidia_poll\n\
             p:glassbox/nvidia_poll_entry_{own} nvidia:nvidia_poll\n\
             p:kprobes/p_vfs_read_0 vfs_read\np:glassboxes/mine_7 vfs_read\np:glassbox/mine vfs_read\nnonsense\n\n"
        );
        let expected = [
            "glassbox/nvidia_unlocked_ioctl_entry_7",
            "glassbox/nvidia_unlocked_ioctl_return_7",
            &format!("glassbox/nvidia_poll_entry_{own}"),
        ];
        assert_eq!(leftovers(&text, |pid| pid == 8), expected);
    }
}
