//! A response body that keeps its connection marked as busy until the last byte has been passed to the kernel.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::table::Responding;

/// A body. Each of its chunks holds a reference to the response in progress.
pub(super) struct HeldBody {
    body: axum::body::Body,
    responding: Arc<Responding>,
}

/// A chunk of a response. The response is in progress until all of its chunks are dropped.
struct Held {
    bytes: Bytes,
    _responding: Arc<Responding>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HeldBody {
    pub(super) fn new(body: axum::body::Body, responding: Responding) -> Self {
        Self { body, responding: Arc::new(responding) }
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let hold = |bytes| Bytes::from_owner(Held { bytes, _responding: Arc::clone(&self.responding) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(hold))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
