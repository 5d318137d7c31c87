//! A one-line description of this machine, for benchmark results.

use std::fs;
use std::process::Command;

use anyhow::Context as _;

/// Load average of the last minute.
pub(crate) fn load() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    text.split(' ').next().and_then(|load| load.parse().ok()).context("read the load")
}

/// Processor, memory, kernel, distribution, date, and the load average before the run.
pub(crate) fn describe(load_before: f64) -> anyhow::Result<String> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
    let cpuinfo = read("/proc/cpuinfo")?;
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, value)| value.trim())
    };
    let family = format!("family {} model {}", field("cpu family"), field("model\t"));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let is_guest = field("flags").split(' ').any(|flag| flag == "hypervisor");
    let meminfo = read("/proc/meminfo")?;
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let kib: f64 = kib.trim().trim_end_matches(" kB").parse().context("read MemTotal")?;
    let os = read("/etc/os-release")?;
    let os =
        os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux").trim_matches('"');
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().context("run date")?;
    Ok(format!(
        "Machine: {} ({family}), {cores} cores, {:.0} GiB, {}; Linux {}, {os}; load average {load_before:.2} \
         before the run. {}.\n",
        field("model name"),
        kib / (1024.0 * 1024.0),
        if is_guest { "a virtual machine" } else { "no hypervisor" },
        read("/proc/sys/kernel/osrelease")?.trim(),
        String::from_utf8_lossy(&date.stdout).trim(),
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_description_of_this_machine_is_one_line() {
        let text = super::describe(0.5).unwrap();
        assert!(
            text.starts_with("Machine: ") && text.contains(" cores, ") && text.contains("load average 0.50")
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
