//! Splits output into lines.

use std::io::Read;

/// Calls `take` with each line until the input ends or `take` returns false.
///
/// A line ends with a line feed, a carriage return (progress bars) or both (terminals). Invalid UTF-8 is replaced.
pub(super) fn split(mut input: impl Read, mut take: impl FnMut(String) -> bool) {
    let (mut line, mut after_return) = (Vec::new(), false);
    let mut buffer = [0; 8192];
    // A read error is treated as the end of the input.
    while let Ok(length @ 1..) = input.read(&mut buffer) {
        for &byte in &buffer[..length] {
            let is_end = match byte {
                b'\r' | b'\n' => !after_return,
                _ => {
                    line.push(byte);
                    false
                }
            };
            after_return = byte == b'\r';
            if is_end && !take(text(&mut line)) {
                return;
            }
        }
    }
    if !line.is_empty() {
        take(text(&mut line));
    }
}

fn text(line: &mut Vec<u8>) -> String {
    let text = String::from_utf8_lossy(line).into_owned();
    line.clear();
    text
}

#[cfg(test)]
mod tests {
    use super::split;

    fn lines(input: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        split(input, |line| {
            lines.push(line);
            true
        });
        lines
    }

    #[test]
    fn each_kind_of_line_ending_ends_one_line() {
        assert_eq!(lines(b"10%\r20%\r\nnext\n\nlast"), ["10%", "20%", "next", "", "last"]);
        // A terminal adds a carriage return to a line that already ended with CR LF.
        assert_eq!(lines(b"one\r\r\ntwo\r\r\n"), ["one", "two"]);
        assert_eq!(lines(b""), [""; 0]);
    }

    #[test]
    fn invalid_utf_8_is_replaced() {
        assert_eq!(lines(b"a\xffb\n\xc3"), ["a\u{fffd}b", "\u{fffd}"]);
    }

    #[test]
    fn no_line_is_delivered_after_take_has_returned_false() {
        let mut taken = Vec::new();
        split(&b"one\ntwo\nthree"[..], |line| {
            taken.push(line);
            taken.len() < 2
        });
        assert_eq!(taken, ["one", "two"]);
    }
}
