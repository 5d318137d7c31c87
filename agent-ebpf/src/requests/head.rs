//! Scans the head of an HTTP/1.1 message for what the length of the body depends on, and for the end of the head.
//!
//! The scan works on a window of 32 words and compares eight bytes at once. Each word has a constant position, because
//! the verifier of Linux 5.10 rejects reads of the stack at variable positions. A head that does not fit into one
//! window is scanned in several. Each of these begins with the last [`CARRY_BYTES`] of the one before, so that every
//! line of interest is complete in at least one window, wherever the head was cut. A line that is scanned twice gives
//! the same result twice.

/// Words of a window that hold data.
pub const WINDOW_WORDS: usize = 32;
/// Bytes of data in a window.
pub const WINDOW_BYTES: u32 = 8 * WINDOW_WORDS as u32;
/// Words at the start of a window that repeat the end of the one before.
pub const CARRY_WORDS: usize = 5;
/// Bytes at the start of a window that repeat the end of the one before. A line of interest is recognised by its first
/// 32 bytes with the line feed before it.
pub const CARRY_BYTES: u32 = 8 * CARRY_WORDS as u32;

/// Bytes of a message in the order of memory: the first byte is the lowest byte of the first word. All bytes after the
/// data are 0. The words after [`WINDOW_WORDS`] are always 0.
pub type Window = [u64; WINDOW_WORDS + 4];

/// An empty window.
pub const EMPTY: Window = [0; WINDOW_WORDS + 4];

/// Header lines of interest, as far as they have been found in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The 16 bytes after `Content-Length:`.
    pub length: [u64; 2],
    /// Whether `length` was found.
    pub has_length: bool,
    /// The 18 bytes after `Content-Type:`, in the last bytes of the first word and in the other two.
    pub kind: [u64; 3],
    /// Whether there is a `Transfer-Encoding`.
    pub is_chunked: bool,
    /// Whether more than one different length was found, or more lines than fit into a word.
    pub is_ambiguous: bool,
}

const ONES: u64 = 0x0101_0101_0101_0101;
/// Turns ASCII letters into lower-case ones; also changes control characters, which are in no word that is compared.
const LOWER: u64 = 0x2020_2020_2020_2020;

const fn lower(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes) | LOWER
}

/// The high bit of each byte that is a line feed.
#[inline(always)]
pub(super) const fn line_feeds(word: u64) -> u64 {
    let zero = word ^ (ONES * 0x0a);
    let low = 0x7f * ONES;
    !(((zero & low) + low) | zero | low)
}

/// The eight bytes at bit `shift` (a multiple of 8, at most 56) of two consecutive words.
#[inline(always)]
const fn joined(first: u64, second: u64, shift: u64) -> u64 {
    (first >> shift) | ((second << 1) << (63 - shift))
}

/// Looks for the end of the head. Returns the position after it in the window; 0 if the window does not contain it.
/// `lines` receives the lines of interest before it.
#[inline(always)]
#[must_use]
pub fn scan(window: &Window, lines: &mut Lines) -> u32 {
    let mut word = 0;
    while word < WINDOW_WORDS {
        let mut feeds = line_feeds(window[word]);
        let mut count = 0;
        while feeds != 0 {
            if count == 3 {
                // A header line has at least three bytes, so four line feeds in a word are no header.
                lines.is_ambiguous = true;
                break;
            }
            count += 1;
            let lowest = feeds & feeds.wrapping_neg();
            feeds ^= lowest;
            // The number of bytes up to the line feed, times 8.
            let end = (((lowest - 1) & ONES).wrapping_mul(ONES) >> 56) * 8;
            let shift = (end - 8) & 56;
            let line = joined(window[word], window[word + 1], shift);
            if line & 0xff_ffff == 0x0a_0d0a {
                return word as u32 * 8 + shift as u32 / 8 + 3;
            }
            if line & 0xffff == 0x0a0a {
                return word as u32 * 8 + shift as u32 / 8 + 2;
            }
            header(window, word, shift, line | LOWER, lines);
        }
        word += 1;
    }
    0
}

/// Notes a line of interest. `line` is its line feed and first seven bytes in lower case.
#[inline(always)]
fn header(window: &Window, word: usize, shift: u64, line: u64, lines: &mut Lines) {
    if line == lower(b"\ncontent") {
        let name = joined(window[word + 1], window[word + 2], shift);
        if name | LOWER == lower(b"-length:") {
            let first = joined(window[word + 2], window[word + 3], shift);
            let second = joined(window[word + 3], window[word + 4], shift);
            lines.length = [first, second];
            // Two lengths in one window are two lines, even if they are equal.
            lines.is_ambiguous |= lines.has_length;
            lines.has_length = true;
        } else if (name | LOWER) << 16 == lower(b"\0\0-type:") & !0xffff {
            let second = joined(window[word + 2], window[word + 3], shift);
            let third = joined(window[word + 3], window[word + 4], shift);
            lines.kind = [name, second, third];
        }
    } else if line == lower(b"\ntransfe") {
        let name = joined(window[word + 1], window[word + 2], shift);
        let rest = joined(window[word + 2], window[word + 3], shift);
        if name | LOWER == lower(b"r-encodi") && (rest | LOWER) & 0xff_ffff == 0x3a_676e {
            lines.is_chunked = true;
        }
    }
}

/// A number in a header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// A complete number.
    Value(u64),
    /// The data ends before the number does.
    Cut,
    /// Not a number, or a longer one than any message has.
    Malformed,
}

/// Reads the number at the start of 16 bytes. Spaces may precede it.
#[inline(always)]
#[must_use]
pub fn number(words: [u64; 2]) -> Number {
    let mut value = 0u64;
    let mut digits = 0u32;
    let mut rest = words;
    let mut index = 0;
    while index < 16 {
        let byte = rest[0] & 0xff;
        rest = [joined(rest[0], rest[1], 8), rest[1] >> 8];
        let digit = byte.wrapping_sub(0x30);
        if digit < 10 {
            value = value * 10 + digit;
            digits += 1;
        } else if byte == 0 {
            return Number::Cut;
        } else if digits > 0 {
            return Number::Value(value);
        } else if byte != 0x20 && byte != 0x09 {
            return Number::Malformed;
        }
        index += 1;
    }
    Number::Malformed
}

/// Whether [`Lines::kind`] is a type whose body is a sequence of events: `text/event-stream`, NDJSON and its
/// relatives.
#[inline(always)]
#[must_use]
pub fn is_event_stream(kind: [u64; 3]) -> bool {
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
