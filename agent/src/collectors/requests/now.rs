//! What the connections of each container do at a tick.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use glassbox_ebpf::requests::{
    connection::{Connection, ConnectionKey, since},
    service::PORTS,
};

/// The connections of all containers.
#[derive(Debug, Default)]
pub(super) struct Connections {
    by_slot: HashMap<u32, Now>,
    /// Numbers of the connections that send a stream which their clients receive.
    received: HashSet<u64>,
}

/// What the connections of one container do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Now {
    /// Requests that are not answered completely; without streams.
    pub(super) in_flight: u64,
    /// Those of them that wait for the server ([`Connection::unanswered`]).
    pub(super) unanswered: u64,
    /// Streams.
    pub(super) streams: u64,
    /// Age of the oldest request in flight.
    pub(super) oldest: Option<Duration>,
    /// Local ports of followed connections, in any order. A port of 0 is none.
    ports: [u16; PORTS],
}

impl Connections {
    /// Forgets all connections.
    pub(super) fn clear(&mut self) {
        self.by_slot.clear();
        self.received.clear();
    }

    /// Adds a connection as of `now_ns` of CLOCK_MONOTONIC.
    pub(super) fn add(&mut self, key: &ConnectionKey, connection: &Connection, now_ns: u64) {
        self.by_slot.entry(key.slot).or_default().add(key, connection, now_ns);
        if connection.is_stream_received() {
            self.received.insert(connection.opened_ns);
        }
    }

    /// What the connections of the container in a slot do.
    pub(super) fn of(&self, slot: u32) -> Now {
        self.by_slot.get(&slot).copied().unwrap_or_default()
    }

    /// Whether the container in a slot has connections.
    pub(super) fn has(&self, slot: u32) -> bool {
        self.by_slot.contains_key(&slot)
    }

    /// Whether a connection sends a stream which its client receives. It has the number of its pieces.
    pub(super) fn is_stream_received(&self, connection: u64) -> bool {
        self.received.contains(&connection)
    }
}

impl Now {
    fn add(&mut self, key: &ConnectionKey, connection: &Connection, now_ns: u64) {
        let in_flight = connection.in_flight();
        self.in_flight += u64::from(in_flight);
        self.unanswered += u64::from(connection.unanswered());
        self.streams += u64::from(connection.is_streaming());
        if in_flight > 0 {
            let age = Duration::from_nanos(since(connection.oldest(), now_ns));
            self.oldest = self.oldest.max(Some(age));
        }
        if connection.is_followed() {
            let local = (key.ports >> 16) as u16;
            let place = self.ports.iter_mut().find(|port| **port == local || **port == 0);
            place.into_iter().for_each(|port| *port = local);
        }
    }

    /// Whether a followed connection has this local port.
    pub(super) fn uses(&self, port: u16) -> bool {
        self.ports.contains(&port)
    }
}

#[cfg(test)]
mod tests {
    use glassbox_ebpf::requests::connection::{ENDED, Half, found, state};

    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn key(slot: u32, local: u16, remote: u16) -> ConnectionKey {
        let ports = u32::from(local) << 16 | u32::from(remote);
        ConnectionKey { remote: [1, 0, 0, 0], ports, local: 2, slot }
    }

    #[test]
    fn requests_that_are_still_arriving_or_already_answered_are_in_flight_and_not_unanswered() {
        let mut connections = Connections::default();
        let waiting = Connection { pushed: 2, ..Connection::default() };
        let uploading =
            Connection { pushed: 1, request: Half { state: state::BODY, ..Half::default() }, ..waiting };
        let answering = Connection { pushed: 1, popped: 1, status: 200, ..Connection::default() };
        for (remote, connection) in [waiting, uploading, answering].iter().enumerate() {
            connections.add(&key(3, 80, remote as u16), connection, SECOND_NS);
        }
        let now = connections.of(3);
        assert_eq!((now.in_flight, now.unanswered), (4, 2));
        assert_eq!(now.oldest, Some(Duration::from_nanos(SECOND_NS)));
        assert_eq!(connections.of(4), Now::default());
    }

    #[test]
    fn a_port_is_in_use_while_a_connection_of_the_same_container_is_followed() {
        let mut connections = Connections::default();
        let followed = Connection::default();
        connections.add(&key(3, 80, 1), &followed, 0);
        connections.add(&key(3, 80, 2), &followed, 0);
        connections.add(&key(4, 81, 3), &followed, 0);
        connections.add(&key(3, 82, 4), &Connection { mode: ENDED, ..followed }, 0);
        let in_use: Vec<_> = (1..100).filter(|port| connections.of(3).uses(*port)).collect();
        assert_eq!(in_use, [80]);
        (1000..1100).for_each(|port| connections.add(&key(3, port, 1), &followed, 0));
        let in_use = (1..2000).filter(|port| connections.of(3).uses(*port)).count();
        assert_eq!(in_use, PORTS, "as many as can be watched");
        connections.clear();
        assert!(!connections.has(3) && !connections.of(3).uses(80));
    }

    #[test]
    fn a_connection_streams_until_the_stream_ends() {
        let mut connections = Connections::default();
        let response = Half { found: found::STREAM, ..Half::default() };
        let stream = Connection { opened_ns: 7, status: 200, response, ..Connection::default() };
        connections.add(&key(3, 80, 1), &stream, 0);
        connections.add(&key(3, 80, 2), &Connection { opened_ns: 8, mode: ENDED, ..stream }, 0);
        assert_eq!([7, 8, 9].map(|number| connections.is_stream_received(number)), [true, false, false]);
        connections.clear();
        assert!(!connections.is_stream_received(7));
    }
}
