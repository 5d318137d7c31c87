//! Processes that make calls: children of the test with the driver's devices open, inside or outside a container.

use std::{
    ffi::CString,
    io,
    os::unix::ffi::OsStrExt as _,
    time::{Duration, Instant},
};

use glassbox_tests::{cgroup::Cgroup, nvidia::stand_in};

use super::call::{Call, Device};

/// Device nodes of the driver, as in a container.
pub(super) struct Nodes(stand_in::Nodes);

impl Nodes {
    /// Creates them with the numbers of the loaded driver.
    pub(super) fn new() -> Self {
        Self(stand_in::Nodes::make().unwrap_or_else(|error| panic!("{error:#}")))
    }

    /// Opens all three, in the order of [`Device`].
    pub(super) fn open(&self) -> [i32; 3] {
        self.paths().map(|path| {
            // SAFETY: a C string that outlives the call.
            let descriptor = unsafe { libc::open(path.as_ptr(), libc::O_RDWR) };
            assert!(descriptor >= 0, "open {path:?}: {}", io::Error::last_os_error());
            descriptor
        })
    }

    /// Opens /dev/nvidia-uvm-tools.
    pub(super) fn open_tools(&self) -> i32 {
        let path = self.path("tools");
        // SAFETY: a C string that outlives the call.
        unsafe { libc::open(path.as_ptr(), libc::O_RDWR) }
    }

    fn paths(&self) -> [CString; 3] {
        ["ctl", "gpu", "uvm"].map(|name| self.path(name))
    }

    fn path(&self, name: &str) -> CString {
        CString::new(self.0.directory().join(name).as_os_str().as_bytes()).unwrap()
    }
}

/// The result of a call.
#[derive(Debug)]
pub(super) struct Outcome {
    /// 0, or the error number.
    pub(super) errno: i32,
    pub(super) bytes: Vec<u8>,
    pub(super) nested: Vec<u8>,
}

/// Makes a call. Returns 0 or the error number. Addresses must be those of the call's structures.
pub(super) fn make(descriptors: [i32; 3], device: Device, request: u32, argument: *mut u8) -> i32 {
    let descriptor = descriptors[device as usize];
    // SAFETY: the driver copies the structure or returns an error.
    let result = unsafe { libc::ioctl(descriptor, libc::c_ulong::from(request) as _, argument) };
    if result < 0 { io::Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 }
}

/// Makes a call as a 32-bit program does, with `int 0x80`. Returns the kernel's result. The structure must be below 4 GiB.
pub(super) fn make_compat(descriptor: i32, request: u32, argument: *mut u8) -> i32 {
    const IOCTL: i32 = 54;
    let result: i32;
    // SAFETY: the system call reads its arguments from these registers and changes only eax. rbx, which the compiler
    // reserves, is restored.
    unsafe {
        std::arch::asm!(
            "xchg rsi, rbx",
            "int 0x80",
            "xchg rsi, rbx",
            inlateout("eax") IOCTL => result,
            inlateout("rsi") u64::from(descriptor.cast_unsigned()) => _,
            in("ecx") request,
            in("edx") argument.addr() as u32,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

/// A structure of 4 KiB below 4 GiB, which is never freed.
pub(super) fn low_structure() -> *mut u8 {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
            -1,
            0,
        )
    };
    assert_ne!(start, libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
    start.cast()
}

/// A process that makes calls. It is killed and reaped when dropped.
pub(super) struct Caller {
    pid: i32,
    arena: Arena,
    calls: Vec<Call>,
}

impl Caller {
    /// Starts a process that enters the cgroup, opens the devices and makes the calls in order.
    pub(super) fn start(cgroup: Option<&Cgroup>, nodes: &Nodes, calls: Vec<Call>) -> Self {
        let arena = Arena::of(&calls);
        let (paths, descriptor_count) = (nodes.paths(), 3);
        let places = arena.places(&calls);
        let pid = fork(cgroup, || {
            let mut descriptors = [-1; 3];
            for (path, descriptor) in paths.iter().zip(&mut descriptors[..descriptor_count]) {
                // SAFETY: a C string that lives as long as the process.
                *descriptor = unsafe { libc::open(path.as_ptr(), libc::O_RDWR) };
            }
            for (call, &(errno, bytes, _)) in calls.iter().zip(&places) {
                let result = make(descriptors, call.device, call.request, bytes);
                // SAFETY: an aligned address in the arena.
                unsafe { errno.cast::<i32>().write_volatile(result) };
            }
        });
        Self { pid, arena, calls }
    }

    /// Waits until it exits, and returns the result of each call.
    pub(super) fn outcomes(self) -> Vec<Outcome> {
        wait(self.pid);
        let places = self.arena.places(&self.calls);
        let copy = |from: *mut u8, length: usize| {
            // SAFETY: within the arena, which is not written any more.
            unsafe { std::slice::from_raw_parts(from, length) }.to_vec()
        };
        let outcome = |(call, &(errno, bytes, nested)): (&Call, &(*mut u8, *mut u8, *mut u8))| Outcome {
            // SAFETY: an aligned address in the arena.
            errno: unsafe { errno.cast::<i32>().read_volatile() },
            bytes: copy(bytes, call.bytes.len()),
            nested: copy(nested, call.nested.as_ref().map_or(0, |(_, bytes)| bytes.len())),
        };
        self.calls.iter().zip(&places).map(outcome).collect()
    }
}

/// Runs `work` in a process in a cgroup. Returns the process ID.
pub(super) fn fork(cgroup: Option<&Cgroup>, work: impl FnOnce()) -> i32 {
    // SAFETY: the child stops immediately. Then it calls only the kernel or, if it starts threads, functions that the C
    // library allows in the child of a process with threads.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", io::Error::last_os_error());
    if pid == 0 {
        // SAFETY: no pointers.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::raise(libc::SIGSTOP);
        }
        work();
        // SAFETY: exits without running the test's destructors.
        unsafe { libc::_exit(0) }
    }
    // SAFETY: the child is ours; its status is not needed.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WUNTRACED) };
    if let Some(cgroup) = cgroup {
        cgroup.enter(pid).unwrap();
    }
    // SAFETY: no pointers; the child is ours.
    unsafe { libc::kill(pid, libc::SIGCONT) };
    pid
}

/// Waits until a child exits, and fails if its status is not 0.
pub(super) fn wait(pid: i32) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut status = 0;
    // SAFETY: `status` is a live integer; the child is ours.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } == 0 {
        if Instant::now() > deadline {
            // SAFETY: no pointers; the child is ours.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            panic!("caller {pid} did not end in 120 s");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(status, 0, "caller {pid} ended with status {status:#x}");
}

/// Memory that the caller writes and the test reads.
struct Arena {
    start: *mut u8,
    size: usize,
}

impl Arena {
    /// An arena for the structures of all calls, each after its result.
    fn of(calls: &[Call]) -> Self {
        let size = calls.iter().map(footprint).sum::<usize>().max(1);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
        let arena = Self { start: start.cast(), size };
        for (call, (_, bytes, nested)) in calls.iter().zip(arena.places(calls)) {
            // SAFETY: within the arena, which is as large as all structures together.
            unsafe {
                bytes.copy_from_nonoverlapping(call.bytes.as_ptr(), call.bytes.len());
                if let Some((at, inner)) = &call.nested {
                    nested.copy_from_nonoverlapping(inner.as_ptr(), inner.len());
                    bytes.add(*at).cast::<u64>().write_unaligned(nested as u64);
                }
            }
        }
        arena
    }

    /// The addresses of each call's result, structure and second structure.
    fn places(&self, calls: &[Call]) -> Vec<(*mut u8, *mut u8, *mut u8)> {
        let mut at = 0;
        let place = |call: &Call| {
            // SAFETY: within the arena, see `of`.
            let errno = unsafe { self.start.add(at) };
            let (bytes, nested) = (errno.wrapping_add(8), call.bytes.len().next_multiple_of(8));
            at += footprint(call);
            (errno, bytes, bytes.wrapping_add(nested))
        };
        calls.iter().map(place).collect()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: our own mapping, without borrows.
        unsafe { libc::munmap(self.start.cast(), self.size) };
    }
}

fn footprint(call: &Call) -> usize {
    let nested = call.nested.as_ref().map_or(0, |(_, bytes)| bytes.len());
    8 + call.bytes.len().next_multiple_of(8) + nested.next_multiple_of(8)
}
