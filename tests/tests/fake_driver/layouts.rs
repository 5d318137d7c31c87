//! The offsets of statuses, from tables that are independent of those that the stand-ins use.

use std::{fs::File, os::fd::AsRawFd as _, path::Path};

use crate::release;

/// Fills unused bytes. No byte of a status has this value.
const FILL: u8 = 0xEE;
/// The offset of the status in requests to the control device, by word; the same in all releases.
const CTL: [(u32, usize); 9] = [
    (0xC010_4629, 12),
    (0xC020_462A, 28),
    (0xC020_462B, 28),
    (0xC030_462B, 40),
    (0xC0B8_464A, 20),
    (0xC038_464E, 40),
    (0xC020_464F, 24),
    (0xC028_465E, 32),
    (0xC010_46CE, 12),
];
/// The same for the node of a GPU.
const GPU: [(u32, usize); 3] = [(0xC038_4627, 40), (0xC230_46D7, 4), (0xC010_46CF, 12)];
/// The size of a UVM command's struct and the offset of its status; the same in all releases.
const UVM: [(u32, usize, usize); 12] = [
    (0x3000_0001, 16, 8),
    (75, 8, 4),
    (37, 40, 36),
    (25, 32, 28),
    (27, 56, 48),
    (73, 24, 16),
    (51, 80, 72),
    (72, 24, 16),
    (45, 24, 16),
    (23, 16, 8),
    (39, 8, 4),
    (65, 40, 32),
];

/// The differences: the words of 0x57 and 0x58 with the offsets of their statuses, and the UVM commands 33, 34, 28 and 42.
struct Changed {
    release: &'static str,
    ctl: [(u32, usize); 2],
    uvm: [(u32, usize, usize); 4],
}

const CHANGED: [Changed; 5] = [
    Changed {
        release: "535.104.05",
        ctl: [(0xC038_4657, 48), (0xC028_4658, 32)],
        uvm: [(33, 1200, 1196), (34, 24, 16), (28, 28, 24), (42, 40, 32)],
    },
    // A developer branch: an earlier number, with the structures of 550.54.14.
    Changed {
        release: "550.40.53",
        ctl: [(0xC038_4657, 48), (0xC030_4658, 40)],
        uvm: [(33, 9264, 9260), (34, 24, 16), (28, 28, 24), (42, 40, 36)],
    },
    Changed {
        release: "550.54.14",
        ctl: [(0xC038_4657, 48), (0xC030_4658, 40)],
        uvm: [(33, 9264, 9260), (34, 24, 16), (28, 28, 24), (42, 40, 36)],
    },
    Changed {
        release: "580.65.06",
        ctl: [(0xC040_4657, 56), (0xC030_4658, 40)],
        uvm: [(33, 9264, 9260), (34, 24, 16), (28, 28, 24), (42, 40, 36)],
    },
    Changed {
        release: "595.45.04",
        ctl: [(0xC040_4657, 56), (0xC030_4658, 40)],
        uvm: [(33, 9264, 9260), (34, 16, 8), (28, 12, 8), (42, 40, 36)],
    },
];

#[test]
fn every_release_has_its_statuses_at_the_offsets_of_its_headers() {
    let test = "every_release_has_its_statuses_at_the_offsets_of_its_headers";
    for Changed { release: version, ctl, uvm } in CHANGED {
        let Some(driver) = release(test, version) else { return };
        let place = |path: &Path, word: u32, size: usize, at: usize| {
            let changed = changed_bytes(path, word, size);
            let status = changed.unwrap_or_else(|errno| panic!("{version} {word:#x}: errno {errno}"));
            assert_eq!(status, (at..at + 4).collect::<Vec<_>>(), "{version} {word:#x}");
        };
        let size = |word: u32| (word >> 16 & 0x3FFF) as usize;
        for (word, at) in CTL.into_iter().chain(ctl) {
            place(&driver.ctl(), word, size(word), at);
        }
        for (word, at) in GPU {
            place(&driver.gpu(1), word, size(word), at);
        }
        for (command, size, at) in UVM.into_iter().chain(uvm) {
            place(&driver.uvm(), command, size, at);
        }
    }
}

#[test]
fn requests_that_a_release_does_not_have_are_refused_with_einval() {
    let test = "requests_that_a_release_does_not_have_are_refused_with_einval";
    let Some(old) = release(test, "535.104.05") else { return };
    let Some(new) = release(test, "595.45.04") else { return };
    let refused = |path: &Path, word: u32| {
        assert_eq!(changed_bytes(path, word, 256), Err(libc::EINVAL), "{} {word:#x}", path.display());
    };
    refused(&old.ctl(), 0xC040_4657);
    refused(&new.ctl(), 0xC038_4657);
    refused(&new.ctl(), 0xC028_462B);
    // Requests on the wrong device, of another type, and of no type.
    refused(&new.ctl(), 0xC038_4627);
    refused(&new.gpu(0), 0xC020_462A);
    refused(&new.ctl(), 0xC020_4B2A);
    refused(&new.uvm(), 99);
    refused(&new.uvm(), 0xC020_462A);
}

#[test]
fn a_request_in_an_xfer_request_is_answered_in_its_own_struct() {
    let Some(driver) = release("a_request_in_an_xfer_request_is_answered_in_its_own_struct", "580.65.06")
    else {
        return;
    };
    let mut inner = [0_u8; 32];
    inner[8..12].copy_from_slice(&0x2080_0102_u32.to_le_bytes());
    let mut wrapper = [0_u8; 16];
    wrapper[..4].copy_from_slice(&0x2A_u32.to_le_bytes());
    wrapper[4..8].copy_from_slice(&32_u32.to_le_bytes());
    wrapper[8..].copy_from_slice(&(inner.as_mut_ptr() as u64).to_le_bytes());
    let ctl = File::open(driver.ctl()).unwrap();
    // SAFETY: both structs are as long as their words and sizes say, and outlive the call.
    let result = unsafe {
        libc::ioctl(ctl.as_raw_fd(), libc::c_ulong::from(0xC010_46D3_u32) as _, wrapper.as_mut_ptr())
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // The client does not exist.
    assert_eq!(std::hint::black_box(inner)[28..], 0x23_u32.to_le_bytes());
}

/// Sends a struct of filler bytes and returns which of them the driver changed. It must not change any after the end.
fn changed_bytes(path: &Path, word: u32, size: usize) -> Result<Vec<usize>, i32> {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut bytes = vec![FILL; size + 64];
    // SAFETY: the struct has the size in the request word, or that of the release, which this test checks.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::c_ulong::from(word) as _, bytes.as_mut_ptr()) };
    if result != 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap());
    }
    let bytes = std::hint::black_box(bytes);
    Ok((0..bytes.len()).filter(|at| bytes[*at] != FILL).collect())
}
