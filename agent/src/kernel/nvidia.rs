//! The release of the loaded NVIDIA driver, from sysfs and procfs.

use std::{fs, path::Path};

use crate::config::Release;

/// The driver's release; `None` if no driver is loaded or neither file contains a release.
#[must_use]
pub fn release(proc_root: &Path, sys_root: &Path) -> Option<Release> {
    let module = fs::read_to_string(sys_root.join("module/nvidia/version")).ok();
    let module = module.and_then(|text| Release::parse(text.trim()));
    module.or_else(|| {
        // "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build …"
        let text = fs::read_to_string(proc_root.join("driver/nvidia/version")).ok()?;
        text.lines().next()?.split_whitespace().find_map(Release::parse)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_parsed_from_the_open_and_the_closed_driver() {
        let directory = tempfile::tempdir().unwrap();
        let version = directory.path().join("driver/nvidia/version");
        fs::create_dir_all(version.parent().unwrap()).unwrap();
        let running = || release(directory.path(), Path::new("/nonexistent"));
        assert_eq!(running(), None);
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: gcc version 12.2.0\n";
        fs::write(&version, open).unwrap();
        assert_eq!(running(), Some(Release(580, 65, 6)));
        let closed =
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n";
        fs::write(&version, closed).unwrap();
        assert_eq!(running(), Some(Release(535, 104, 5)));
        fs::write(&version, [0xFF, 0xFE]).unwrap();
        assert_eq!(running(), None);
    }
}
