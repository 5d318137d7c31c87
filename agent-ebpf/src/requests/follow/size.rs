//! The line with the size of a chunk, wherever segments cut it.

use super::{
    super::{
        chunk::{MALFORMED, READ_BYTES, SizeLine},
        connection::{Half, state},
        head,
    },
    Segment,
    head::{begin, current},
};

/// The result of reading a part of a line.
pub(super) enum Read {
    /// The line ends. The chunk has `bytes` bytes, of which the first is `first`, and starts at `at`; `first` is 0 if
    /// the segment does not contain it.
    End { bytes: u32, at: u32, first: u8 },
    /// The line goes on.
    More,
    /// No size.
    Malformed,
    /// Another packet used the window in the meantime. Nothing has changed, so the step can be repeated.
    Disturbed,
}

/// Reads a part of the line at `at`.
#[inline(never)]
pub(super) fn read<S: Segment>(half: &mut Half, segment: &S, at: u32) -> Read {
    let Some(scan) = segment.scan() else { return Read::Malformed };
    let turn = begin(scan);
    let available = (segment.bytes() - at).min(READ_BYTES);
    if !segment.load(&mut scan.window, false, at, available) {
        return Read::Malformed;
    }
    scan.size_line = half.left;
    segment.scan_size(scan, available);
    let (end, word) = (scan.end, scan.size_line);
    let first = if end < u64::from(available) { head::word_at(&scan.window, end as u32) as u8 } else { 0 };
    if current(scan) != turn {
        return Read::Disturbed;
    }
    if end == MALFORMED {
        return Read::Malformed;
    }
    let bytes = SizeLine::from_word(word).size_bytes;
    let length = end as u32;
    let used = if end == 0 {
        half.left = word;
        available
    } else if bytes == 0 {
        // The lines after the last chunk start with the line feed of this one, as if it ended a header line.
        half.state = state::TRAILER;
        half.head_bytes = 0;
        half.left = 0;
        length - 1
    } else {
        half.left = 0;
        // A carriage return and a line feed follow the data.
        length + bytes + 2
    };
    half.next = half.next.wrapping_add(used);
    half.bytes += u64::from(used);
    if end == 0 { Read::More } else { Read::End { bytes, at: at + length, first } }
}
