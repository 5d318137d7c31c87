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
pub(super) const WORKLOADS: [(&str, Workload); 8] = [
    ("switches", switches),
    ("syscalls", syscalls),
    ("requests", requests),
    ("driver_ioctls", driver_ioctls),
    ("other_ioctls", other_ioctls),
    ("packets", packets),
    ("served_requests", served_requests),
    ("body_packets", body_packets),
];

/// The port of the server in the container.
pub(super) const PORT: u16 = 18_080;

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

/// As [`requests`], with the messages of wrk and nginx. Only the server is in the container.
fn served_requests() -> anyhow::Result<Work> {
    let request = "GET /f1k HTTP/1.1\r\nHost: 127.0.0.1:18080\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 28 Nov 2026 22:00:00 GMT\r\nContent-Type: \
                application/octet-stream\r\nContent-Length: 1024\r\nLast-Modified: Sat, 28 Nov 2026 21:00:00 GMT\r\n\
                Connection: keep-alive\r\nETag: \"6565a400-400\"\r\nAccept-Ranges: bytes\r\n\r\n";
    let response = format!("{head}{}", "x".repeat(RESPONSE_BYTES));
    let mut connection = None;
    // A socket belongs to the cgroup in which it was created, and this process is not in the container yet.
    let mut client = Some(socket()?);
    Ok(Box::new(move |time| {
        let (client, server) = match &mut connection {
            Some(connection) => connection,
            none => none.insert(connected(client.take().context("the socket is in use")?)?),
        };
        let mut received = vec![0; response.len()];
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            client.write_all(request.as_bytes())?;
            server.read_exact(&mut received[..request.len()])?;
            server.write_all(response.as_bytes())?;
            client.read_exact(&mut received)?;
            count += 1;
        }
        Ok(count)
    }))
}

/// A server in the container sends packets of a long response, and receives an acknowledgment of each: two packets for each
/// operation.
fn body_packets() -> anyhow::Result<Work> {
    const PACKET_BYTES: usize = 512;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", u64::MAX >> 20);
    let mut connection = None;
    let mut client = Some(socket()?);
    Ok(Box::new(move |time| {
        let (client, server) = match &mut connection {
            Some(connection) => connection,
            none => {
                let (client, server) =
                    none.insert(connected(client.take().context("the socket is in use")?)?);
                client.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
                server.read_exact(&mut [0; 18])?;
                server.write_all(head.as_bytes())?;
                client.read_exact(&mut vec![0; head.len()])?;
                none.as_mut().context("the connection was made above")?
            }
        };
        let (begun, mut count) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for _ in 0..100 {
                server.write_all(&[0; PACKET_BYTES])?;
                client.read_exact(&mut [0; PACKET_BYTES])?;
            }
            count += 200;
        }
        Ok(count)
    }))
}

/// A TCP socket that is not connected.
fn socket() -> anyhow::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: no pointers.
    let descriptor = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    anyhow::ensure!(descriptor >= 0, "create a socket: {}", std::io::Error::last_os_error());
    // SAFETY: a new descriptor without another owner.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(descriptor) })
}

/// Connects a socket to a server that this process starts.
fn connected(client: std::os::fd::OwnedFd) -> anyhow::Result<(TcpStream, TcpStream)> {
    use std::os::fd::AsRawFd as _;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).context("listen")?;
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: PORT.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be() },
        sin_zero: [0; 8],
    };
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address is live and of this length.
    let refused = unsafe { libc::connect(client.as_raw_fd(), (&raw const address).cast(), length) };
    anyhow::ensure!(refused == 0, "connect: {}", std::io::Error::last_os_error());
    let (server, _) = listener.accept().context("accept")?;
    let client = TcpStream::from(client);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok((client, server))
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
