//! Requests of Gradio's queue, from the first bytes of a request's head and body. Pure.
//!
//! Paths are compared from their end, because an application can be mounted below another path, and because the prefix
//! `/gradio_api` exists since version 5 only.

use super::{
    event::EventId,
    json::{self, Members, Value},
};

/// Maximum length of an API name.
const API_NAME_MAX_BYTES: usize = 64;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    /// `POST …/queue/join`: adds a job. The function is in the body.
    Join,
    /// `POST …/call/NAME`: adds a job of the function with this API name; `None` for an unusual name.
    Call(Option<&'a str>),
    /// `GET …/queue/data?session_hash=…`: streams the messages of all jobs of a session.
    SessionStream(Option<&'a [u8]>),
    /// `GET …/call/NAME/ID`: streams the result of one job.
    CallStream(EventId),
    /// `POST …/cancel`: cancels a job, which the body names.
    Cancel,
    /// Any other request.
    Other,
}

/// The request with this head, of which only the beginning may be available.
pub(super) fn request(head: &[u8]) -> Request<'_> {
    let line = head.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Request::Other };
    // Without a further word, the target may be incomplete.
    let is_complete = words.next().is_some();
    let mut parts = target.splitn(2, |byte| *byte == b'?');
    let (path, query) = (parts.next().unwrap_or_default(), parts.next());
    match method {
        b"POST" if !is_complete && query.is_none() => Request::Other,
        b"POST" if path.ends_with(b"/queue/join") => Request::Join,
        b"POST" if path.ends_with(b"/cancel") => Request::Cancel,
        b"POST" => after_call(path).map_or(Request::Other, |name| Request::Call(api_name(name))),
        b"GET" if path.ends_with(b"/queue/data") => {
            Request::SessionStream(query.filter(|_| is_complete).and_then(session_of))
        }
        b"GET" => {
            let id = after_call(path).and_then(|rest| rest.rsplit(|byte| *byte == b'/').next());
            id.and_then(EventId::parse).map_or(Request::Other, Request::CallStream)
        }
        _ => Request::Other,
    }
}

/// The part of a path after `/call/`, without the version of the API.
fn after_call(path: &[u8]) -> Option<&[u8]> {
    const CALL: &[u8] = b"/call/";
    let start = path.windows(CALL.len()).position(|window| window == CALL)?;
    let rest = &path[start + CALL.len()..];
    Some(rest.strip_prefix(b"v2/").unwrap_or(rest))
}

fn api_name(name: &[u8]) -> Option<&str> {
    let is_usual = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > API_NAME_MAX_BYTES || !name.iter().all(is_usual) {
        return None;
    }
    std::str::from_utf8(name).ok()
}

fn session_of(query: &[u8]) -> Option<&[u8]> {
    let mut pairs = query.split(|byte| *byte == b'&');
    pairs.find_map(|pair| pair.strip_prefix(b"session_hash=")).filter(|session| !session.is_empty())
}

/// What the body of a request contains of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Body<'a> {
    /// The number of the function.
    pub(super) function: Option<u32>,
    /// The session.
    pub(super) session: Option<&'a [u8]>,
    /// The job.
    pub(super) event: Option<EventId>,
}

impl<'a> Body<'a> {
    /// Reads a whole body.
    pub(super) fn whole(text: &'a [u8]) -> Self {
        let mut body = Self::default();
        for (key, value) in Members::of(text) {
            match key {
                b"fn_index" => body.function = body.function.or(number(value)),
                b"session_hash" => body.session = body.session.or(session(value)),
                b"event_id" => body.event = body.event.or(EventId::of(value)),
                _ => {}
            }
        }
        body
    }

    /// Reads the last bytes of a body: the function and the session follow the arguments, which may be long.
    pub(super) fn end(tail: &'a [u8]) -> Self {
        Self {
            function: json::last(tail, "fn_index").and_then(number),
            session: json::last(tail, "session_hash").and_then(session),
            event: json::last(tail, "event_id").and_then(EventId::of),
        }
    }
}

fn number(value: Value<'_>) -> Option<u32> {
    let Value::Plain(digits) = value else { return None };
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn session(value: Value<'_>) -> Option<&[u8]> {
    let Value::Text(session) = value else { return None };
    (!session.is_empty()).then_some(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789ABCDEF";

    #[test]
    fn requests_of_both_major_versions_are_recognized() {
        let id = EventId::parse(ID.as_bytes()).unwrap();
        let call = format!("GET /gradio_api/call/predict/{ID} HTTP/1.1\r\n");
        let call2 = format!("GET /app/gradio_api/call/v2/predict/{ID} HTTP/1.1\r\n");
        for (head, expected) in [
            ("POST /gradio_api/queue/join HTTP/1.1\r\nhost: x\r\n", Request::Join),
            ("POST /queue/join?__theme=light HTTP/1.1\r\n", Request::Join),
            ("POST /app/queue/join HTTP/1.1", Request::Join),
            ("GET /queue/join HTTP/1.1", Request::Other),
            ("POST /queue/joined HTTP/1.1", Request::Other),
            ("POST /queue/join", Request::Other),
            ("GET /queue/data?session_hash=ab1 HTTP/1.1", Request::SessionStream(Some(b"ab1"))),
            ("GET /queue/data?x=1&session_hash=ab1&y HTTP/1.1", Request::SessionStream(Some(b"ab1"))),
            ("GET /queue/data?session_hash=ab1", Request::SessionStream(None)),
            ("GET /queue/data HTTP/1.1", Request::SessionStream(None)),
            ("POST /cancel HTTP/1.1", Request::Cancel),
            ("POST /call/predict HTTP/1.1", Request::Call(Some("predict"))),
            ("POST /call/v2/a-b_1 HTTP/1.1", Request::Call(Some("a-b_1"))),
            ("POST /call/a\"b HTTP/1.1", Request::Call(None)),
            (&call, Request::CallStream(id)),
            (&call2, Request::CallStream(id)),
            ("GET /call/predict/xyz HTTP/1.1", Request::Other),
            ("GET / HTTP/1.1", Request::Other),
            ("", Request::Other),
            ("\r\n", Request::Other),
        ] {
            assert_eq!(request(head.as_bytes()), expected, "{head}");
        }
    }

    #[test]
    fn an_api_name_of_any_length_is_no_problem() {
        let head = format!("POST /call/{} HTTP/1.1", "a".repeat(65));
        assert_eq!(request(head.as_bytes()), Request::Call(None));
    }

    #[test]
    fn the_function_follows_the_arguments() {
        let body = br#"{"data":["\"fn_index\":9"],"fn_index":3,"session_hash":"s"}"#;
        let expected = Body { function: Some(3), session: Some(b"s"), event: None };
        assert_eq!(Body::whole(body), expected);
        assert_eq!(Body::end(&body[20..]), expected);
        assert_eq!(
            Body::end(br#"1,"trigger_id":null,"fn_index":4294967296,"session_hash":""}"#),
            Body::default()
        );
        assert_eq!(Body::end(br#"ash": "abc", "fn_index": 7}"#).function, Some(7));
        assert_eq!(Body::end(br#""fn_index":7"#).function, None);
    }

    #[test]
    fn a_cancel_request_names_the_job() {
        let body = format!("{{\"session_hash\":\"s\",\"fn_index\":1,\"event_id\":\"{ID}\"}}");
        assert_eq!(Body::whole(body.as_bytes()).event, EventId::parse(ID.as_bytes()));
    }
}
