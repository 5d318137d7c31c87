//! The head of a message, wherever segments cut it.

use super::{
    super::{
        connection::{Carry, HEAD_MAX_BYTES, Half, found},
        head::{self, CARRY_BYTES, CARRY_WORDS, Lines, Number, WINDOW_BYTES},
    },
    Segment,
};

/// The result of scanning one window.
pub(super) enum Scanned {
    /// The head ends here; [`Half::next`] is the first byte after it.
    End,
    /// The segment contains more of the head.
    More,
    /// The segment is used up.
    Cut,
    /// The head is too long or ambiguous, or its start is no longer known.
    Malformed,
    /// Packets or the carry were lost.
    Lost,
}

/// The first words of a message; `None` while too few bytes have arrived.
///
/// `at` is the position of the message's next byte in the segment; `needed` is the number of bytes that the first line
/// is read from. Fewer are enough if they contain a line feed and `ends_early` is set.
pub(super) struct First {
    pub(super) words: [u64; 4],
    pub(super) bytes: u32,
}

/// Scans the next window of a head, or of the lines after the last chunk. `first` receives the start of the message, if
/// this is the first window of it.
#[inline(always)]
pub(super) fn scan<S: Segment>(half: &mut Half, segment: &S, at: u32, first: &mut First) -> Scanned {
    let mut window = head::EMPTY;
    let mut lines = Lines::default();
    let available = segment.bytes() - at;
    let seen = u32::from(half.head_bytes);
    let (carried, taken);
    if seen == 0 {
        carried = 0;
        taken = available.min(WINDOW_BYTES);
        if !segment.load(&mut window, false, at, taken) {
            return Scanned::Lost;
        }
        first.words = [window[0], window[1], window[2], window[3]];
        first.bytes = taken;
    } else if at >= CARRY_BYTES {
        carried = CARRY_BYTES;
        taken = available.min(WINDOW_BYTES - CARRY_BYTES);
        if !segment.load(&mut window, false, at - CARRY_BYTES, taken + CARRY_BYTES) {
            return Scanned::Lost;
        }
    } else {
        carried = CARRY_BYTES;
        taken = available.min(WINDOW_BYTES - CARRY_BYTES);
        let Some(carry) = segment.carry(false) else { return Scanned::Lost };
        let mut word = 0;
        while word < CARRY_WORDS {
            window[word] = carry.words[word];
            word += 1;
        }
        if !segment.load(&mut window, true, at, taken) {
            return Scanned::Lost;
        }
        if seen < CARRY_BYTES {
            // The whole message so far is in the carry.
            let rest = taken.min(CARRY_BYTES);
            if !segment.load_carry(carry, CARRY_BYTES, at, rest) {
                return Scanned::Lost;
            }
            first.words = [0, 1, 2, 3].map(|word| word_at(carry, CARRY_BYTES - seen + 8 * word));
            first.bytes = seen + rest;
            clear_after(&mut first.words, first.bytes);
        }
    }
    let end = head::scan(&window, &mut lines);
    if !note(half, &lines) {
        return Scanned::Malformed;
    }
    if end > carried {
        let used = end - carried;
        advance(half, used);
        return Scanned::End;
    }
    advance(half, taken);
    if seen + taken > HEAD_MAX_BYTES {
        return Scanned::Malformed;
    }
    half.head_bytes = (seen + taken) as u16;
    if taken < available {
        return Scanned::More;
    }
    if keep(segment, seen + taken) { Scanned::Cut } else { Scanned::Lost }
}

#[inline(always)]
fn advance(half: &mut Half, bytes: u32) {
    half.next = half.next.wrapping_add(bytes);
    half.bytes += u64::from(bytes);
}

/// Adds what was found to the state. False if it is contradictory.
#[inline(always)]
fn note(half: &mut Half, lines: &Lines) -> bool {
    if lines.is_ambiguous {
        return false;
    }
    if lines.is_chunked {
        half.found |= found::CHUNKED;
    }
    if head::is_event_stream(lines.kind) {
        half.found |= found::STREAM;
    }
    if lines.has_length {
        match head::number(lines.length) {
            Number::Cut => {}
            Number::Malformed => return false,
            Number::Value(length) => {
                if half.found & found::LENGTH != 0 && half.left != length {
                    return false;
                }
                half.found |= found::LENGTH;
                half.left = length;
            }
        }
    }
    true
}

/// Keeps the end of the head for the next segment. `seen` is the number of bytes of the head so far.
#[inline(always)]
fn keep<S: Segment>(segment: &S, seen: u32) -> bool {
    let Some(carry) = segment.carry(true) else { return false };
    let bytes = segment.bytes();
    let here = seen.min(bytes);
    if here >= CARRY_BYTES {
        return segment.load_carry(carry, 0, bytes - CARRY_BYTES, CARRY_BYTES);
    }
    if seen == here {
        // Nothing came before this segment.
        carry.words = [0; 13];
    }
    if here == 0 || !segment.load_carry(carry, CARRY_BYTES, bytes - here, here) {
        return false;
    }
    let mut word = 0;
    while word < CARRY_WORDS as u32 {
        carry.words[word as usize] = word_at(carry, here + 8 * word);
        word += 1;
    }
    true
}

/// The eight bytes at a position of a carry.
#[inline(always)]
fn word_at(carry: &Carry, position: u32) -> u64 {
    let position = (position & 127).min(96) as usize;
    // SAFETY: the position is within the words, and any bytes are a valid number.
    unsafe { carry.words.as_ptr().cast::<u8>().add(position).cast::<u64>().read_unaligned() }
}

/// Clears all bytes after the first `bytes`.
#[inline(always)]
fn clear_after(words: &mut [u64; 4], bytes: u32) {
    let mut word = 0;
    while word < 4 {
        let start = 8 * word as u32;
        if bytes <= start {
            words[word] = 0;
        } else if bytes < start + 8 {
            words[word] &= (1 << (8 * (bytes - start))) - 1;
        }
        word += 1;
    }
}
