//! The state of the driver: open files, clients with their objects, the memory of each GPU, and UVM's ranges.

use std::collections::HashMap;

use super::{
    super::abi::{Device, class, status},
    GPUS,
    account::{Account, Answered},
};

/// Maximum number of objects of a client, and of ranges and clients of a file.
const OBJECTS_MAX: usize = 1 << 16;
/// The first handle of a client, as in the real driver.
const FIRST_CLIENT: u32 = 0xC1D0_0000;
/// The first handle that the driver chooses for an object.
const FIRST_OBJECT: u32 = 0xCAF0_0000;
/// Page size of GPU memory, in bytes.
const PAGE_BYTES: u64 = 64 << 10;

/// An object of a client.
pub(super) struct Object {
    pub(super) parent: u32,
    pub(super) class: u32,
    /// The GPU it belongs to.
    pub(super) gpu: Option<usize>,
    /// Memory of that GPU, in bytes.
    pub(super) bytes: u64,
}

struct Client {
    file: u64,
    objects: HashMap<u32, Object>,
}

/// The ranges of an open file, by address.
type Ranges = HashMap<u64, u64>;

pub(super) struct State {
    files: HashMap<u64, Ranges>,
    clients: HashMap<u32, Client>,
    used_bytes: [u64; GPUS],
    memory_bytes: u64,
    next_file: u64,
    next_handle: u32,
    account: Account,
}

impl State {
    pub(super) fn new(memory_bytes: u64) -> Self {
        Self {
            files: HashMap::new(),
            clients: HashMap::new(),
            used_bytes: [0; GPUS],
            memory_bytes,
            next_file: 1,
            next_handle: 1,
            account: Account::default(),
        }
    }

    pub(super) fn used_bytes(&self, gpu: usize) -> u64 {
        self.used_bytes.get(gpu).copied().unwrap_or_default()
    }

    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn open_files(&self) -> usize {
        self.files.len()
    }

    pub(super) fn answered(&self) -> Vec<Answered> {
        self.account.all()
    }

    pub(super) fn count(&mut self, device: Device, word: u32, answer: Option<i64>) {
        self.account.count(device, word, answer);
    }

    pub(super) fn open(&mut self) -> u64 {
        let file = self.next_file;
        self.next_file += 1;
        self.files.insert(file, Ranges::new());
        file
    }

    /// Ends all clients of a file with their objects, after its last use.
    pub(super) fn close(&mut self, file: u64) {
        self.files.remove(&file);
        let ended: Vec<u32> = self
            .clients
            .iter()
            .filter(|(_, client)| client.file == file)
            .map(|(handle, _)| *handle)
            .collect();
        for client in ended {
            self.end_client(client);
        }
    }

    fn end_client(&mut self, handle: u32) {
        for object in self.clients.remove(&handle).into_iter().flat_map(|client| client.objects.into_values())
        {
            give_back(&mut self.used_bytes, &object);
        }
    }

    fn fresh(&mut self, first: u32) -> u32 {
        self.next_handle = self.next_handle.wrapping_add(1) & 0xF_FFFF;
        first | self.next_handle
    }

    /// Creates a client of a file with the requested handle; for 0, the driver chooses the handle.
    pub(super) fn begin_client(&mut self, file: u64, wanted: u32) -> Result<u32, u32> {
        let handle = if wanted == 0 { self.fresh(FIRST_CLIENT) } else { wanted };
        if self.clients.contains_key(&handle) {
            return Err(status::INSERT_DUPLICATE_NAME);
        }
        if self.clients.len() >= OBJECTS_MAX {
            return Err(status::INSUFFICIENT_RESOURCES);
        }
        self.clients.insert(handle, Client { file, objects: HashMap::new() });
        Ok(handle)
    }

    /// Whether a client has an object. The client itself is one.
    pub(super) fn find(&self, client: u32, object: u32) -> Result<(), u32> {
        let found = self.clients.get(&client).ok_or(status::INVALID_CLIENT)?;
        let here = object == client || found.objects.contains_key(&object);
        if here { Ok(()) } else { Err(status::INVALID_OBJECT_HANDLE) }
    }

    /// Adds an object below `parent` and returns its handle: the requested one; for 0, the driver chooses it. GPU memory
    /// is taken from the GPU of `parent`.
    pub(super) fn add(&mut self, client: u32, wanted: u32, mut object: Object) -> Result<u32, u32> {
        self.find(client, object.parent)?;
        let handle = if wanted == 0 { self.fresh(FIRST_OBJECT) } else { wanted };
        if self.find(client, handle).is_ok() {
            return Err(status::INSERT_DUPLICATE_NAME);
        }
        let Some(found) = self.clients.get_mut(&client) else { return Err(status::INVALID_CLIENT) };
        if found.objects.len() >= OBJECTS_MAX {
            return Err(status::INSUFFICIENT_RESOURCES);
        }
        object.gpu = object.gpu.or_else(|| found.objects.get(&object.parent).and_then(|parent| parent.gpu));
        if object.bytes > 0 {
            let gpu = object.gpu.ok_or(status::INVALID_ARGUMENT)?;
            let used = self.used_bytes.get_mut(gpu).ok_or(status::INVALID_ARGUMENT)?;
            let after = used.checked_add(object.bytes).filter(|after| *after <= self.memory_bytes);
            *used = after.ok_or(status::NO_MEMORY)?;
        }
        found.objects.insert(handle, object);
        Ok(handle)
    }

    /// Frees an object and all objects below it, or the client if the object is the client.
    pub(super) fn free(&mut self, client: u32, object: u32) -> Result<(), u32> {
        self.find(client, object)?;
        if object == client {
            self.end_client(client);
            return Ok(());
        }
        let Some(found) = self.clients.get_mut(&client) else { return Err(status::INVALID_CLIENT) };
        let mut ending = vec![object];
        while let Some(handle) = ending.pop() {
            let Some(ended) = found.objects.remove(&handle) else { continue };
            give_back(&mut self.used_bytes, &ended);
            if !class::is_memory(ended.class) && !class::is_event(ended.class) {
                let below = found.objects.iter().filter(|(_, child)| child.parent == handle);
                ending.extend(below.map(|(child, _)| *child));
            }
        }
        Ok(())
    }

    /// Adds a range of addresses.
    pub(super) fn add_range(&mut self, file: u64, address: u64, bytes: u64) -> u32 {
        let Some(ranges) = self.files.get_mut(&file) else { return status::INVALID_ARGUMENT };
        let sound = bytes > 0 && address.is_multiple_of(4096) && bytes.is_multiple_of(4096);
        if !sound || address.checked_add(bytes).is_none() || ranges.contains_key(&address) {
            return status::INVALID_ADDRESS;
        }
        if ranges.len() >= OBJECTS_MAX {
            return status::INSUFFICIENT_RESOURCES;
        }
        ranges.insert(address, bytes);
        status::OK
    }

    /// Whether a range of at least this size begins at the address.
    pub(super) fn has_range(&self, file: u64, address: u64, bytes: u64) -> bool {
        self.files.get(&file).and_then(|ranges| ranges.get(&address)).is_some_and(|length| bytes <= *length)
    }

    pub(super) fn remove_range(&mut self, file: u64, address: u64) -> u32 {
        let removed = self.files.get_mut(&file).and_then(|ranges| ranges.remove(&address));
        if removed.is_some() { status::OK } else { status::INVALID_ADDRESS }
    }
}

fn give_back(used_bytes: &mut [u64], object: &Object) {
    if let Some(used) = object.gpu.and_then(|gpu| used_bytes.get_mut(gpu)) {
        *used -= object.bytes;
    }
}

/// The size of an allocation in whole pages; `None` on overflow.
pub(super) fn granted(bytes: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(PAGE_BYTES)
}
