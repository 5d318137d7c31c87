//! Requests over HTTP/1.1 that a container serves.
//!
//! The programs of the probe `sockets` continue with these programs if a packet belongs to a watched port (see
//! [`Service`]), so other packets cost one lookup in an array. Connections are found by address and port. A packet
//! without a byte of interest costs one lookup; see [`follow`](glassbox_ebpf::requests::follow) for what is read of the
//! others.

mod observer;
mod pieces;
mod retries;
mod segment;
mod slow;
mod source;
mod uploads;

use aya_ebpf::{
    macros::{cgroup_skb, map},
    maps::{Array, LruHashMap, PerCpuArray, ProgramArray, RingBuf},
    programs::SkBuffContext,
};
use glassbox_ebpf::{
    Lost,
    requests::{
        connection::{
            CARRIES, CONNECTIONS, Carry, CarryKey, Connection, ConnectionKey, FOLLOWED, Opaque, found,
        },
        first_line::Start,
        follow::{self, Next, Segment as _},
        head::Scan,
        piece::PIECES_BYTES,
        rolled,
        service::{PORTS, RequestCounters, RequestSettings, Service},
    },
};

use self::{observer::Counting, segment::SkbSegment, source::ClosedSocket};
use super::{
    packet::{Direction, IPV6_HEADER_BYTES, Packet, ip},
    sockets::{PASS, state},
};
use crate::lost;

/// Resized by user space to the configured number of containers.
#[map]
static REQUESTS: Array<RequestCounters> = Array::with_max_entries(256, 0);

/// Resized as [`REQUESTS`].
#[map]
static REQUEST_SERVICES: Array<Service> = Array::with_max_entries(256, 0);

#[map]
static REQUEST_SETTINGS: Array<RequestSettings> = Array::with_max_entries(1, 0);

#[map]
static REQUEST_CONNECTIONS: LruHashMap<ConnectionKey, Connection> =
    LruHashMap::with_max_entries(CONNECTIONS, 0);

#[map]
static REQUEST_CARRIES: LruHashMap<CarryKey, Carry> = LruHashMap::with_max_entries(CARRIES, 0);

/// One empty connection and one empty carry, from which new entries are copied: they are too large for the stack.
#[map]
static REQUEST_EMPTY: Array<Connection> = Array::with_max_entries(1, 0);

#[map]
static REQUEST_PIECES: RingBuf = RingBuf::with_byte_size(PIECES_BYTES, 0);

/// One for each direction.
#[map]
static REQUEST_SCANS: PerCpuArray<Scan> = PerCpuArray::with_max_entries(2, 0);

mod flag {
    pub(super) const FIN: u8 = 1;
    pub(super) const SYN: u8 = 2;
    pub(super) const RST: u8 = 4;
    pub(super) const ACK: u8 = 16;
}

/// Steps per call. Programs call themselves again for more.
const STEPS: usize = 1;

const BPF_NOEXIST: u64 = 1;

/// [`requests_ingress`]. Without it, requests are not counted.
#[map]
static REQUEST_INGRESS: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// [`requests_egress`].
#[map]
static REQUEST_EGRESS: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The container begins to listen on a port.
#[inline(always)]
pub(super) fn listen(slot: u32, port: u16) {
    if REQUEST_SETTINGS.get(0).is_none_or(|settings| settings.all_ports == 0) || port == 0 {
        return;
    }
    let Some(service) = REQUEST_SERVICES.get_ptr_mut(slot) else { return };
    // SAFETY: an element of the map.
    if unsafe { (*service).has(port) } {
        return;
    }
    let ports = service.cast::<u16>();
    let mut index = 0;
    while index < PORTS {
        // SAFETY: within the element, which consists of ports.
        unsafe {
            if ports.add(index).read_volatile() == 0 {
                ports.add(index).write_volatile(port);
                return;
            }
        }
        index = rolled(index + 1);
    }
    lost::count(Lost::RequestPorts);
}

/// Continues with [`requests_ingress`] if the packet may matter.
#[inline(always)]
pub(super) fn ingress(ctx: &SkBuffContext, packet: &Packet) {
    follow_if_watched(ctx, packet, [packet.local_port, packet.remote_port], &REQUEST_INGRESS);
}

/// Continues with [`requests_egress`] if the packet may matter.
#[inline(always)]
pub(super) fn egress(ctx: &SkBuffContext, packet: &Packet) {
    follow_if_watched(ctx, packet, segment::socket_ports(ctx), &REQUEST_EGRESS);
}

#[inline(always)]
fn follow_if_watched(ctx: &SkBuffContext, packet: &Packet, ports: [u16; 2], program: &ProgramArray) {
    if packet.protocol != ip::TCP {
        return;
    }
    // The addresses are read once more there.
    if packet.is_ipv6 && packet.transport_offset != IPV6_HEADER_BYTES {
        return;
    }
    if packet.payload_bytes == 0 && packet.flags & (flag::FIN | flag::SYN | flag::RST) == 0 {
        return;
    }
    let Some(service) = REQUEST_SERVICES.get(packet.slot) else { return };
    if service.has(ports[0]) {
        segment::pass(ctx, packet, ports);
        again(ctx, program);
    }
}

/// Goes on with a program. Returns only if there is none, or after 33 calls.
#[inline(always)]
fn again(ctx: &SkBuffContext, program: &ProgramArray) {
    // SAFETY: the programs have the same type and only read the context.
    let _ = unsafe { program.tail_call(ctx, 0) };
}

/// A packet that a container receives at a watched port.
#[cgroup_skb(ingress)]
fn requests_ingress(ctx: SkBuffContext) -> i32 {
    if let Some(segment) = SkbSegment::read(&ctx, Direction::Ingress)
        && received(&segment) == Next::Again
    {
        again(&ctx, &REQUEST_INGRESS);
    }
    PASS
}

/// A packet that a container sends from a watched port.
#[cgroup_skb(egress)]
fn requests_egress(ctx: SkBuffContext) -> i32 {
    if let Some(segment) = SkbSegment::read(&ctx, Direction::Egress)
        && sent(&segment) == Next::Again
    {
        again(&ctx, &REQUEST_EGRESS);
        give_up(&segment);
    }
    PASS
}

/// The segment has more parts than there are calls. What it ends with is unknown.
#[inline(never)]
fn give_up(segment: &SkbSegment<'_>) {
    let Some(connection) = REQUEST_CONNECTIONS.get_ptr_mut(&segment.key) else { return };
    let Some(mut counting) = segment.counting() else { return };
    // SAFETY: an element of the map.
    follow::leave(unsafe { &mut *connection }, Opaque::Unsynchronized, &mut counting);
}

/// A connection was accepted. Its first request may have arrived with the end of the handshake.
#[inline(always)]
pub(super) fn accepted(key: &ConnectionKey) {
    let Some(connection) = REQUEST_CONNECTIONS.get_ptr_mut(key) else { return };
    // SAFETY: an element of the map.
    let request = unsafe { &mut (*connection).request };
    // The ingress program may handle the next segment at the same time, so most connections are not written.
    if request.found & found::UNCONFIRMED != 0 {
        request.found &= !found::UNCONFIRMED;
    }
}

/// A segment of a connection is sent again. The other programs for what the server sends also hold the lock of the socket.
#[inline(always)]
pub(super) fn sent_again(key: &ConnectionKey) {
    if let Some(connection) = REQUEST_CONNECTIONS.get_ptr_mut(key) {
        // SAFETY: a member of an element of the map.
        unsafe { (*connection).response.found |= found::SENT_AGAIN };
    }
}

/// A socket of the container was closed; see [`follow::socket_closed`].
#[inline(always)]
pub(super) fn closed(key: &ConnectionKey, is_client_lost: bool, sent: u32) {
    let Some(connection) = REQUEST_CONNECTIONS.get_ptr_mut(key) else { return };
    if let Some(mut counting) = Counting::of(key.slot, ClosedSocket { client: key.remote }, 0) {
        // SAFETY: an element of the map.
        follow::socket_closed(unsafe { &mut *connection }, is_client_lost, sent, &mut counting);
    }
    let _ = REQUEST_CONNECTIONS.remove(key);
}

#[inline(always)]
fn received(segment: &SkbSegment<'_>) -> Next {
    let known = REQUEST_CONNECTIONS.get_ptr_mut(&segment.key);
    if segment.flags & flag::SYN != 0 {
        // A new connection with the addresses of an old one.
        if known.is_some() {
            let _ = REQUEST_CONNECTIONS.remove(&segment.key);
        }
        return Next::Done;
    }
    let Some(connection) = known.or_else(|| create(segment)) else { return Next::Done };
    // SAFETY: an element of the map; the other direction writes other members.
    let connection = unsafe { &mut *connection };
    if connection.mode != FOLLOWED {
        return Next::Done;
    }
    let Some(mut counting) = segment.counting() else { return Next::Done };
    if segment.payload_bytes > 0 {
        let mut step = 0;
        while follow::request(connection, segment, &mut counting) == Next::Again {
            step = rolled(step + 1);
            if step >= STEPS {
                return Next::Again;
            }
        }
    }
    follow::client_closed(connection, segment.closing(), segment, &mut counting);
    Next::Done
}

#[inline(always)]
fn sent(segment: &SkbSegment<'_>) -> Next {
    let Some(connection) = REQUEST_CONNECTIONS.get_ptr_mut(&segment.key) else { return Next::Done };
    // SAFETY: as above.
    let connection = unsafe { &mut *connection };
    if connection.mode != FOLLOWED {
        return Next::Done;
    }
    let Some(mut counting) = segment.counting() else { return Next::Done };
    if segment.payload_bytes > 0 {
        let mut step = 0;
        while follow::response(connection, segment, &mut counting) == Next::Again {
            step = rolled(step + 1);
            if step >= STEPS {
                return Next::Again;
            }
        }
    }
    follow::server_closed(connection, segment.closing(), segment, &mut counting);
    Next::Done
}

/// Adds a connection whose first message may start here.
#[inline(always)]
fn create(segment: &SkbSegment<'_>) -> Option<*mut Connection> {
    let bytes = segment.payload_bytes.min(8);
    if bytes == 0 {
        return None;
    }
    let [first, ..] = segment.words(0, bytes);
    // TLS and HTTP/2 have starts that can be recognised, too.
    let is_known = first & 0xffff == 0x0316 || first == u64::from_le_bytes(*b"PRI * HT");
    if !is_known && observer::requests_method(first, bytes) == Start::OTHER.0 {
        return None;
    }
    let empty = REQUEST_EMPTY.get(0)?;
    let _ = REQUEST_CONNECTIONS.insert(&segment.key, empty, BPF_NOEXIST);
    let connection = REQUEST_CONNECTIONS.get_ptr_mut(&segment.key)?;
    // SAFETY: an element of the map.
    unsafe {
        (*connection).opened_ns = observer::now_ns();
        if segment::socket_state(segment.ctx) == state::LISTEN {
            (*connection).request.found = found::UNCONFIRMED;
        }
        (*connection).request.next = segment.sequence;
        (*connection).response.next = segment.acknowledged;
    }
    Some(connection)
}
