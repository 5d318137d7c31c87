//! Events that arrive during the first listing of a connection. The event stream is opened before the listing, so that
//! no change is missed between the two; the events are applied after it, because the listing may be older.
//!
//! Bounded: [`BUFFER_BYTES`]. HTTP/2 flow control holds back further events at the peer.

use std::pin::pin;

use futures_util::{
    Stream, StreamExt as _,
    future::{Either, select},
};

/// Maximum size of the buffered events.
const BUFFER_BYTES: usize = 4 << 20;
/// Memory used by a buffered event in addition to its encoded size.
const EVENT_COST_BYTES: usize = 512;

/// Completes `listing`; returns its result and the events received in the meantime, oldest first. Events beyond
/// [`BUFFER_BYTES`] remain in `events`.
pub(super) async fn buffer_during<T, E>(
    listing: impl Future<Output = T>,
    mut events: impl Stream<Item = E> + Unpin,
    encoded_len: impl Fn(&E) -> usize,
) -> (T, Vec<E>) {
    let mut listing = pin!(listing);
    let (mut early, mut early_bytes) = (Vec::new(), 0);
    while early_bytes < BUFFER_BYTES {
        match select(events.next(), &mut listing).await {
            Either::Left((Some(event), _)) => {
                early_bytes += EVENT_COST_BYTES + encoded_len(&event);
                early.push(event);
            }
            Either::Left((None, _)) => break,
            Either::Right((listed, _)) => return (listed, early),
        }
    }
    (listing.await, early)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    #[test]
    fn events_during_the_listing_are_kept_in_order() {
        run(async {
            let events = stream::iter(0..3).chain(stream::pending());
            let (listed, early) = buffer_during(tokio::task::yield_now(), pin!(events), |_| 0).await;
            assert_eq!((listed, early), ((), vec![0, 1, 2]));
        });
    }

    #[test]
    fn the_listing_completes_after_the_event_stream_ended() {
        run(async {
            let listing = async {
                tokio::task::yield_now().await;
                "listed"
            };
            let (listed, early) = buffer_during(listing, stream::iter([1]), |_| 0).await;
            assert_eq!((listed, early), ("listed", vec![1]));
        });
    }

    #[test]
    fn no_event_beyond_the_buffer_is_lost() {
        run(async {
            let mut events = pin!(stream::iter(0..10));
            let (_, early) = buffer_during(async {}, events.as_mut(), |_| BUFFER_BYTES / 2).await;
            let later: Vec<_> = events.collect().await;
            assert_eq!((early.len(), later.len()), (2, 8));
            assert_eq!([early, later].concat(), Vec::from_iter(0..10));
        });
    }
}
