//! One recorded call as one line of text. The tests include this file to parse the record.

use std::fmt;
use std::str::FromStr;

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ioctl`
    Ioctl,
    /// `ioctl` as a 32-bit program makes it
    Ioctl32,
    /// `poll` or `select`
    Poll,
}

const KINDS: [(&str, Kind); 3] = [("ioctl", Kind::Ioctl), ("ioctl32", Kind::Ioctl32), ("poll", Kind::Poll)];

/// A call on a character device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which call.
    pub kind: Kind,
    /// Major number of the device.
    pub major: u32,
    /// Minor number of the device.
    pub minor: u32,
    /// The request of an `ioctl`, or the timeout of a `poll` in ms, with all bits set for none.
    pub request: u64,
    /// The return value.
    pub returned: i64,
    /// The error number, 0 for none.
    pub errno: i32,
    /// Duration of the call, in ns.
    pub elapsed_ns: u64,
    /// The caller's structure before the call, as far as it could be read.
    pub before: Vec<u8>,
    /// The same after the call.
    pub after: Vec<u8>,
    /// The structure in an `NV_ESC_IOCTL_XFER_CMD`, before the call.
    pub inner_before: Vec<u8>,
    /// The same after the call.
    pub inner_after: Vec<u8>,
}

impl fmt::Display for Record {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = KINDS.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name);
        let Self { major, minor, request, returned, errno, elapsed_ns, .. } = self;
        write!(to, "{kind} {major} {minor} {request:x} {returned} {errno} {elapsed_ns}")?;
        for bytes in [&self.before, &self.after, &self.inner_before, &self.inner_after] {
            to.write_str(" x")?;
            bytes.iter().try_for_each(|byte| write!(to, "{byte:02x}"))?;
        }
        Ok(())
    }
}

impl FromStr for Record {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        Self::parse(line).ok_or_else(|| format!("not a record: {line:?}"))
    }
}

impl Record {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let [
            kind,
            major,
            minor,
            request,
            returned,
            errno,
            elapsed_ns,
            before,
            after,
            inner_before,
            inner_after,
        ] = words[..]
        else {
            return None;
        };
        Some(Self {
            kind: KINDS.iter().find(|(name, _)| *name == kind)?.1,
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            request: u64::from_str_radix(request, 16).ok()?,
            returned: returned.parse().ok()?,
            errno: errno.parse().ok()?,
            elapsed_ns: elapsed_ns.parse().ok()?,
            before: bytes(before)?,
            after: bytes(after)?,
            inner_before: bytes(inner_before)?,
            inner_after: bytes(inner_after)?,
        })
    }
}

fn bytes(word: &str) -> Option<Vec<u8>> {
    let digits = word.strip_prefix('x')?;
    let pair = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_parsed_as_it_was_written() {
        let record = Record {
            kind: Kind::Ioctl32,
            major: 195,
            minor: 255,
            request: 0xC020_462A,
            returned: -1,
            errno: 14,
            elapsed_ns: 1234,
            before: vec![0, 1, 255],
            after: Vec::new(),
            inner_before: vec![16],
            inner_after: vec![17],
        };
        assert_eq!(record.to_string().parse(), Ok(record));
    }

    #[test]
    fn a_truncated_line_is_not_a_record() {
        for line in
            ["", "ioctl 195 255 1 0 0 0 x x x", "ioctl 195 255 1 0 0 0 x0 x x x", "open 1 2 3 0 0 0 x x x x"]
        {
            assert!(line.parse::<Record>().is_err(), "{line:?}");
        }
    }
}
