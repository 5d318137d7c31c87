//! The line with the size of a chunk, which may arrive in pieces.

use super::{head::Scan, rolled};

/// State of such a line, in one word: the size so far, the number of digits, and the part of the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeLine {
    /// The size so far, in bytes.
    pub size_bytes: u32,
    /// Number of digits so far; [`EXTENSION`] is added after the last digit.
    pub digits: u32,
}

/// Added to [`SizeLine::digits`] after the last digit.
const EXTENSION: u32 = 0x100;
/// Bytes of a line that are read at once.
pub const READ_BYTES: u32 = 24;
/// Larger chunks are taken for garbage.
const SIZE_MAX_BYTES: u32 = 1 << 30;

/// The result of reading a part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The line ends after this many bytes.
    End(u32),
    /// All bytes belong to the line.
    More,
    /// No size.
    Malformed,
}

impl SizeLine {
    /// The state in one word.
    #[inline(always)]
    #[must_use]
    pub const fn to_word(self) -> u64 {
        ((self.digits as u64) << 32) | self.size_bytes as u64
    }

    /// The state of [`to_word`](Self::to_word).
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self { size_bytes: word as u32, digits: (word >> 32) as u32 }
    }

    /// Reads up to [`READ_BYTES`] bytes, of which `bytes` are data.
    #[inline(always)]
    fn read(&mut self, words: [u64; 3], bytes: u32) -> Outcome {
        let mut words = words;
        let mut index = 0;
        while index < READ_BYTES {
            if index >= bytes {
                return Outcome::More;
            }
            let byte = (words[0] & 0xff) as u32;
            words = [(words[0] >> 8) | (words[1] << 56), (words[1] >> 8) | (words[2] << 56), words[2] >> 8];
            index = rolled(index as usize + 1) as u32;
            if byte == 0x0a {
                return if self.digits & 0xff == 0 { Outcome::Malformed } else { Outcome::End(index) };
            }
            if self.digits >= EXTENSION {
                continue;
            }
            let letter = (byte | 0x20).wrapping_sub(0x61);
            let digit = if letter < 6 { letter + 10 } else { byte.wrapping_sub(0x30) };
            if digit < 16 && (letter < 6 || digit < 10) {
                self.size_bytes = (self.size_bytes << 4) | digit;
                self.digits += 1;
                if self.size_bytes >= SIZE_MAX_BYTES || self.digits > 16 {
                    return Outcome::Malformed;
                }
            } else if self.digits > 0 && (byte == 0x0d || byte == 0x3b || byte == 0x20 || byte == 0x09) {
                self.digits += EXTENSION;
            } else {
                return Outcome::Malformed;
            }
        }
        Outcome::More
    }
}

/// [`Scan::end`] if a line is no size.
pub const MALFORMED: u64 = u64::MAX;

impl Scan {
    /// Continues [`size_line`](Self::size_line) with up to [`READ_BYTES`] bytes of the window. Afterwards,
    /// [`end`](Self::end) is the position after the line, 0 if the line goes on, or [`MALFORMED`].
    #[inline(always)]
    pub fn size(&mut self, bytes: u32) {
        let mut line = SizeLine::from_word(self.size_line);
        self.end = match line.read([self.window[0], self.window[1], self.window[2]], bytes) {
            Outcome::End(length) => u64::from(length),
            Outcome::More => 0,
            Outcome::Malformed => MALFORMED,
        };
        self.size_line = line.to_word();
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn read(line: &mut SizeLine, text: &str) -> Outcome {
        let mut words = [0; 3];
        for (index, byte) in text.bytes().take(24).enumerate() {
            words[index / 8] |= u64::from(byte) << (8 * (index % 8));
        }
        line.read(words, text.len().min(24) as u32)
    }

    #[test]
    fn a_size_is_hexadecimal_and_ends_with_its_line() {
        for (text, size_bytes, end) in [
            ("72\r\ndata: x", 0x72, 4),
            ("0\r\n\r\n", 0, 3),
            ("1aF;name=value\r\nx", 0x1af, 16),
            ("00f0 \n", 0xf0, 6),
        ] {
            let mut line = SizeLine::default();
            assert_eq!(read(&mut line, text), Outcome::End(end), "{text}");
            assert_eq!(line.size_bytes, size_bytes, "{text}");
        }
    }

    #[test]
    fn a_line_can_be_cut_anywhere() {
        let text = "1f40;some=extension;that=is;rather=long\r\n";
        for cut in 1..text.len() {
            let mut line = SizeLine::default();
            let (mut first, mut second) = text.split_at(cut);
            while first.len() > 24 {
                assert_eq!(read(&mut line, &first[..24]), Outcome::More);
                first = &first[24..];
            }
            assert_eq!(read(&mut line, first), Outcome::More, "{cut}");
            while second.len() > 24 {
                assert_eq!(read(&mut line, &second[..24]), Outcome::More);
                second = &second[24..];
            }
            assert_eq!(read(&mut line, second), Outcome::End(second.len() as u32), "{cut}");
            assert_eq!(line.size_bytes, 0x1f40);
        }
    }

    #[test]
    fn garbage_is_no_size() {
        for text in [
            "\r\n",
            "x\r\n",
            "GET / HTTP/1.1\r\n",
            "-1\r\n",
            "40000000\r\n",
            "00000000000000001\r\n",
            ";a\r\n",
        ] {
            assert_eq!(read(&mut SizeLine::default(), text), Outcome::Malformed, "{text}");
        }
    }
}
