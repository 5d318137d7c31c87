//! The account of a record, in the names of docs/metrics.md.

use std::collections::BTreeMap;

use super::{
    driver::{CTL_MINOR, MAJOR, uvm_major},
    names,
    record::{Kind, Record},
    structures::{self, Status},
};
use crate::nvidia::abi::{Release, class, frontend};

/// Statuses from here to [`WARNING_END`] are warnings: the call succeeded.
const WARNING_FIRST: u32 = 0x1_0000;
const WARNING_END: u32 = 0x2_0000;
/// `FIGETBSZ`, which the kernel answers for every file without the driver. Its word is also that of a UVM command that does
/// not exist.
const ANSWERED_BY_KERNEL: u64 = 2;
/// Minor numbers below belong to GPUs.
const GPU_MINORS: u32 = 248;

/// Counts by device, command and, for failures, reason.
pub type Counts = BTreeMap<String, u64>;

/// How much of a command's name is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Name and group, for callers with memory that the agent can read.
    Groups,
    /// Name. The group of an `RM_CONTROL` or `RM_ALLOC` is unknown if the caller's memory cannot be read.
    Names,
}

/// The account of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Calls by device and command.
    pub calls: Counts,
    /// Calls that failed, by device, command and error.
    pub errnos: Counts,
    /// Calls that the driver refused, by device, command and status.
    pub statuses: Counts,
    /// Calls that the driver answered with a warning, by device, command and status.
    pub warnings: Counts,
    /// Waits in `poll` and `select` by device.
    pub polls: Counts,
    /// Time of these waits.
    pub polls_s: f64,
    /// Events that were created.
    pub events: u64,
}

/// One call, decoded.
struct Call<'a> {
    device: &'static str,
    /// `None` if no name is known here.
    command: Option<String>,
    status: Status,
    number: u32,
    before: &'a [u8],
    after: &'a [u8],
}

impl Account {
    /// The account of a record, by the release of the loaded driver.
    #[must_use]
    pub fn of(records: &[Record], release: Release, detail: Detail) -> Self {
        let uvm = uvm_major();
        let mut account = Self::default();
        for record in records {
            let Some(device) = device(record, uvm) else { continue };
            if record.kind != Kind::Poll && record.request == ANSWERED_BY_KERNEL {
                continue;
            }
            if record.kind == Kind::Poll {
                // A request of 0 is a poll that does not wait.
                if record.request != 0 {
                    *account.polls.entry(device.to_owned()).or_default() += 1;
                    account.polls_s += record.elapsed_ns as f64 / 1e9;
                }
                continue;
            }
            account.take(record, &Call::of(record, device, release), detail);
        }
        account
    }

    fn take(&mut self, record: &Record, call: &Call<'_>, detail: Detail) {
        let key = key(call.device, call.command.as_deref().unwrap_or("*"), detail);
        if record.returned < 0 {
            *self.errnos.entry(format!("{key} {}", names::errno(record.errno))).or_default() += 1;
        } else if let Status::At(at) = call.status
            && let Some(bytes) = call.after.get(at..at + 4)
        {
            let status = u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
            let of_status = match status {
                0 => None,
                WARNING_FIRST..WARNING_END => Some(&mut self.warnings),
                _ => Some(&mut self.statuses),
            };
            if let Some(counts) = of_status {
                *counts.entry(format!("{key} {}", names::status(status))).or_default() += 1;
            }
            self.events += u64::from(status == 0 && call.makes_event());
        }
        *self.calls.entry(key).or_default() += 1;
    }

    /// The number of calls.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Fails if a command or a status has no name here, because the account would then miss it.
    ///
    /// # Panics
    /// If there is one.
    pub fn expect_all_known(records: &[Record], release: Release) {
        let uvm = uvm_major();
        for record in records.iter().filter(|record| record.kind != Kind::Poll) {
            let Some(device) = device(record, uvm) else { continue };
            let call = Call::of(record, device, release);
            let is_known = call.command.is_some() && (call.status != Status::Unknown || record.returned < 0);
            assert!(is_known, "{device} {:?}: {record:?}", call.command);
        }
    }
}

impl<'a> Call<'a> {
    fn of(record: &'a Record, device: &'static str, release: Release) -> Self {
        let (before, after) = (record.before.as_slice(), record.after.as_slice());
        let word = record.request as u32;
        match device {
            "uvm" => {
                let (command, status) = (names::uvm(word), structures::uvm(release, word));
                Self { device, command, status, number: word, before, after }
            }
            _ if device == "other" || word >> 8 & 0xFF != frontend::MAGIC => {
                let command = Some("other".to_owned());
                Self { device, command, status: Status::Unknown, number: word, before, after }
            }
            _ if word & 0xFF == frontend::XFER => {
                let at = |at: usize| Some(u32::from_ne_bytes(before.get(at..at + 4)?.try_into().ok()?));
                let (number, size) = (at(0).unwrap_or(frontend::XFER), at(4).unwrap_or(0));
                let status = structures::escape(release, number, size as usize);
                let (before, after) = (record.inner_before.as_slice(), record.inner_after.as_slice());
                Self { device, command: names::escape(number, before), status, number, before, after }
            }
            _ => {
                let number = word & 0xFF;
                let status = structures::escape(release, number, (word >> 16 & 0x3FFF) as usize);
                Self { device, command: names::escape(number, before), status, number, before, after }
            }
        }
    }

    fn makes_event(&self) -> bool {
        let class = self.before.get(12..16).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
        self.device != "uvm" && self.number == frontend::ALLOC && class.is_some_and(class::is_event)
    }
}

/// A key of [`Counts`], with this much of the command's name.
#[must_use]
pub fn key(device: &str, command: &str, detail: Detail) -> String {
    let command = match detail {
        Detail::Groups => command,
        Detail::Names => names::base(command),
    };
    format!("{device} {command}")
}

/// The kind of a device; `None` for a device of another driver.
fn device(record: &Record, uvm: Option<u32>) -> Option<&'static str> {
    match (record.major, record.minor) {
        (MAJOR, CTL_MINOR) => Some("ctl"),
        (MAJOR, 0..GPU_MINORS) => Some("gpu"),
        (MAJOR, _) => Some("other"),
        (major, 0) if Some(major) == uvm => Some("uvm"),
        (major, _) if Some(major) == uvm => Some("other"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ioctl(request: u64, before: Vec<u8>, after: Vec<u8>, errno: i32) -> Record {
        Record {
            kind: Kind::Ioctl,
            major: MAJOR,
            minor: CTL_MINOR,
            request,
            returned: if errno == 0 { 0 } else { -1 },
            errno,
            elapsed_ns: 0,
            before,
            after,
            inner_before: Vec::new(),
            inner_after: Vec::new(),
        }
    }

    fn counts(entries: &[(&str, u64)]) -> Counts {
        entries.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
    }

    #[test]
    fn a_record_is_counted_by_command_status_and_error() {
        let mut refused = vec![0; 16];
        refused[12] = 0x33;
        let mut warned = vec![0; 16];
        warned[12..16].copy_from_slice(&0x1_0006_u32.to_ne_bytes());
        let free = 0xC010_4629;
        let records = [
            ioctl(free, vec![0; 16], vec![0; 16], 0),
            ioctl(free, vec![0; 16], refused, 0),
            ioctl(free, vec![0; 16], warned, 0),
            ioctl(0xC020_462A, Vec::new(), Vec::new(), libc::EFAULT),
            ioctl(0x4700, Vec::new(), Vec::new(), libc::EINVAL),
            Record { kind: Kind::Poll, elapsed_ns: 500_000_000, ..ioctl(150, Vec::new(), Vec::new(), 0) },
            Record { kind: Kind::Poll, ..ioctl(0, Vec::new(), Vec::new(), 0) },
            Record { major: 136, ..ioctl(free, Vec::new(), Vec::new(), 0) },
        ];
        let account = Account::of(&records, Release(550, 163, 1), Detail::Names);
        assert_eq!(account.calls, counts(&[("ctl other", 1), ("ctl rm_control", 1), ("ctl rm_free", 3)]));
        assert_eq!(account.errnos, counts(&[("ctl other EINVAL", 1), ("ctl rm_control EFAULT", 1)]));
        assert_eq!(account.statuses, counts(&[("ctl rm_free invalid_object_handle", 1)]));
        assert_eq!(account.warnings, counts(&[("ctl rm_free nothing_to_do", 1)]));
        assert_eq!((account.polls, account.polls_s), (counts(&[("ctl", 1)]), 0.5));
    }
}
