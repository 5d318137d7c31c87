//! Socket traffic, TCP connections and listening ports of one container.

pub use glassbox_ebpf::sockets::{AcceptQueue, ConnectionCounters, SocketCounters, UnixCounters, protocol};

/// Values of the label `protocol`, in the order of the arrays in [`SocketCounters`].
pub const PROTOCOLS: [&str; protocol::COUNT] = ["tcp", "udp", "other"];

/// Maximum number of listening ports of a container that are kept.
pub const PORTS_MAX: usize = 32;

/// What the programs on a container's cgroup have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketUsage {
    /// IP traffic by protocol.
    pub traffic: SocketCounters,
    /// TCP connections and rare events.
    pub connections: ConnectionCounters,
    /// Whether resets are counted on this kernel.
    pub has_resets: bool,
    /// Whether dropped datagrams are counted on this kernel.
    pub has_drops: bool,
    /// TCP connections that are open now; `None` if unknown.
    pub open: Option<u64>,
    /// The fullest accept queue that recent connection attempts have found; `None` if there were none.
    pub accept_queue: Option<AcceptQueue>,
    /// Bytes of unix sockets; `None` if they are not counted.
    pub unix: Option<UnixCounters>,
    /// TCP ports on which the container listens, in ascending order: the lowest [`PORTS_MAX`]. For a container that is
    /// older than the agent, those of its network namespace as of the last minute. Empty if unknown.
    pub listening_ports: Vec<u16>,
}
