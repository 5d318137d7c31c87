//! Slow requests, from the records that the kernel programs send if the log of slow requests is on.
//!
//! Cost: none while no request is slow. At most [`CONTAINER_MAX`] records are kept per container until its row is read.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use glassbox_ebpf::requests::{
    answered::waited_ns,
    connection::{STATUS, method_of, route_of, since},
    first_line::Method,
    slow::{End, SlowRequest as Record},
};

use super::routes::Names;
use crate::{
    kernel::{event_ring::EventRing, host},
    snapshot::requests::SlowRequest,
};

/// Maximum number of records that are handled at once.
const RECORDS_PER_TURN: usize = 2048;
/// Maximum number of slow requests of a container in its row. The log has fewer lines.
const CONTAINER_MAX: usize = 64;

/// The slow requests that no row contains yet.
pub(super) struct SlowRequests {
    records: EventRing<Record>,
    by_slot: HashMap<u32, Vec<SlowRequest>>,
    /// The number of the last one.
    last: u64,
    dropped: u64,
}

/// A record as the kernel programs have written it.
pub(super) fn record(bytes: &[u8]) -> Option<Record> {
    // SAFETY: the length is checked, every bit pattern is valid, and the read does not need alignment.
    (bytes.len() >= size_of::<Record>()).then(|| unsafe { bytes.as_ptr().cast::<Record>().read_unaligned() })
}

impl SlowRequests {
    pub(super) fn new(records: EventRing<Record>) -> Self {
        Self { records, by_slot: HashMap::new(), last: 0, dropped: 0 }
    }

    /// Reads the pending records.
    pub(super) fn read(&mut self, names: &Names) {
        let (now, now_ns) = (Instant::now(), host::monotonic_ns());
        for record in self.records.by_ref().take(RECORDS_PER_TURN) {
            let ago = Duration::from_nanos(now_ns.saturating_sub(record.ended_ns));
            let Some(ended) = now.checked_sub(ago) else { continue };
            let requests = self.by_slot.entry(record.slot).or_default();
            if requests.len() >= CONTAINER_MAX {
                self.dropped += 1;
                continue;
            }
            self.last += 1;
            requests.push(request(&record, self.last, ended, names));
        }
    }

    /// The slow requests of the container in a slot, which are not returned again.
    pub(super) fn take(&mut self, slot: u32) -> Vec<SlowRequest> {
        self.by_slot.remove(&slot).unwrap_or_default()
    }

    /// Releases the state of a container that has ended.
    pub(super) fn forget(&mut self, slot: u32) {
        self.by_slot.remove(&slot);
    }

    /// Records of containers with too many.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn request(record: &Record, number: u64, ended: Instant, names: &Names) -> SlowRequest {
    let Record { arrival, ended_ns, status, .. } = *record;
    let code = status & STATUS;
    SlowRequest {
        number,
        method: Method::ALL.get(method_of(arrival) as usize).map_or("other", |method| method.name()),
        route: names.get(route_of(arrival) as usize),
        code: (code > 0).then_some(code),
        ended,
        duration: Duration::from_nanos(since(arrival, ended_ns)),
        first_byte: waited_ns(status).filter(|_| code > 0).map(Duration::from_nanos),
        end: End::ALL.into_iter().find(|end| *end as u32 == record.end).unwrap_or(End::Complete),
    }
}

#[cfg(test)]
mod tests {
    use glassbox_ebpf::requests::{answered::answered, connection::arrival};

    use super::*;

    #[test]
    fn a_record_contains_the_request_and_its_times() {
        let names = super::super::routes::routes(&[], false).1;
        let arrival = arrival(5_000_000_000, Method::Post as u32, 2);
        let status = answered(504, 1_200_000_000);
        let record =
            Record { arrival, ended_ns: 8_000_000_000, slot: 3, status, end: 1, ..Record::default() };
        let seen = request(&record, 7, Instant::now(), &names);
        assert_eq!((seen.number, seen.method, &*seen.route, seen.code), (7, "POST", "queue", Some(504)));
        assert_eq!((seen.duration.as_millis(), seen.end), (3000, End::ClosedByClient));
        assert_eq!(seen.first_byte.map(|time| time.as_millis()), Some(1199));
        let unanswered = request(&Record { status: 0, ..record }, 8, Instant::now(), &names);
        assert_eq!((unanswered.code, unanswered.first_byte), (None, None));
    }
}
