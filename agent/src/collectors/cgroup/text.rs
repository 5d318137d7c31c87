//! Parsers of numbers, limits and lists of pairs in cgroup files. Pure.

/// Larger than any file read here except for long lists: `memory.stat` has about 2 KiB on 6.18, `io.stat` up to 200
/// bytes per device, `cgroup.procs` up to 8 bytes per process.
pub(super) const BUFFER_BYTES: usize = 32 * 1024;

/// Parses a file with one number.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim_ascii().parse().ok()
}

/// Parses a limit. The result is 0 if there is no limit: v2 then has `max`, and v1 the largest number of pages.
pub(super) fn limit(text: &str) -> Option<u64> {
    const UNLIMITED: u64 = 1 << 62;
    match text.trim_ascii() {
        "max" => Some(0),
        text => text.parse().ok().map(|bytes| if bytes > UNLIMITED { 0 } else { bytes }),
    }
}

/// Parses a file with a key and a number on each line.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, number(value)?))
    })
}
