//! The report for `glassbox check`: whether NVML reports GPUs and, if it reports none, whether this host has one.

use std::{fs, path::Path, sync::mpsc, time::Duration};

use super::{Options, SPEC, read_once};
use crate::{
    collectors::examination::{
        Examination, Finding, Host,
        Verdict::{Degraded, NotApplicable, Works},
    },
    config::Config,
    containers::cgroup::Layout,
    kernel::nvidia,
};

/// The longest time that NVML may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// NVIDIA's PCI vendor ID, and the PCI class of display and 3D controllers.
const VENDOR: &str = "0x10de";
const CLASS: &str = "0x03";

/// Reports the subject `GPU`, and one for each GPU that only the driver lists. The collector's verdict is that of
/// `GPU`.
pub(super) fn examine(host: &Host<'_>) -> Examination {
    let mut unreported = Vec::new();
    let gpu = match host.layout {
        _ if !host.is_on => Finding::switched_off(SPEC.name),
        None => Finding::new(Degraded, "not checked: without cgroups there are no containers"),
        Some(layout) => look(host.config, layout, &mut unreported),
    };
    let collector = (gpu.verdict != Works).then(|| Finding::new(gpu.verdict, "see GPU"));
    let mut subjects = vec![("GPU".to_owned(), gpu)];
    for address in unreported {
        let finding = "the driver lists this GPU, but NVML does not report it: its initialization failed; the kernel log (dmesg, NVRM lines) \
                       has the reason";
        subjects.push((format!("GPU {address}"), Finding::new(Degraded, finding)));
    }
    Examination { collector, subjects }
}

/// Queries NVML once. `unreported` receives the PCI addresses of GPUs that only the driver lists.
fn look(config: &Config, layout: &Layout, unreported: &mut Vec<String>) -> Finding {
    let (done, result) = mpsc::channel();
    let (options, proc_root, layout) = (Options::from(config), config.paths.proc.clone(), layout.clone());
    // NVML can hang on a broken GPU. The thread is then left running, and ends with the process.
    std::thread::spawn(move || drop(done.send(read_once(&options, &proc_root, &layout))));
    let Ok(reading) = result.recv_timeout(TIMEOUT) else {
        let text =
            format!("NVML did not respond within {} s; see the kernel log for Xid errors", TIMEOUT.as_secs());
        return Finding::new(Degraded, text);
    };
    unreported.extend(reading.unreported);
    if !reading.gpus.is_empty() {
        let all_up = reading.gpus.iter().all(|gpu| gpu.up);
        return Finding::new(if all_up { Works } else { Degraded }, reading.finding);
    }
    no_gpu(config, &reading.finding)
}

/// Finds out whether this host has a GPU that NVML should report. NVML reports none, for this `reason`.
fn no_gpu(config: &Config, reason: &str) -> Finding {
    let devices = pci_devices(&config.paths.sys);
    if let Some(driver) = loaded_driver(config) {
        Finding::new(
            Degraded,
            format!("the NVIDIA driver is loaded ({driver}), but NVML reports no GPU: {reason}"),
        )
    } else if !devices.is_empty() {
        let text = format!(
            "NVIDIA GPU at PCI {}, but no driver is loaded: install the NVIDIA driver or load the module nvidia; {reason}",
            devices.join(", "),
        );
        Finding::new(Degraded, text)
    } else if config.nvml.library != Config::default().nvml.library {
        Finding::new(Degraded, format!("nvml.library: {reason}"))
    } else {
        Finding::new(NotApplicable, "no NVIDIA GPU on this host; the agent checks again every 10 s")
    }
}

/// The release of the loaded driver for people; `None` if no driver is loaded.
fn loaded_driver(config: &Config) -> Option<String> {
    let running = nvidia::release(&config.paths.proc, &config.paths.sys);
    let is_loaded = running.is_some() || config.paths.sys.join("module/nvidia").exists();
    let release = config.nvidia_driver.release.or(running);
    is_loaded.then(|| release.map_or("release unknown".to_owned(), |release| format!("release {release}")))
}

/// The PCI addresses of NVIDIA's GPUs.
fn pci_devices(sys_root: &Path) -> Vec<String> {
    let entries = fs::read_dir(sys_root.join("bus/pci/devices")).into_iter().flatten().flatten();
    let is = |path: &Path, file: &str, start: &str| {
        fs::read_to_string(path.join(file)).is_ok_and(|text| text.starts_with(start))
    };
    let gpus = entries.filter(|entry| {
        let path = entry.path();
        is(&path, "vendor", VENDOR) && is(&path, "class", CLASS)
    });
    let mut addresses: Vec<_> = gpus.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    addresses.sort_unstable();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nvidia_gpus_are_found_on_the_pci_bus() {
        let sys = tempfile::tempdir().unwrap();
        for (address, vendor, class) in [
            ("0000:01:00.0", "0x10de\n", "0x030200\n"),
            ("0000:01:00.1", "0x10de\n", "0x040300\n"),
            ("0000:00:02.0", "0x8086\n", "0x030000\n"),
        ] {
            let device = sys.path().join("bus/pci/devices").join(address);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("vendor"), vendor).unwrap();
            fs::write(device.join("class"), class).unwrap();
        }
        assert_eq!(pci_devices(sys.path()), ["0000:01:00.0"]);
        assert!(pci_devices(Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn a_configured_release_does_not_make_a_driver_loaded() {
        let root = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.paths.proc = root.path().join("proc");
        config.paths.sys = root.path().join("sys");
        config.nvidia_driver.release = crate::config::Release::parse("580.65.06");
        assert_eq!(loaded_driver(&config), None);
        fs::create_dir_all(config.paths.sys.join("module/nvidia")).unwrap();
        assert_eq!(loaded_driver(&config).as_deref(), Some("release 580.65.06"));
        config.nvidia_driver.release = None;
        assert_eq!(loaded_driver(&config).as_deref(), Some("release unknown"));
    }
}
