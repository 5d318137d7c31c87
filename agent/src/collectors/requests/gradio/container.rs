//! Turns the pieces of one container's HTTP messages into events of its jobs.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

use glassbox_ebpf::requests::piece::{Piece, PieceKind};

use super::{
    event::EventId,
    exchanges::{Exchange, ExchangeKey, Exchanges, Role, Session},
    functions::Function,
    jobs::Jobs,
    json::Members,
    message::{Kind, messages},
    request::{Body, Request, request},
};
use crate::snapshot::jobs::Outcome;

/// Statuses from this one on are refusals.
const REFUSED: u32 = 400;

/// The requests and jobs of one container.
#[derive(Debug, Default)]
pub(super) struct Container {
    exchanges: Exchanges,
    pub(super) jobs: Jobs,
}

impl Container {
    /// Handles a piece. `keys` hashes the names of sessions; `limit` is the maximum number of unfinished jobs.
    pub(super) fn on_piece(&mut self, piece: &Piece, keys: &RandomState, limit: usize) {
        let key = (piece.connection, piece.request);
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.seen_ns = piece.at_ns;
        }
        match piece.kind() {
            Some(PieceKind::RequestHead) => self.on_request(key, piece, keys),
            Some(PieceKind::RequestBodyStart) => {
                let is_whole = piece.bytes_total == u64::from(piece.length);
                let body = if is_whole { Body::whole(piece.bytes()) } else { Body::default() };
                self.on_body(key, body, piece.at_ns, keys);
            }
            Some(PieceKind::RequestBodyEnd) => {
                self.on_body(key, Body::end(piece.bytes()), piece.at_ns, keys);
            }
            Some(PieceKind::ResponseHead) => self.on_status(key, piece.status),
            Some(PieceKind::ResponseBody) => self.on_response(key, piece, limit),
            Some(PieceKind::ResponseEnd) => {
                if let Some(exchange) = self.exchanges.remove(key) {
                    self.on_end(&exchange, piece.at_ns);
                }
            }
            Some(PieceKind::ConnectionEnd) => {
                for (_, exchange) in self.exchanges.remove_connection(piece.connection) {
                    self.on_end(&exchange, piece.at_ns);
                }
            }
            None => self.jobs.ignored.unreadable += 1,
        }
    }

    /// Jobs that run while a client follows them. `is_streaming` tells whether a connection sends a stream now. The
    /// jobs alone do not tell that, because the kernel evicts connections without an event.
    pub(super) fn awaited(&self, is_streaming: impl Fn(u64) -> bool) -> u64 {
        let in_flight = self.jobs.in_flight();
        if in_flight.running + in_flight.unknown == 0 {
            return 0;
        }
        let (mut sessions, mut calls) = (HashSet::new(), HashSet::new());
        for role in self.exchanges.roles(is_streaming) {
            match role {
                Role::Stream(session) => _ = sessions.insert(*session),
                Role::CallStream(id, _) => _ = calls.insert(*id),
                Role::Join | Role::Call(_) | Role::Cancel => {}
            }
        }
        self.jobs.running(&sessions, &calls)
    }

    /// Ends what has been silent for too long.
    pub(super) fn expire(&mut self, now_ns: u64) {
        for (_, exchange) in self.exchanges.remove_silent(now_ns) {
            self.on_end(&exchange, exchange.seen_ns);
        }
        self.jobs.expire(now_ns);
    }

    fn on_request(&mut self, key: ExchangeKey, piece: &Piece, keys: &RandomState) {
        let role = match request(piece.bytes()) {
            Request::Join => Role::Join,
            Request::Call(name) => {
                Role::Call(name.map_or(Function::Unknown, |name| Function::Api(name.into())))
            }
            Request::SessionStream(Some(name)) => Role::Stream(Session(keys.hash_one(name))),
            // Such a stream is a session of its own.
            Request::SessionStream(None) => Role::Stream(Session(keys.hash_one(key))),
            Request::CallStream(id) => Role::CallStream(id, Session(keys.hash_one(id))),
            Request::Cancel => Role::Cancel,
            Request::Other => return,
        };
        let at_ns = piece.at_ns;
        let exchange =
            Exchange { role, asked_ns: at_ns, seen_ns: at_ns, function: None, session: None, is_done: false };
        let opened = exchange.role.followed();
        for displaced in self.exchanges.insert(key, exchange) {
            self.on_end(&displaced, at_ns);
        }
        if let Some(session) = opened {
            self.jobs.stream_opened(session);
        }
    }

    fn on_body(&mut self, key: ExchangeKey, body: Body<'_>, at_ns: u64, keys: &RandomState) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.asked_ns = at_ns;
        exchange.function = body.function.or(exchange.function);
        exchange.session = body.session.map(|name| Session(keys.hash_one(name))).or(exchange.session);
        if let (Role::Cancel, Some(id)) = (&exchange.role, body.event) {
            self.jobs.cancel(id, exchange.session);
        }
    }

    fn on_status(&mut self, key: ExchangeKey, status: u32) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        let is_refused = matches!(exchange.role, Role::Join | Role::Call(_)) && status >= REFUSED;
        if is_refused && !exchange.is_done {
            exchange.is_done = true;
            self.jobs.ignored.refused += 1;
        }
    }

    fn on_response(&mut self, key: ExchangeKey, piece: &Piece, limit: usize) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        if exchange.is_done {
            return;
        }
        match &exchange.role {
            Role::Join | Role::Call(_) => {
                exchange.is_done = true;
                let members = Members::of(piece.bytes());
                let id = members.filter(|(name, _)| *name == b"event_id").find_map(|(_, id)| EventId::of(id));
                let Some(id) = id else {
                    self.jobs.ignored.unreadable += 1;
                    return;
                };
                let index = exchange.function.map_or(Function::Unknown, Function::Index);
                let (function, is_call, session) = match &exchange.role {
                    Role::Call(function) => (function.clone(), true, None),
                    _ => (index, false, exchange.session),
                };
                let asked_ns = exchange.asked_ns;
                self.jobs.join(id, function, is_call, session, asked_ns, limit);
            }
            Role::Stream(session) => {
                let session = *session;
                for message in messages(piece.bytes()) {
                    match message.event {
                        Some(id) => self.jobs.on_message(id, message.kind, Some((key, session)), piece.at_ns),
                        None => self.on_stream_message(key, session, message.kind, piece.at_ns),
                    }
                    self.count_unusable(message.kind);
                }
            }
            Role::CallStream(id, session) => {
                let (id, session) = (*id, *session);
                for message in messages(piece.bytes()) {
                    self.jobs.on_message(id, message.kind, Some((key, session)), piece.at_ns);
                    self.count_unusable(message.kind);
                }
            }
            Role::Cancel => {}
        }
    }

    /// A message that concerns the whole stream.
    fn on_stream_message(&mut self, key: ExchangeKey, session: Session, kind: Kind, at_ns: u64) {
        let outcome = match kind {
            Kind::CloseStream => Outcome::Abandoned,
            Kind::ServerError => Outcome::Error,
            Kind::Starts | Kind::Progress | Kind::Ends(_) => {
                // Without an ID, or with one of another form.
                self.jobs.ignored.unreadable += 1;
                return;
            }
            _ => return,
        };
        self.jobs.stream_finished(session, key, outcome, at_ns);
        if let Some(exchange) = self.exchanges.get_mut(key).filter(|exchange| !exchange.is_done) {
            exchange.is_done = true;
            self.jobs.stream_closed(session, at_ns);
        }
    }

    const fn count_unusable(&mut self, kind: Kind) {
        match kind {
            Kind::Unknown => self.jobs.ignored.unknown_message += 1,
            Kind::Unreadable => self.jobs.ignored.unreadable += 1,
            _ => {}
        }
    }

    fn on_end(&mut self, exchange: &Exchange, at_ns: u64) {
        if let Some(session) = exchange.role.followed().filter(|_| !exchange.is_done) {
            self.jobs.stream_closed(session, at_ns);
        }
    }

    #[cfg(test)]
    pub(super) fn exchanges_len(&self) -> usize {
        self.exchanges.len()
    }
}
