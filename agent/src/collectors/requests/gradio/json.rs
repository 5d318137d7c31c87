//! Members of a JSON object of which only a beginning or an end is available. Pure; at most 256 bytes are read.

/// A value, without unescaping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// The text between the quotes.
    Text(&'a [u8]),
    /// The text of an object from its brace on, up to its end or to the end of what is available.
    Object(&'a [u8]),
    /// An array.
    Array,
    /// A number, `true`, `false` or `null`.
    Plain(&'a [u8]),
}

/// The members of an object, up to the first one that is incomplete. An incomplete object or array is still returned.
pub(super) struct Members<'a> {
    rest: &'a [u8],
    closed: bool,
}

impl<'a> Members<'a> {
    /// The members of the object that `text` starts with; none if it does not start with one.
    pub(super) fn of(text: &'a [u8]) -> Self {
        let rest = text.trim_ascii_start().strip_prefix(b"{").unwrap_or_default();
        Self { rest, closed: false }
    }

    /// True if the end of the object was reached.
    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    fn member(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        let mut rest = self.rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        if rest.starts_with(b"}") {
            self.closed = true;
            return None;
        }
        let (key, rest) = string(rest)?;
        let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let value = match rest.first()? {
            b'"' => {
                let (text, after) = string(rest)?;
                self.rest = after;
                Value::Text(text)
            }
            opening @ (b'{' | b'[') => {
                let (whole, after) = rest.split_at(nested_bytes(rest));
                self.rest = after;
                if *opening == b'{' { Value::Object(whole) } else { Value::Array }
            }
            _ => {
                // A number at the end of the text may be cut.
                let end = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']'))?;
                let (plain, after) = rest.split_at(end);
                self.rest = after;
                Value::Plain(plain.trim_ascii_end())
            }
        };
        Some((key, value))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let member = self.member();
        if member.is_none() {
            self.rest = &[];
        }
        member
    }
}

/// The value of the last member with this key, in the last bytes of an object. The value of another member may contain
/// the same words, but with escaped quotes.
pub(super) fn last<'a>(tail: &'a [u8], key: &str) -> Option<Value<'a>> {
    let quoted = key.len() + 2;
    let starts = (0..=tail.len().checked_sub(quoted)?).rev();
    for start in starts {
        let (before, found) = tail.split_at(start);
        let is_key = found.get(1..=key.len()) == Some(key.as_bytes())
            && found[0] == b'"'
            && found[quoted - 1] == b'"'
            && before.last() != Some(&b'\\');
        if is_key {
            let member = Members { rest: found, closed: false }.next();
            return member.map(|(_, value)| value);
        }
    }
    None
}

/// The text of the string that `text` starts with, and what follows.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut escaped = false;
    for (index, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((&text[..index], &text[index + 1..])),
            _ => {}
        }
    }
    None
}

/// Length of the object or array that `text` starts with, or of the text if its end is missing.
fn nested_bytes(text: &[u8]) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_are_returned_until_the_text_ends() {
        let text = br#" {"a":"x\"y" , "b": {"c":[1,{"d":"}"}]},"e":[1,"]"], "f":-1.5,"g":true,"h":12"#;
        let members: Vec<_> = Members::of(text).collect();
        assert_eq!(
            members,
            [
                (&b"a"[..], Value::Text(br#"x\"y"#)),
                (b"b", Value::Object(br#"{"c":[1,{"d":"}"}]}"#)),
                (b"e", Value::Array),
                (b"f", Value::Plain(b"-1.5")),
                (b"g", Value::Plain(b"true")),
            ]
        );
    }

    #[test]
    fn an_incomplete_object_is_returned_and_ends_the_members() {
        let members: Vec<_> = Members::of(br#"{"output":{"data":["{"#).collect();
        assert_eq!(members, [(&b"output"[..], Value::Object(br#"{"data":["{"#))]);
    }

    #[test]
    fn the_end_of_an_object_is_known() {
        for (text, closed) in
            [("{}", true), ("{ }", true), ("{\"a\":1}", true), ("{", false), ("{\"a", false)]
        {
            let mut members = Members::of(text.as_bytes());
            while members.next().is_some() {}
            assert_eq!(members.is_closed(), closed, "{text}");
        }
    }

    #[test]
    fn the_last_member_with_a_key_is_found_in_the_end_of_an_object() {
        let tail = br#"x\"fn_index\":7,"],"fn_index": 12 ,"session_hash":"abc"}"#;
        assert_eq!(last(tail, "fn_index"), Some(Value::Plain(b"12")));
        assert_eq!(last(tail, "session_hash"), Some(Value::Text(b"abc")));
        assert_eq!(last(tail, "event_id"), None);
        assert_eq!(last(b"\\\"fn_index\":7}", "fn_index"), None);
        assert_eq!(last(b"", "fn_index"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics_or_loops(text in "[\\{\\}\\[\\]\",:\\\\a1 ]{0,256}", key in "[a1]{0,3}") {
            prop_assert!(Members::of(text.as_bytes()).count() <= 256);
            let _ = last(text.as_bytes(), &key);
        }
    }
}
