//! A library for `LD_PRELOAD` that records a program's requests to the NVIDIA driver. It shares no code with the agent.
//!
//! It replaces `ioctl`, `poll` and `select`. A call on a device with a major number that the driver may have is passed to
//! the kernel unchanged, and appended as a line ([`record::Record`]) to the file that `IOCTL_RECORD` names. A program finds
//! [`ioctl_32`] with `dlsym` to call as a 32-bit program does. x86-64 only.

mod memory;
pub mod record;

use std::{
    ffi::{c_int, c_long, c_uint, c_ulong},
    fs::OpenOptions,
    io::Write as _,
    time::Instant,
};

use record::{Kind, Record};

/// Names the file to append to. Nothing is recorded without it.
const VARIABLE: &str = "IOCTL_RECORD";
/// The NVIDIA driver's major number. Other majors that a driver can get are greater; those of terminals and disks are
/// smaller.
const FIRST_MAJOR: u32 = 195;
/// `NV_ESC_IOCTL_XFER_CMD`: a number, a size and an address.
const XFER: u64 = 0xD3;
/// How much of a UVM structure is recorded, because words of UVM have no size.
const UVM_BYTES: usize = 512;
/// `UVM_MAP_EXTERNAL_ALLOCATION` and `UVM_ALLOC_SEMAPHORE_POOL` have their status after a large array.
const UVM_LARGE: [u64; 2] = [33, 68];
const UVM_LARGE_BYTES: usize = 9400;

/// Number of `ioctl` among the system calls of 32-bit programs.
const SYS_IOCTL_32: u64 = 54;

/// `ioctl` of the C library has a variable number of arguments. A third one that the caller did not pass is passed on
/// unused.
///
/// # Safety
/// As for `ioctl`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(descriptor: c_int, request: c_ulong, argument: usize) -> c_int {
    recorded(Kind::Ioctl, descriptor, request, argument, || {
        // SAFETY: the caller's own arguments.
        unsafe { libc::syscall(libc::SYS_ioctl, descriptor, request, argument) }
    }) as c_int
}

/// `ioctl` by the system call of 32-bit programs, which ends in the driver's compat functions.
///
/// # Safety
/// As for `ioctl`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl_32(descriptor: c_int, request: c_uint, argument: c_uint) -> c_int {
    recorded(Kind::Ioctl32, descriptor, request.into(), argument as usize, || {
        let mut result = SYS_IOCTL_32;
        // SAFETY: the caller's own arguments; rbx, which the compiler reserves, is restored.
        unsafe {
            std::arch::asm!(
                "xchg rbx, {descriptor}",
                "int 0x80",
                "xchg rbx, {descriptor}",
                descriptor = inout(reg) i64::from(descriptor) => _,
                inout("rax") result,
                in("rcx") u64::from(request),
                in("rdx") u64::from(argument),
                lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
            );
        }
        let result = result as i32;
        if result < 0 {
            set_errno(-result);
            return -1;
        }
        result.into()
    }) as c_int
}

/// Makes an `ioctl` and records it if it is on a device of interest.
fn recorded(
    kind: Kind,
    descriptor: c_int,
    request: u64,
    argument: usize,
    call: impl FnOnce() -> c_long,
) -> c_long {
    let before_errno = errno();
    let Some((major, minor)) = device(descriptor) else {
        set_errno(before_errno);
        return call();
    };
    let escape = request >> 8 & 0xFF == u64::from(b'F');
    let bytes = match request {
        _ if escape => (request >> 16 & 0x3FFF) as usize,
        _ if UVM_LARGE.contains(&request) => UVM_LARGE_BYTES,
        _ => UVM_BYTES,
    };
    let before = memory::read(argument, bytes);
    let inner = if escape && request & 0xFF == XFER { inner(&before) } else { None };
    let read_inner = || inner.map_or_else(Vec::new, |(address, bytes)| memory::read(address, bytes));
    let inner_before = read_inner();
    set_errno(before_errno);
    let started = Instant::now();
    let returned = call();
    let elapsed_ns = started.elapsed().as_nanos() as u64;
    let after_errno = errno();
    append(&Record {
        kind,
        major,
        minor,
        request,
        returned,
        errno: if returned < 0 { after_errno } else { 0 },
        elapsed_ns,
        before,
        after: memory::read(argument, bytes),
        inner_before,
        inner_after: read_inner(),
    });
    set_errno(after_errno);
    returned
}

/// Address and size of the structure in an XFER request.
fn inner(structure: &[u8]) -> Option<(usize, usize)> {
    let size = u32::from_ne_bytes(structure.get(4..8)?.try_into().ok()?);
    let address = u64::from_ne_bytes(structure.get(8..16)?.try_into().ok()?);
    Some((address as usize, size as usize))
}

/// `poll`.
///
/// # Safety
/// As for `poll`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(entries: *mut libc::pollfd, count: libc::nfds_t, timeout_ms: c_int) -> c_int {
    let mut last = None;
    if !entries.is_null() {
        for at in 0..count as usize {
            // SAFETY: the caller guarantees this number of entries.
            let descriptor = unsafe { (*entries.add(at)).fd };
            last = device(descriptor).or(last);
        }
    }
    waited(last, timeout_ms, || {
        // SAFETY: the caller's own arguments.
        unsafe { libc::syscall(libc::SYS_poll, entries, count, timeout_ms) }
    }) as c_int
}

/// `select`. Only the descriptors to read from are checked.
///
/// # Safety
/// As for `select`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn select(
    count: c_int,
    read: *mut libc::fd_set,
    write: *mut libc::fd_set,
    exceptions: *mut libc::fd_set,
    timeout: *mut libc::timeval,
) -> c_int {
    let mut last = None;
    if !read.is_null() {
        for descriptor in 0..count {
            // SAFETY: the caller guarantees a set with this number of descriptors.
            if unsafe { libc::FD_ISSET(descriptor, read) } {
                last = device(descriptor).or(last);
            }
        }
    }
    let timeout_ms = if timeout.is_null() {
        -1
    } else {
        // SAFETY: the caller's own, not null.
        unsafe { ((*timeout).tv_sec * 1000 + (*timeout).tv_usec / 1000) as c_int }
    };
    waited(last, timeout_ms, || {
        // SAFETY: the caller's own arguments.
        unsafe { libc::syscall(libc::SYS_select, count, read, write, exceptions, timeout) }
    }) as c_int
}

/// Makes a wait, and records it if the last device is of interest.
fn waited(last: Option<(u32, u32)>, timeout_ms: c_int, call: impl FnOnce() -> c_long) -> c_long {
    let Some((major, minor)) = last else { return call() };
    let started = Instant::now();
    let returned = call();
    let elapsed_ns = started.elapsed().as_nanos() as u64;
    let after_errno = errno();
    append(&Record {
        kind: Kind::Poll,
        major,
        minor,
        request: u64::from(timeout_ms.cast_unsigned()),
        returned,
        errno: if returned < 0 { after_errno } else { 0 },
        elapsed_ns,
        before: Vec::new(),
        after: Vec::new(),
        inner_before: Vec::new(),
        inner_after: Vec::new(),
    });
    set_errno(after_errno);
    returned
}

/// Major and minor number of the character device of a descriptor, if it may be one of the driver's.
fn device(descriptor: c_int) -> Option<(u32, u32)> {
    // SAFETY: an all-zero structure is valid, and the call fills it.
    let (failed, status) = unsafe {
        let mut status: libc::stat = std::mem::zeroed();
        (libc::fstat(descriptor, &raw mut status), status)
    };
    let (major, minor) = (libc::major(status.st_rdev), libc::minor(status.st_rdev));
    (failed == 0 && status.st_mode & libc::S_IFMT == libc::S_IFCHR && major >= FIRST_MAJOR)
        .then_some((major, minor))
}

/// Appends a line with one system call, so that lines of other threads and processes stay whole.
fn append(record: &Record) {
    let Some(path) = std::env::var_os(VARIABLE) else { return };
    let line = format!("{record}\n");
    let file = OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| file.write(line.as_bytes()));
    if !written.is_ok_and(|bytes| bytes == line.len()) {
        // With an incomplete record, the comparison with the agent would fail without a reason.
        eprintln!("ioctl-recorder: a call was not recorded: {}", std::io::Error::last_os_error());
        std::process::abort();
    }
}

fn errno() -> c_int {
    // SAFETY: the C library's own variable of this thread.
    unsafe { *libc::__errno_location() }
}

fn set_errno(value: c_int) {
    // SAFETY: the same.
    unsafe { *libc::__errno_location() = value }
}
