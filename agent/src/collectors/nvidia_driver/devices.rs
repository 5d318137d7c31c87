//! The inodes that are devices of the driver.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use glassbox_ebpf::nvidia_driver::{device, device_key, file_key};

use crate::config::NvidiaDriver;

/// The driver's own major number (nv-chardev-numbers.h), fixed since its first release.
const MAJOR: u32 = 195;
const MODESET_MINOR: u32 = 254;

/// Device kinds by the key of their inode. Empty without a driver.
pub(super) fn devices(proc_root: &Path, config: &NvidiaDriver) -> HashMap<u64, u32> {
    let registered = fs::read_to_string(proc_root.join("devices")).unwrap_or_default();
    let mut devices = registered_devices(&registered);
    let kinds = [
        (&config.extra_ctl_paths, device::CTL),
        (&config.extra_gpu_paths, device::GPU),
        (&config.extra_uvm_paths, device::UVM),
    ];
    for (paths, kind) in kinds {
        devices.extend(paths.iter().filter_map(|path| Some((key_of(path)?, kind))));
    }
    devices
}

fn registered_devices(text: &str) -> HashMap<u64, u32> {
    let mut devices = HashMap::new();
    for line in text.lines().take_while(|line| *line != "Block devices:") {
        let mut words = line.split_whitespace();
        let (Some(major), Some(name)) = (words.next().and_then(|word| word.parse().ok()), words.next())
        else {
            continue;
        };
        match name {
            // One entry up to 535, two entries since.
            "nvidia-frontend" | "nvidia" | "nvidiactl" if major == MAJOR => {
                let minors = (0..device::GPU_MINORS).chain([MODESET_MINOR, device::CTL_MINOR]);
                devices.extend(minors.map(|minor| (device_key(major, minor), device::of_minor(minor))));
            }
            "nvidia-uvm" => {
                devices.insert(device_key(major, 0), device::UVM);
                devices.insert(device_key(major, 1), device::OTHER);
            }
            _ => {}
        }
    }
    devices
}

fn key_of(path: &Path) -> Option<u64> {
    let metadata = fs::metadata(path).ok()?;
    if metadata.file_type().is_char_device() {
        return Some(device_key(libc::major(metadata.rdev()), libc::minor(metadata.rdev())));
    }
    let filesystem = libc::major(metadata.dev()) << 20 | libc::minor(metadata.dev());
    Some(file_key(filesystem, metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registered_names_of_old_and_new_drivers_are_known() {
        let old =
            "Character devices:\n  1 mem\n195 nvidia-frontend\n510 nvidia-uvm\n\nBlock devices:\n  8 sd\n";
        let new = "Character devices:\n195 nvidia\n195 nvidiactl\n235 nvidia-uvm\n236 nvidia-caps\n";
        for (text, uvm) in [(old, 510), (new, 235)] {
            let devices = registered_devices(text);
            assert_eq!(devices.get(&device_key(195, 255)), Some(&device::CTL));
            assert_eq!(devices.get(&device_key(195, 7)), Some(&device::GPU));
            assert_eq!(devices.get(&device_key(uvm, 0)), Some(&device::UVM));
            assert_eq!(devices.get(&device_key(uvm, 1)), Some(&device::OTHER));
            assert!(!devices.contains_key(&device_key(1, 3)));
        }
    }

    #[test]
    fn without_a_driver_there_are_no_devices() {
        assert!(registered_devices("Character devices:\n  1 mem\nBlock devices:\n195 nvidia\n").is_empty());
        assert!(registered_devices("").is_empty() && registered_devices("nvidia 195\n\u{0}\n").is_empty());
    }

    #[test]
    fn a_configured_file_is_a_device_by_its_inode() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let extra = NvidiaDriver {
            extra_ctl_paths: vec![file.path().into(), "/nonexistent".into()],
            ..NvidiaDriver::default()
        };
        let devices = devices(Path::new("/nonexistent"), &extra);
        assert_eq!(devices.values().collect::<Vec<_>>(), [&device::CTL]);
        assert_eq!(key_of(Path::new("/dev/null")), Some(device_key(1, 3)));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_only_the_drivers_names_are_accepted(
            text in "\\PC{0,60}", lines in "([0-9]{0,12} {1,3}(nvidia|nvidiactl|nvidia-uvm|nvidia-caps|mem|)\n){0,6}",
        ) {
            for text in [text, lines] {
                let devices = registered_devices(&text);
                proptest::prop_assert!(devices.is_empty() || text.contains("nvidia"), "{}", text);
            }
        }
    }
}
