//! Well-formed requests. The driver grants some and refuses others with a status.

use std::{fs::File, os::fd::AsRawFd as _};

use super::{Devices, open, requests::send};
use crate::{
    nvidia::abi::{Device, Release, class, frontend, heap, request::Request, uvm},
    real_driver::driver,
};

/// `NV0000_CTRL_CMD_GPU_GET_ATTACHED_IDS`: 32 numbers.
const ATTACHED_IDS: (u32, usize) = (0x201, 128);
/// `NV0000_CTRL_CMD_GPU_GET_PROBED_IDS`: 32 numbers and 32 excluded ones.
const PROBED_IDS: (u32, usize) = (0x214, 256);
/// `NV0000_CTRL_CMD_SYSTEM_GET_BUILD_VERSION`, here without its parameters.
const BUILD_VERSION: u32 = 0x101;
/// `NV2080_CTRL_CMD_GPU_GET_NAME_STRING`
const NAME_STRING: u32 = 0x2080_0110;
/// A handle that does not exist.
const BAD: u32 = 0xBAD;
/// An unmapped address.
const ADDRESS: u64 = 0x10_0000_0000;
const MIB: u64 = 1 << 20;

/// The first requests of every client.
pub(super) fn register_client(ctl: &File) -> anyhow::Result<()> {
    let release = driver::release()?;
    let version = Request::escape(release, Device::Ctl, frontend::CHECK_VERSION);
    send(ctl, &mut version.field(8, release.to_string().as_bytes()));
    send(ctl, &mut Request::escape(release, Device::Ctl, frontend::SYS_PARAMS));
    Ok(())
}

/// Sends one request of each kind.
fn send_all(devices: &Devices) -> anyhow::Result<()> {
    let release = driver::release()?;
    let ctl = &devices.ctl;
    register_client(ctl)?;
    send(ctl, &mut Request::escape(release, Device::Ctl, frontend::CARD_INFO));
    with_client(ctl, release);
    without_client(ctl, release);
    if let Some(gpu) = &devices.gpu {
        send(gpu, &mut frontend::control(release, BAD, BAD, NAME_STRING, (0, 0)));
        send(gpu, &mut frontend::free(release, BAD, 0, BAD));
    }
    Ok(())
}

/// Sends all requests from one thread.
pub(super) fn run() -> anyhow::Result<()> {
    let devices = Devices::open()?;
    send_all(&devices)?;
    use_uvm(&devices.uvm)
}

/// Requests for objects of an existing client.
fn with_client(ctl: &File, release: Release) {
    let mut root = frontend::alloc(release, [0, 0, 0], class::ROOT_CLIENT, (0, 0));
    send(ctl, &mut root);
    let client = root.get_u32(8);
    let mut second = frontend::alloc_short([0, 0, 0], class::ROOT_CLIENT, (0, 0));
    send(ctl, &mut second);

    for (command, bytes) in [ATTACHED_IDS, PROBED_IDS] {
        let mut parameters = vec![0_u8; bytes];
        let parameters = (parameters.as_mut_ptr() as u64, bytes as u32);
        send(ctl, &mut frontend::control(release, client, client, command, parameters));
        let mut inner = frontend::control(release, client, client, command, parameters);
        send(ctl, &mut frontend::wrapped(release, &mut inner));
    }
    send(ctl, &mut frontend::control(release, client, client, BUILD_VERSION, (0, 0)));
    send(ctl, &mut frontend::control(release, client, BAD, NAME_STRING, (0, 0)));

    // An event of the operating system must first be registered for a descriptor. NV0005_ALLOC_PARAMETERS are the client,
    // the source, the class, an index, and that descriptor.
    let descriptor = ctl.as_raw_fd();
    send(ctl, &mut frontend::os_event(release, client, 0, descriptor));
    let mut event = [0_u8; 24];
    event[16..20].copy_from_slice(&descriptor.to_ne_bytes());
    event[..4].copy_from_slice(&client.to_ne_bytes());
    event[4..8].copy_from_slice(&client.to_ne_bytes());
    event[8..12].copy_from_slice(&class::EVENT_OS_EVENT.to_ne_bytes());
    let parameters = (event.as_mut_ptr() as u64, event.len() as u32);
    for (object, class) in [(2, class::EVENT_OS_EVENT), (3, class::EVENT)] {
        send(ctl, &mut frontend::alloc(release, [client, client, object], class, parameters));
    }
    // A class that no release has, a device without its parameters, and a GPU that does not work.
    for class in [0xFFFF, class::DEVICE, class::MEMORY_LOCAL_USER, class::VASPACE] {
        send(ctl, &mut frontend::alloc(release, [client, client, 0], class, (0, 0)));
    }
    send(ctl, &mut heap::alloc(release, heap::ALLOC_SIZE, [client, BAD, 0], 0, MIB));
    send(ctl, &mut frontend::map(release, [client, BAD, BAD], MIB, -1));
    send(ctl, &mut frontend::dma(release, frontend::MAP_MEMORY_DMA, [client, BAD, BAD, BAD]));
    send(ctl, &mut frontend::dma(release, frontend::UNMAP_MEMORY_DMA, [client, BAD, BAD, BAD]));
    send(ctl, &mut Request::escape(release, Device::Ctl, frontend::UNMAP_MEMORY).u32(0, client));
    send(ctl, &mut frontend::free(release, client, client, 2));
    send(ctl, &mut frontend::free(release, client, client, BAD));
    send(ctl, &mut frontend::free(release, client, 0, client));
    let second = second.get_u32(8);
    send(ctl, &mut frontend::free(release, second, 0, second));
}

/// The same requests without a client.
fn without_client(ctl: &File, release: Release) {
    for _ in 0..5 {
        send(ctl, &mut frontend::free(release, BAD, 0, BAD));
    }
    for _ in 0..3 {
        send(ctl, &mut frontend::control(release, BAD, BAD, NAME_STRING, (0, 0)));
        send(ctl, &mut frontend::alloc_short([BAD, BAD, BAD], class::DEVICE, (0, 0)));
    }
    send(ctl, &mut frontend::os_event(release, BAD, BAD, -1));
    send(ctl, &mut Request::escape(release, Device::Ctl, frontend::FREE_OS_EVENT).u32(0, BAD));
    send(ctl, &mut heap::free(release, BAD, BAD, BAD));
    send(ctl, &mut frontend::pin(release, [BAD, BAD, BAD], ADDRESS, 4096));
    send(ctl, &mut Request::escape(release, Device::Ctl, frontend::UPDATE_DEVICE_MAPPING_INFO));
    send(ctl, &mut Request::escape(release, Device::Ctl, frontend::REGISTER_FD).u32(0, u32::MAX));
}

/// All requests of UVM that succeed, or are refused, without a GPU.
pub(super) fn use_uvm(file: &File) -> anyhow::Result<()> {
    let release = driver::release()?;
    send(file, &mut Request::uvm(release, uvm::INITIALIZE));
    let second = open("nvidia-uvm")?;
    let descriptor = file.as_raw_fd().cast_unsigned();
    send(&second, &mut Request::uvm(release, uvm::MM_INITIALIZE).u32(0, descriptor));
    for _ in 0..3 {
        send(file, &mut Request::uvm(release, uvm::PAGEABLE_MEM_ACCESS));
    }
    // A GPU that does not exist.
    send(file, &mut Request::uvm(release, uvm::REGISTER_GPU).field(0, &uvm::uuid(1)));
    send(file, &mut Request::uvm(release, uvm::REGISTER_GPU_VASPACE).field(0, &uvm::uuid(1)));
    send(file, &mut uvm::channel(release, 1, [BAD, BAD], ADDRESS, 2 * MIB));
    send(file, &mut Request::uvm(release, uvm::UNREGISTER_CHANNEL));
    send(file, &mut Request::uvm(release, uvm::CREATE_RANGE_GROUP));
    send(file, &mut uvm::range(release, uvm::CREATE_EXTERNAL_RANGE, ADDRESS, 2 * MIB));
    send(file, &mut uvm::map(release, ADDRESS, 2 * MIB, 1, [BAD, BAD], -1));
    // An address that is not page-aligned.
    for command in [uvm::MAP_EXTERNAL_ALLOCATION, uvm::CREATE_EXTERNAL_RANGE, uvm::FREE] {
        send(file, &mut uvm::range(release, command, ADDRESS + 1, 2 * MIB));
    }
    for command in [
        uvm::VALIDATE_VA_RANGE,
        uvm::MIGRATE,
        uvm::SET_PREFERRED_LOCATION,
        uvm::DISABLE_READ_DUPLICATION,
        uvm::FREE,
        uvm::FREE,
    ] {
        send(file, &mut uvm::range(release, command, ADDRESS, 2 * MIB));
    }
    Ok(())
}

/// Sends requests from several threads, each with its own files.
pub(super) fn run_threads(threads: usize, rounds: usize) -> anyhow::Result<()> {
    let release = driver::release()?;
    let work = move || -> anyhow::Result<()> {
        let devices = Devices::open()?;
        send(&devices.uvm, &mut Request::uvm(release, uvm::INITIALIZE));
        for _ in 0..rounds {
            send(&devices.ctl, &mut frontend::free(release, BAD, 0, BAD));
            send(&devices.ctl, &mut frontend::control(release, BAD, BAD, NAME_STRING, (0, 0)));
            send(&devices.ctl, &mut Request::escape(release, Device::Ctl, frontend::SYS_PARAMS));
            send(&devices.uvm, &mut Request::uvm(release, uvm::PAGEABLE_MEM_ACCESS));
        }
        Ok(())
    };
    let threads: Vec<_> = (0..threads).map(|_| std::thread::spawn(work)).collect();
    threads
        .into_iter()
        .try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked")))
}
