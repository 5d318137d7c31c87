//! Sizes and handles at the offsets of the headers, from independent tables.

use std::{fs::File, os::fd::AsRawFd as _};

use crate::release;

const MIB: u64 = 1 << 20;
/// The requested size, and the granted size in pages of 64 KiB.
const ASKED: u64 = MIB + 1;
const GRANTED: u64 = MIB + (64 << 10);

/// By release: the size of RM_ALLOC's parameters for memory; for `UVM_MAP_EXTERNAL_ALLOCATION`, its size and the offsets of
/// its number of GPUs, client, memory and status.
const RELEASES: [(&str, usize, [usize; 5]); 4] = [
    ("535.104.05", 120, [1200, 1176, 1188, 1192, 1196]),
    ("550.54.14", 128, [9264, 9240, 9252, 9256, 9260]),
    ("580.65.06", 128, [9264, 9240, 9252, 9256, 9260]),
    ("595.45.04", 128, [9264, 9240, 9252, 9256, 9260]),
];

#[test]
fn every_release_grants_memory_at_the_offsets_of_its_headers() {
    for (version, params_size, [map_size, gpus_at, client_at, memory_at, status_at]) in RELEASES {
        let Some(driver) = release("every_release_grants_memory_at_the_offsets_of_its_headers", version)
        else {
            return;
        };
        let open = |path| File::options().read(true).write(true).open(path).unwrap();
        let (ctl, uvm) = (open(driver.ctl()), open(driver.uvm()));
        let root = send(&ctl, 0xC030_462B, 48, &[(12, 0x41)]);
        let client = u32_at(&root, 8);
        send(&ctl, 0xC030_462B, 48, &[(0, client), (4, client), (8, 5), (12, 0x80)]);

        for (function, size_at) in [(2, 88), (14, 80)] {
            let fields = [(0, client), (4, 5), (8, function), (size_at, ASKED as u32)];
            let heap = send(&ctl, 0xC0B8_464A, 184, &fields);
            assert_eq!(u32_at(&heap, 20), 0, "{version}");
            assert_ne!(u32_at(&heap, 44), 0, "{version}: no handle");
            assert_eq!(u64_at(&heap, size_at), GRANTED, "{version} function {function}");
            assert_eq!(
                (u64_at(&heap, 24), u64_at(&heap, 32)),
                (0, 0),
                "{version}: only function 5 sets these fields"
            );
        }
        // Allocations in the host's memory, or without memory, take nothing from the GPU.
        send(&ctl, 0xC0B8_464A, 184, &[(0, client), (4, 5), (8, 2), (56, 1 << 25), (88, ASKED as u32)]);
        send(&ctl, 0xC0B8_464A, 184, &[(0, client), (4, 5), (8, 2), (52, 0x0008_0000), (88, ASKED as u32)]);

        for (word, size, params_size_at, status_at) in [(0xC030_462B, 48, 32, 40), (0xC020_462B, 32, 24, 28)]
        {
            let mut params = vec![0_u8; params_size];
            params[64..72].copy_from_slice(&ASKED.to_le_bytes());
            let address = params.as_mut_ptr() as u64;
            let pointer = [(16, address as u32), (20, (address >> 32) as u32)];
            let fields = [(0, client), (4, 5), (8, size), (12, 0x40), (params_size_at, params_size as u32)];
            let answer = send(&ctl, word, size as usize, &[&fields[..], &pointer[..]].concat());
            assert_eq!(u32_at(&answer, status_at), 0, "{version} {word:#x}");
            assert_eq!(u64_at(&std::hint::black_box(params), 64), GRANTED, "{version} {word:#x}");
        }
        assert_eq!(driver.used_bytes(0), 4 * GRANTED, "{version}");

        let range = send(&uvm, 73, 24, &[(0, 0x10_0000), (8, 0x20_0000)]);
        assert_eq!(u32_at(&range, 16), 0, "{version}");
        let mut fields =
            vec![(0, 0x10_0000), (8, 0x20_0000), (gpus_at, 1), (client_at, client), (memory_at, 48)];
        let map = send(&uvm, 33, map_size, &fields);
        assert_eq!(u32_at(&map, status_at), 0, "{version}");
        fields.push((memory_at, 49));
        let map = send(&uvm, 33, map_size, &fields);
        assert_eq!(u32_at(&map, status_at), 0x33, "{version}: the memory does not exist");
    }
}

/// Sends a struct of zeros with some fields and returns it as the driver left it.
fn send(file: &File, word: u32, size: usize, fields: &[(usize, u32)]) -> Vec<u8> {
    let mut bytes = vec![0_u8; size];
    for (at, value) in fields {
        bytes[*at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    // SAFETY: the struct has the size in the request word, or that of the release, which this test checks.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::c_ulong::from(word) as _, bytes.as_mut_ptr()) };
    assert_eq!(result, 0, "{word:#x}: {}", std::io::Error::last_os_error());
    std::hint::black_box(bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
