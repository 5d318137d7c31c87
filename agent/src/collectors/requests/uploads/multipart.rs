//! The first file of a form (`multipart/form-data`), from the first bytes of the body. The boundary is that of the first
//! line, so no header of the request is needed.

/// Maximum length of a boundary, in bytes, with the hyphens before it (RFC 2046).
const BOUNDARY_MAX: usize = 72;

/// The bytes of the first file, as far as they are there. `None` if the body is no form, or its first file begins later.
pub(super) fn first_file(body: &[u8]) -> Option<&[u8]> {
    let boundary_end = body.iter().take(BOUNDARY_MAX + 1).position(|byte| *byte == b'\r')?;
    let boundary = &body[..boundary_end];
    if !boundary.starts_with(b"--") || boundary.len() < 3 {
        return None;
    }
    let mut rest = &body[boundary_end..];
    loop {
        // The lines of the head, each with the line break before it, and the empty line after them.
        let end = find(rest, b"\r\n\r\n")?;
        let (head, content) = (&rest[..end], &rest[end + 4..]);
        if is_file(head) {
            let length = next_part(content, boundary).unwrap_or(content.len());
            return Some(&content[..length]);
        }
        rest = &content[next_part(content, boundary)? + 2 + boundary.len()..];
    }
}

/// Whether the head of a part contains the name of a file.
fn is_file(head: &[u8]) -> bool {
    let head = head.to_ascii_lowercase();
    find(&head, b"filename=").is_some() || find(&head, b"filename*=").is_some()
}

/// The position of the line break before the next boundary.
fn next_part(content: &[u8], boundary: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find(&content[from..], b"\r\n--")?;
        if content[at + 2..].starts_with(boundary) {
            return Some(at);
        }
        from = at + 2;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str =
        "Content-Disposition: form-data; name=\"files\"; filename=\"a.png\"\r\nContent-Type: image/png";
    const FIELD: &str = "Content-Disposition: form-data; name=\"session\"";

    fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (head, content) in parts {
            body.extend_from_slice(b"--X7");
            body.extend_from_slice(format!("\r\n{head}\r\n\r\n").as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--X7--\r\n");
        body
    }

    #[test]
    fn the_first_file_is_found_behind_fields() {
        assert_eq!(first_file(&form(&[(FILE, b"abc")])), Some(&b"abc"[..]));
        let body =
            form(&[(FIELD, b"filename=no"), (FIELD, b"\r\n--X8"), (FILE, b"abc\r\n--X"), (FILE, b"d")]);
        assert_eq!(first_file(&body), Some(&b"abc\r\n--X"[..]));
        let body = form(&[(FILE, b"abcdef")]);
        assert_eq!(first_file(&body[..body.len() - 13]), Some(&b"abc"[..]), "cut within the file");
    }

    #[test]
    fn a_body_without_a_file_in_its_first_bytes_has_none() {
        let long = [b"--", &[b'x'; 80][..], b"\r\n\r\n"].concat();
        for body in [&b""[..], b"\x89PNG\r\n\x1a\n", b"--\r\n\r\n", b"--X7", &long, &form(&[(FIELD, b"abc")])]
        {
            assert_eq!(first_file(body), None, "{body:?}");
        }
        let body = form(&[(FILE, b"abc")]);
        assert_eq!(first_file(&body[..60]), None, "cut within the head");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = first_file(&body);
        }

        #[test]
        fn any_form_cut_anywhere_is_read_without_a_panic(
            pieces in proptest::collection::vec(prop_oneof![
                Just(&b"--X7"[..]), Just(&b"\r\n"[..]), Just(&b"\r\n\r\n"[..]), Just(FILE.as_bytes()),
                Just(FIELD.as_bytes()), Just(&b"--"[..]), Just(&b"z"[..]),
            ], 0..40),
            cut in 0_usize..2000,
        ) {
            let mut body = b"--X7\r\n".to_vec();
            pieces.iter().for_each(|piece| body.extend_from_slice(piece));
            body.truncate(cut);
            let _ = first_file(&body);
        }

        #[test]
        fn a_file_of_any_content_is_found(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assume!(find(&content, b"\r\n--X7").is_none());
            let body = form(&[(FIELD, b"1"), (FILE, &content)]);
            prop_assert_eq!(first_file(&body), Some(&content[..]));
        }
    }
}
