//! Removes connections that have ended from the map of the kernel programs. The programs remove a connection when its socket
//! closes, but they do not see the close of a socket that is older than the agent. A segment that belongs to no socket, such as
//! a request after the server has closed the connection, looks like the end of a handshake until it has expired.
//!
//! Cost: none without such connections; otherwise some 50 ns per connection and tick, and 1 µs per removal.

use std::collections::HashMap;

use glassbox_ebpf::requests::connection::{Connection, ConnectionKey, ENDED};

/// Time that a connection stays after it was found ended, in ns. Without it, a segment that is sent again would look like the
/// start of another connection.
const REMAINS_NS: u64 = 10_000_000_000;
/// Time in which a connection is accepted, or else does not exist, in ns. The kernel gives up a handshake after 63 s.
const UNCONFIRMED_NS: u64 = 70_000_000_000;
/// Maximum number of connections that are watched at the same time.
const WATCHED_MAX: usize = 1024;
/// Maximum number of removals per tick.
const REMOVALS_MAX: usize = 128;

/// Connections that were found ended.
#[derive(Debug, Default)]
pub(super) struct EndedConnections {
    /// By the time at which they were opened, which identifies a connection among those with the same key.
    watched: HashMap<u64, Watched>,
    due: Vec<ConnectionKey>,
    tick: u64,
}

#[derive(Debug)]
struct Watched {
    key: ConnectionKey,
    /// When the connection was found ended, in ns of CLOCK_MONOTONIC.
    found_ns: u64,
    /// The last tick that found the connection.
    tick: u64,
}

impl EndedConnections {
    /// Begins a tick.
    pub(super) fn begin(&mut self) {
        self.tick += 1;
        self.due.clear();
    }

    /// Handles a connection of the map, at `now_ns` of CLOCK_MONOTONIC.
    pub(super) fn see(&mut self, key: &ConnectionKey, connection: &Connection, now_ns: u64) {
        if connection.is_unconfirmed() && now_ns.saturating_sub(connection.opened_ns) >= UNCONFIRMED_NS {
            if self.due.len() < REMOVALS_MAX {
                self.due.push(*key);
            }
            return;
        }
        if connection.mode != ENDED {
            return;
        }
        let Some(watched) = self.watched.get_mut(&connection.opened_ns) else {
            if self.watched.len() < WATCHED_MAX {
                let watched = Watched { key: *key, found_ns: now_ns, tick: self.tick };
                self.watched.insert(connection.opened_ns, watched);
            }
            return;
        };
        // Another one that was opened at the same time comes later.
        if watched.key != *key {
            return;
        }
        watched.tick = self.tick;
        let is_due = now_ns.saturating_sub(watched.found_ns) >= REMAINS_NS;
        if is_due && self.due.len() < REMOVALS_MAX {
            self.due.push(*key);
            self.watched.remove(&connection.opened_ns);
        }
    }

    /// Ends a tick that has handled all connections. Returns those to remove.
    pub(super) fn finish(&mut self) -> &[ConnectionKey] {
        let tick = self.tick;
        self.watched.retain(|_, watched| watched.tick == tick);
        &self.due
    }
}

#[cfg(test)]
mod tests {
    use glassbox_ebpf::requests::connection::{Half, found};

    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;
    const NONE: [u32; 0] = [];

    fn key(remote: u32) -> ConnectionKey {
        ConnectionKey { remote: [remote, 0, 0, 0], ports: 1, local: 2, slot: 3 }
    }

    fn ended(opened_ns: u64) -> Connection {
        Connection { opened_ns, mode: ENDED, ..Connection::default() }
    }

    /// The first words of the addresses of those to remove.
    fn tick(ended: &mut EndedConnections, second: u64, map: &[(ConnectionKey, Connection)]) -> Vec<u32> {
        ended.begin();
        map.iter().for_each(|(key, connection)| ended.see(key, connection, second * SECOND_NS));
        ended.finish().iter().map(|key| key.remote[0]).collect()
    }

    #[test]
    fn a_connection_is_removed_once_it_has_been_ended_for_ten_seconds() {
        let mut all = EndedConnections::default();
        let map = [(key(1), ended(100)), (key(2), Connection { opened_ns: 50, ..Connection::default() })];
        for second in 1..11 {
            assert_eq!(tick(&mut all, second, &map), NONE, "second {second}");
        }
        assert_eq!(tick(&mut all, 11, &map), [1]);
        assert!(all.watched.is_empty());
    }

    #[test]
    fn a_connection_that_is_never_accepted_is_removed() {
        let mut all = EndedConnections::default();
        let request = Half { found: found::UNCONFIRMED, ..Half::default() };
        let map =
            [(key(1), Connection { opened_ns: SECOND_NS, request, pushed: 1, ..Connection::default() })];
        assert_eq!((map[0].1.in_flight(), map[0].1.unanswered()), (0, 0));
        assert_eq!(tick(&mut all, 70, &map), NONE);
        assert_eq!(tick(&mut all, 71, &map), [1]);
    }

    #[test]
    fn another_connection_with_the_same_key_has_its_own_ten_seconds() {
        let mut all = EndedConnections::default();
        assert_eq!(tick(&mut all, 1, &[(key(1), ended(100))]), NONE);
        assert_eq!(tick(&mut all, 9, &[(key(1), ended(200))]), NONE);
        assert_eq!(tick(&mut all, 12, &[(key(1), ended(200))]), NONE);
        assert_eq!(tick(&mut all, 19, &[(key(1), ended(200))]), [1]);
    }

    #[test]
    fn connections_that_were_opened_at_the_same_time_are_removed_one_after_the_other() {
        let mut all = EndedConnections::default();
        let mut map = vec![(key(1), ended(100)), (key(2), ended(100))];
        assert_eq!(tick(&mut all, 1, &map), NONE);
        assert_eq!(tick(&mut all, 11, &map), [1]);
        map.remove(0);
        assert_eq!(tick(&mut all, 12, &map), NONE);
        assert_eq!(tick(&mut all, 22, &map), [2]);
    }

    #[test]
    fn what_the_kernel_has_removed_is_forgotten() {
        let mut all = EndedConnections::default();
        assert_eq!(tick(&mut all, 1, &[(key(1), ended(100))]), NONE);
        assert_eq!(tick(&mut all, 2, &[]), NONE);
        assert!(all.watched.is_empty());
        assert_eq!(all.due.capacity(), 0, "nothing was allocated for removals");
    }

    #[test]
    fn memory_and_work_per_tick_are_limited_and_all_connections_are_removed_in_the_end() {
        let mut all = EndedConnections::default();
        let mut map: Vec<_> =
            (0..16_384).map(|number| (key(number), ended(1_000 + u64::from(number)))).collect();
        let mut second = 0;
        while !map.is_empty() {
            second += 1;
            assert!(second < 1_000);
            let removed = tick(&mut all, second, &map);
            assert!(removed.len() <= REMOVALS_MAX && all.watched.len() <= WATCHED_MAX);
            map.retain(|(key, _)| !removed.contains(&key.remote[0]));
        }
    }
}
