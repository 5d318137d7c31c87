//! How cgroup files write numbers, limits and lists of pairs. Pure.

/// More than any file read here but for long lists: `memory.stat` has some 2 KiB on 6.18, `io.stat` up to 200 bytes a
/// device, `cgroup.procs` up to 8 a process.
pub(super) const BUFFER_BYTES: usize = 32 * 1024;

/// A file that holds one number.
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim_ascii().parse().ok()
}

/// A limit, 0 where there is none: v2 says `max`, v1 gives the largest number of pages.
pub(super) fn limit(text: &str) -> Option<u64> {
    const UNLIMITED: u64 = 1 << 62;
    match text.trim_ascii() {
        "max" => Some(0),
        text => text.parse().ok().map(|bytes| if bytes > UNLIMITED { 0 } else { bytes }),
    }
}

/// A file of lines, each a key and a number.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, number(value)?))
    })
}
