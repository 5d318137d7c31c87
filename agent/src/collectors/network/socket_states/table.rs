//! Parser of one socket table: a line of headings, then one line per socket. It reads the columns of the state, the
//! queues and, at the end of UDP lines, the drops.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use crate::snapshot::socket_states::{Sockets, TcpSockets, UdpSockets};

/// The kernel returns one page at a time; the largest page is 64 KiB.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;
/// Several times the longest valid line.
const LINE_BYTES: usize = 1024;
/// Maximum number of sockets in one table: 10 MB of text. A container with more must not keep the agent from reading
/// the others.
const SOCKETS_MAX: u64 = 65_536;
/// The state of an unconnected UDP socket. It has the number of TCP's state "closed".
const UNCONNECTED: u64 = 7;

/// One of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Tcp,
    Tcp6,
    Udp,
    Udp6,
}

impl Table {
    pub(super) const ALL: [Self; 4] = [Self::Tcp, Self::Tcp6, Self::Udp, Self::Udp6];

    /// The name of its file.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tcp6 => "tcp6",
            Self::Udp => "udp",
            Self::Udp6 => "udp6",
        }
    }
}

/// Progress of a pass over the files of a namespace.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Index of the file that is being read.
    pub(super) file: usize,
    offset: u64,
    lines: u64,
    /// The start of a line that the last read returned incompletely.
    begun: Vec<u8>,
}

impl Pass {
    /// Continues reading `file` and adds its sockets; at the end of the file, moves on to the next.
    pub(super) fn read(
        &mut self,
        table: Table,
        file: &File,
        buffer: &mut [u8],
        sums: &mut Sockets,
    ) -> io::Result<()> {
        let begun = self.begun.len();
        buffer[..begun].copy_from_slice(&self.begun);
        let read = file.read_at(&mut buffer[begun..], self.offset)?;
        // A table without sockets still produces counts of 0.
        add(table, None, sums);
        if read == 0 {
            *self = Self { file: self.file + 1, ..Self::default() };
            return Ok(());
        }
        self.offset += read as u64;
        self.begun.clear();
        for line in buffer[..begun + read].split_inclusive(|byte| *byte == b'\n') {
            if !line.ends_with(b"\n") {
                if line.len() > LINE_BYTES {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
                }
                self.begun.extend_from_slice(line);
            } else {
                // The first line contains headings.
                if self.lines > 0 {
                    add(table, Some(line), sums);
                }
                self.lines += 1;
            }
        }
        if self.lines > SOCKETS_MAX {
            return Err(io::Error::other(format!("more than {SOCKETS_MAX} sockets")));
        }
        Ok(())
    }
}

/// Adds a line to the sums of its table. A line that describes no socket adds nothing.
fn add(table: Table, line: Option<&[u8]>, sums: &mut Sockets) {
    match table {
        Table::Tcp => sums.tcp.get_or_insert_default().add(line),
        Table::Tcp6 => sums.tcp6.get_or_insert_default().add(line),
        Table::Udp => sums.udp.get_or_insert_default().add(line),
        Table::Udp6 => sums.udp6.get_or_insert_default().add(line),
    }
}

impl TcpSockets {
    fn add(&mut self, line: Option<&[u8]>) {
        let state = line.and_then(|line| hexadecimal(columns(line).nth(3)?));
        let index = state.and_then(|state| usize::try_from(state).ok()?.checked_sub(1));
        if let Some(count) = index.and_then(|index| self.0.get_mut(index)) {
            *count += 1;
        }
    }
}

impl UdpSockets {
    fn add(&mut self, line: Option<&[u8]>) {
        let Some(line) = line else { return };
        let mut columns = columns(line).skip(3);
        let mut next = || columns.next();
        let (Some(state), Some(queues)) = (next().and_then(hexadecimal), next()) else { return };
        self.listening += u64::from(state == UNCONNECTED);
        let colon = queues.iter().position(|byte| *byte == b':').unwrap_or(queues.len());
        let (transmit, receive) = queues.split_at(colon);
        let bytes = |queue| hexadecimal(queue).unwrap_or(0);
        self.transmit_queue_bytes = self.transmit_queue_bytes.saturating_add(bytes(transmit));
        self.receive_queue_bytes =
            self.receive_queue_bytes.saturating_add(bytes(receive.get(1..).unwrap_or_default()));
        let dropped = columns.last().and_then(|drops| str::from_utf8(drops).ok()?.parse::<u64>().ok());
        self.dropped = self.dropped.saturating_add(dropped.unwrap_or(0));
    }
}

fn columns(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|column| !column.is_empty())
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 22 1 0000000000000000 20 0 0 10 -1
   2: 0100007F:D2F0 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 23 1 0000000000000000 20 0 0 10 -1
   3: 0100007F:D2F2 0100007F:1F90 06 00000000:00000000 03:000016D5 00000000     0        0 0 3 0000000000000000
";
    const UDP: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  414: 0100007F:0143 00000000:0000 07 00000000:00000300 00:00000000 00000000     0        0 24 2 0000000000000000 5
  415: 0100007F:0144 0100007F:0143 01 00000010:00000000 00:00000000 00000000     0        0 25 2 0000000000000000 0
";

    /// The sums for a file with this text, read `bytes` at a time.
    fn sum(table: Table, text: &str, bytes: usize) -> io::Result<Sockets> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table");
        std::fs::write(&path, text).unwrap();
        let file = File::open(path).unwrap();
        let (mut sums, mut pass) = (Sockets::default(), Pass::default());
        while pass.file == 0 {
            let mut buffer = vec![0; pass.begun.len() + bytes];
            pass.read(table, &file, &mut buffer, &mut sums)?;
        }
        Ok(sums)
    }

    #[test]
    fn tcp_sockets_are_counted_by_state_wherever_a_read_stops() {
        let mut states = [0; 11];
        (states[0], states[5], states[9]) = (2, 1, 1);
        let expected = Sockets { tcp: Some(TcpSockets(states)), ..Sockets::default() };
        for bytes in [1, 7, 100, 4096] {
            assert_eq!(sum(Table::Tcp, TCP, bytes).unwrap(), expected, "{bytes}");
        }
        assert_eq!(sum(Table::Tcp6, TCP, 4096).unwrap().tcp6, expected.tcp);
    }

    #[test]
    fn udp_sockets_have_queues_and_drops() {
        let expected =
            UdpSockets { listening: 1, dropped: 5, receive_queue_bytes: 0x300, transmit_queue_bytes: 0x10 };
        assert_eq!(sum(Table::Udp, UDP, 4096).unwrap().udp, Some(expected));
        assert_eq!(sum(Table::Udp6, UDP, 11).unwrap().udp6, Some(expected));
    }

    #[test]
    fn an_empty_table_counts_0_sockets() {
        assert_eq!(sum(Table::Tcp, "headings\n", 64).unwrap().tcp, Some(TcpSockets::default()));
        assert_eq!(sum(Table::Udp, "", 64).unwrap().udp, Some(UdpSockets::default()));
    }

    #[test]
    fn malformed_lines_add_nothing_and_a_line_without_an_end_is_rejected() {
        let nonsense =
            "headings\n\n a b c\n 0: x y 00 z\n 0: x y FFFFFFFFFFFFFFFFFF z\n 0: x y 0C z\n 1: x y é\n";
        assert_eq!(sum(Table::Tcp, nonsense, 4096).unwrap().tcp, Some(TcpSockets::default()));
        let queues = "headings\n 0: x y 07 zz\n 0: x y 07 FFFFFFFFFFFFFFFF:FFFFFFFFFFFFFFFF a b -1\n 0: x y 07 1:1 18446744073709551615\n";
        let udp = sum(Table::Udp, queues, 4096).unwrap().udp.unwrap();
        assert_eq!((udp.listening, udp.dropped, udp.receive_queue_bytes), (3, u64::MAX, u64::MAX));
        assert!(sum(Table::Tcp, &"x".repeat(4096), 4096).is_err());
    }

    #[test]
    fn a_table_that_is_too_long_is_given_up() {
        let line = TCP.lines().nth(1).unwrap();
        let text = format!("headings\n{}", format!("{line}\n").repeat(SOCKETS_MAX as usize));
        assert!(sum(Table::Tcp, &text, BUFFER_BYTES).is_err());
        let text = format!("headings\n{}", format!("{line}\n").repeat(SOCKETS_MAX as usize - 1));
        assert_eq!(sum(Table::Tcp, &text, BUFFER_BYTES).unwrap().tcp.unwrap().0[9], SOCKETS_MAX - 1);
    }

    /// The sums for a whole text, read with a buffer of this size.
    fn whole(table: Table, text: &[u8], buffer_bytes: usize) -> io::Result<Sockets> {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, text).unwrap();
        let (mut pass, mut sums) = (Pass::default(), Sockets::default());
        let mut buffer = vec![0; buffer_bytes + LINE_BYTES];
        while pass.file == 0 {
            pass.read(table, &file, &mut buffer, &mut sums)?;
        }
        Ok(sums)
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_wherever_reads_stop(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
            lines in "(([0-9A-F:]{0,12} {1,3}){0,16}\n?){0,6}",
            buffer_bytes in 1usize..300,
        ) {
            for table in Table::ALL {
                for text in [bytes.as_slice(), lines.as_bytes()] {
                    let pieces = whole(table, text, buffer_bytes);
                    let at_once = whole(table, text, BUFFER_BYTES);
                    proptest::prop_assert_eq!(pieces.ok(), at_once.ok());
                }
            }
        }

        #[test]
        fn every_socket_is_counted(states in proptest::collection::vec(1u8..12, 0..60), buffer_bytes in 1usize..300) {
            let mut text = String::from("  sl  local_address rem_address   st tx_queue rx_queue\n");
            for (number, state) in states.iter().enumerate() {
                text += &format!("{number:4}: 0100007F:1F90 00000000:0000 {state:02X} 00000002:00000003 00:0 0 0\n");
            }
            let tcp = whole(Table::Tcp, text.as_bytes(), buffer_bytes).unwrap().tcp.unwrap();
            proptest::prop_assert_eq!(tcp.0.iter().sum::<u64>(), states.len() as u64);
            let udp = whole(Table::Udp, text.as_bytes(), buffer_bytes).unwrap().udp.unwrap();
            proptest::prop_assert_eq!(udp.transmit_queue_bytes, 2 * states.len() as u64);
            proptest::prop_assert_eq!(udp.receive_queue_bytes, 3 * states.len() as u64);
        }
    }
}
