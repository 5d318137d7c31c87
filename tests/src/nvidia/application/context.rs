//! The context of a CUDA program: the 711 requests that libcuda sends for cuInit, cuDeviceGet and cuCtxCreate on an H100
//! with confidential computing and driver 535.104.05, from the trace in derpsteb/libcuda-debug.
//!
//! The trace has counts per request and, for the most frequent controls, per command. It has no classes, sizes and statuses.
//! Those are chosen here from what compute clients are known to send.

use std::{fs::File, os::fd::AsRawFd as _};

use anyhow::Context as _;

use super::{
    super::abi::{Device, class, frontend, heap, request::Request, status, uvm},
    ledger::Answer,
    memory::{self, Pages},
    session::{Driver, Session},
};

/// Channels of the context. Each needs several more requests.
const CHANNELS: usize = 37;
/// Allocations of the context.
const CHUNKS: usize = 69;
/// Number of these allocations in memory of the host, which are mapped into the application.
const HOST_CHUNKS: usize = 7;
const CHUNK_BYTES: u64 = 2 << 20;
const RING_BYTES: u64 = 64 << 10;
/// Number of allocations, from the first on, that are mapped into the application.
const MAPPINGS: usize = 9;
/// Files of the GPU that are registered with the control file.
const REGISTERED: usize = 15;
const RANGE_GROUPS: usize = 8;
const EVENTS: usize = 13;

/// The controls with counts in the trace.
const FREQUENT: [(u32, usize); 6] = [
    (0xC36F_0101, 45),
    (0x0080_170D, 37),
    (0xC36F_0108, 37),
    (0xC56F_010B, 29),
    (0xA06C_0101, 9),
    (0x0000_0D01, 9),
];
/// The other 58 commands. The first 27 are sent twice, so these are 85 requests.
const RARE: [u32; 58] = [
    0x0000_0101,
    0x0000_0102,
    0x0000_0136,
    0x0000_013A,
    0x0000_01F0,
    0x0000_0201,
    0x0000_0202,
    0x0000_0205,
    0x0000_0214,
    0x0000_0215,
    0x0000_021B,
    0x0000_0275,
    0x0000_027B,
    0x0000_0288,
    0x0000_0D04,
    0x0080_0201,
    0x0080_0280,
    0x0080_0288,
    0x0080_0289,
    0x0080_0292,
    0x0080_1307,
    0x0080_1402,
    0x0080_180D,
    0x2080_0102,
    0x2080_0110,
    0x2080_0119,
    0x2080_012F,
    0x2080_0131,
    0x2080_0133,
    0x2080_0142,
    0x2080_014A,
    0x2080_0157,
    0x2080_0170,
    0x2080_018B,
    0x2080_0195,
    0x2080_01A3,
    0x2080_0301,
    0x2080_0403,
    0x2080_0406,
    0x2080_1201,
    0x2080_1210,
    0x2080_1218,
    0x2080_1227,
    0x2080_122A,
    0x2080_122B,
    0x2080_1303,
    0x2080_1701,
    0x2080_1801,
    0x2080_1802,
    0x2080_1823,
    0x2080_182B,
    0x2080_2209,
    0x2080_2A0A,
    0x2080_3001,
    0x2080_3002,
    0x2080_3601,
    0xCB33_0101,
    0xCB33_010B,
];
const TWICE: usize = 27;

/// Other objects than the client, its device, the channels and the compute object, with their number: 63 requests.
const OBJECTS: [(u32, usize); 10] = [
    (class::SUBDEVICE, 1),
    (class::VASPACE, 1),
    (class::USERMODE, 1),
    (class::SUBDEVICE_MASTER, 1),
    (class::CONFIDENTIAL_COMPUTE, 1),
    (class::USER_SHARED_DATA, 1),
    (class::CHANNEL_GROUP, 9),
    (class::CONTEXT_SHARE, 8),
    (class::COPY, 36),
    (class::MEMORY_SYSTEM, 4),
];

/// The commands of RM_CONTROL in the profile, with their number.
#[must_use]
pub fn controls() -> Vec<(u32, usize)> {
    let rare = RARE.iter().enumerate().map(|(index, command)| (*command, if index < TWICE { 2 } else { 1 }));
    FREQUENT.into_iter().chain(rare).collect()
}

/// Sends all requests, for a new client.
pub(super) fn run(session: &mut Session, driver: &Driver) -> anyhow::Result<()> {
    let release = session.release;
    // Nine control files, eighteen of the GPU and two of UVM. One of each is already open.
    for (path, more) in [(&driver.ctl, 8), (&driver.gpu, 17), (&driver.uvm, 1)] {
        for _ in 0..more {
            let file = File::options().read(true).write(true).open(path);
            session.spare.push(file.with_context(|| format!("open {}", path.display()))?);
        }
    }
    initialise(session)?;
    session.reconnect()?;
    let mut controls = controls().into_iter().flat_map(|(command, count)| vec![command; count]);
    let control = &mut |session: &mut Session| send_control(session, controls.next());
    let mut objects = objects(session, control)?;
    let address = session.addresses(RING_BYTES);
    session.must(&mut uvm::vaspace(release, session.gpu_number(), [session.client, objects.vaspace]))?;
    channels(session, &mut objects, control)?;
    memory(session, control)?;
    events(session)?;
    // A page of the host that was needed only until here.
    session.must(&mut frontend::free(release, session.client, session.device, objects.last_page))?;
    let mapping = Request::escape(release, Device::Ctl, frontend::UPDATE_DEVICE_MAPPING_INFO);
    session.must(&mut mapping.u32(0, session.client).u32(4, session.device))?;
    for command in [uvm::VALIDATE_VA_RANGE, uvm::DISABLE_READ_DUPLICATION] {
        for _ in 0..2 {
            session.must(&mut uvm::range(release, command, address, RING_BYTES))?;
        }
    }
    session.must(&mut uvm::range(release, uvm::MAP_DYNAMIC_PARALLELISM_REGION, address, RING_BYTES))?;
    session.must(&mut uvm::range(release, uvm::MIGRATE, address, RING_BYTES).field(16, &uvm::uuid(0)))?;
    session.ledger.sums.migrated_bytes += RING_BYTES;
    while control(session)? {}
    Ok(())
}

/// The requests before there is a client.
fn initialise(session: &mut Session) -> anyhow::Result<()> {
    let release = session.release;
    for number in [frontend::SYS_PARAMS, frontend::CARD_INFO].into_iter().cycle().take(4) {
        session.must(&mut Request::escape(release, Device::Ctl, number))?;
    }
    for _ in 0..REGISTERED {
        let request = Request::escape(release, Device::Gpu, frontend::REGISTER_FD);
        session.must(&mut request.u32(0, session.ctl.as_raw_fd().cast_unsigned()))?;
    }
    session.must(&mut Request::escape(release, Device::Gpu, frontend::NUMA_INFO))?;
    session.must(&mut Request::uvm(release, uvm::INITIALIZE))?;
    let file = session.uvm.as_raw_fd().cast_unsigned();
    session.must(&mut Request::uvm(release, uvm::MM_INITIALIZE).u32(0, file))?;
    session.must(&mut Request::uvm(release, uvm::PAGEABLE_MEM_ACCESS))?;
    session.must(&mut Request::uvm(release, uvm::REGISTER_GPU).field(0, &uvm::uuid(session.gpu_number())))?;
    for _ in 0..RANGE_GROUPS {
        session.must(&mut Request::uvm(release, uvm::CREATE_RANGE_GROUP))?;
    }
    Ok(())
}

/// Sends the next command, if any. For some, the answer is that this GPU does not support them.
fn send_control(session: &mut Session, command: Option<u32>) -> anyhow::Result<bool> {
    let Some(command) = command else { return Ok(false) };
    let mut params = [0_u8; 64];
    let params = (params.as_mut_ptr() as u64, 64);
    let mut request = frontend::control(session.release, session.client, session.device, command, params);
    match session.call(&mut request) {
        Answer::Status(status::OK | status::NOT_SUPPORTED) => Ok(true),
        answer => anyhow::bail!("send control {command:#x}: {answer:?}"),
    }
}

/// Sends the next control.
type Control<'a> = &'a mut dyn FnMut(&mut Session) -> anyhow::Result<bool>;

/// Handles that later requests use.
struct Objects {
    vaspace: u32,
    last_page: u32,
    group: u32,
}

fn objects(session: &mut Session, control: Control<'_>) -> anyhow::Result<Objects> {
    let mut objects = Objects { vaspace: 0, last_page: 0, group: 0 };
    for (class, count) in OBJECTS {
        for _ in 0..count {
            let mut params = memory::params(session.release, RING_BYTES);
            let params = if class == class::MEMORY_SYSTEM {
                (params.as_mut_ptr() as u64, params.len() as u32)
            } else {
                (0, 0)
            };
            let handle = session.object(session.device, class, params)?;
            match class {
                class::VASPACE => objects.vaspace = handle,
                class::CHANNEL_GROUP => objects.group = handle,
                class::MEMORY_SYSTEM => objects.last_page = handle,
                _ => {}
            }
            control(session)?;
        }
    }
    Ok(objects)
}

/// Each channel has pinned pages for its ring and is registered with UVM. The first one computes, the others copy.
fn channels(session: &mut Session, objects: &mut Objects, control: Control<'_>) -> anyhow::Result<()> {
    let release = session.release;
    let pages = Pages::new(RING_BYTES)?;
    for index in 0..CHANNELS {
        let ring = session.handle();
        let mut pin =
            frontend::pin(release, [session.client, session.device, ring], pages.address(), RING_BYTES);
        session.must(&mut pin)?;
        session.ledger.sums.pinned_bytes += RING_BYTES;
        let channel = session.object(objects.group, class::CHANNEL, (0, 0))?;
        if index == 0 {
            session.object(channel, class::COMPUTE, (0, 0))?;
        }
        control(session)?;
        let (gpu, address) = (session.gpu_number(), session.addresses(RING_BYTES));
        session.must(&mut uvm::channel(release, gpu, [session.client, channel], address, RING_BYTES))?;
    }
    Ok(())
}

/// Allocations, most of them followed directly by their two UVM requests. Those in the host's memory are mapped in between.
fn memory(session: &mut Session, control: Control<'_>) -> anyhow::Result<()> {
    for index in 0..CHUNKS {
        let in_host = index < HOST_CHUNKS;
        let attr = if in_host { heap::ATTR_PCI } else { 0 };
        let new = session.handle();
        let place = [session.client, session.device, new];
        session.must(&mut heap::alloc(session.release, heap::ALLOC_SIZE, place, attr, CHUNK_BYTES))?;
        if in_host {
            control(session)?;
        } else {
            session.ledger.sums.allocated_bytes += CHUNK_BYTES;
        }
        if index < MAPPINGS {
            let file = session.gpu.as_raw_fd();
            session.must(&mut frontend::map(session.release, place, CHUNK_BYTES, file))?;
        }
        memory::map(session, new, CHUNK_BYTES)?;
    }
    Ok(())
}

/// Events of the operating system, on the file of the GPU and in the short form.
fn events(session: &mut Session) -> anyhow::Result<()> {
    for _ in 0..EVENTS {
        let file = session.gpu.as_raw_fd();
        session.must(&mut frontend::os_event(session.release, session.client, session.device, file))?;
        let new = session.handle();
        let place = [session.client, session.device, new];
        session.must(&mut frontend::alloc_short(place, class::EVENT_OS_EVENT, (0, 0)))?;
        session.ledger.sums.events += 1;
    }
    Ok(())
}
