//! Parsers of the block I/O files, which have lines for the devices that the cgroup has used. A device without a line
//! is removed: it was unplugged, and the kernel has dropped its counters.

use crate::snapshot::cgroup::DeviceIo;

/// Maximum number of devices of one container. Devices beyond this limit have no series.
const DEVICES_MAX: usize = 128;

/// Parses v2's `io.stat`: a line per device, with its numbers first and `key=value` pairs after them. Kernels before
/// 5.13 sometimes omit the line break after a device without values, so several device numbers may come before the
/// values, which belong to the last of them.
pub(super) fn io_stat(text: &str, devices: &mut Vec<DeviceIo>) {
    for device in &mut *devices {
        *device =
            DeviceIo { number: device.number, name: std::mem::take(&mut device.name), ..DeviceIo::default() };
    }
    for line in text.lines() {
        let mut at = None;
        for word in line.split_ascii_whitespace() {
            let Some((key, value)) = word.split_once('=') else {
                at = numbers(word);
                continue;
            };
            let (Some(number), Ok(value)) = (at, value.parse()) else {
                continue;
            };
            let Some(device) = entry(devices, number) else {
                continue;
            };
            let field = match key {
                "rbytes" => &mut device.read_bytes,
                "wbytes" => &mut device.written_bytes,
                "rios" => &mut device.reads,
                "wios" => &mut device.writes,
                "cost.usage" => &mut device.cost_usage_us,
                "cost.wait" => &mut device.cost_wait_us,
                "cost.indebt" => &mut device.cost_indebt_us,
                "cost.indelay" => &mut device.cost_indelay_us,
                _ => continue,
            };
            *field = Some(value);
        }
    }
    drop_absent(devices);
}

/// Parses one of v1's `blkio.throttle.*` files: lines with a device's numbers, an operation and a number. Only reads
/// and writes are used.
pub(super) fn operations(
    text: &str,
    devices: &mut Vec<DeviceIo>,
    fields: fn(&mut DeviceIo) -> (&mut Option<u64>, &mut Option<u64>),
) {
    for device in &mut *devices {
        let (read, written) = fields(device);
        (*read, *written) = (None, None);
    }
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(at), Some(operation), Some(value)) = (words.next(), words.next(), words.next()) else {
            continue; // The line with the total.
        };
        let (Some(number), Ok(value)) = (numbers(at), value.parse()) else {
            continue;
        };
        if !matches!(operation, "Read" | "Write") {
            continue;
        }
        let Some(device) = entry(devices, number) else {
            continue;
        };
        let (read, written) = fields(device);
        *(if operation == "Read" { read } else { written }) = Some(value);
    }
    drop_absent(devices);
}

fn numbers(word: &str) -> Option<(u32, u32)> {
    let (major, minor) = word.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The device's entry. A missing entry is created if the limit allows it.
fn entry(devices: &mut Vec<DeviceIo>, number: (u32, u32)) -> Option<&mut DeviceIo> {
    let index = match devices.iter().position(|device| device.number == number) {
        Some(index) => index,
        None if devices.len() < DEVICES_MAX => {
            devices.push(DeviceIo { number, ..DeviceIo::default() });
            devices.len() - 1
        }
        None => return None,
    };
    devices.get_mut(index)
}

fn drop_absent(devices: &mut Vec<DeviceIo>) {
    devices.retain(|device| {
        let fields = [device.read_bytes, device.written_bytes, device.reads, device.writes];
        fields.iter().any(Option::is_some) || device.cost_usage_us.is_some()
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type ReadAndWritten = ((u32, u32), Option<u64>, Option<u64>);

    fn read_and_written(devices: &[DeviceIo]) -> Vec<ReadAndWritten> {
        devices.iter().map(|device| (device.number, device.read_bytes, device.written_bytes)).collect()
    }

    #[test]
    fn a_line_of_io_stat_is_a_device() {
        let mut devices = Vec::new();
        io_stat(
            "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n\
             254:0 rbytes=5 wbytes=6 rios=7 wios=8 cost.usage=9 cost.wait=10 cost.indebt=11 cost.indelay=12\n",
            &mut devices,
        );
        assert_eq!(
            read_and_written(&devices),
            [((8, 16), Some(1_459_200), Some(314_773_504)), ((254, 0), Some(5), Some(6))]
        );
        let last = &devices[1];
        assert_eq!((last.reads, last.writes, last.cost_usage_us), (Some(7), Some(8), Some(9)));
        assert_eq!(
            (last.cost_wait_us, last.cost_indebt_us, last.cost_indelay_us),
            (Some(10), Some(11), Some(12))
        );
        assert_eq!(devices[0].cost_usage_us, None);
    }

    #[test]
    fn devices_without_values_do_not_get_the_values_of_the_next() {
        let mut devices = Vec::new();
        io_stat("7:7 7:6 7:5 253:0 rbytes=1 wbytes=2 rios=3 wios=4\n8:0 \n", &mut devices);
        assert_eq!(read_and_written(&devices), [((253, 0), Some(1), Some(2))]);
    }

    #[test]
    fn an_unplugged_device_is_removed_and_the_others_keep_their_names() {
        let mut devices = Vec::new();
        io_stat("8:0 rbytes=1 wbytes=1 rios=1 wios=1\n8:16 rbytes=2 wbytes=2 rios=2 wios=2\n", &mut devices);
        devices[1].name = "/dev/sdb".into();
        io_stat("8:16 rbytes=3 wbytes=3 rios=3 wios=3\n", &mut devices);
        assert_eq!(read_and_written(&devices), [((8, 16), Some(3), Some(3))]);
        assert_eq!(&*devices[0].name, "/dev/sdb");
    }

    #[test]
    fn v1_reads_and_writes_are_taken_from_two_files_without_the_totals() {
        let mut devices = Vec::new();
        let text =
            "8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Async 0\n8:0 Discard 5\n8:0 Total 30\nTotal 30\n";
        operations(text, &mut devices, |device| (&mut device.read_bytes, &mut device.written_bytes));
        operations("8:0 Read 1\n8:0 Write 2\nTotal 3\n", &mut devices, |device| {
            (&mut device.reads, &mut device.writes)
        });
        assert_eq!(read_and_written(&devices), [((8, 0), Some(10), Some(20))]);
        assert_eq!((devices[0].reads, devices[0].writes), (Some(1), Some(2)));
        operations("Total 0\n", &mut devices, |device| (&mut device.read_bytes, &mut device.written_bytes));
        assert_eq!(devices.len(), 1, "the other file still has the device");
        operations("Total 0\n", &mut devices, |device| (&mut device.reads, &mut device.writes));
        assert!(devices.is_empty());
    }

    #[test]
    fn no_more_than_128_devices_are_kept() {
        let text: String = (0..500).map(|minor| format!("259:{minor} rbytes=1 wbytes=1\n")).collect();
        let mut devices = Vec::new();
        io_stat(&text, &mut devices);
        assert_eq!(devices.len(), DEVICES_MAX);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), lines in "([0-9:]{0,5} ?[a-zR.=]{0,9} ?[0-9-]{0,25}\n){0,6}") {
            let mut devices = Vec::new();
            for text in [&text, &lines] {
                io_stat(text, &mut devices);
                operations(text, &mut devices, |device| (&mut device.reads, &mut device.writes));
            }
        }
    }
}
