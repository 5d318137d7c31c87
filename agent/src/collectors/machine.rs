//! CPUs, memory and identity of the host.
//!
//! Read at the start and every five minutes, because CPUs and swap may be added or removed. This reads about ten small
//! files and two per CPU, at about 20 µs each. If the agent runs in a container that sees the host's processes, the
//! identity is that of the host, read through the root of process 1.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Collector, Context, Spec, examination};
use crate::{
    containers::tracker::Container,
    snapshot::{ContainerRow, host::Host, machine::Machine},
};

/// The entry of this collector in the registry.
pub const SPEC: Spec = Spec {
    name: "machine",
    summary: "CPUs and memory of the host, from /proc and /sys",
    capabilities: &[],
    needs: &[],
    start: |context| Ok(Box::new(MachineFiles::new(context))),
    examine: examination::of_start,
};

/// Time until the files are read again.
const KEPT: Duration = Duration::from_secs(300);
/// The highest CPU number that is considered.
const CPUS_MAX: u32 = 16_384;

struct MachineFiles {
    proc_root: PathBuf,
    sys_root: PathBuf,
    machine: Arc<Machine>,
    read_at: Instant,
}

impl MachineFiles {
    fn new(context: &Context<'_>) -> Self {
        let (proc_root, sys_root) = (context.config.paths.proc.clone(), context.config.paths.sys.clone());
        let machine = Arc::new(read(&proc_root, &sys_root));
        Self { proc_root, sys_root, machine, read_at: Instant::now() }
    }
}

impl Collector for MachineFiles {
    fn collect(&mut self, _: &Container, _: &mut ContainerRow) -> anyhow::Result<()> {
        Ok(())
    }

    fn collect_host(&mut self, host: &mut Host) {
        if self.read_at.elapsed() >= KEPT {
            self.machine = Arc::new(read(&self.proc_root, &self.sys_root));
            self.read_at = Instant::now();
        }
        host.machine = Some(Arc::clone(&self.machine));
    }
}

fn read(proc_root: &Path, sys_root: &Path) -> Machine {
    let line = |path: PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().next().unwrap_or_default().trim().to_owned()
    };
    // Reads a file of the host, even if the agent has another root.
    let of_host = |path: &str| {
        let through_init = proc_root.join("1/root").join(path);
        fs::read_to_string(through_init).or_else(|_| fs::read_to_string(Path::new("/").join(path)))
    };
    let meminfo = fs::read_to_string(proc_root.join("meminfo")).unwrap_or_default();
    let cpus = online(&line(sys_root.join("devices/system/cpu/online")));
    let (cores, sockets) = topology(&sys_root.join("devices/system/cpu"), &cpus);
    Machine {
        machine_id: of_host("etc/machine-id").unwrap_or_default().trim().to_owned(),
        system_uuid: ["class/dmi/id/product_uuid", "firmware/devicetree/base/vm,uuid"]
            .map(|path| line(sys_root.join(path)).trim_end_matches('\0').to_owned())
            .into_iter()
            .find(|uuid| !uuid.is_empty())
            .unwrap_or_default(),
        boot_id: line(proc_root.join("sys/kernel/random/boot_id")),
        kernel: line(proc_root.join("sys/kernel/osrelease")),
        os: os_name(&of_host("etc/os-release").unwrap_or_default()),
        logical_cpus: (!cpus.is_empty()).then_some(cpus.len() as u64),
        cores,
        sockets,
        memory_bytes: meminfo_bytes(&meminfo, "MemTotal:"),
        swap_bytes: meminfo_bytes(&meminfo, "SwapTotal:"),
    }
}

/// Parses a list of CPUs in the kernel's format: `0-3,8`.
fn online(text: &str) -> BTreeSet<u32> {
    let ranges = text.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.trim().parse::<u32>().ok()?..=last.trim().parse::<u32>().ok()?.min(CPUS_MAX))
    });
    ranges.flatten().collect()
}

/// The numbers of cores and packages of these CPUs. Unknown unless the kernel reports the topology of each.
fn topology(directory: &Path, cpus: &BTreeSet<u32>) -> (Option<u64>, Option<u64>) {
    let number = |cpu: u32, file: &str| -> Option<i64> {
        let path = directory.join(format!("cpu{cpu}/topology")).join(file);
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let places: Option<Vec<(i64, i64)>> = cpus
        .iter()
        .map(|&cpu| Some((number(cpu, "physical_package_id")?, number(cpu, "core_id")?)))
        .collect();
    let Some(places) = places.filter(|places| !places.is_empty()) else {
        return (None, None);
    };
    let cores: BTreeSet<_> = places.iter().collect();
    let sockets: BTreeSet<_> = places.iter().map(|(socket, _)| socket).collect();
    (Some(cores.len() as u64), Some(sockets.len() as u64))
}

fn meminfo_bytes(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn os_name(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> Machine {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        read(&root.path().join("proc"), &root.path().join("sys"))
    }

    #[test]
    fn two_packages_of_two_cores_of_two_threads_are_eight_cpus() {
        let mut files = vec![
            ("sys/devices/system/cpu/online".to_owned(), "0-7\n".to_owned()),
            ("proc/meminfo".into(), "MemTotal:       24623792 kB\nSwapTotal:      0 kB\n".into()),
            ("proc/1/root/etc/machine-id".into(), "0123456789abcdef0123456789abcdef\n".into()),
            ("proc/1/root/etc/os-release".into(), "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n".into()),
            ("sys/class/dmi/id/product_uuid".into(), "8c1f\n".into()),
            ("proc/sys/kernel/random/boot_id".into(), "b007\n".into()),
            ("proc/sys/kernel/osrelease".into(), "6.1.0-50-amd64\n".into()),
        ];
        for cpu in 0..8 {
            let topology = format!("sys/devices/system/cpu/cpu{cpu}/topology");
            files.push((format!("{topology}/physical_package_id"), format!("{}\n", cpu / 4)));
            // Core IDs start at 0 in each package.
            files.push((format!("{topology}/core_id"), format!("{}\n", cpu / 2 % 2)));
        }
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let expected = Machine {
            machine_id: "0123456789abcdef0123456789abcdef".into(),
            system_uuid: "8c1f".into(),
            boot_id: "b007".into(),
            kernel: "6.1.0-50-amd64".into(),
            os: "Debian GNU/Linux 12".into(),
            logical_cpus: Some(8),
            cores: Some(4),
            sockets: Some(2),
            memory_bytes: Some(24_623_792 << 10),
            swap_bytes: Some(0),
        };
        assert_eq!(host(&files), expected);
    }

    #[test]
    fn values_that_the_host_does_not_report_are_unknown() {
        let machine =
            host(&[("sys/devices/system/cpu/online", "0,2-3\n"), ("proc/meminfo", "MemTotal: x kB\n")]);
        assert_eq!(machine.logical_cpus, Some(3));
        assert_eq!((machine.cores, machine.sockets), (None, None));
        assert_eq!((machine.memory_bytes, machine.swap_bytes), (None, None));
        assert_eq!((machine.system_uuid.as_str(), machine.kernel.as_str()), ("", ""));
    }

    #[test]
    fn a_malformed_list_of_cpus_is_empty_and_a_huge_one_is_bounded() {
        for nonsense in ["", "x", "3-", "-", "5-2", "99999999999-1"] {
            assert!(online(nonsense).is_empty(), "{nonsense}");
        }
        assert_eq!(online("0-4294967295").len(), CPUS_MAX as usize + 1);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_every_list_of_cpus_is_bounded(
            text in "\\PC{0,40}", list in "[0-9,\\- ]{0,20}",
            memory in "(MemTotal:|SwapTotal:)? {0,3}[0-9-]{0,25} ?(kB)?\n", name in "(PRETTY_NAME=)?[\"']?\\PC{0,10}[\"']?\n",
        ) {
            for text in [&text, &list, &memory, &name] {
                proptest::prop_assert!(online(text).len() <= CPUS_MAX as usize + 1);
                let _ = (meminfo_bytes(text, "MemTotal:"), os_name(text));
            }
        }

        #[test]
        fn every_cpu_of_a_list_is_online(cpus in proptest::collection::btree_set(0..200_u32, 0..20)) {
            let text: Vec<_> = cpus.iter().map(u32::to_string).collect();
            proptest::prop_assert_eq!(online(&text.join(",")), cpus);
        }
    }
}
