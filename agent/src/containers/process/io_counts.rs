//! What a process has read and written, from `/proc/PID/io`.

/// The bytes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Io {
    /// Returned by system calls that read, from files and pipes.
    pub read_bytes: u64,
    /// Given to system calls that write.
    pub written_bytes: u64,
    /// Fetched from disks, even if the system call has not returned yet.
    pub fetched_bytes: u64,
}

impl Io {
    /// Parses the file. `None` if a number is missing.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        Some(Self {
            read_bytes: of("rchar:")?,
            written_bytes: of("wchar:")?,
            fetched_bytes: of("read_bytes:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_have_their_names() {
        let text = b"rchar: 5\nwchar: 6\nsyscr: 1\nsyscw: 2\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n";
        let expected = Io { read_bytes: 5, written_bytes: 6, fetched_bytes: 4096 };
        assert_eq!(Io::of(text), Some(expected));
        for text in [&b""[..], b"rchar: 5\nwchar: 6\n", b"rchar: x\nwchar: 6\nread_bytes: 1\n", b"\xff"] {
            assert_eq!(Io::of(text), None);
        }
        assert!(Io::of(&std::fs::read("/proc/self/io").unwrap()).unwrap().read_bytes > 0);
    }
}
