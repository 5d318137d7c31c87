//! Limits for runtime sockets, by the user that the listening process runs as. A root daemon may have as many
//! containers as the agent can hold. A daemon of another user reports only that user's containers, so the agent spends
//! less memory on it.

use tokio::net::UnixStream;

/// How much data is accepted from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The listener runs as root or as the agent's own user.
    Full,
    /// The listener runs as another user.
    Limited,
}

/// Maximum size of a response from a peer with limited trust, in bytes.
const LIMITED_BYTES: usize = 2 << 20;
/// Maximum number of containers in a listing from such a peer.
const LIMITED_CONTAINERS: usize = 1024;

impl Trust {
    /// The lower of `bytes` and the limit for this peer.
    pub(super) fn limit(self, bytes: usize) -> usize {
        match self {
            Self::Full => bytes,
            Self::Limited => bytes.min(LIMITED_BYTES),
        }
    }

    /// The lower of `most` containers and the limit for this peer.
    pub(super) fn containers(self, most: usize) -> usize {
        match self {
            Self::Full => most,
            Self::Limited => most.min(LIMITED_CONTAINERS),
        }
    }
}

/// The trust in the process that listens on the socket; limited if its user is unknown.
pub(super) fn of(stream: &UnixStream) -> Trust {
    // SAFETY: no preconditions.
    let ours = unsafe { libc::geteuid() };
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == ours => Trust::Full,
        _ => Trust::Limited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_our_own_has_full_trust_and_limits_never_grow() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (near, _far) = UnixStream::pair().unwrap();
            assert_eq!(of(&near), Trust::Full);
        });
        assert_eq!((Trust::Full.limit(32 << 20), Trust::Limited.limit(32 << 20)), (32 << 20, LIMITED_BYTES));
        assert_eq!((Trust::Limited.limit(5), Trust::Limited.containers(9999)), (5, LIMITED_CONTAINERS));
    }
}
