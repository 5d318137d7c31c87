//! The headers of one packet of a container's socket, as the cgroup_skb programs see it: from the IP header on.
//!
//! Headers are read directly if they are in the linear part of the packet, as those of TCP and UDP are, else with
//! `bpf_skb_load_bytes`. A field that the caller does not use costs nothing, because everything is inlined.
//!
//! All values come from the peer or from a raw socket of the container. They are bounded only by their types:
//! `payload_offset` is at most some 9 KiB and may be behind the end of the packet, and `payload_bytes` is 0 then.

use aya_ebpf::{bindings::__sk_buff, programs::SkBuffContext};
use glassbox_ebpf::{requests::rolled, sockets::protocol};

/// One IPv4 or IPv6 packet of a container's socket: what the kernel handles as one unit, such as a whole GSO packet.
#[expect(dead_code, reason = "the programs that only count need few of the fields")]
pub(super) struct Packet {
    /// The container's slot.
    pub(super) slot: u32,
    /// The transport protocol, as in the IP header. Extension headers of IPv6 are skipped.
    pub(super) protocol: u8,
    /// True for IPv6.
    pub(super) is_ipv6: bool,
    /// The container's address, in network byte order. An IPv4 address is in the first word, and the others are 0.
    pub(super) local: [u32; 4],
    /// The peer's address, in the same form.
    pub(super) remote: [u32; 4],
    /// The container's port; 0 unless TCP or UDP, and in fragments other than the first.
    pub(super) local_port: u16,
    /// The peer's port; 0 in the same cases.
    pub(super) remote_port: u16,
    /// The sequence number; 0 unless TCP, as the next two fields.
    pub(super) sequence: u32,
    /// The acknowledgement number.
    pub(super) acknowledged: u32,
    /// The TCP flags: CWR, ECE, URG, ACK, PSH, RST, SYN, FIN, highest bit first.
    pub(super) flags: u8,
    /// Where the IP header, with its extensions, ends.
    pub(super) transport_offset: u32,
    /// Where the payload of TCP or UDP begins, from the start of the packet; else where the IP header ends.
    pub(super) payload_offset: u32,
    /// The number of bytes from there to the end of the packet.
    pub(super) payload_bytes: u32,
}

/// The direction of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Received: the source is the peer.
    Ingress,
    /// Sent: the destination is the peer.
    Egress,
}

/// Protocol numbers in the IP header.
pub(super) mod ip {
    pub(in super::super) const HOP_BY_HOP: u8 = 0;
    pub(in super::super) const TCP: u8 = 6;
    pub(in super::super) const UDP: u8 = 17;
    pub(in super::super) const ROUTING: u8 = 43;
    pub(in super::super) const FRAGMENT: u8 = 44;
    pub(in super::super) const NO_NEXT: u8 = 59;
    pub(in super::super) const DESTINATION: u8 = 60;
}

/// Maximum number of IPv6 extension headers that are skipped. The kernel itself sends at most three.
const EXTENSIONS_MAX: u32 = 4;
/// The bits of a fragment's offset, in the IPv4 and in the IPv6 field.
const V4_FRAGMENT_OFFSET: u32 = 0x1fff;
const V6_FRAGMENT_OFFSET: u32 = 0xfff8;
/// Covers the length of an IPv6 header with the maximum of extensions.
const V6_HEADERS_MASK: u32 = 0x3fff;
const UDP_HEADER_BYTES: u32 = 8;
/// Length of an IPv6 header without extensions.
pub(super) const IPV6_HEADER_BYTES: u32 = 40;
const TCP_HEADER_MIN_BYTES: u32 = 20;

impl Packet {
    /// Reads the headers; `None` if the IP header cannot be read.
    #[inline(always)]
    pub(super) fn read(ctx: &SkBuffContext, direction: Direction, slot: u32) -> Option<Self> {
        let first: [u32; 5] = words(ctx, 0)?;
        let network = match u32::from_be(first[0]) >> 28 {
            4 => Network::v4(first),
            6 => Network::v6(ctx)?,
            _ => return None,
        };
        let bytes = ctx.len();
        let header_bytes = network.header_bytes;
        let (local, remote) = match direction {
            Direction::Ingress => (network.destination, network.source),
            Direction::Egress => (network.source, network.destination),
        };
        let mut packet = Self {
            slot,
            protocol: network.protocol,
            is_ipv6: network.is_ipv6,
            local,
            remote,
            local_port: 0,
            remote_port: 0,
            sequence: 0,
            acknowledged: 0,
            flags: 0,
            transport_offset: header_bytes,
            payload_offset: header_bytes,
            payload_bytes: bytes.saturating_sub(header_bytes),
        };
        if network.is_later_fragment {
            return Some(packet);
        }
        let transport_bytes = match network.protocol {
            ip::TCP => {
                let Some([ports, sequence, acknowledged, control, _]) = words(ctx, header_bytes) else {
                    packet.payload_bytes = 0;
                    return Some(packet);
                };
                packet.set_ports(ports, direction);
                packet.sequence = u32::from_be(sequence);
                packet.acknowledged = u32::from_be(acknowledged);
                let control = u32::from_be(control);
                packet.flags = (control >> 16) as u8;
                // A value below the minimum is malformed. No such packet reaches a TCP socket.
                (control >> 26 & 0x3c).max(TCP_HEADER_MIN_BYTES)
            }
            ip::UDP => {
                let Some([ports, _]) = words(ctx, header_bytes) else {
                    packet.payload_bytes = 0;
                    return Some(packet);
                };
                packet.set_ports(ports, direction);
                UDP_HEADER_BYTES
            }
            _ => return Some(packet),
        };
        packet.payload_offset = header_bytes + transport_bytes;
        packet.payload_bytes = bytes.saturating_sub(packet.payload_offset);
        Some(packet)
    }

    /// The [`protocol`] that counts this packet.
    #[inline(always)]
    pub(super) fn counted_as(&self) -> usize {
        match self.protocol {
            ip::TCP => protocol::TCP,
            ip::UDP => protocol::UDP,
            _ => protocol::OTHER,
        }
    }

    #[inline(always)]
    fn set_ports(&mut self, ports: u32, direction: Direction) {
        let ports = u32::from_be(ports);
        let (source, destination) = ((ports >> 16) as u16, ports as u16);
        (self.local_port, self.remote_port) = match direction {
            Direction::Ingress => (destination, source),
            Direction::Egress => (source, destination),
        };
    }
}

/// What the IP headers contain.
struct Network {
    is_ipv6: bool,
    source: [u32; 4],
    destination: [u32; 4],
    protocol: u8,
    /// Including extension headers.
    header_bytes: u32,
    /// True for fragments without a transport header.
    is_later_fragment: bool,
}

impl Network {
    #[inline(always)]
    fn v4(words: [u32; 5]) -> Self {
        let [version, fragment, protocol, source, destination] = words;
        Self {
            is_ipv6: false,
            source: [source, 0, 0, 0],
            destination: [destination, 0, 0, 0],
            protocol: (u32::from_be(protocol) >> 16) as u8,
            header_bytes: u32::from_be(version) >> 22 & 0x3c,
            is_later_fragment: u32::from_be(fragment) & V4_FRAGMENT_OFFSET != 0,
        }
    }

    #[inline(always)]
    fn v6(ctx: &SkBuffContext) -> Option<Self> {
        let [_, next, s0, s1, s2, s3, d0, d1, d2, d3]: [u32; 10] = words(ctx, 0)?;
        let mut network = Self {
            is_ipv6: true,
            source: [s0, s1, s2, s3],
            destination: [d0, d1, d2, d3],
            protocol: (u32::from_be(next) >> 8) as u8,
            header_bytes: IPV6_HEADER_BYTES,
            is_later_fragment: false,
        };
        let mut extensions = 0;
        while extensions < EXTENSIONS_MAX {
            if !network.skip_extension(ctx) {
                break;
            }
            extensions += 1;
        }
        // Without the mask, the verifier distinguishes more lengths, and sockets_egress takes it 36,000 instructions
        // instead of 22,000 (6.18).
        network.header_bytes = rolled(network.header_bytes as usize) as u32 & V6_HEADERS_MASK;
        Some(network)
    }

    /// Skips an extension header. Returns false if there is none, or none that can be skipped.
    #[inline(always)]
    fn skip_extension(&mut self, ctx: &SkBuffContext) -> bool {
        let is_fragment = match self.protocol {
            ip::HOP_BY_HOP | ip::ROUTING | ip::DESTINATION => false,
            ip::FRAGMENT if !self.is_later_fragment => true,
            _ => return false,
        };
        let Some([head]) = words(ctx, self.header_bytes) else {
            self.protocol = ip::NO_NEXT;
            return false;
        };
        let head = u32::from_be(head);
        self.protocol = (head >> 24) as u8;
        if is_fragment {
            self.is_later_fragment = head & V6_FRAGMENT_OFFSET != 0;
            self.header_bytes += 8;
        } else {
            self.header_bytes += ((head >> 16 & 0xff) + 1) * 8;
        }
        true
    }
}

/// Reads words at an offset, in network byte order.
#[inline(always)]
pub(super) fn words<const N: usize>(ctx: &SkBuffContext, offset: u32) -> Option<[u32; N]> {
    let skb: *const __sk_buff = ctx.skb.skb;
    // SAFETY: the context comes from the kernel.
    let (data, end) = unsafe { ((*skb).data as usize, (*skb).data_end as usize) };
    let start = data + offset as usize;
    if start + N * 4 > end {
        return ctx.load(offset as usize).ok();
    }
    // SAFETY: the words are within the linear part, as the verifier checks. IP headers are aligned to words unless a
    // raw socket or a driver decides otherwise; these processors can load unaligned words.
    Some(unsafe { *(start as *const [u32; N]) })
}
