//! The payload of a packet.

use aya_ebpf::{helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use glassbox_ebpf::requests::{
    connection::{CARRY_ROOM_WORDS, Carry, CarryKey, ConnectionKey},
    follow::{Closing, Segment},
    head::{CARRY_WORDS, Scan, Window},
    zeros,
};

use super::{REQUEST_CARRIES, REQUEST_EMPTY, REQUEST_SCANS, flag, observer::Counting};
use crate::probes::{
    packet::{Direction, Packet, words},
    sockets::state,
};

/// In the second of the words that are passed, with the offset of the payload and the flags.
const IS_IPV6: u32 = 1 << 31;
/// Where the two addresses are in an IPv4 and in an IPv6 header.
const V4_SOURCE: u32 = 12;
const V6_SOURCE: u32 = 8;

pub(super) struct SkbSegment<'a> {
    pub(super) ctx: &'a SkBuffContext,
    pub(super) key: ConnectionKey,
    pub(super) direction: Direction,
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
    pub(super) payload_offset: u32,
    pub(super) payload_bytes: u32,
}

/// Passes the headers of a packet to the next program, in the words of the context that belong to the programs (`cb`). The
/// kernel saves and restores them around the programs of a cgroup.
#[inline(always)]
pub(super) fn pass(ctx: &SkBuffContext, packet: &Packet, [local, remote]: [u16; 2]) {
    let form = if packet.is_ipv6 { IS_IPV6 } else { 0 };
    // SAFETY: the context comes from the kernel. Each word is written by itself, at a fixed place, as the verifier demands.
    unsafe {
        let passed = (&raw mut (*ctx.skb.skb).cb).cast::<u32>();
        passed.write_volatile(packet.slot);
        passed.add(1).write_volatile(form | packet.payload_offset << 8 | u32::from(packet.flags));
        passed.add(2).write_volatile(packet.sequence);
        passed.add(3).write_volatile(packet.acknowledged);
        passed.add(4).write_volatile(u32::from(local) << 16 | u32::from(remote));
    }
}

/// The local and the remote address of a received packet.
#[inline(always)]
fn header_addresses(ctx: &SkBuffContext, is_ipv6: bool) -> Option<([u32; 4], [u32; 4])> {
    if is_ipv6 {
        let [a, b, c, d, e, f, g, h]: [u32; 8] = words(ctx, V6_SOURCE)?;
        Some(([e, f, g, h], [a, b, c, d]))
    } else {
        let [source, destination]: [u32; 2] = words(ctx, V4_SOURCE)?;
        Some(([destination, 0, 0, 0], [source, 0, 0, 0]))
    }
}

/// The local and the remote address of the socket that sends a packet. If the container's own network namespace translates
/// addresses (`REDIRECT`, as sidecar proxies use it), the packet has others by now, but received packets have these.
#[inline(always)]
fn socket_addresses(ctx: &SkBuffContext, is_ipv6: bool) -> ([u32; 4], [u32; 4]) {
    let skb = ctx.skb.skb;
    // SAFETY: the context comes from the kernel; each word is read by itself, as the verifier demands.
    unsafe {
        if is_ipv6 {
            let (local, remote) = (&raw const (*skb).local_ip6, &raw const (*skb).remote_ip6);
            let (local, remote) = (local.cast::<u32>(), remote.cast::<u32>());
            let read = |from: *const u32| [0, 1, 2, 3].map(|word| from.add(word).read_volatile());
            (read(local), read(remote))
        } else {
            ([(*skb).local_ip4, 0, 0, 0], [(*skb).remote_ip4, 0, 0, 0])
        }
    }
}

/// The state of the socket that sends or receives a packet; 0 if there is none.
#[inline(always)]
pub(super) fn socket_state(ctx: &SkBuffContext) -> u32 {
    // SAFETY: the context comes from the kernel; the socket is checked for null, as the verifier demands.
    unsafe {
        let socket = (*ctx.skb.skb).__bindgen_anon_2.sk;
        if socket.is_null() { 0 } else { (*socket).state }
    }
}

/// The local and the remote port of the socket that sends a packet, see above.
#[inline(always)]
pub(super) fn socket_ports(ctx: &SkBuffContext) -> [u16; 2] {
    // SAFETY: the context comes from the kernel. The remote port is in the network's byte order.
    unsafe { [(*ctx.skb.skb).local_port as u16, u32::from_be((*ctx.skb.skb).remote_port) as u16] }
}

impl<'a> SkbSegment<'a> {
    /// What [`pass`] has passed.
    #[inline(always)]
    pub(super) fn read(ctx: &'a SkBuffContext, direction: Direction) -> Option<Self> {
        // SAFETY: the context comes from the kernel; each word is read by itself, as above.
        let [slot, form, sequence, acknowledged, ports] = unsafe {
            let passed = (&raw const (*ctx.skb.skb).cb).cast::<u32>();
            [0, 1, 2, 3, 4].map(|word| passed.add(word).read_volatile())
        };
        let is_ipv6 = form & IS_IPV6 != 0;
        let (local, remote) = match direction {
            Direction::Ingress => header_addresses(ctx, is_ipv6)?,
            Direction::Egress => socket_addresses(ctx, is_ipv6),
        };
        let payload_offset = (form & !IS_IPV6) >> 8;
        let [a, b, c, d] = local;
        Some(Self {
            ctx,
            key: ConnectionKey { remote, ports, local: a ^ b ^ c ^ d, slot },
            direction,
            sequence,
            acknowledged,
            flags: form as u8,
            payload_offset,
            payload_bytes: ctx.len().saturating_sub(payload_offset),
        })
    }

    /// The counters of the container.
    #[inline(always)]
    pub(super) fn counting(&self) -> Option<Counting<&Self>> {
        Counting::of(self.key.slot, self, self.sent_ns())
    }

    /// When TCP has sent the packet, or will send it if it paces its packets, in ns of CLOCK_MONOTONIC (4.20). It costs less
    /// than reading the clock. 0 if unknown, as for every received packet.
    #[inline(always)]
    fn sent_ns(&self) -> u64 {
        match self.direction {
            // SAFETY: the context comes from the kernel.
            Direction::Egress => unsafe { (*self.ctx.skb.skb).tstamp },
            Direction::Ingress => 0,
        }
    }

    #[inline(always)]
    pub(super) fn closing(&self) -> Closing {
        let reset = self.flags & flag::RST != 0;
        // A container that closes a socket with a reset has closed it by now. The kernel's timers send theirs before.
        let is_client_lost =
            reset && matches!(self.direction, Direction::Egress) && socket_state(self.ctx) != state::CLOSE;
        Closing { fin: self.flags & flag::FIN != 0, reset, is_client_lost }
    }
}

impl SkbSegment<'_> {
    /// Copies bytes of the payload. `bound` is a power of two, minus 1, and `to` has room for that many bytes and one
    /// more.
    ///
    /// # Safety
    /// `to` must be valid for `bound + 1` bytes.
    #[inline(always)]
    unsafe fn copy(&self, to: *mut u8, offset: u32, bytes: u32, bound: u64) -> bool {
        // The verifier rejects a size that may be 0, and needs the bound in the register of the size.
        let mut less = u64::from(bytes) - 1;
        // SAFETY: copies a register to itself, which hides from the compiler that the mask has no effect.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) less) };
        let bytes = (less & bound) + 1;
        let offset = self.payload_offset + offset;
        // SAFETY: guaranteed by the caller; the helper checks the packet's length.
        unsafe { bpf_skb_load_bytes(self.ctx.skb.skb.cast(), offset, to.cast(), bytes as u32) == 0 }
    }
}

impl Segment for SkbSegment<'_> {
    #[inline(always)]
    fn sequence(&self) -> u32 {
        self.sequence
    }

    #[inline(always)]
    fn acknowledged(&self) -> Option<u32> {
        (self.flags & flag::ACK != 0).then_some(self.acknowledged)
    }

    #[inline(always)]
    fn bytes(&self) -> u32 {
        self.payload_bytes
    }

    #[inline(always)]
    fn scan(&self) -> Option<&mut Scan> {
        let scan = REQUEST_SCANS.get_ptr_mut(self.direction as u32)?;
        // SAFETY: an element of the map.
        Some(unsafe { &mut *scan })
    }

    #[inline(always)]
    fn scan_head(&self, _: &mut Scan, bytes: u32) {
        requests_scan_head(self.direction as u32, bytes);
    }

    #[inline(always)]
    fn scan_size(&self, _: &mut Scan, bytes: u32) {
        requests_scan_size(self.direction as u32, bytes);
    }

    #[inline(always)]
    fn load(&self, window: &mut Window, after_carry: bool, offset: u32, bytes: u32) -> bool {
        let to = window.as_mut_ptr().cast::<u8>();
        // SAFETY: 256 bytes fit into the window from its start and after a carry.
        unsafe { self.copy(to.add(if after_carry { CARRY_WORDS * 8 } else { 0 }), offset, bytes, 255) }
    }

    #[inline(always)]
    fn words(&self, offset: u32, bytes: u32) -> [u64; 3] {
        let mut words = zeros::<4>();
        // SAFETY: 32 bytes fit.
        unsafe { self.copy(words.as_mut_ptr().cast(), offset, bytes, 31) };
        [words[0], words[1], words[2]]
    }

    #[inline(always)]
    fn load_carry<const N: usize>(
        &self,
        words: &mut [u64; N],
        position: u32,
        offset: u32,
        bytes: u32,
    ) -> bool {
        const { assert!(N >= CARRY_ROOM_WORDS) };
        let to = words.as_mut_ptr().cast::<u8>();
        // SAFETY: 64 bytes fit at both positions.
        unsafe { self.copy(to.add(if position == 0 { 0 } else { CARRY_WORDS * 8 }), offset, bytes, 63) }
    }

    // Not inlined, so that the key is not on the stack while a head is scanned: kernels such as 5.10 and 6.1 round each frame up
    // to 32 bytes, and the three frames of a scan together may have 512.
    #[inline(never)]
    fn carry(&self, create: bool) -> Option<&mut Carry> {
        let key = CarryKey { connection: self.key, direction: self.direction as u32 };
        let known = REQUEST_CARRIES.get_ptr_mut(&key);
        let carry = match known {
            None if create => {
                let empty = REQUEST_EMPTY.get_ptr(0)?;
                // SAFETY: an empty connection is larger than an empty carry, and both are zeros.
                let _ = REQUEST_CARRIES.insert(&key, unsafe { &*empty.cast::<Carry>() }, 0);
                REQUEST_CARRIES.get_ptr_mut(&key)?
            }
            known => known?,
        };
        // SAFETY: an element of the map.
        Some(unsafe { &mut *carry })
    }
}

/// Scans a head in the window of a direction. As a global function with numbers as arguments, it is verified once (5.6),
/// not once for each state in which it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn requests_scan_head(direction: u32, bytes: u32) -> u32 {
    let Some(scan) = REQUEST_SCANS.get_ptr_mut(direction) else { return 0 };
    // SAFETY: an element of the map.
    unsafe { (*scan).head(bytes) };
    1
}

/// Scans a line with the size of a chunk in the window of a direction.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn requests_scan_size(direction: u32, bytes: u32) -> u32 {
    let Some(scan) = REQUEST_SCANS.get_ptr_mut(direction) else { return 0 };
    // SAFETY: an element of the map.
    unsafe { (*scan).size(bytes) };
    1
}
