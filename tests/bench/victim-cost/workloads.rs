//! The workloads of a victim.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use glassbox_tests::measure::flag;

const RESPONSE_BYTES: usize = 1024;

/// Repeats an operation for a time and returns the number of operations.
pub(super) type Work = Box<dyn FnMut(Duration) -> anyhow::Result<u64>>;
pub(super) type Workload = fn() -> anyhow::Result<Work>;
/// The workloads by name.
pub(super) const WORKLOADS: [(&str, Workload); 6] = [
    ("switches", switches),
    ("syscalls", syscalls),
    ("requests", requests),
    ("driver_ioctls", driver_ioctls),
    ("other_ioctls", other_ioctls),
    ("packets", packets),
];

/// Two threads on one CPU pass a byte back and forth. Each pass is a context switch.
fn switches() -> anyhow::Result<Work> {
    let ((mut here, mut there), (mut back, mut forth)) = (std::io::pipe()?, std::io::pipe()?);
    // The thread inherits the CPU and ends with the process.
    std::thread::spawn(move || {
        let mut byte = [0];
        while here.read_exact(&mut byte).is_ok() && forth.write_all(&byte).is_ok() {}
    });
    Ok(Box::new(move |time| {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            there.write_all(&[0])?;
            back.read_exact(&mut [0])?;
            count += 2;
        }
        Ok(count)
    }))
}

/// One thread makes system calls.
fn syscalls() -> anyhow::Result<Work> {
    Ok(Box::new(|time| {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for _ in 0..1000 {
                // SAFETY: no arguments, cannot fail.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
            count += 1000;
        }
        Ok(count)
    }))
}

/// Repeats `RM_CONTROL` on the file that the programs treat as the driver's control device. Its filesystem does not know the
/// request and returns immediately, so nearly all of the time is that of the system call.
fn driver_ioctls() -> anyhow::Result<Work> {
    ioctls(&flag::<PathBuf>("--device")?)
}

/// The same on a file that is not a device of the driver.
fn other_ioctls() -> anyhow::Result<Work> {
    ioctls(&std::env::current_exe().context("find this program")?)
}

fn ioctls(path: &Path) -> anyhow::Result<Work> {
    use std::os::fd::AsRawFd as _;
    const RM_CONTROL: libc::c_ulong = 0xC020_462A;
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut parameters = [0u32; 8];
    Ok(Box::new(move |time| {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for _ in 0..1000 {
                // SAFETY: a live buffer of the size in the request.
                unsafe { libc::ioctl(file.as_raw_fd(), RM_CONTROL, &raw mut parameters) };
            }
            count += 1000;
        }
        Ok(count)
    }))
}

/// One client sends requests to one HTTP server over loopback, on one connection and one CPU. With several CPUs, the
/// scheduler's placement would have a larger effect than the tools.
fn requests() -> anyhow::Result<Work> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // The thread ends with the process.
    std::thread::spawn(move || serve(&listener));
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut response = vec![0; response_text().len()];
    Ok(Box::new(move |time| {
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")?;
            stream.read_exact(&mut response)?;
            count += 1;
        }
        Ok(count)
    }))
}

fn response_text() -> String {
    let body = "x".repeat(RESPONSE_BYTES);
    format!("HTTP/1.1 200 OK\r\nContent-Length: {RESPONSE_BYTES}\r\n\r\n{body}")
}

fn serve(listener: &TcpListener) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let requests = BufReader::new(stream.try_clone()?).lines();
    let response = response_text();
    for line in requests {
        if line?.is_empty() {
            stream.write_all(response.as_bytes())?;
        }
    }
    Ok(())
}

/// One socket sends itself a datagram and receives it: two packets for each operation.
fn packets() -> anyhow::Result<Work> {
    let mut socket = None;
    Ok(Box::new(move |time| {
        // Created once this process is in the container, because a socket belongs to the cgroup in which it was created.
        let socket = match &mut socket {
            Some(socket) => socket,
            none => none.insert(own_socket()?),
        };
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for _ in 0..100 {
                socket.send(&[0; 64])?;
                socket.recv(&mut [0; 64])?;
            }
            count += 200;
        }
        Ok(count)
    }))
}

fn own_socket() -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(socket.local_addr()?)?;
    Ok(socket)
}
