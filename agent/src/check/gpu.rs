//! GPUs: whether NVML shows them, or, if it shows none, whether there is one that it should show.

use std::{fs, path::Path, sync::mpsc, time::Duration};

use super::{Report, State};
use crate::{
    collectors::{nvidia_driver, nvml},
    config::Config,
    containers::cgroup::Layout,
};

/// How long NVML may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// NVIDIA's number as a PCI vendor, and the class of display and 3D controllers.
const VENDOR: &str = "0x10de";
const CLASS: &str = "0x03";

/// The row `GPU`; its state is that of the collector, too.
pub(super) fn check(report: &mut Report, config: &Config, layout: Option<&Layout>) -> State {
    let mut unreported = Vec::new();
    let (state, finding) = match layout {
        _ if !config.is_on(nvml::SPEC.name) => {
            (State::Off, "switched off (collectors.nvml = false)".to_owned())
        }
        None => (State::Degraded, "no cgroups, so no containers".to_owned()),
        Some(layout) => look(config, layout, &mut unreported),
    };
    report.row("GPU", state, finding);
    for address in unreported {
        let finding = "the driver lists this GPU, but NVML does not: its initialization failed; the kernel log (dmesg, \
                       lines of NVRM) has the reason";
        report.row(format!("GPU {address}"), State::Degraded, finding);
    }
    state
}

/// Asks NVML once. `unreported` receives the PCI addresses of GPUs that only the driver lists.
fn look(config: &Config, layout: &Layout, unreported: &mut Vec<String>) -> (State, String) {
    let (done, result) = mpsc::channel();
    let (options, proc_root, layout) =
        (nvml::Options::from(config), config.paths.proc.clone(), layout.clone());
    // NVML can hang on a broken GPU; the thread is left behind then, and ends with the process.
    std::thread::spawn(move || drop(done.send(nvml::read_once(&options, &proc_root, &layout))));
    let Ok(reading) = result.recv_timeout(PATIENCE) else {
        let finding =
            format!("NVML did not answer within {} s; see the kernel log for Xid errors", PATIENCE.as_secs());
        return (State::Degraded, finding);
    };
    unreported.extend(reading.unreported);
    if !reading.gpus.is_empty() {
        let all_up = reading.gpus.iter().all(|gpu| gpu.up);
        return (if all_up { State::Ok } else { State::Degraded }, reading.finding);
    }
    let devices = pci_devices(&config.paths.sys);
    if let Some(driver) = nvidia_driver::describe(config) {
        (
            State::Degraded,
            format!("the NVIDIA driver is loaded ({driver}), but NVML shows no GPU: {}", reading.finding),
        )
    } else if !devices.is_empty() {
        let finding = format!(
            "NVIDIA GPU at PCI {}, but no driver is loaded: install it, or load the module nvidia; {}",
            devices.join(", "),
            reading.finding
        );
        (State::Degraded, finding)
    } else if config.nvml.library != Config::default().nvml.library {
        (State::Degraded, format!("nvml.library: {}", reading.finding))
    } else {
        (State::NotApplicable, "no NVIDIA GPU on this host; looked for again every 10 s".to_owned())
    }
}

/// NVIDIA's GPUs on the PCI bus, by address.
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
    fn only_nvidias_gpus_are_found_on_the_bus() {
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
}
