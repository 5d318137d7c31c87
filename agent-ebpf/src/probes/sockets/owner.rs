//! The container of a socket: that of the cgroup in which the socket was created. For an accepted TCP connection it is
//! that of the listening socket.

use glassbox_ebpf::{
    containers::{OWNER, SHARED_SLOT},
    offsets::ABSENT,
};

use super::super::containers::slot_of;
use crate::{
    frozen::offset,
    read::{field, kernel, present},
};

/// Set before 5.15 if the word does not contain a pointer, because v1's net_cls or net_prio is in use.
const NO_POINTER: u64 = 3;

/// The slot of a socket, from a pointer with a type. The offsets are frozen, so the verifier prunes one of the
/// branches.
#[inline(always)]
pub(super) fn slot_of_socket(socket: *const u8) -> u32 {
    let id = if offset!(sock_cgroup) == ABSENT {
        before_5_15(socket).unwrap_or_default()
    } else {
        let cgroup: *const u8 = present(socket, offset!(sock_cgroup));
        let node: *const u8 = present(cgroup, offset!(cgroup_kn));
        present(node, offset!(kernfs_node_id))
    };
    if id == 0 { SHARED_SLOT } else { slot_of(id) & !OWNER }
}

#[inline(always)]
fn before_5_15(socket: *const u8) -> Option<u64> {
    let cgroup: u64 = field(socket, offset!(sock_cgroup_value))?;
    if cgroup & NO_POINTER != 0 {
        return None;
    }
    kernel(kernel(cgroup, offset!(cgroup_kn))?, offset!(kernfs_node_id))
}
