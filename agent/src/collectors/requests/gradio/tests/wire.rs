//! Writes the pieces that the kernel programs send for Gradio's messages.

use glassbox_ebpf::requests::piece::{BODY_END_BYTES, PIECE_BYTES, Piece, PieceKind};

/// A millisecond.
pub(super) const MS: u64 = 1_000_000;

/// A connection of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection(pub(super) u64);

/// The pieces so far.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) pieces: Vec<Piece>,
    connections: u64,
}

/// The ID of a job.
pub(super) fn id(job: usize) -> String {
    format!("{job:032x}")
}

impl Wire {
    pub(super) fn connect(&mut self) -> Connection {
        self.connections += 1;
        Connection(self.connections)
    }

    pub(super) fn piece(
        &mut self,
        at_ns: u64,
        connection: Connection,
        kind: PieceKind,
        text: &str,
        status: u32,
    ) {
        let whole = text.as_bytes();
        let length = whole.len().min(PIECE_BYTES);
        let mut piece = Piece {
            at_ns,
            connection: connection.0,
            request: 1,
            slot: 5,
            kind: kind as u32,
            bytes_total: whole.len() as u64,
            length: length as u32,
            status,
            ..Piece::EMPTY
        };
        piece.bytes[..length].copy_from_slice(&whole[..length]);
        self.pieces.push(piece);
    }

    fn post(&mut self, at_ns: u64, path: &str, body: &str) -> Connection {
        let connection = self.connect();
        let head = format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1:7860\r\n\r\n");
        self.piece(at_ns, connection, PieceKind::RequestHead, &head, 0);
        self.piece(at_ns, connection, PieceKind::RequestBodyStart, body, 0);
        let end = &body[body.len().saturating_sub(BODY_END_BYTES)..];
        self.piece(at_ns, connection, PieceKind::RequestBodyEnd, end, 0);
        connection
    }

    /// A response with a body, and the end of the connection.
    pub(super) fn respond(&mut self, at_ns: u64, connection: Connection, status: u32, body: &str) {
        self.piece(at_ns, connection, PieceKind::ResponseHead, "HTTP/1.1", status);
        self.piece(at_ns, connection, PieceKind::ResponseBody, body, 0);
        self.end(at_ns, connection);
    }

    /// The request for a job, without its response.
    pub(super) fn ask(&mut self, at_ns: u64, session: &str, function: u32) -> Connection {
        let arguments = "x".repeat(300);
        let body = format!(
            r#"{{"data":["\"fn_index\":77 {arguments}"],"fn_index":{function},"session_hash":"{session}"}}"#
        );
        self.post(at_ns, "/gradio_api/queue/join", &body)
    }

    /// The request for a job and its response.
    pub(super) fn join(&mut self, at_ns: u64, session: &str, function: u32, job: usize) {
        let connection = self.ask(at_ns, session, function);
        self.respond(at_ns, connection, 200, &format!(r#"{{"event_id":"{}"}}"#, id(job)));
    }

    /// The request for a job by its API name, and the response.
    pub(super) fn call(&mut self, at_ns: u64, name: &str, job: usize) {
        let connection = self.post(at_ns, &format!("/gradio_api/call/{name}"), r#"{"data":[]}"#);
        self.respond(at_ns, connection, 200, &format!(r#"{{"event_id":"{}"}}"#, id(job)));
    }

    pub(super) fn cancel(&mut self, at_ns: u64, session: &str, job: usize) {
        let body = format!(r#"{{"fn_index":1,"session_hash":"{session}","event_id":"{}"}}"#, id(job));
        let connection = self.post(at_ns, "/gradio_api/cancel", &body);
        self.respond(at_ns, connection, 200, r#"{"success":true}"#);
    }

    fn get(&mut self, at_ns: u64, path: &str) -> Connection {
        let connection = self.connect();
        self.piece(at_ns, connection, PieceKind::RequestHead, &format!("GET {path} HTTP/1.1\r\n"), 0);
        self.piece(at_ns, connection, PieceKind::ResponseHead, "HTTP/1.1 200 OK\r\n", 200);
        connection
    }

    pub(super) fn stream(&mut self, at_ns: u64, session: &str) -> Connection {
        self.get(at_ns, &format!("/gradio_api/queue/data?session_hash={session}"))
    }

    pub(super) fn call_stream(&mut self, at_ns: u64, name: &str, job: usize) -> Connection {
        self.get(at_ns, &format!("/gradio_api/call/{name}/{}", id(job)))
    }

    /// A message in a chunk of a stream.
    pub(super) fn send(&mut self, at_ns: u64, stream: Connection, text: &str) {
        self.piece(at_ns, stream, PieceKind::ResponseBody, &format!("{text}\n\n"), 0);
    }

    /// A message about a job.
    pub(super) fn report(&mut self, at_ns: u64, stream: Connection, message: &str, job: usize, rest: &str) {
        self.send(at_ns, stream, &format!(r#"data: {{"msg":"{message}","event_id":"{}"{rest}}}"#, id(job)));
    }

    pub(super) fn starts(&mut self, at_ns: u64, stream: Connection, job: usize) {
        self.report(at_ns, stream, "process_starts", job, r#","eta":null"#);
    }

    pub(super) fn succeeds(&mut self, at_ns: u64, stream: Connection, job: usize) {
        let data = "y".repeat(400);
        let rest = format!(r#","output":{{"data":["{data}"],"duration":1.5}},"success":true"#);
        self.report(at_ns, stream, "process_completed", job, &rest);
    }

    pub(super) fn fails(&mut self, at_ns: u64, stream: Connection, job: usize) {
        let rest = r#","output":{"error":"secret"},"success":false,"title":"Error""#;
        self.report(at_ns, stream, "process_completed", job, rest);
    }

    pub(super) fn reports_cancelled(&mut self, at_ns: u64, stream: Connection, job: usize) {
        self.report(at_ns, stream, "process_completed", job, r#","output":{},"success":true,"title":null"#);
    }

    pub(super) fn close_stream(&mut self, at_ns: u64, stream: Connection) {
        self.send(at_ns, stream, r#"data: {"msg":"close_stream","event_id":null}"#);
        self.piece(at_ns, stream, PieceKind::ResponseEnd, "", 0);
    }

    pub(super) fn end(&mut self, at_ns: u64, connection: Connection) {
        self.piece(at_ns, connection, PieceKind::ConnectionEnd, "", 0);
    }
}
