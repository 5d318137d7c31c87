//! Maps the device number of a block device to its name, by the links in `/sys/dev/block`.
//!
//! Names are cached for a minute, for all containers: one `readlink` per device in use and minute. They expire because
//! another disk may get the number of a disk that was unplugged (NVMe numbers are assigned in order of discovery).

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::snapshot::cgroup::DeviceIo;

/// How long names are cached.
const KEPT: Duration = Duration::from_secs(60);
/// Maximum number of cached names.
const NAMES_MAX: usize = 4096;

/// A cache of device names.
pub struct DeviceNames {
    directory: PathBuf,
    names: HashMap<(u32, u32), Arc<str>>,
    /// Incremented when the cache is cleared. Callers that have copied names must then look them up again.
    generation: u64,
    forgotten_at: Instant,
}

impl DeviceNames {
    /// `sys_root` is the mount point of sysfs.
    pub fn new(sys_root: &std::path::Path) -> Self {
        Self {
            directory: sys_root.join("dev/block"),
            names: HashMap::new(),
            generation: 1,
            forgotten_at: Instant::now(),
        }
    }

    /// Clears the cache if it has expired.
    pub fn refresh(&mut self) {
        if self.forgotten_at.elapsed() >= KEPT {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.names.clear();
        self.generation += 1;
        self.forgotten_at = Instant::now();
    }

    /// Names all devices of one container. `named` is the generation of the cache when this was last done.
    pub fn name(&mut self, devices: &mut [DeviceIo], named: &mut u64) {
        let all = *named != self.generation;
        if !all && devices.iter().all(|device| !device.name.is_empty()) {
            return;
        }
        if devices.len() + self.names.len() > NAMES_MAX {
            self.forget();
        }
        // Two devices of the same name would be duplicate series. If a cached name now belongs to another device, all
        // names are stale, so all are looked up again. If sysfs still has the same name for two devices, the later one
        // gets its number instead.
        for attempt in 0..2 {
            for device in &mut *devices {
                device.name = self.of(device.number);
            }
            let twice = (1..devices.len())
                .filter(|&index| devices[..index].iter().any(|other| other.name == devices[index].name));
            let twice: Vec<usize> = twice.collect();
            if twice.is_empty() {
                break;
            }
            if attempt == 0 {
                self.forget();
            } else {
                for index in twice {
                    devices[index].name = numbers(devices[index].number);
                }
            }
        }
        *named = self.generation;
    }

    fn of(&mut self, number: (u32, u32)) -> Arc<str> {
        let directory = &self.directory;
        let name = self.names.entry(number).or_insert_with(|| look_up(directory, number));
        Arc::clone(name)
    }
}

/// The name of the device with this number, by the links in `directory`; the number itself if there is no link.
pub fn look_up(directory: &std::path::Path, number: (u32, u32)) -> Arc<str> {
    let (major, minor) = number;
    let link = fs::read_link(directory.join(format!("{major}:{minor}"))).ok();
    let name = link.as_ref().and_then(|link| link.file_name()?.to_str());
    // The kernel writes a slash in a device's name as an exclamation mark.
    name.map_or_else(|| numbers(number), |name| format!("/dev/{}", name.replace('!', "/")).into())
}

fn numbers((major, minor): (u32, u32)) -> Arc<str> {
    format!("{major}:{minor}").into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn devices(numbers: &[(u32, u32)]) -> Vec<DeviceIo> {
        numbers.iter().map(|&number| DeviceIo { number, ..DeviceIo::default() }).collect()
    }

    fn names_of(devices: &[DeviceIo]) -> Vec<&str> {
        devices.iter().map(|device| &*device.name).collect()
    }

    fn sysfs() -> (tempfile::TempDir, DeviceNames) {
        let sys = tempfile::tempdir().unwrap();
        fs::create_dir_all(sys.path().join("dev/block")).unwrap();
        let names = DeviceNames::new(sys.path());
        (sys, names)
    }

    fn link(sys: &tempfile::TempDir, numbers: &str, name: &str) {
        let at = sys.path().join("dev/block").join(numbers);
        let _ = fs::remove_file(&at);
        symlink(format!("../../devices/pci0000:00/block/{name}"), at).unwrap();
    }

    #[test]
    fn a_device_has_its_name_in_sysfs_or_else_its_number() {
        let (sys, mut names) = sysfs();
        link(&sys, "254:0", "vda");
        link(&sys, "104:0", "cciss!c0d0");
        let mut devices = devices(&[(254, 0), (104, 0), (9, 9)]);
        let mut named = 0;
        names.name(&mut devices, &mut named);
        assert_eq!(names_of(&devices), ["/dev/vda", "/dev/cciss/c0d0", "9:9"]);
    }

    #[test]
    fn a_name_is_looked_up_once_until_the_cache_is_cleared() {
        let (sys, mut names) = sysfs();
        link(&sys, "259:1", "nvme0n1");
        let (mut devices, mut named) = (devices(&[(259, 1)]), 0);
        names.name(&mut devices, &mut named);
        link(&sys, "259:1", "nvme1n1");
        names.refresh();
        names.name(&mut devices, &mut named);
        assert_eq!(names_of(&devices), ["/dev/nvme0n1"]);
        names.forget();
        names.name(&mut devices, &mut named);
        assert_eq!(names_of(&devices), ["/dev/nvme1n1"]);
    }

    #[test]
    fn two_devices_never_have_the_same_name() {
        let (sys, mut names) = sysfs();
        link(&sys, "259:1", "nvme0n1");
        let (mut row, mut named) = (devices(&[(259, 1)]), 0);
        names.name(&mut row, &mut named);
        // Unplugged and plugged in again: the same name, another number.
        fs::remove_file(sys.path().join("dev/block/259:1")).unwrap();
        link(&sys, "259:2", "nvme0n1");
        row.extend(devices(&[(259, 2)]));
        names.name(&mut row, &mut named);
        assert_eq!(names_of(&row), ["259:1", "/dev/nvme0n1"]);
        // Sysfs has the same name for two devices.
        link(&sys, "259:1", "nvme0n1");
        names.forget();
        names.name(&mut row, &mut named);
        assert_eq!(names_of(&row), ["/dev/nvme0n1", "259:2"]);
    }

    #[test]
    fn the_number_of_cached_names_is_bounded() {
        let (_sys, mut names) = sysfs();
        for minor in 0..20_000 {
            names.name(&mut devices(&[(1, minor)]), &mut 0);
        }
        assert!(names.names.len() <= NAMES_MAX, "{}", names.names.len());
    }
}
