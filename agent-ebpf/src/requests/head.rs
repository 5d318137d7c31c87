//! Scans the head of an HTTP/1.1 message for what the length of the body depends on, and for the end of the head.
//!
//! The scan works on a window of 256 bytes and compares eight bytes at once. A head that does not fit into one
//! window is scanned in several. Each of these begins with the last [`CARRY_BYTES`] of the one before, so that every
//! line of interest is complete in at least one window, wherever the head was cut. A line that is scanned twice gives
//! the same result twice.

use super::{clear, rolled};

/// Bytes that are read into a window at once.
pub const WINDOW_BYTES: u32 = 256;
/// Words at the start of a window that repeat the end of the one before.
pub const CARRY_WORDS: usize = 5;
/// Bytes at the start of a window that repeat the end of the one before. A line of interest is recognised by its first
/// 32 bytes with the line feed before it.
pub const CARRY_BYTES: u32 = 8 * CARRY_WORDS as u32;
/// Words that can contain data.
const DATA_WORDS: usize = CARRY_WORDS + WINDOW_BYTES as usize / 8;
/// Words after the data that a line at its end is compared with.
const ZERO_WORDS: usize = 4;

/// Bytes of a message in the order of memory: the first byte is the lowest byte of the first word. The four words after
/// the data are 0.
pub type Window = [u64; DATA_WORDS + ZERO_WORDS + 1];

/// Clears the bytes after the first `bytes`, as far as [`scan`] reads them.
#[inline(always)]
pub fn clear_after(window: &mut Window, bytes: u32) {
    let word = rolled(bytes as usize / 8).min(DATA_WORDS);
    window[word] &= (1 << (8 * (bytes % 8))) - 1;
    let mut index = 1;
    while index <= ZERO_WORDS {
        clear(&mut window[word + index]);
        index = rolled(index + 1) & 7;
    }
}

/// The eight bytes at a position, which is clamped to the words.
#[inline(always)]
#[must_use]
pub fn word_at<const N: usize>(words: &[u64; N], position: u32) -> u64 {
    // Kernels before 6.12 lose bounds that were checked on a copy of the value, so it is bounded here, in any case.
    let word = rolled(position as usize / 8).min(N - 2);
    joined(words[word], words[word + 1], (u64::from(position) * 8) & 56)
}

/// A window, and what was found in it. In the kernel, this is an element of a map, not on the stack: it would not fit
/// there, and the verifier would follow every combination of findings.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Number of scans so far.
    pub turn: u64,
    /// The bytes.
    pub window: Window,
    /// The position after the end of what was scanned; 0 if the window does not contain it.
    pub end: u64,
    /// Not 0 if there is a `Transfer-Encoding`.
    pub is_chunked: u64,
    /// Not 0 if the body is a sequence of events.
    pub is_stream: u64,
    /// What was found of the length of the body: one of [`number`](mod@number).
    pub length_found: u64,
    /// That length, in bytes.
    pub length_bytes: u64,
    /// The state of the line with the size of a chunk; see [`SizeLine`](super::chunk::SizeLine).
    pub size_line: u64,
    /// Number of `Content-Length` lines.
    lengths: u64,
    /// The 16 bytes after `Content-Length:`.
    length: [u64; 2],
    /// The 18 bytes after `Content-Type:`, in the last bytes of the first word and in the other two.
    kind: [u64; 3],
}

/// Kinds of numbers in a header line.
pub mod number {
    /// No such line.
    pub const NONE: u64 = 0;
    /// A complete number.
    pub const VALUE: u64 = 1;
    /// The data ends before the number does.
    pub const CUT: u64 = 2;
    /// Not a number, or a longer one than any message has.
    pub const MALFORMED: u64 = 3;
}

impl Scan {
    /// Before the first scan.
    pub const EMPTY: Self = Self {
        turn: 0,
        window: [0; DATA_WORDS + ZERO_WORDS + 1],
        end: 0,
        is_chunked: 0,
        is_stream: 0,
        length_found: 0,
        length_bytes: 0,
        size_line: 0,
        lengths: 0,
        length: [0; 2],
        kind: [0; 3],
    };
}

const ONES: u64 = 0x0101_0101_0101_0101;
/// Turns ASCII letters into lower-case ones; also changes control characters, which are in no word that is compared.
const LOWER: u64 = 0x2020_2020_2020_2020;

const fn lower(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes) | LOWER
}

const HIGH: u64 = 0x80 * ONES;

/// The high bit of each byte that is no line feed. The other bits have no meaning.
#[inline(always)]
const fn not_feeds(word: u64) -> u64 {
    const LOW: u64 = 0x7f * ONES;
    (((word & LOW) ^ (0x0a * ONES)) + LOW) | word
}

/// Whether a word contains a line feed.
#[inline(always)]
pub(super) const fn has_feed(word: u64) -> bool {
    not_feeds(word) & HIGH != HIGH
}

/// The eight bytes at bit `shift` (a multiple of 8, at most 56) of two consecutive words.
#[inline(always)]
const fn joined(first: u64, second: u64, shift: u64) -> u64 {
    (first >> shift) | ((second << 1) << (63 - shift))
}

impl Scan {
    /// Looks for the lines of interest and for the end of the head. The window contains `bytes` bytes.
    #[inline(always)]
    pub fn head(&mut self, bytes: u32) {
        self.lines(bytes);
        self.is_stream = u64::from(is_event_stream(self.kind));
        match self.lengths {
            0 => self.length_found = number::NONE,
            1 => self.number(),
            // Two lines, even if they are equal.
            _ => self.length_found = number::MALFORMED,
        }
    }

    #[inline(always)]
    fn lines(&mut self, bytes: u32) {
        clear(&mut self.end);
        clear(&mut self.is_chunked);
        clear(&mut self.lengths);
        clear(&mut self.kind[0]);
        let words = bytes as usize / 8;
        let mut word = 0;
        // The second condition bounds the loop for the verifier.
        while word <= words && word < DATA_WORDS {
            // Two words at once, because most have no line feed. The words after the data are 0.
            let pair = [not_feeds(self.word(word)), not_feeds(self.word(word + 1))];
            if pair[0] & pair[1] & HIGH != HIGH
                && (self.feeds(word, pair[0]) || self.feeds(word + 1, pair[1]))
            {
                return;
            }
            word = rolled(word + 2);
        }
    }

    /// Looks at the lines that start in a word. True if the head ends.
    #[inline(always)]
    fn feeds(&mut self, word: usize, not_feeds: u64) -> bool {
        let mut feeds = !not_feeds & HIGH;
        let mut count = 0;
        // A header line has at least three bytes, so a word of a legal head has at most three line feeds.
        while feeds != 0 && count < 3 {
            count = rolled(count + 1);
            let lowest = feeds & feeds.wrapping_neg();
            feeds ^= lowest;
            // The number of bytes up to the line feed, times 8.
            let end = (((lowest - 1) & ONES).wrapping_mul(ONES) >> 56) * 8;
            let shift = (end - 8) & 56;
            let line = joined(self.word(word), self.word(word + 1), shift);
            let next = word as u64 * 8 + shift / 8;
            if line & 0xff_ffff == 0x0a_0d0a {
                self.end = next + 3;
                return true;
            }
            if line & 0xffff == 0x0a0a {
                self.end = next + 2;
                return true;
            }
            self.header(word, shift, line | LOWER);
        }
        false
    }

    #[inline(always)]
    fn word(&self, word: usize) -> u64 {
        // SAFETY: callers add at most 4 to an index up to `DATA_WORDS`, and the window is 5 words longer.
        unsafe { *self.window.get_unchecked(word) }
    }

    /// Notes a line of interest. `line` is its line feed and first seven bytes in lower case.
    #[inline(always)]
    fn header(&mut self, word: usize, shift: u64, line: u64) {
        if line == lower(b"\ncontent") {
            let name = joined(self.word(word + 1), self.word(word + 2), shift);
            if name | LOWER == lower(b"-length:") {
                let first = joined(self.word(word + 2), self.word(word + 3), shift);
                let second = joined(self.word(word + 3), self.word(word + 4), shift);
                self.length = [first, second];
                self.lengths += 1;
            } else if (name | LOWER) << 16 == lower(b"\0\0-type:") & !0xffff {
                let second = joined(self.word(word + 2), self.word(word + 3), shift);
                let third = joined(self.word(word + 3), self.word(word + 4), shift);
                self.kind = [name, second, third];
            }
        } else if line == lower(b"\ntransfe") {
            let name = joined(self.word(word + 1), self.word(word + 2), shift);
            let rest = joined(self.word(word + 2), self.word(word + 3), shift);
            if name | LOWER == lower(b"r-encodi") && (rest | LOWER) & 0xff_ffff == 0x3a_676e {
                self.is_chunked = 1;
            }
        }
    }

    /// Reads the number in the line with the length. Spaces may precede it.
    #[inline(always)]
    fn number(&mut self) {
        self.length_bytes = 0;
        self.length_found = number::MALFORMED;
        let mut digits = 0u32;
        let mut rest = self.length;
        let mut index = 0;
        while index < 16 {
            let byte = rest[0] & 0xff;
            rest = [joined(rest[0], rest[1], 8), rest[1] >> 8];
            let digit = byte.wrapping_sub(0x30);
            if digit < 10 {
                self.length_bytes = self.length_bytes * 10 + digit;
                digits = 1;
            } else if byte == 0 {
                self.length_found = number::CUT;
                return;
            } else if digits > 0 {
                self.length_found = number::VALUE;
                return;
            } else if byte != 0x20 && byte != 0x09 {
                return;
            }
            index = rolled(index + 1);
        }
    }
}

#[inline(always)]
fn is_event_stream(kind: [u64; 3]) -> bool {
    // The value starts after the six bytes `-type:`, with or without a space.
    let mut value = [joined(kind[0], kind[1], 48), joined(kind[1], kind[2], 48), kind[2] >> 48];
    if value[0] & 0xff == 0x20 {
        value = [joined(value[0], value[1], 8), joined(value[1], value[2], 8), value[2] >> 8];
    }
    let [first, second, third] = value.map(|word| word | LOWER);
    if first == lower(b"text/eve") {
        return second == lower(b"nt-strea");
    }
    first == lower(b"applicat")
        && (second == lower(b"ion/x-nd")
            || second == lower(b"ion/ndjs")
            || second == lower(b"ion/stre")
            || (second == lower(b"ion/json") && third & 0xff == 0x6c))
}

#[cfg(test)]
#[path = "head/tests.rs"]
mod tests;
