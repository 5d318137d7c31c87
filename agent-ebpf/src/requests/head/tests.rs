extern crate std;
use std::{format, string::String, vec::Vec};

use super::*;

fn scanned(bytes: &[u8]) -> Scan {
    // What an earlier packet has left behind must not matter.
    let mut window = [u64::from_le_bytes(*b"\n\r\n\nGET "); size_of::<Window>() / 8];
    for (index, byte) in bytes.iter().enumerate() {
        let shift = 8 * (index % 8);
        window[index / 8] = window[index / 8] & !(0xff << shift) | u64::from(*byte) << shift;
    }
    clear_after(&mut window, bytes.len() as u32);
    let mut scan = Scan { window, ..Scan::EMPTY };
    scan.head(bytes.len() as u32);
    scan
}

/// Scans a head as the kernel does: windows that overlap, the next one from where the last one ended. `cuts` are the
/// lengths of the segments.
fn scan_all(bytes: &[u8], cuts: &[usize]) -> (Option<usize>, Option<Result<u64, ()>>, bool, bool) {
    let (mut length, mut is_chunked, mut is_stream) = (None, false, false);
    let mut seen = 0;
    let mut cuts = cuts.iter().copied().chain([usize::MAX]);
    while seen < bytes.len() {
        let segment = cuts.next().unwrap_or(usize::MAX).max(1).min(bytes.len() - seen);
        let mut left = segment;
        while left > 0 {
            let carried = seen.min(CARRY_BYTES as usize);
            let taken = left.min(WINDOW_BYTES as usize);
            let start = seen - carried;
            let lines = scanned(&bytes[start..seen + taken]);
            match lines.length_found {
                number::NONE | number::CUT => {}
                number::VALUE => length = Some(Ok(lines.length_bytes)),
                _ => length = Some(Err(())),
            }
            is_chunked |= lines.is_chunked != 0;
            is_stream |= lines.is_stream != 0;
            if lines.end > 0 {
                return (Some(start + lines.end as usize), length, is_chunked, is_stream);
            }
            seen += taken;
            left -= taken;
        }
    }
    (None, length, is_chunked, is_stream)
}

#[test]
fn the_lines_of_interest_are_found_at_every_position_and_in_any_case() {
    for filler in 0..400 {
        let head = format!(
            "POST / HTTP/1.1\r\nX: {}\r\nCONTENT-length:  1234567\r\ncontent-TYPE: Text/Event-Stream; charset=utf-8\r\n\
             Transfer-encoding: chunked\r\n\r\nContent-Length: 9\r\n",
            "y".repeat(filler)
        );
        let end = head.find("\r\n\r\n").unwrap() + 4;
        assert_eq!(scan_all(head.as_bytes(), &[]), (Some(end), Some(Ok(1_234_567)), true, true), "{filler}");
    }
}

#[test]
fn a_head_can_be_cut_anywhere() {
    let head = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 99999999999999\r\n\
                Transfer-Encoding: gzip, chunked\r\n\r\n";
    let expected = (Some(head.len()), Some(Ok(99_999_999_999_999)), true, true);
    for first in 1..head.len() {
        for second in [1, 3, 7, 20, 41] {
            assert_eq!(scan_all(head.as_bytes(), &[first, second]), expected, "{first} {second}");
        }
    }
    let single: Vec<usize> = (0..head.len()).map(|_| 1).collect();
    assert_eq!(scan_all(head.as_bytes(), &single), expected);
}

#[test]
fn names_that_only_resemble_the_lines_of_interest_are_not_found() {
    let head = "GET / HTTP/1.1\r\nX-Content-Length: 5\r\nContent-Lengths: 5\r\nContent-Types: text/event-stream\r\n\
                Transfer-Encodings: chunked\r\nA: \r\n\r\n";
    assert_eq!(scan_all(head.as_bytes(), &[]), (Some(head.len()), None, false, false));
}

#[test]
fn the_shortest_lines_and_bare_line_feeds_end_a_head() {
    for head in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\na:\nb:\nc:\n\n"] {
        assert_eq!(scan_all(head.as_bytes(), &[]).0, Some(head.len()), "{head:?}");
    }
}

#[test]
fn json_is_no_stream_and_jsonl_is_one() {
    let kind = |value: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type:{value}\r\n\r\n");
        scan_all(head.as_bytes(), &[]).3
    };
    for value in [
        "text/event-stream",
        " text/event-stream",
        " application/x-ndjson",
        "application/ndjson",
        " application/jsonl",
        " application/jsonlines",
        " application/stream+json",
    ] {
        assert!(kind(value), "{value}");
    }
    for value in [" application/json", " text/event", " text/html", "", " application/octet-stream"] {
        assert!(!kind(value), "{value}");
    }
}

#[test]
fn a_number_needs_an_end_and_nothing_before_it() {
    let read = |text: &str| {
        let found = scanned(format!("\ncontent-length:{text}").as_bytes());
        (found.length_found, found.length_bytes)
    };
    assert_eq!(read(" 0\r\n"), (number::VALUE, 0));
    assert_eq!(read("12").0, number::CUT);
    assert_eq!(read(" \t7 "), (number::VALUE, 7));
    for text in [" -1\r\n", "1234567890123456", " x"] {
        assert_eq!(read(text).0, number::MALFORMED, "{text}");
    }
}

/// A reference: lines as RFC 9112 defines them.
fn reference(head: &[u8]) -> (Option<usize>, Option<u64>, bool) {
    let mut at = head.iter().position(|byte| *byte == b'\n').map_or(head.len(), |feed| feed + 1);
    let (mut length, mut is_chunked) = (None, false);
    while let Some(feed) = head[at..].iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&head[at..at + feed]).trim_end_matches('\r').to_lowercase();
        at += feed + 1;
        if line.is_empty() {
            return (Some(at), length, is_chunked);
        }
        if let Some((name, value)) = line.split_once(':') {
            match name {
                "content-length" => length = value.trim().parse().ok(),
                "transfer-encoding" => is_chunked = true,
                _ => {}
            }
        }
    }
    (None, length, is_chunked)
}

proptest::proptest! {
    #[test]
    fn any_legal_head_in_any_cut_gives_what_a_plain_parser_finds(
        lines in proptest::collection::vec("(?:[A-Za-z-]{1,30}: [ -~]{0,60}|X: [ -~]{200,600}|Content-Length: [0-9]{1,9}|transfer-encoding: chunked)", 0..8),
        cuts in proptest::collection::vec(1usize..300, 0..20),
    ) {
        let mut head = String::from("GET /some/target HTTP/1.1\r\n");
        let mut has_length = false;
        for line in lines {
            // Only one length, as more are ambiguous.
            if !(has_length && line.to_lowercase().starts_with("content-length")) {
                has_length |= line.to_lowercase().starts_with("content-length");
                head += &line;
                head += "\r\n";
            }
        }
        head += "\r\nrest of the body\r\nContent-Length: 7\r\n\r\n";
        let (end, length, is_chunked) = reference(head.as_bytes());
        let found = scan_all(head.as_bytes(), &cuts);
        proptest::prop_assert_eq!(found.0, end);
        proptest::prop_assert_eq!(found.1.and_then(Result::ok), length);
        proptest::prop_assert_eq!(found.2, is_chunked);
    }
}
