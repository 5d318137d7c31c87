//! A client that lies: random structs, pointers to nowhere, structs that change while the driver reads them, files that
//! close meanwhile. Its account has the errors that `ioctl` returned; what a struct says that another thread writes
//! to is no truth, so there are no statuses, commands and classes in it.

use std::{
    fs::File,
    os::fd::{AsRawFd as _, IntoRawFd as _, RawFd},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use anyhow::Context as _;

use super::{
    super::abi::{
        Device, Release, frontend,
        request::{About, Request},
        uvm,
    },
    ledger::{Answer, Ledger},
    memory::Pages,
    profile::Flags,
    session::{Driver, ioctl},
};

const PAGE_BYTES: usize = 4096;
/// The longest struct, and then some.
const BUFFER_BYTES: usize = 16 << 10;

/// Random numbers that are the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        choices.get((self.next() % choices.len().max(1) as u64) as usize).copied()
    }
}

/// `hostile --count N`: so many requests, of them half with sound pointers and random bytes.
pub(super) fn run(driver: &Driver, flags: &Flags) -> anyhow::Result<Ledger> {
    let buffer = Pages::new(BUFFER_BYTES as u64)?;
    let hole = Pages::new(2 * PAGE_BYTES as u64)?;
    let (bytes, edge) = (buffer.atomics(), hole.address() + PAGE_BYTES as u64);
    // SAFETY: our own mapping; its second page is never looked at.
    let cut = unsafe { libc::mprotect(edge as *mut libc::c_void, PAGE_BYTES, libc::PROT_NONE) };
    anyhow::ensure!(cut == 0, "close a page: {}", std::io::Error::last_os_error());
    let words = words(driver.release);
    let (mut random, mut ledger) = (Random(0x61A5_5B0C), Ledger::default());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| rewrite(bytes, &over));
        let result = attack(driver, flags, &words, &mut random, [buffer.address(), edge], bytes, &mut ledger);
        over.store(true, Ordering::Relaxed);
        result
    })?;
    Ok(ledger)
}

/// Changes the struct for as long as someone may read it.
fn rewrite(bytes: &[AtomicU64], over: &AtomicBool) {
    let mut random = Random(0x7777);
    while !over.load(Ordering::Relaxed) {
        if let Some(word) = bytes.get((random.next() % bytes.len() as u64) as usize) {
            word.store(random.next(), Ordering::Relaxed);
        }
        std::thread::yield_now();
    }
}

fn attack(
    driver: &Driver,
    flags: &Flags,
    words: &[(Device, u32)],
    random: &mut Random,
    [buffer, edge]: [u64; 2],
    bytes: &[AtomicU64],
    ledger: &mut Ledger,
) -> anyhow::Result<()> {
    let open = |device| {
        let path = match device {
            Device::Ctl => &driver.ctl,
            Device::Gpu => &driver.gpu,
            Device::Uvm => &driver.uvm,
        };
        File::options().read(true).write(true).open(path).with_context(|| format!("open {}", path.display()))
    };
    let files = [open(Device::Ctl)?, open(Device::Gpu)?, open(Device::Uvm)?];
    for index in 0..flags.count {
        let (device, word) = random.of(words).context("choose a request")?;
        for place in bytes.iter().take(64) {
            place.store(random.next(), Ordering::Relaxed);
        }
        let nowhere = [0, 8, edge - 8, edge, 0xFFFF_8000_0000_0000, u64::MAX - 7, 0x10_0000];
        let argument =
            if random.next().is_multiple_of(2) { buffer } else { random.of(&nowhere).unwrap_or(0) };
        let errno = if index.is_multiple_of(16) {
            closing(open(device)?, word, argument)
        } else {
            let file = files.get(device as usize).context("find a file")?;
            ioctl(file.as_raw_fd(), word, argument)
        };
        let number = if device == Device::Uvm { word } else { word & 0xff };
        let about = About::default();
        let request = Request { device, number, word, bytes: Vec::new(), status_at: None, about };
        ledger.count(&request, if errno == 0 { Answer::Plain } else { Answer::Errno(errno) });
    }
    Ok(())
}

/// Sends a request while another thread closes the file.
fn closing(file: File, word: u32, argument: u64) -> i32 {
    let file: RawFd = file.into_raw_fd();
    std::thread::scope(|scope| {
        // SAFETY: the file is given up above; the number is used by the call below alone, and no thread of a hostile
        // application opens another file meanwhile.
        scope.spawn(move || unsafe { libc::close(file) });
        ioctl(file, word, argument)
    })
}

/// Every request there is, some in sizes and on devices that are none of theirs, and some that do not exist.
fn words(release: Release) -> Vec<(Device, u32)> {
    let mut words = Vec::new();
    for number in 0..=0xFF {
        let size = frontend::layout(release, number).map(|layout| layout.size_bytes);
        for size in size.into_iter().flat_map(|size| [size, size, size, size + 8, 0]) {
            words.push((Device::Ctl, frontend::word(number, size)));
            words.push((Device::Gpu, frontend::word(number, size)));
        }
        if uvm::layout(release, number).is_some() {
            words.extend([(Device::Uvm, number); 6]);
        }
    }
    words.extend([
        (Device::Uvm, uvm::INITIALIZE),
        (Device::Uvm, 99),
        (Device::Ctl, frontend::word(0xEE, 16)),
    ]);
    words.extend([(Device::Gpu, 0xC020_4B2A), (Device::Uvm, 0xC020_462A), (Device::Ctl, 33)]);
    words
}
