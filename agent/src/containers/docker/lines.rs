//! Splits a stream into lines. The stream arrives in chunks that may end anywhere.

use bytes::{Bytes, BytesMut};

/// The part of a stream that has arrived but was not returned as lines.
pub(super) struct Lines {
    most_bytes: usize,
    buffer: BytesMut,
    /// The number of bytes in the buffer that contain no newline.
    searched: usize,
}

impl Lines {
    /// Accepts at most `most_bytes` of an unfinished line.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, buffer: BytesMut::new(), searched: 0 }
    }

    /// Adds the next piece of the stream.
    pub(super) fn add(&mut self, piece: &Bytes) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next complete line that is not blank, with its newline; `None` if more of the stream is needed.
    ///
    /// # Errors
    /// If the unfinished line is longer than the limit.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<BytesMut>> {
        while let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(self.searched + end + 1);
            self.searched = 0;
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
        self.searched = self.buffer.len();
        anyhow::ensure!(self.searched <= self.most_bytes, "a line is longer than {} bytes", self.most_bytes);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        /// For any bytes and any cuts, the lines are those of the whole stream.
        #[test]
        fn lines_do_not_depend_on_where_the_stream_is_cut(
            pieces in vec(vec(prop_oneof![Just(b'\n'), Just(b' '), any::<u8>()], 0..20), 0..20)
        ) {
            let whole = pieces.concat();
            let ended = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let expected: Vec<_> = whole[..ended]
                .split_inclusive(|byte| *byte == b'\n')
                .filter(|line| !line.trim_ascii().is_empty())
                .collect();
            let (mut lines, mut found) = (Lines::new(whole.len()), Vec::new());
            for piece in pieces {
                lines.add(&piece.into());
                while let Some(line) = lines.next().unwrap() {
                    found.push(line);
                }
            }
            prop_assert_eq!(found, expected);
        }

        /// A stream without newlines is rejected before much of it is buffered.
        #[test]
        fn no_more_is_buffered_than_the_limit_and_one_piece(
            pieces in vec(vec(1..=u8::MAX, 1..20), 1..40), most_bytes in 0..100_usize
        ) {
            let mut lines = Lines::new(most_bytes);
            for mut piece in pieces {
                piece.retain(|byte| *byte != b'\n');
                let most = most_bytes + piece.len();
                lines.add(&piece.into());
                prop_assert!(lines.buffer.len() <= most);
                if lines.next().is_err() {
                    prop_assert!(lines.buffer.len() > most_bytes);
                    return Ok(());
                }
            }
            prop_assert!(lines.buffer.len() <= most_bytes);
        }
    }
}
