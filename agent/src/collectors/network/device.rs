//! Parser of `/proc/PID/net/dev`: two lines of headings, then `name: ` and sixteen numbers per interface.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::InterfaceCounters;

/// Maximum number of interfaces of one container.
const INTERFACES_MAX: usize = 64;
/// Space for [`INTERFACES_MAX`] of the longest lines and as many excluded ones.
const BUFFER_BYTES: usize = 48 * 1024;
/// The kernel returns as many whole lines as fit in a page, so there are no more lines after a part that is shorter than this.
/// A page has at least 4 KiB, and a line less than 512 bytes.
const PART_BYTES_MIN: usize = 2048;

/// Reads interfaces. It allocates only when it sees more of them than before.
pub(super) struct Devices {
    buffer: Box<[u8]>,
    read: Vec<InterfaceCounters>,
}

impl Devices {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES].into_boxed_slice(), read: Vec::new() }
    }

    /// Reads all interfaces.
    pub(super) fn read(&mut self, file: &File) -> io::Result<&[InterfaceCounters]> {
        let mut bytes = 0;
        while bytes < self.buffer.len() {
            let more = file.read_at(&mut self.buffer[bytes..], bytes as u64)?;
            bytes += more;
            if more < PART_BYTES_MIN {
                break;
            }
        }
        parse(&self.buffer[..bytes], &mut self.read);
        Ok(&self.read)
    }

    /// Swaps the last reading into the row.
    pub(super) fn swap_into(&mut self, row: &mut Vec<InterfaceCounters>) {
        std::mem::swap(&mut self.read, row);
    }
}

fn parse(text: &[u8], into: &mut Vec<InterfaceCounters>) {
    let mut count = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let Some((name, numbers)) = interface(line) else {
            continue;
        };
        if count == INTERFACES_MAX {
            break;
        }
        if count == into.len() {
            into.push(InterfaceCounters::default());
        }
        let row = &mut into[count];
        if row.interface != name {
            name.clone_into(&mut row.interface);
        }
        let [
            receive_bytes,
            receive_packets,
            receive_errors,
            receive_dropped,
            _,
            _,
            _,
            _,
            transmit_bytes,
            transmit_packets,
            transmit_errors,
            transmit_dropped,
        ] = numbers;
        (row.receive_bytes, row.receive_packets) = (receive_bytes, receive_packets);
        (row.receive_errors, row.receive_dropped) = (receive_errors, receive_dropped);
        (row.transmit_bytes, row.transmit_packets) = (transmit_bytes, transmit_packets);
        (row.transmit_errors, row.transmit_dropped) = (transmit_errors, transmit_dropped);
        count += 1;
    }
    into.truncate(count);
}

/// The name and the first twelve numbers of a line; `None` for headings, excluded interfaces and malformed lines.
fn interface(line: &[u8]) -> Option<(&str, [u64; 12])> {
    let line = std::str::from_utf8(line).ok()?;
    // A name may contain a colon, as an alias does; the numbers do not.
    let (name, rest) = line.rsplit_once(':')?;
    let name = name.trim_ascii();
    let excluded =
        name == "lo" || ["veth", "docker", "nerdctl"].iter().any(|prefix| name.starts_with(prefix));
    if excluded || name.is_empty() {
        return None;
    }
    let mut columns = rest.split_ascii_whitespace();
    let mut numbers = [0; 12];
    for number in &mut numbers {
        *number = columns.next()?.parse().ok()?;
    }
    Some((name, numbers))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  211080    2100    0    0    0     0          0         0   211080    2100    0    0    0     0       0          0
  eth0: 5263017    3771    1    2    3     4          5         6   264127    3905    7    8    9    10      11         12
veth12:       1       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0
docker0:      1       1    0    0    0     0          0         0        1       1    0    0    0     0       0          0
eth0:1:      20      21   22   23    0     0          0         0       24      25   26   27    0     0       0          0
";

    #[test]
    fn counters_are_read_from_their_columns_and_nested_interfaces_are_excluded() {
        let mut read =
            vec![InterfaceCounters { interface: "old".into(), receive_bytes: 9, ..Default::default() }; 3];
        parse(TEXT.as_bytes(), &mut read);
        let eth0 = InterfaceCounters {
            interface: "eth0".into(),
            receive_bytes: 5_263_017,
            receive_packets: 3771,
            receive_dropped: 2,
            receive_errors: 1,
            transmit_bytes: 264_127,
            transmit_packets: 3905,
            transmit_dropped: 8,
            transmit_errors: 7,
        };
        let alias = InterfaceCounters {
            interface: "eth0:1".into(),
            receive_bytes: 20,
            receive_packets: 21,
            receive_dropped: 23,
            receive_errors: 22,
            transmit_bytes: 24,
            transmit_packets: 25,
            transmit_dropped: 27,
            transmit_errors: 26,
        };
        assert_eq!(read, [eth0, alias]);
    }

    #[test]
    fn an_interface_without_a_name_is_excluded() {
        let numbers = " 1".repeat(16);
        let mut read = Vec::new();
        parse(format!(":{numbers}\n  \t:{numbers}\neth0:{numbers}\n").as_bytes(), &mut read);
        assert_eq!(read.iter().map(|row| row.interface.as_str()).collect::<Vec<_>>(), ["eth0"]);
    }

    #[test]
    fn no_more_than_64_interfaces_are_kept() {
        let text: String = (0..500).map(|number| format!("e{number}:{}\n", " 1".repeat(16))).collect();
        let mut read = Vec::new();
        parse(text.as_bytes(), &mut read);
        assert_eq!((read.len(), read[63].interface.as_str()), (64, "e63"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in prop::collection::vec(any::<u8>(), 0..200), lines in "([a-z: 0-9-]{0,40}\n){0,5}") {
            let mut read = Vec::new();
            parse(&text, &mut read);
            parse(lines.as_bytes(), &mut read);
        }
    }
}
