//! A hostile client: it sends random structs and invalid pointers, changes structs while the driver reads them, and closes
//! files during calls. Its account contains the errors that `ioctl` returned. It has no statuses, commands and classes,
//! because another thread overwrites the structs.

mod lies;

use std::{
    fs::File,
    os::fd::{AsRawFd as _, IntoRawFd as _, RawFd},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};

use super::{
    super::abi::{
        Device, Release, class, frontend,
        request::{About, Request},
        uvm,
    },
    ledger::{Answer, Ledger},
    memory::Pages,
    profile::Flags,
    session::{Driver, ioctl, send},
};
use lies::{CLIENT, DEVICE, Random, Struct};

const PAGE_BYTES: u64 = 4096;
/// Larger than the longest struct.
const BUFFER_BYTES: u64 = 16 << 10;
/// Number of changes to the struct between two pauses. A pause takes about 50 µs longer than this.
const BURST: u32 = 256;
const PAUSE: Duration = Duration::from_micros(20);
/// One of this many requests has its file closed during the call.
const CLOSING: u64 = 16;

/// `hostile --count N`: the number of requests, after the two that create a client.
pub(super) fn run(driver: &Driver, flags: &Flags) -> anyhow::Result<Ledger> {
    let (buffer, hole) = (Pages::new(BUFFER_BYTES)?, Pages::new(2 * PAGE_BYTES)?);
    let edge = hole.address() + PAGE_BYTES;
    // SAFETY: our own mapping; its second page is never accessed.
    let cut = unsafe { libc::mprotect(edge as *mut libc::c_void, PAGE_BYTES as usize, libc::PROT_NONE) };
    ensure!(cut == 0, "close a page: {}", std::io::Error::last_os_error());
    let lies = Struct { fields: buffer.atomics(), address: buffer.address(), edge };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| rewrite(lies.fields, &over));
        let result = attack(driver, flags.count, &lies);
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// Changes the struct while the driver may read it, most often its first fields. It pauses between bursts: an emulated
/// machine gives a busy CPU 100 ms at a time, so a caller beside this thread could send only ten requests per second.
fn rewrite(fields: &[AtomicU32], over: &AtomicBool) {
    let mut random = Random(0x7777);
    while !over.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            let end = random.of([24, 24, fields.len() as u64]);
            if let Some(field) = fields.get((random.next() % end) as usize) {
                field.store(random.next() as u32, Ordering::Relaxed);
            }
            std::thread::yield_now();
        }
        std::thread::sleep(PAUSE);
    }
}

fn attack(driver: &Driver, count: u64, lies: &Struct<'_>) -> anyhow::Result<Ledger> {
    let open = |device| {
        let path = match device {
            Device::Ctl => &driver.ctl,
            Device::Gpu => &driver.gpu,
            Device::Uvm => &driver.uvm,
        };
        File::options().read(true).write(true).open(path).with_context(|| format!("open {}", path.display()))
    };
    let files = [open(Device::Ctl)?, open(Device::Gpu)?, open(Device::Uvm)?];
    let (mut ledger, mut random) = (Ledger::default(), Random(0x61A5_5B0C));
    for (place, class) in [([0, 0, CLIENT], class::ROOT_CLIENT), ([CLIENT, CLIENT, DEVICE], class::DEVICE)] {
        let mut request = frontend::alloc(driver.release, place, class, (0, 0));
        let answer = send(files[0].as_raw_fd(), &mut request);
        ledger.count(&request, answer);
    }
    let words = words(driver.release);
    for index in 0..count {
        let chosen = words.get((random.next() % words.len() as u64) as usize);
        let (device, word) = *chosen.context("choose a request")?;
        // Words of other drivers are identified by the whole word.
        let escape = device != Device::Uvm && word >> 8 & 0xff == frontend::MAGIC;
        let number = if escape { word & 0xff } else { word };
        lies.noise(&mut random);
        if random.of([true, true, false]) {
            lies.lie(driver.release, device, number, &mut random);
        }
        let argument = random.of([Some(lies.address), Some(lies.address), None]);
        let argument = argument.unwrap_or_else(|| lies.pointer(&mut random));
        let errno = if index.is_multiple_of(CLOSING) {
            closing(open(device)?, word, argument, random.next() % 1024)
        } else {
            ioctl(files[device as usize].as_raw_fd(), word, argument)
        };
        let about = About::default();
        let request = Request { device, number, word, bytes: Vec::new(), status_at: None, about };
        ledger.count(&request, if errno == 0 { Answer::Plain } else { Answer::Errno(errno) });
    }
    Ok(ledger)
}

/// Sends a request while another thread closes the file: before, during or after the call.
fn closing(file: File, word: u32, argument: u64, hesitation: u64) -> i32 {
    let file: RawFd = file.into_raw_fd();
    let together = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            together.wait();
            // SAFETY: the file was released above. Only the call below uses the number, and no thread of a hostile
            // application opens another file meanwhile.
            unsafe { libc::close(file) };
        });
        together.wait();
        for _ in 0..hesitation {
            std::hint::spin_loop();
        }
        ioctl(file, word, argument)
    })
}

/// All existing requests, some with wrong sizes or on the wrong device, and some that do not exist.
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
