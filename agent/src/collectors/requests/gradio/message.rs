//! Messages of Gradio's event streams, from the first bytes of each. Pure.
//!
//! A stream of a session has messages such as `data: {"msg":"process_starts","event_id":"…","eta":1.0}`, in which `msg`
//! and `event_id` come first. A completed job's `output` may have megabytes, and its `success` follows it; but the first
//! key of the output shows the outcome: `data`, `error`, or none if the job was cancelled (`success` is true then). The
//! stream of an API call has an `event:` line and a `data:` line instead, without an ID. The WebSocket messages of
//! Gradio 3 are not read.

use super::{
    event::EventId,
    json::{Members, Value},
};
use crate::snapshot::jobs::Outcome;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The job; `None` if the message concerns the stream, or if the stream is that of one job.
    pub(super) event: Option<EventId>,
    /// What is reported.
    pub(super) kind: Kind,
}

/// What a message reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The length of the queue.
    Estimation(Option<u64>),
    /// The job leaves the queue.
    Starts,
    /// Progress or a partial result.
    Progress,
    /// The job has ended.
    Ends(Outcome),
    /// The server has no further messages for this session.
    CloseStream,
    /// The server failed; it sends no further messages for this session.
    ServerError,
    /// Nothing about a job.
    Irrelevant,
    /// A message of an unknown type.
    Unknown,
    /// Not a message.
    Unreadable,
}

/// The messages that a piece of a response contains: one, unless the server sends several at once.
///
/// A piece may start within a message: a proxy cuts long messages into chunks of its own, and a response to a request of
/// HTTP/1.0 has a piece for each segment.
pub(super) fn messages(piece: &[u8]) -> impl Iterator<Item = Message> {
    let mut rest = from_next_message(piece);
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        // JSON contains no line breaks, so an empty line is always the end of a message.
        let end = rest.windows(2).position(|window| window == b"\n\n").unwrap_or(rest.len());
        let (message, after) = rest.split_at(end);
        rest = after;
        Some(read(message))
    })
}

/// Skips the rest of a message, if the text starts with one: up to the next empty line.
fn from_next_message(text: &[u8]) -> &[u8] {
    let fields: [&[u8]; 3] = [b"data:", b"event:", b":"];
    if fields.iter().any(|field| text.trim_ascii_start().starts_with(field)) {
        return text;
    }
    text.windows(2).position(|window| window == b"\n\n").map_or(&[], |end| &text[end..])
}

fn read(text: &[u8]) -> Message {
    let of_stream = |kind| Message { event: None, kind };
    if let Some(data) = text.strip_prefix(b"data:") {
        return of_session(data.trim_ascii_start());
    }
    if let Some(event) = text.strip_prefix(b"event:") {
        // Without the end of the line, the word may be cut.
        let word = event.iter().position(|byte| *byte == b'\n').map(|end| event[..end].trim_ascii());
        return of_stream(word.map_or(Kind::Unreadable, of_call));
    }
    of_stream(if text.starts_with(b":") { Kind::Irrelevant } else { Kind::Unreadable })
}

/// A message of the stream of an API call.
fn of_call(word: &[u8]) -> Kind {
    match word {
        b"complete" => Kind::Ends(Outcome::Success),
        b"error" => Kind::Ends(Outcome::Error),
        b"generating" => Kind::Progress,
        b"heartbeat" => Kind::Irrelevant,
        _ => Kind::Unknown,
    }
}

/// A message of the stream of a session.
fn of_session(data: &[u8]) -> Message {
    let (mut name, mut event, mut output, mut success, mut queue_size) = (None, None, None, None, None);
    for (key, value) in Members::of(data) {
        match (key, value) {
            (b"msg", Value::Text(text)) => name = name.or(Some(text)),
            (b"event_id", _) => event = event.or(EventId::of(value)),
            (b"output", _) => output = output.or(Some(value)),
            (b"success", Value::Plain(word)) => success = success.or(Some(word == b"true")),
            (b"queue_size", Value::Plain(digits)) => {
                let size = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                queue_size = queue_size.or(size);
            }
            _ => {}
        }
    }
    let kind = match name {
        None => Kind::Unreadable,
        Some(b"estimation") => Kind::Estimation(queue_size),
        Some(b"process_starts") => Kind::Starts,
        Some(b"progress" | b"process_generating" | b"process_streaming") => Kind::Progress,
        Some(b"process_completed") => Kind::Ends(outcome(output, success)),
        Some(b"close_stream") => Kind::CloseStream,
        Some(b"unexpected_error") => event.map_or(Kind::ServerError, |_| Kind::Ends(Outcome::Error)),
        Some(b"log" | b"heartbeat") => Kind::Irrelevant,
        Some(_) => Kind::Unknown,
    };
    Message { event, kind }
}

/// The outcome of a completed job. `success` is only known if the output is short.
fn outcome(output: Option<Value<'_>>, success: Option<bool>) -> Outcome {
    if let Some(Value::Object(output)) = output {
        let mut members = Members::of(output);
        let key = members.next();
        // The value of the first key may be cut before its end.
        let key = key.map(|(key, _)| key).or_else(|| cut_key(output));
        match key {
            Some(b"error") => return Outcome::Error,
            Some(_) if success == Some(false) => return Outcome::Error,
            Some(_) => return Outcome::Success,
            None if members.is_closed() && success != Some(false) => return Outcome::Cancelled,
            None => {}
        }
    }
    match success {
        Some(true) => Outcome::Success,
        Some(false) => Outcome::Error,
        None => Outcome::Abandoned,
    }
}

/// The first key of an object, even if its value is incomplete.
fn cut_key(object: &[u8]) -> Option<&[u8]> {
    let text = object.strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| *byte == b'"')?;
    Some(&text[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "4a0c2fb7d1f24b0f8a1de2b1c3d4e5f6";

    fn id() -> Option<EventId> {
        EventId::parse(ID.as_bytes())
    }

    fn one(text: &str) -> Message {
        let text = text.replace("ID", ID);
        let mut all = messages(text.as_bytes());
        let first = all.next().unwrap();
        assert_eq!(all.next(), None, "{text}");
        first
    }

    #[test]
    fn messages_of_a_session_are_read() {
        for (text, kind) in [
            (
                r#"data: {"msg":"estimation","event_id":"ID","rank":0,"queue_size":3,"rank_eta":null}"#,
                Kind::Estimation(Some(3)),
            ),
            (r#"data: {"msg":"process_starts","event_id":"ID","eta":0.5}"#, Kind::Starts),
            (r#"data: {"event_id":"ID","msg":"process_starts"}"#, Kind::Starts),
            (r#"data: { "msg": "process_starts", "event_id": "ID" }"#, Kind::Starts),
            (r#"data: {"msg":"progress","event_id":"ID","progress_data":[{"index":1"#, Kind::Progress),
            (r#"data: {"msg":"process_generating","event_id":"ID","output":{"data":["#, Kind::Progress),
            (r#"data: {"msg":"log","event_id":"ID","log":"x","level":"info"}"#, Kind::Irrelevant),
            (r#"data: {"msg":"unexpected_error","event_id":"ID","message":"x"#, Kind::Ends(Outcome::Error)),
            (r#"data: {"msg":"new_in_gradio_7","event_id":"ID"}"#, Kind::Unknown),
        ] {
            assert_eq!(one(&format!("{text}\n\n")), Message { event: id(), kind }, "{text}");
        }
        for (text, kind) in [
            (r#"data: {"msg":"close_stream","event_id":null}"#, Kind::CloseStream),
            (r#"data: {"msg":"heartbeat","event_id":null}"#, Kind::Irrelevant),
            (r#"data: {"msg":"unexpected_error","event_id":null,"message":"x"}"#, Kind::ServerError),
            (r#"data: {"msg":"process_starts","event_id":"not an id"}"#, Kind::Starts),
            (r#"data: {"event_id":null}"#, Kind::Unreadable),
            ("data: ALIVE", Kind::Unreadable),
            (": comment", Kind::Irrelevant),
        ] {
            assert_eq!(one(text), Message { event: None, kind }, "{text}");
        }
    }

    #[test]
    fn the_outcome_is_read_from_the_start_of_the_output() {
        for (rest, outcome) in [
            (r#""output":{"data":["a very long text"#, Outcome::Success),
            (r#""output":{"data"#, Outcome::Abandoned),
            (r#""output":{"data""#, Outcome::Success),
            (r#""output":{"is_generating":false,"data":[1]},"success":true}"#, Outcome::Success),
            (r#""output":{"data":[]},"success":false}"#, Outcome::Error),
            (r#""output":{"error":"out of memory"#, Outcome::Error),
            (r#""output":{"error":null},"success":false,"title":"Error"}"#, Outcome::Error),
            (r#""output":{},"success":true,"title":null}"#, Outcome::Cancelled),
            (r#""output":{},"succ"#, Outcome::Cancelled),
            (r#""output":{},"success":false}"#, Outcome::Error),
            (r#""success":true,"output":{"#, Outcome::Success),
            (r#""success":false}"#, Outcome::Error),
            (r#""output":null}"#, Outcome::Abandoned),
            (r#""title":"x"#, Outcome::Abandoned),
        ] {
            let text = format!(r#"data: {{"msg":"process_completed","event_id":"ID",{rest}"#);
            assert_eq!(one(&text), Message { event: id(), kind: Kind::Ends(outcome) }, "{text}");
        }
    }

    #[test]
    fn messages_of_an_api_call_are_read() {
        for (text, kind) in [
            ("event: complete\ndata: [\"{\\\"msg\\\":\\\"x\\\"}\"]\n\n", Kind::Ends(Outcome::Success)),
            ("event: error\ndata: null\n\n", Kind::Ends(Outcome::Error)),
            ("event: generating\ndata: [1", Kind::Progress),
            ("event: heartbeat\ndata: null\n\n", Kind::Irrelevant),
            ("event: novel\ndata: null\n\n", Kind::Unknown),
            ("event: comp", Kind::Unreadable),
        ] {
            assert_eq!(one(text), Message { event: None, kind }, "{text}");
        }
    }

    #[test]
    fn the_rest_of_a_message_is_skipped() {
        let whole = "data: {\"msg\":\"close_stream\"}\n\n";
        for (text, rest) in [
            (whole, whole),
            (": comment", ": comment"),
            ("\nevent: complete\n", "\nevent: complete\n"),
            ("xxx data: x", ""),
            ("", ""),
            ("\n", ""),
            ("xxx\"]},\"success\":true}\n\ndata: {}\n\n", "\n\ndata: {}\n\n"),
        ] {
            assert_eq!(from_next_message(text.as_bytes()), rest.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn several_messages_in_one_piece_are_all_read() {
        let text = format!(
            "data: {{\"msg\":\"process_completed\",\"event_id\":\"{ID}\",\"output\":{{}},\"success\":true}}\n\n\
             data: {{\"msg\":\"close_stream\",\"event_id\":null}}\n\n"
        );
        let kinds: Vec<_> = messages(text.as_bytes()).map(|message| message.kind).collect();
        assert_eq!(kinds, [Kind::Ends(Outcome::Cancelled), Kind::CloseStream]);
        assert_eq!(messages(b"").count() + messages(b"\n\n \n").count(), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..257)) {
            prop_assert!(messages(&bytes).count() <= 256);
        }

        #[test]
        fn a_message_that_is_cut_anywhere_is_never_another_one(at in 0..200_usize, error in any::<bool>()) {
            let key = if error { "error" } else { "data" };
            let text = format!(
                r#"data: {{"msg":"process_completed","event_id":"{ID}","output":{{"{key}":["x","{{}}"],"duration":1.5}},"success":true}}"#
            );
            let kind = one(&text[..at.clamp("data:".len(), text.len())]).kind;
            let whole = Kind::Ends(if error { Outcome::Error } else { Outcome::Success });
            let is_allowed = kind == whole || matches!(kind, Kind::Unreadable | Kind::Ends(Outcome::Abandoned));
            prop_assert!(is_allowed, "{:?}", kind);
        }
    }
}
