//! TCP sockets of a network namespace, from `/proc/PID/net`: the ports on which they listen, and how many connections
//! are open.
//!
//! Needs only the right to trace one process of the namespace, no entry into the namespace. All supported kernels have
//! these files. Cost: [`NetworkFiles::listening`] takes milliseconds, because the kernel searches its table of all
//! connections of the host before it knows that no listening socket is left (2.5 ms per IP version with 131,072 hash
//! buckets, 6.18), unless the namespace has no socket of that version. So it is meant for rare calls.
//! [`NetworkFiles::in_use`] takes 7 µs.

use std::{collections::BTreeSet, fs::File, io, os::unix::fs::FileExt as _, path::Path};

/// The kernel returns at most one page at a time. Listening sockets come first, so little more is generated than
/// needed.
const PAGE_BYTES: usize = 4096;
/// Maximum number of bytes that are read of one table: some 400 sockets.
const TABLE_BYTES_MAX: u64 = 64 * 1024;
/// The state of a listening socket.
const LISTEN: &str = "0A";

/// The files of one network namespace. While they are open, they show the same namespace, even after the process with
/// which they were opened has ended.
#[derive(Debug)]
pub struct NetworkFiles {
    /// IPv4 and, if the kernel has it, IPv6.
    versions: Vec<Version>,
}

/// The files of one IP version.
#[derive(Debug)]
struct Version {
    /// All sockets.
    table: File,
    /// The numbers of sockets.
    statistics: File,
}

/// The listening sockets of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// The ports, each once.
    pub ports: BTreeSet<u16>,
    /// The number of sockets.
    pub sockets: u64,
}

impl NetworkFiles {
    /// Opens the files of the namespace of a process.
    ///
    /// # Errors
    /// If the process has ended or may not be inspected.
    pub fn open(proc_root: &Path, process: &str) -> io::Result<Self> {
        let directory = proc_root.join(process).join("net");
        let open = |suffix: &str| -> io::Result<Version> {
            let file = |name: &str| File::open(directory.join(format!("{name}{suffix}")));
            Ok(Version { table: file("tcp")?, statistics: file("sockstat")? })
        };
        // A kernel without IPv6 has no files of that version.
        Ok(Self { versions: std::iter::once(open("")?).chain(open("6").ok()).collect() })
    }

    /// Reads the listening sockets.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn listening(&self) -> io::Result<Listening> {
        let mut listening = Listening::default();
        for version in &self.versions {
            if !matches!(version.in_use(), Ok(0)) {
                read_table(&version.table, &mut listening)?;
            }
        }
        Ok(listening)
    }

    /// Reads the number of TCP sockets that listen, connect or are connected.
    ///
    /// # Errors
    /// If a file cannot be read, or does not have the number.
    pub fn in_use(&self) -> io::Result<u64> {
        self.versions.iter().map(Version::in_use).sum()
    }
}

impl Version {
    fn in_use(&self) -> io::Result<u64> {
        let mut buffer = [0; 1024];
        let bytes = self.statistics.read_at(&mut buffer, 0)?;
        let number = in_use(&String::from_utf8_lossy(&buffer[..bytes]));
        number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no line TCP: inuse"))
    }
}

/// Adds the listening sockets of one table, up to the first socket in another state.
fn read_table(file: &File, listening: &mut Listening) -> io::Result<()> {
    let (mut buffer, mut offset, mut begun) = ([0; PAGE_BYTES], 0, Vec::new());
    while offset < TABLE_BYTES_MAX {
        let bytes = file.read_at(&mut buffer, offset)?;
        if bytes == 0 {
            return Ok(());
        }
        offset += bytes as u64;
        begun.extend_from_slice(&buffer[..bytes]);
        let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = begun.split_off(whole);
        for line in std::mem::replace(&mut begun, rest).split(|byte| *byte == b'\n') {
            match parse(&String::from_utf8_lossy(line)) {
                Line::Listening(port) => {
                    listening.sockets += 1;
                    listening.ports.insert(port);
                }
                Line::Other => return Ok(()),
                Line::NoSocket => {}
            }
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Listening(u16),
    /// A socket in another state.
    Other,
    /// The headings, or nothing.
    NoSocket,
}

/// A line: `0: 0100007F:1F41 00000000:0000 0A …`.
fn parse(line: &str) -> Line {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let (Some(local), Some(_), Some(state)) = (columns.next(), columns.next(), columns.next()) else {
        return Line::NoSocket;
    };
    let port = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    match port {
        Some(port) if state == LISTEN => Line::Listening(port),
        Some(_) => Line::Other,
        None => Line::NoSocket,
    }
}

/// `TCP: inuse 5 orphan 0 …`, and `TCP6: inuse 0`.
fn in_use(text: &str) -> Option<u64> {
    let counts = text.lines().find_map(|line| {
        let rest = line.strip_prefix("TCP: inuse ");
        rest.or_else(|| line.strip_prefix("TCP6: inuse "))
    });
    counts?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headings_and_malformed_lines_are_no_sockets() {
        for (line, parsed) in [
            ("  sl  local_address rem_address   st tx_queue rx_queue", Line::NoSocket),
            ("   0: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000", Line::Listening(8001)),
            ("   1: 0100007F:1F41 0100007F:0016 01 00000000:00000000 00:00000000", Line::Other),
            ("   0: 0100007F:11F41 00000000:0000 0A", Line::NoSocket),
            ("", Line::NoSocket),
        ] {
            assert_eq!(parse(line), parsed, "{line}");
        }
    }

    #[test]
    fn this_processs_listening_ports_and_connections_are_found() {
        let files = NetworkFiles::open(Path::new("/proc"), "thread-self").unwrap();
        let mut listeners = vec![TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()];
        listeners.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, 0)));
        let ports = listeners.iter().map(|listener| listener.local_addr().unwrap().port());
        let ports: Vec<u16> = ports.collect();
        let before = files.in_use().unwrap();
        let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0])).unwrap();
        let found = files.listening().unwrap();
        assert!(ports.iter().all(|port| found.ports.contains(port)), "{ports:?} in {found:?}");
        // Other tests of this process open and close sockets, too.
        assert!(before >= 1 && files.in_use().unwrap() >= 1);
        drop(listeners);
        let found = files.listening().unwrap();
        assert!(!ports.iter().any(|port| found.ports.contains(port)), "{ports:?} in {found:?}");
    }

    #[test]
    fn the_table_of_a_version_without_sockets_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let net = root.path().join("7/net");
        std::fs::create_dir_all(&net).unwrap();
        let write = |name: &str, text: &str| std::fs::write(net.join(name), text).unwrap();
        write("tcp", "0: 0100007F:1F41 00000000:0000 0A\n");
        write("tcp6", "0: 00000000000000000000000001000000:1F42 0:0000 0A\n");
        write("sockstat6", "TCP6: inuse 0\n");
        for (statistics, ports) in
            [("TCP: inuse 1 orphan 0\n", &[8001][..]), ("TCP: inuse 0\n", &[]), ("?", &[8001])]
        {
            write("sockstat", statistics);
            let found = NetworkFiles::open(root.path(), "7").unwrap().listening().unwrap();
            assert!(
                found.ports.iter().eq(ports) && found.sockets == ports.len() as u64,
                "{statistics}: {found:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".{0,80}", columns in "( [0-9A-F:]{0,12}){0,6}") {
            parse(&line);
            parse(&columns);
            in_use(&line);
        }
    }
}
