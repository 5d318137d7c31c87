//! Turns for comparisons of passwords: one at a time, in the order of arrival. Few requests may wait, and fewer of one client,
//! so that a client with wrong passwords does not keep others waiting for long.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum number of requests that have a turn or wait for one.
const WAITING_MAX: usize = 16;
/// Maximum number of these from one client.
const WAITING_PER_CLIENT_MAX: usize = 4;

/// An IPv4 address, or the first half of an IPv6 address: a network of that size often belongs to one host.
type Client = Option<IpAddr>;

/// Gives turns.
pub(super) struct Attempts {
    one: Arc<Semaphore>,
    waiting: Arc<Mutex<Vec<Client>>>,
}

/// A turn. It ends when it is dropped.
pub(super) struct Turn {
    permit: OwnedSemaphorePermit,
    _place: Place,
}

/// A place among the waiting requests.
struct Place {
    client: Client,
    waiting: Arc<Mutex<Vec<Client>>>,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self { one: Arc::new(Semaphore::new(1)), waiting: Arc::default() }
    }

    /// Waits for a turn; `None` if too many requests are waiting.
    pub(super) async fn turn(&self, client: Option<IpAddr>) -> Option<Turn> {
        let place = self.enter(client.map(network))?;
        let permit = Arc::clone(&self.one).acquire_owned().await.ok()?;
        Some(Turn { permit, _place: place })
    }

    fn enter(&self, client: Client) -> Option<Place> {
        let mut waiting = lock(&self.waiting);
        let of_client = waiting.iter().filter(|other| **other == client).count();
        if waiting.len() >= WAITING_MAX || of_client >= WAITING_PER_CLIENT_MAX {
            return None;
        }
        waiting.push(client);
        Some(Place { client, waiting: Arc::clone(&self.waiting) })
    }
}

impl Turn {
    /// Ends the turn after a pause. Called on a thread of the tokio runtime.
    pub(super) fn release_after(self, pause: Duration) {
        // The client has its response before, so its place is free.
        let Self { permit, _place } = self;
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            drop(permit);
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = lock(&self.waiting);
        if let Some(at) = waiting.iter().position(|client| *client == self.client) {
            waiting.swap_remove(at);
        }
    }
}

fn lock(waiting: &Mutex<Vec<Client>>) -> MutexGuard<'_, Vec<Client>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn network(address: IpAddr) -> IpAddr {
    const HOST_BITS: u32 = 64;
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> HOST_BITS << HOST_BITS).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_waiting_requests_is_limited_in_total_and_per_client() {
        let attempts = Attempts::new();
        let client = |number: u8| Some(IpAddr::from([10, 0, 0, number]));
        let places: Vec<_> = (0..5).map(|_| attempts.enter(client(1))).collect();
        assert_eq!(places.iter().flatten().count(), WAITING_PER_CLIENT_MAX);
        let others: Vec<_> = (2..30).map(|number| attempts.enter(client(number))).collect();
        assert_eq!(others.iter().flatten().count(), WAITING_MAX - WAITING_PER_CLIENT_MAX);
        drop((places, others));
        assert!(lock(&attempts.waiting).is_empty());
        assert!(attempts.enter(client(1)).is_some());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client_and_mapped_addresses_are_ipv4() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
