//! The head of a message, wherever segments cut it.

use super::{
    super::{
        clear,
        connection::{HEAD_MAX_BYTES, Half, found},
        head::{self, CARRY_BYTES, CARRY_WORDS, Scan, WINDOW_BYTES, number},
        zeros,
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
    /// Another packet used the window in the meantime. Nothing has changed, so the step can be repeated.
    Disturbed,
}

/// The start of a message, as far as it has arrived; the rest is 0.
pub(super) struct First {
    pub(super) words: [u64; 4],
    pub(super) bytes: u32,
}

impl First {
    /// Nothing has arrived.
    #[inline(always)]
    pub(super) fn none() -> Self {
        Self { words: zeros(), bytes: 0 }
    }
}

/// Scans the next window of a head, or of the lines after the last chunk. `at` is the position of [`Half::next`] in the
/// segment. `first` receives the start of the message, if the first [`CARRY_BYTES`] bytes of it end in this window.
// A function of its own, because the compiler would otherwise need more stack than the kernel provides.
#[inline(never)]
pub(super) fn scan<S: Segment>(half: &mut Half, segment: &S, at: u32, first: &mut First) -> Scanned {
    let available = segment.bytes() - at;
    let seen = u32::from(half.head_bytes);
    let Some(scan) = segment.scan() else { return Scanned::Lost };
    // Another packet may change the number at any time.
    let turn = begin(scan);
    let window = &mut scan.window;
    let carried = if seen == 0 { 0 } else { CARRY_BYTES };
    let taken = available.min(WINDOW_BYTES);
    let is_loaded = if seen == 0 {
        segment.load(window, false, at, taken)
    } else if at >= CARRY_BYTES {
        segment.load(window, true, at, taken) && segment.load_carry(window, 0, at - CARRY_BYTES, CARRY_BYTES)
    } else {
        match segment.carry(false) {
            None => false,
            Some(carry) => {
                let mut word = 0;
                while word < CARRY_WORDS {
                    window[word] = carry.words[word];
                    word += 1;
                }
                segment.load(window, true, at, taken)
            }
        }
    };
    if !is_loaded {
        return Scanned::Lost;
    }
    let length = carried + taken;
    head::clear_after(window, length);
    // If the whole message so far is in the window.
    if seen == 0 {
        first.words = [window[0], window[1], window[2], window[3]];
        first.bytes = length;
    } else if seen < CARRY_BYTES {
        let start = CARRY_BYTES - seen;
        first.words = [0, 1, 2, 3].map(|word| head::word_at(window, start + 8 * word));
        first.bytes = length - start;
    }
    segment.scan_head(scan, length);
    let found = Found {
        is_chunked: scan.is_chunked != 0,
        is_stream: scan.is_stream != 0,
        length: scan.length_found,
        length_bytes: scan.length_bytes,
    };
    let end = scan.end as u32;
    if current(scan) != turn {
        return Scanned::Disturbed;
    }
    if !note(half, &found) {
        return Scanned::Malformed;
    }
    if end > carried {
        advance(half, end - carried);
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

/// What a scan has found.
struct Found {
    is_chunked: bool,
    is_stream: bool,
    length: u64,
    length_bytes: u64,
}

/// Adds what was found to the state. False if it is contradictory.
#[inline(always)]
fn note(half: &mut Half, new: &Found) -> bool {
    if new.is_chunked {
        half.found |= found::CHUNKED;
    }
    if new.is_stream {
        half.found |= found::STREAM;
    }
    if new.length == number::VALUE {
        if half.found & found::LENGTH != 0 && half.left != new.length_bytes {
            return false;
        }
        half.found |= found::LENGTH;
        half.left = new.length_bytes;
    }
    new.length != number::MALFORMED
}

/// Begins a scan, and returns its number.
#[inline(always)]
pub(super) fn begin(scan: &mut Scan) -> u64 {
    let turn = current(scan) + 1;
    // SAFETY: a member of a valid reference.
    unsafe { (&raw mut scan.turn).write_volatile(turn) };
    turn
}

/// The number of the last scan on this CPU.
#[inline(always)]
pub(super) fn current(scan: &Scan) -> u64 {
    // SAFETY: a member of a valid reference.
    unsafe { (&raw const scan.turn).read_volatile() }
}

/// Keeps the end of the head for the next segment. `seen` is the number of bytes of the head so far.
#[inline(always)]
fn keep<S: Segment>(segment: &S, seen: u32) -> bool {
    let Some(carry) = segment.carry(true) else { return false };
    let bytes = segment.bytes();
    let here = seen.min(bytes);
    if here >= CARRY_BYTES {
        return segment.load_carry(&mut carry.words, 0, bytes - CARRY_BYTES, CARRY_BYTES);
    }
    if seen == here {
        // Nothing came before this segment.
        let mut word = 0;
        while word < CARRY_WORDS {
            clear(&mut carry.words[word]);
            word += 1;
        }
    }
    if here == 0 || !segment.load_carry(&mut carry.words, CARRY_BYTES, bytes - here, here) {
        return false;
    }
    let mut word = 0;
    while word < CARRY_WORDS {
        carry.words[word] = head::word_at(&carry.words, here + 8 * word as u32);
        word += 1;
    }
    true
}
