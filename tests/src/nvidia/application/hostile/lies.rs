//! The structs of a hostile client: random bytes, some with just enough valid fields to pass the first checks.

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::super::abi::{Device, Release, class, frontend, heap, uvm};

/// An existing client and device.
pub(super) const CLIENT: u32 = 0xC1D1_F00D;
pub(super) const DEVICE: u32 = 0x5C00_F00D;

/// Random numbers, the same in every run (SplitMix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub(super) fn of<const N: usize, T: Copy>(&mut self, choices: [T; N]) -> T {
        const { assert!(N > 0) };
        choices[(self.next() % N as u64) as usize]
    }
}

/// A struct that another thread also writes to.
pub(super) struct Struct<'a> {
    pub(super) fields: &'a [AtomicU32],
    /// Its address.
    pub(super) address: u64,
    /// The end of mapped memory: eight bytes before it can be read, none after it.
    pub(super) edge: u64,
}

impl Struct<'_> {
    fn put_u32(&self, at: usize, value: u32) {
        if let Some(field) = self.fields.get(at / 4) {
            field.store(value, Ordering::Relaxed);
        }
    }

    fn put_u64(&self, at: usize, value: u64) {
        self.put_u32(at, value as u32);
        self.put_u32(at + 4, (value >> 32) as u32);
    }

    /// An invalid pointer, or one back into the struct.
    pub(super) fn pointer(&self, random: &mut Random) -> u64 {
        let kernel = 0xFFFF_8000_0000_0000;
        random.of([0, 8, self.edge - 8, self.edge, kernel, u64::MAX - 7, 0x10_0000, self.address])
    }

    pub(super) fn noise(&self, random: &mut Random) {
        for at in 0..64 {
            self.put_u64(at * 8, random.next());
        }
    }

    /// Makes the struct refer to existing objects, so that the driver follows its pointers and uses its sizes.
    pub(super) fn lie(&self, release: Release, device: Device, number: u32, random: &mut Random) {
        let pointer = self.pointer(random);
        let size = random.of([0, 1, 4096, 65536, 1 << 40, u64::MAX - 4096, u64::MAX]);
        if device == Device::Uvm {
            let tail = uvm::map_tail_at(release);
            self.put_u64(0, random.of([0x0002_0000_0000, 4096, !4095]));
            self.put_u64(8, size);
            self.put_u64(tail, random.of([0, 1, 33, u64::MAX]));
            self.put_u32(tail + 12, CLIENT);
            self.put_u32(tail + 16, DEVICE);
            return;
        }
        self.put_u32(0, CLIENT);
        self.put_u32(4, DEVICE);
        match number {
            frontend::ALLOC => {
                let classes = [class::MEMORY_LOCAL_USER, class::MEMORY_SYSTEM, class::DEVICE, class::EVENT];
                self.put_u32(12, random.of(classes));
                self.put_u64(16, pointer);
                self.put_u32(32, random.of([0, heap::params_bytes(release) as u32]));
            }
            frontend::CONTROL => {
                self.put_u64(16, pointer);
                self.put_u32(24, random.of([0, 4, 64, 1 << 19, u32::MAX]));
            }
            frontend::VID_HEAP_CONTROL => {
                let functions =
                    [heap::ALLOC_SIZE, heap::ALLOC_SIZE_RANGE, heap::ALLOC_OS_DESCRIPTOR, heap::FREE];
                let function = random.of(functions);
                self.put_u32(heap::FUNCTION_AT, function);
                self.put_u32(heap::ATTR_AT, 0);
                self.put_u64(64, pointer);
                self.put_u64(72, size);
                self.put_u64(heap::size_at(function), size);
            }
            frontend::ALLOC_MEMORY => {
                self.put_u32(12, class::MEMORY_OS_DESCRIPTOR);
                self.put_u64(24, pointer);
                self.put_u64(32, size);
            }
            frontend::XFER => {
                let numbers =
                    [frontend::CONTROL, frontend::ALLOC, frontend::VID_HEAP_CONTROL, frontend::XFER];
                self.put_u32(0, random.of(numbers));
                self.put_u32(4, random.of([0, 32, 48, 184, 16384, 16385, u32::MAX]));
                self.put_u64(8, pointer);
            }
            _ => {}
        }
    }
}
