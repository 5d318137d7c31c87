//! The GPUs that the kernel driver lists, including those that NVML does not report.
//!
//! The list comes from /proc/driver/nvidia/gpus, otherwise from the PCI devices that the driver is bound to. A GPU that
//! failed to initialize appears only in these lists. GPUs that the administrator excluded (`NVreg_ExcludedGpus`) are
//! skipped.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::snapshot::{gpu::Gpu, pci_address::PciAddress};

/// Maximum number of GPUs of a host.
const GPUS_MAX: usize = 256;
/// Maximum number of bytes read of a GPU's `information` file, which has about 700.
const INFORMATION_MAX_BYTES: u64 = 8192;

/// The state of the driver. A failed GPU can start to work only after this state changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Presence {
    addresses: Vec<String>,
    /// The inode of the module's directory in sysfs, which differs for each load. 0 without a module.
    module: u64,
}

/// Lists the driver's GPUs.
pub(super) struct DriverGpus {
    in_proc: PathBuf,
    in_sysfs: PathBuf,
    module: PathBuf,
    /// Cached per address, because the driver provides the file and may be slow for a failed GPU.
    excluded: HashMap<String, bool>,
}

impl DriverGpus {
    pub(super) fn new(proc_root: &Path, sys_root: &Path) -> Self {
        Self {
            in_proc: proc_root.join("driver/nvidia/gpus"),
            in_sysfs: sys_root.join("bus/pci/drivers/nvidia"),
            module: sys_root.join("module/nvidia"),
            excluded: HashMap::new(),
        }
    }

    /// The addresses of the driver's GPUs, and the loaded module.
    pub(super) fn presence(&self) -> Presence {
        let mut addresses = addresses(&self.in_proc);
        if addresses.is_empty() {
            addresses = self::addresses(&self.in_sysfs);
        }
        let module = fs::metadata(&self.module).map_or(0, |metadata| metadata.ino());
        Presence { addresses, module }
    }

    /// The addresses of GPUs that are not in `reported`. Empty if a reported GPU has no address, because that GPU could
    /// be any of those listed.
    pub(super) fn missing(&mut self, reported: &[Gpu]) -> Vec<String> {
        let Presence { addresses, .. } = self.presence();
        self.excluded.retain(|address, _| addresses.contains(address));
        let known: Option<Vec<_>> = reported.iter().map(|gpu| PciAddress::parse(&gpu.pci_bus_id)).collect();
        let Some(known) = known else { return Vec::new() };
        let is_missing = |address: &String| {
            PciAddress::parse(address).is_some_and(|address| !known.contains(&address))
                && !self.is_excluded(address)
        };
        addresses.into_iter().filter(is_missing).collect()
    }

    fn is_excluded(&mut self, address: &str) -> bool {
        if let Some(excluded) = self.excluded.get(address) {
            return *excluded;
        }
        let mut text = String::new();
        // A GPU without this file, such as one found in sysfs, is not excluded.
        let _ = File::open(self.in_proc.join(address).join("information"))
            .and_then(|file| file.take(INFORMATION_MAX_BYTES).read_to_string(&mut text));
        let excluded = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .any(|(name, value)| name.ends_with("Excluded") && value.trim() == "Yes");
        self.excluded.insert(address.to_owned(), excluded);
        excluded
    }
}

/// The names in a directory that are PCI addresses, sorted.
fn addresses(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut addresses: Vec<_> =
        names.filter(|name| PciAddress::parse(name).is_some()).take(GPUS_MAX).collect();
    addresses.sort();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> (tempfile::TempDir, DriverGpus) {
        let root = tempfile::tempdir().unwrap();
        let gpus = DriverGpus::new(&root.path().join("proc"), &root.path().join("sys"));
        (root, gpus)
    }

    fn list(root: &tempfile::TempDir, address: &str, information: &str) {
        let directory = root.path().join("proc/driver/nvidia/gpus").join(address);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("information"), information).unwrap();
    }

    fn nvml(pci_bus_id: &str) -> Gpu {
        Gpu { pci_bus_id: pci_bus_id.into(), ..Gpu::default() }
    }

    #[test]
    fn a_gpu_that_nvml_does_not_report_is_missing() {
        let (root, mut gpus) = host();
        assert_eq!(gpus.missing(&[]), [""; 0]);
        list(&root, "0001:00:01.0", "Model: \t\t NVIDIA A40\nGPU Excluded:\t No\n");
        list(&root, "0000:01:00.0", "Model: \t\t NVIDIA A40\n");
        list(&root, "0000:02:00.0", "GPU Excluded:\t Yes\n");
        assert_eq!(gpus.missing(&[nvml("00000000:01:00.0")]), ["0001:00:01.0"]);
        assert_eq!(gpus.missing(&[]), ["0000:01:00.0", "0001:00:01.0"]);
        assert_eq!(gpus.missing(&[nvml("")]), [""; 0], "the reported GPU may be either of them");
    }

    #[test]
    fn without_the_drivers_own_list_its_pci_devices_are_used() {
        let (root, mut gpus) = host();
        for name in ["0000:41:00.0", "bind", "new_id", "module"] {
            fs::create_dir_all(root.path().join("sys/bus/pci/drivers/nvidia").join(name)).unwrap();
        }
        assert_eq!(gpus.missing(&[]), ["0000:41:00.0"]);
    }

    #[test]
    fn a_new_module_or_gpu_changes_the_presence() {
        let (root, gpus) = host();
        let nothing = gpus.presence();
        fs::create_dir_all(root.path().join("sys/module/nvidia")).unwrap();
        let module = gpus.presence();
        list(&root, "0001:00:01.0", "");
        let gpu = gpus.presence();
        assert!(nothing != module && module != gpu && nothing == Presence::default());
        assert_eq!(gpu, gpus.presence());
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(48))]

        #[test]
        fn no_information_file_panics_and_an_excluded_gpu_is_skipped(
            bytes in proptest::collection::vec(0u8.., 0..200), lines in "([A-Za-z ]{0,12}:?[\\t ]{0,3}[A-Za-z]{0,4}\n){0,6}",
        ) {
            let (root, _) = host();
            let missing = |text: &[u8]| {
                list(&root, "0000:01:00.0", "");
                fs::write(root.path().join("proc/driver/nvidia/gpus/0000:01:00.0/information"), text).unwrap();
                DriverGpus::new(&root.path().join("proc"), &root.path().join("sys")).missing(&[])
            };
            for text in [bytes.as_slice(), lines.as_bytes()] {
                let missing = missing(text);
                proptest::prop_assert!(missing.is_empty() || missing == ["0000:01:00.0"]);
            }
            let excluded = lines + "GPU Excluded:\t Yes\n";
            proptest::prop_assert!(missing(excluded.as_bytes()).is_empty());
        }
    }
}
