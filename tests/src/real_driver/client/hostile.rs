//! Hostile requests: invalid addresses, wrong sizes, words of other drivers.

use std::{ffi::CStr, os::fd::AsRawFd as _};

use anyhow::Context as _;

use super::{
    Devices, open,
    requests::{Pages, raw},
};
use crate::nvidia::abi::{class, frontend};

/// An address of the kernel.
const KERNEL: usize = 0xFFFF_8880_0000_0000;
/// An unmapped address.
const NOWHERE: usize = 0x1000;
const PAGE_BYTES: usize = 4096;
/// Enough for the largest structure.
const ROOM_BYTES: usize = 16 * PAGE_BYTES;
/// Valid requests with the sizes of their structures.
const USUAL: [(u32, usize); 6] = [
    (frontend::CONTROL, 32),
    (frontend::ALLOC, 48),
    (frontend::ALLOC, 32),
    (frontend::FREE, 16),
    (frontend::VID_HEAP_CONTROL, 184),
    (frontend::SYS_PARAMS, 8),
];
/// Words of other drivers: letter G, FIONREAD, TCGETS, one of DRM's.
const FOREIGN: [u64; 4] = [0xC010_4729, 0x541B, 0x5401, 0xC008_6400];
/// Numbers that are not UVM commands.
const NO_UVM: [u64; 5] = [96, 200, 2047, 0x3000_0003, 0xFFFF_FFFF];

/// Sends the requests from one thread.
pub(super) fn run() -> anyhow::Result<()> {
    let devices = Devices::open()?;
    let (ctl, uvm) = (devices.ctl.as_raw_fd(), devices.uvm.as_raw_fd());
    let memory = Pages::new(ROOM_BYTES, false)?;
    let read_only = Pages::new(ROOM_BYTES, true)?;
    for (number, bytes) in USUAL {
        let word = u64::from(frontend::word(number, bytes));
        for address in [0, NOWHERE, KERNEL, read_only.address()] {
            raw(ctl, word, address);
        }
        // Half of the structure is in memory, half after its end.
        raw(ctl, word, memory.address() + ROOM_BYTES - bytes / 2);
        for wrong in [0, 1, bytes - 1, bytes + 4, 0x3FFF] {
            memory.fill(0, &[]);
            raw(ctl, frontend::word(number, wrong).into(), memory.address());
        }
    }
    for number in (0..=0xFF).filter(|&number| number != frontend::XFER) {
        memory.fill(0, &[]);
        raw(ctl, frontend::word(number, 16).into(), memory.address());
    }
    for word in FOREIGN {
        memory.fill(0, &[]);
        raw(ctl, word, memory.address());
        raw(uvm, word, memory.address());
    }
    wrapped(ctl, &memory);
    for command in (0..96).chain(NO_UVM) {
        memory.fill(0, &[]);
        raw(uvm, command, memory.address());
        raw(uvm, command, 0);
    }
    for command in [0x3000_0001, 25, 33, 39] {
        for address in [NOWHERE, KERNEL, read_only.address()] {
            raw(uvm, command, address);
        }
    }
    Ok(())
}

/// XFER requests that are nested, too large, or empty.
fn wrapped(ctl: i32, memory: &Pages) {
    let word = frontend::word(frontend::XFER, 16).into();
    let address = memory.address();
    let inner = address + PAGE_BYTES;
    let cases = [
        (frontend::XFER, 16, inner),
        (frontend::CONTROL, 1 << 30, inner),
        (frontend::FREE, 16, 0),
        (frontend::FREE, 16, KERNEL),
        (frontend::FREE, 0, inner),
        (frontend::FREE, 16, inner),
        (0x1_0000 | frontend::FREE, 16, inner),
        (0x99, 16, inner),
    ];
    for (number, size, inner) in cases {
        let mut structure = [0_u8; 16];
        structure[..4].copy_from_slice(&number.to_ne_bytes());
        structure[4..8].copy_from_slice(&u32::to_ne_bytes(size));
        structure[8..].copy_from_slice(&(inner as u64).to_ne_bytes());
        memory.fill(0, &structure);
        raw(ctl, word, address);
    }
    raw(ctl, word, 0);
    raw(ctl, word, KERNEL);
}

/// Sends requests to the device for tools, which has its own functions.
pub(super) fn use_tools() -> anyhow::Result<()> {
    let tools = open("nvidia-uvm-tools")?;
    let memory = Pages::new(ROOM_BYTES, false)?;
    // UVM_TOOLS_INIT_EVENT_TRACKER without valid parameters, and a command that does not exist.
    for command in [56, 56, 2047] {
        memory.fill(0, &[]);
        raw(tools.as_raw_fd(), command, memory.address());
    }
    Ok(())
}

/// Sends requests as a 32-bit program does, with the recorder's system call.
pub(super) fn run_as_32_bit_program() -> anyhow::Result<()> {
    const NAME: &CStr = c"ioctl_32";
    // SAFETY: a C string; the recorder's function has this signature.
    let ioctl: Option<unsafe extern "C" fn(i32, u32, u32) -> i32> =
        unsafe { std::mem::transmute(libc::dlsym(libc::RTLD_DEFAULT, NAME.as_ptr())) };
    let ioctl = ioctl.context("find ioctl_32: the recorder is not preloaded")?;
    let devices = Devices::open()?;
    let memory = Pages::new(PAGE_BYTES, false)?;
    let address = u32::try_from(memory.address()).context("get memory below 4 GiB")?;
    // SAFETY: the addresses are ours, and the driver checks them.
    let send = |file: &std::fs::File, word: u32| unsafe { ioctl(file.as_raw_fd(), word, address) };
    let version = super::driver::release()?.to_string();
    memory.fill(8, version.as_bytes());
    send(&devices.ctl, frontend::word(frontend::CHECK_VERSION, 72));
    for _ in 0..3 {
        memory.fill(12, &class::ROOT_CLIENT.to_ne_bytes());
        send(&devices.ctl, frontend::word(frontend::ALLOC, 32));
    }
    for _ in 0..5 {
        memory.fill(0, &0xBAD_u32.to_ne_bytes());
        send(&devices.ctl, frontend::word(frontend::FREE, 16));
    }
    for command in [0x3000_0001, 39, 39] {
        memory.fill(0, &[]);
        send(&devices.uvm, command);
    }
    Ok(())
}
