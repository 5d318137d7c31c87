//! What the work of a container waits for, from a look at its threads.

use crate::snapshot::{
    ContainerRow,
    threads::{ThreadActivity, Threads},
};

/// What the work waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// All threads are stopped.
    Stopped,
    /// A disk or another file.
    Disk,
    /// A socket.
    Socket,
    /// A lock or another thread.
    Lock,
}

/// Applies the table; the first row that applies counts. `None` if none does.
///
/// | wait | condition |
/// |---|---|
/// | stopped | all threads are stopped |
/// | disk | a thread waits for a file |
/// | socket | a thread waits for a socket; if another one waits for a lock, only if the container has opened connections |
/// | socket | a thread waits for events, none waits for a lock, and the container has opened connections |
/// | lock | a thread waits for a lock |
///
/// A thread that waits for the next request of a client and one that waits for the response of a server look the same,
/// so a socket takes precedence over a lock only if there are outgoing connections.
#[must_use]
pub fn decide(threads: &Threads, has_outgoing: bool) -> Option<Wait> {
    let any = |activity| threads.count(activity) > 0;
    if any(ThreadActivity::Runs) {
        return None;
    }
    if threads.total() > 0 && threads.count(ThreadActivity::Stopped) == threads.total() {
        return Some(Wait::Stopped);
    }
    if any(ThreadActivity::File) {
        return Some(Wait::Disk);
    }
    let locked = any(ThreadActivity::Lock);
    if any(ThreadActivity::Socket) && (has_outgoing || !locked) {
        return Some(Wait::Socket);
    }
    if any(ThreadActivity::Events) && has_outgoing && !locked {
        return Some(Wait::Socket);
    }
    locked.then_some(Wait::Lock)
}

/// What the work of a container waits for. `None` if it is unknown or none of these.
#[must_use]
pub fn of(row: &ContainerRow) -> Option<Wait> {
    let has_outgoing = row
        .sockets
        .as_ref()
        .is_some_and(|sockets| sockets.connections.opened > 0 && sockets.open.is_none_or(|open| open > 0));
    decide(row.threads.as_ref()?, has_outgoing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(activities: &[ThreadActivity], has_outgoing: bool) -> Option<Wait> {
        let mut threads = Threads::default();
        activities.iter().for_each(|activity| threads.add(*activity));
        decide(&threads, has_outgoing)
    }

    #[test]
    fn each_row_of_the_table_can_apply() {
        use ThreadActivity::{Events, File, Lock, Other, Socket, Stopped};
        assert_eq!(wait(&[Stopped, Stopped], true), Some(Wait::Stopped));
        assert_eq!(wait(&[File, Lock, Socket], true), Some(Wait::Disk));
        assert_eq!(wait(&[Socket, Events], false), Some(Wait::Socket));
        assert_eq!(wait(&[Socket, Lock], true), Some(Wait::Socket));
        assert_eq!(wait(&[Events], true), Some(Wait::Socket));
        assert_eq!(wait(&[Lock, Events], false), Some(Wait::Lock));
        assert_eq!(wait(&[Other, Events], false), None);
        assert_eq!(wait(&[], true), None);
    }

    #[test]
    fn a_lock_takes_precedence_over_the_sockets_of_clients() {
        use ThreadActivity::{Events, Lock, Socket};
        assert_eq!(wait(&[Socket, Lock], false), Some(Wait::Lock));
        assert_eq!(wait(&[Events, Lock], true), Some(Wait::Lock));
    }

    #[test]
    fn a_single_stopped_thread_does_not_stop_the_container() {
        use ThreadActivity::{Events, Runs, Stopped};
        assert_eq!(wait(&[Stopped, Events], false), None);
        assert_eq!(wait(&[Stopped, Runs], false), None);
    }
}
