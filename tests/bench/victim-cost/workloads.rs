//! What a victim does, over and over.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use glassbox_tests::measure::flag;

const RESPONSE_BYTES: usize = 1024;

/// Does something over and over for a time and returns how often.
pub(super) type Work = Box<dyn FnMut(Duration) -> anyhow::Result<u64>>;
pub(super) type Workload = fn() -> anyhow::Result<Work>;
/// By name.
pub(super) const WORKLOADS: [(&str, Workload); 6] = [
    ("switches", switches),
    ("syscalls", syscalls),
    ("requests", requests),
    ("driver_ioctls", driver_ioctls),
    ("other_ioctls", other_ioctls),
    ("packets", packets),
];

/// Two threads on one CPU pass a byte to and fro: each pass is a context switch.
fn switches() -> anyhow::Result<Work> {
    let ((mut here, mut there), (mut back, mut forth)) = (std::io::pipe()?, std::io::pipe()?);
    // Inherits the CPU; ends with the process.
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

/// One thread calls the kernel and nothing else.
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

/// `RM_CONTROL`, over and over, on the file that is the driver's control device to the programs. The file system
/// knows no such request and says so at once, so that nearly all of the time is that of the system call.
fn driver_ioctls() -> anyhow::Result<Work> {
    ioctls(&flag::<PathBuf>("--device")?)
}

/// The same on a file that is nobody's device.
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
                // SAFETY: a live buffer of the size that the request tells.
                unsafe { libc::ioctl(file.as_raw_fd(), RM_CONTROL, &raw mut parameters) };
            }
            count += 1000;
        }
        Ok(count)
    }))
}

/// One client asks one HTTP server over loopback, on one connection and one CPU: where the scheduler puts
/// them would matter more than all that is to be seen.
fn requests() -> anyhow::Result<Work> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // Ends with the process.
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

/// One socket sends itself a datagram and takes it: two packets each time.
fn packets() -> anyhow::Result<Work> {
    let mut socket = None;
    Ok(Box::new(move |time| {
        // Made only now, when this process is in the container: a socket belongs where it was made.
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
