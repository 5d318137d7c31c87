//! Whose a runtime's socket is. Root's daemons may have as many containers as the agent can hold. The owner of another
//! socket only decides what their own containers are called, so less memory is spent on what such a socket says.

use tokio::net::UnixStream;

/// How much of what a socket says is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The peer is root, or the user whom the agent itself runs as.
    Full,
    /// The peer is another user.
    Limited,
}

/// Most bytes of one response of a peer that is trusted less.
const LIMITED_BYTES: usize = 2 << 20;
/// Most containers of one listing of such a peer.
const LIMITED_CONTAINERS: usize = 1024;

impl Trust {
    /// The lower of a limit in bytes and of what this peer may send.
    pub(super) fn limit(self, bytes: usize) -> usize {
        match self {
            Self::Full => bytes,
            Self::Limited => bytes.min(LIMITED_BYTES),
        }
    }

    /// The same for the containers of a listing.
    pub(super) fn containers(self, most: usize) -> usize {
        match self {
            Self::Full => most,
            Self::Limited => most.min(LIMITED_CONTAINERS),
        }
    }
}

/// By who listens at the socket's other end; unknown ones are trusted less.
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
    fn a_socket_of_our_own_is_trusted_and_limits_only_shrink() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (near, _far) = UnixStream::pair().unwrap();
            assert_eq!(of(&near), Trust::Full);
        });
        assert_eq!((Trust::Full.limit(32 << 20), Trust::Limited.limit(32 << 20)), (32 << 20, LIMITED_BYTES));
        assert_eq!((Trust::Limited.limit(5), Trust::Limited.containers(9999)), (5, LIMITED_CONTAINERS));
    }
}
