//! GPU memory, pinned memory and managed memory: the requests of the corresponding CUDA calls.

use std::sync::atomic::AtomicU32;

use anyhow::{Context as _, bail, ensure};

use super::{
    super::abi::{
        Release,
        bytes::{put_u64, u64_at},
        class, frontend, heap,
        request::Request,
        status, uvm,
    },
    ledger::Answer,
    profile::Flags,
    session::Session,
};

/// Maximum number of allocations of `exhaust`, so that it ends with a driver that never refuses.
const ALLOCATIONS_MAX: usize = 1 << 16;

/// The request that allocates.
#[derive(Clone, Copy)]
enum By {
    Object,
    Heap(u32),
}

/// Memory that the application holds.
pub(super) struct Allocation {
    client: u32,
    device: u32,
    memory: u32,
    bytes: u64,
    address: u64,
}

impl Allocation {
    /// Its address in the application.
    pub(super) fn address(&self) -> u64 {
        self.address
    }
}

/// RM_ALLOC's parameters of memory: its size and no attributes.
pub(super) fn params(release: Release, bytes: u64) -> Vec<u8> {
    let mut params = vec![0; heap::params_bytes(release)];
    put_u64(&mut params, heap::PARAMS_SIZE_AT, bytes);
    params
}

/// Maps an object into a new range of addresses. Returns the address.
pub(super) fn map(session: &mut Session, memory: u32, bytes: u64) -> anyhow::Result<u64> {
    let (release, address) = (session.release, session.addresses(bytes));
    session.must(&mut uvm::range(release, uvm::CREATE_EXTERNAL_RANGE, address, bytes))?;
    let (gpu, file) = (session.gpu_number(), session.control_file());
    session.must(&mut uvm::map(release, address, bytes, gpu, [session.client, memory], file))?;
    Ok(address)
}

/// Makes one allocation. Returns it, or the status of the refusal.
fn allocate_one(session: &mut Session, by: By, bytes: u64) -> anyhow::Result<Result<Allocation, u32>> {
    let memory = session.handle();
    let place = [session.client, session.device, memory];
    let mut params = params(session.release, bytes);
    let mut request = match by {
        By::Heap(function) => heap::alloc(session.release, function, place, 0, bytes),
        By::Object => {
            let params = (params.as_mut_ptr() as u64, params.len() as u32);
            frontend::alloc(session.release, place, class::MEMORY_LOCAL_USER, params)
        }
    };
    match session.call(&mut request) {
        Answer::Status(status::OK) => {}
        Answer::Status(refusal) => {
            session.ledger.sums.refused += u64::from(refusal == status::NO_MEMORY);
            return Ok(Err(refusal));
        }
        answer => bail!("allocate {bytes} bytes: {answer:?}"),
    }
    let bytes = match by {
        By::Heap(function) => request.get_u64(heap::size_at(function)),
        By::Object => u64_at(&params, heap::PARAMS_SIZE_AT),
    };
    session.ledger.sums.allocated_bytes += bytes;
    let address = map(session, memory, bytes)?;
    Ok(Ok(Allocation { client: session.client, device: session.device, memory, bytes, address }))
}

/// An allocation was refused because the memory is exhausted.
pub(super) struct Refused;

/// Makes one allocation by VID_HEAP_CONTROL.
pub(super) fn allocate_heap(
    session: &mut Session,
    bytes: u64,
) -> anyhow::Result<Result<Allocation, Refused>> {
    match allocate_one(session, By::Heap(heap::ALLOC_SIZE), bytes)? {
        Ok(allocation) => Ok(Ok(allocation)),
        Err(status::NO_MEMORY) => Ok(Err(Refused)),
        Err(status) => bail!("allocate {bytes} bytes: refused with {status:#x}"),
    }
}

/// `allocate --bytes N --count N [--range]`: by VID_HEAP_CONTROL and RM_ALLOC in turn.
pub(super) fn allocate(session: &mut Session, flags: &Flags) -> anyhow::Result<Vec<Allocation>> {
    session.connect()?;
    let function = if flags.range { heap::ALLOC_SIZE_RANGE } else { heap::ALLOC_SIZE };
    let mut held = Vec::new();
    for index in 0..flags.count {
        let by = if index % 2 == 0 { By::Heap(function) } else { By::Object };
        let allocation = allocate_one(session, by, flags.bytes)?;
        held.push(
            allocation.map_err(|status| anyhow::anyhow!("allocate {} bytes: {status:#x}", flags.bytes))?,
        );
    }
    Ok(held)
}

/// `free [--heap]`: frees everything, each range before its memory.
pub(super) fn free(session: &mut Session, held: Vec<Allocation>, flags: &Flags) -> anyhow::Result<()> {
    let release = session.release;
    for allocation in held {
        let Allocation { client, device, memory, bytes, address } = allocation;
        session.must(&mut uvm::range(release, uvm::FREE, address, bytes))?;
        session.must(&mut if flags.heap {
            heap::free(release, client, device, memory)
        } else {
            frontend::free(release, client, device, memory)
        })?;
        session.ledger.sums.freed_bytes += bytes;
    }
    Ok(())
}

/// `exhaust --bytes N`: allocates until the first refusal.
pub(super) fn exhaust(session: &mut Session, flags: &Flags) -> anyhow::Result<Vec<Allocation>> {
    session.connect()?;
    let mut held = Vec::new();
    while held.len() < ALLOCATIONS_MAX {
        let by = if held.len() % 2 == 0 { By::Heap(heap::ALLOC_SIZE) } else { By::Object };
        match allocate_one(session, by, flags.bytes)? {
            Ok(allocation) => held.push(allocation),
            Err(status::NO_MEMORY) => return Ok(held),
            Err(status) => bail!("exhaust memory: refused with {status:#x}"),
        }
    }
    bail!("exhaust memory: {ALLOCATIONS_MAX} allocations of {} bytes were granted", flags.bytes)
}

/// `exhaust-and-recover --bytes N`: allocates until the first refusal, frees an allocation of the same size and allocates
/// again.
pub(super) fn recover(session: &mut Session, flags: &Flags) -> anyhow::Result<Vec<Allocation>> {
    let mut held = exhaust(session, flags)?;
    let last = held.pop().context("find memory to free: the first allocation was refused")?;
    free(session, vec![last], flags)?;
    let again = allocate_one(session, By::Heap(heap::ALLOC_SIZE), flags.bytes)?;
    held.push(again.map_err(|status| anyhow::anyhow!("allocate after freeing as much: {status:#x}"))?);
    Ok(held)
}

/// `pin --bytes N --count N [--heap]`: pins pages of the application and maps them for the GPU.
pub(super) fn pin(session: &mut Session, flags: &Flags) -> anyhow::Result<Vec<Pages>> {
    session.connect()?;
    let mut pinned = Vec::new();
    for _ in 0..flags.count {
        let pages = Pages::new(flags.bytes)?;
        let memory = session.handle();
        let place = [session.client, session.device, memory];
        let pin = if flags.heap { heap::pin } else { frontend::pin };
        session.must(&mut pin(session.release, place, pages.address(), flags.bytes))?;
        session.ledger.sums.pinned_bytes += flags.bytes;
        map(session, memory, flags.bytes)?;
        pinned.push(pages);
    }
    Ok(pinned)
}

/// `migrate --bytes N --count N`: creates managed memory with a preferred location and prefetches it.
pub(super) fn migrate(session: &mut Session, flags: &Flags) -> anyhow::Result<()> {
    let release = session.release;
    session.must(&mut Request::uvm(release, uvm::INITIALIZE))?;
    let uuid = uvm::uuid(session.gpu_number());
    for _ in 0..flags.count {
        let address = session.addresses(flags.bytes);
        for command in [uvm::VALIDATE_VA_RANGE, uvm::DISABLE_READ_DUPLICATION] {
            session.must(&mut uvm::range(release, command, address, flags.bytes))?;
        }
        let prefer = uvm::range(release, uvm::SET_PREFERRED_LOCATION, address, flags.bytes);
        session.must(&mut prefer.field(16, &uuid))?;
        session.must(&mut uvm::range(release, uvm::MIGRATE, address, flags.bytes).field(16, &uuid))?;
        session.ledger.sums.migrated_bytes += flags.bytes;
    }
    Ok(())
}

/// Anonymous memory of this process.
pub(super) struct Pages {
    start: *mut libc::c_void,
    bytes: usize,
}

impl Pages {
    pub(super) fn new(bytes: u64) -> anyhow::Result<Self> {
        ensure!(bytes > 0, "map no memory");
        let bytes = usize::try_from(bytes).context("map memory")?;
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error()).context("map memory");
        }
        Ok(Self { start, bytes })
    }

    pub(super) fn address(&self) -> u64 {
        self.start as u64
    }

    /// The same memory as atomics, for threads that write concurrently.
    pub(super) fn atomics(&self) -> &[AtomicU32] {
        // SAFETY: our own mapping, page-aligned, all zero or written as atomics, and as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.bytes / size_of::<AtomicU32>()) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: our own mapping, without other pointers into it.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}
