//! The result table and the document docs/overhead.md.

/// Whether a result meets its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Within the budget.
    Met,
    /// Over the budget.
    Missed,
    /// The budget is inside the confidence interval.
    Unclear,
    /// No budget.
    None,
}

impl Verdict {
    /// Met if the value does not exceed the budget.
    pub(super) fn at_most(figure: f64, budget: f64) -> Self {
        if figure <= budget { Self::Met } else { Self::Missed }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "**missed**",
            Self::Unclear => "unclear",
            Self::None => "",
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// What was measured.
    pub(super) what: String,
    /// Budget.
    pub(super) budget: String,
    /// Result of glassbox.
    pub(super) glassbox: String,
    /// Name and result of a peer.
    pub(super) peer: String,
    /// Whether the budget is met.
    pub(super) verdict: Verdict,
}

impl Row {
    /// The row of a group that failed.
    pub(super) fn unmeasured(group: &str, error: &anyhow::Error) -> Self {
        Self {
            what: group.to_owned(),
            budget: String::new(),
            glassbox: format!("not measured: {error:#}").replace('\n', " "),
            peer: String::new(),
            verdict: Verdict::Missed,
        }
    }
}

const INTRODUCTION: &str = "\
# Overhead

What glassbox costs, compared with other agents on the same machine in the same run. Written by `cargo xtask bench --write`; the
measuring programs are in `tests/bench/`. Ratios carry over to other machines, absolute times do not.

";

const NOTES: &str = "
- **Switch**: the kernel's own run-time statistics of each program (`bpf_stats`) while `stress-ng --switch 2` runs. glassbox and
  runqlat run alternately, because a host has only one of them, each before and after the empty program. Values are the median of
  the rounds, with minimum and maximum. The statistics read a clock twice per run. The empty program has the same cost and the
  cost of calling a program, so its time is subtracted. All values are per switch: those of a tool that also hooks wakeups include
  its time in wakeups.
- **Container, untracked**: whether the stressors run in a container with a slot of its own, or outside of containers.
- **cAdvisor** is Debian 11's 0.38.7, the last version that Debian has, with its defaults. Newer versions and Rezolus are not in
  the run, because they are not packaged.
- **node_exporter** exports only the host, no containers; it is here as a scale.
- **CPU** is a share of one core, by the process's CPU clock. **1 s scrape interval** means one scrape of each exporter per
  second, each of a new snapshot. **Start** ends with the first scrape that contains every container.
- **1,000 cgroups** are empty cgroups with Docker's names, in every hierarchy that is read.
- **Slowdown**: the same workload in a container without the tool, with it, and without it again, within a few seconds and warm,
  in operations per second of its CPU time. Values are the median of the rounds with its 95 % confidence interval (bootstrap).
  They include what the tool adds to switches and system calls; the tool's own process is in the CPU rows. Switches: two threads
  on one CPU pass a byte back and forth. System calls: `getppid`. Loopback requests: HTTP over loopback on one connection, both
  ends on that CPU. *Unclear* means that the interval contains the budget. The one second in thirty in which the kernel measures
  the programs' run time (`kernel.program_stats`) is excluded; by the row of the empty program, it costs some 50 ns per switch.
- **Context switches** are the worst case: that workload does nothing else. The two rows *added to such a switch* split its
  slowdown, with programs attached and detached every tenth of a second. Any program on this hook costs more than the budget,
  because the kernel then leaves the tracepoint's patched-out path, calls through a retpoline and sets up the program's run. The
  rest is glassbox. On the faster machine on which the budgets were set (2026-11-23), 1 % of that workload was some 27 ns, and a
  service that switches 10,000 times per second lost 0.1 % to both.
- **Loopback requests** take two such switches, because both ends share a CPU. On that machine a request took some 16 µs: the two
  rows made 1.4 % of that, 0.8 % of it the hook. **System calls** run no program of glassbox at all.
- **Ioctls**: measured like the parts of a switch, on a plain file in place of the driver's control device, which refuses at once;
  a real call takes from 1 µs to milliseconds. With these programs attached, every system call of the host takes the kernel's slow
  path. They are attached only while a driver is loaded. If the kernel has kprobes, the driver's own functions are probed instead,
  at no cost to other processes.
- **Ioctls by method**: this machine has no kprobes, so the methods were compared in a guest that has them (Linux 6.1, an emulated
  CPU some fifteen times as slow, a kernel module in place of the driver): `cargo xtask vm --kernel 6.1 -- --ignored --nocapture
  cost`, medians of 9 rounds of 4,000 calls, 2026-11-22. To a driver call of 22.5 µs, kprobes add 15.1 µs (empty programs on the
  same hooks 7.7), tracepoints 15.8 µs (empty 4.0). To an ioctl elsewhere, kprobes add nothing (-0.4), tracepoints 10.0 µs (empty
  2.2). Beyond an empty program, the kprobe method thus takes 0.63 times as long as the tracepoint method, which is the one in the
  table.
- **Packets**: 64 bytes from a UDP socket to itself, so each is sent and received; half of what the two programs add to that. A
  large transfer has one such packet per tens of KiB. The programs of `host_network` are attached only to containers on the host
  network, those of `sockets` to every container; a container on the host network has both.
- **A request, a packet without the start of a message**: server and client are one process on one CPU, with the messages of nginx
  and wrk (44 bytes, and 1.3 KB with the head); packets are 512 bytes of a long response and their acknowledgments. Only
  containers with a watched port have this overhead.
- **nginx with wrk**: a file of 1 KiB, 16 connections that are kept alive, no access log, both processes on one CPU. This is the
  worst case, because they do nothing else. Over the veth pair, nginx has a network namespace of its own, as in a container. The
  slowdown includes the hooks of `scheduler`, and what the programs displace from the processor's caches: the kernel's statistics
  (`sysctl kernel.bpf_stats_enabled=1`, `bpftool prog show`) attribute half to two thirds of it to the programs. **The budget of
  3 % is missed.** It was set on a machine on which such a request takes 31.6 µs, and cannot be met here: 450 ns beyond the empty
  programs, which is within the budget per request, are 5 % of 9 µs.
- **A Python server** is that of Python's library, with a loop for each request. Its own variation is larger than the overhead: by
  the kernel's statistics, the programs take some 0.5 µs per request.
- **Agent CPU at 10,000 requests per second**: its counts were equal to the number of requests sent.
- **NVML**: the thread that calls it, which sleeps between calls. The time in NVIDIA's library comes on top. No tick waits for it.
";

/// The document.
pub(super) fn document(rows: &[Row], machine: &str, quick: bool) -> String {
    let mut text = String::from(INTRODUCTION);
    if quick {
        text += "Quick run with fewer and shorter rounds; not for comparison.\n\n";
    }
    text += "| what | budget | glassbox | peer in the same run | verdict |\n|---|---|---|---|---|\n";
    for Row { what, budget, glassbox, peer, verdict } in rows {
        text += &format!("| {what} | {budget} | {glassbox} | {peer} | {} |\n", verdict.text());
    }
    text += NOTES;
    text + "\n" + machine
}

/// A duration in s or ms.
pub(super) fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds.is_nan() => "not measured".into(),
        seconds if seconds >= 1.0 => format!("{seconds:.1} s"),
        seconds if seconds >= 0.02 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{:.2} ms", seconds * 1e3),
    }
}

/// A ratio in percent.
pub(super) fn percent(ratio: f64) -> String {
    format!("{:.2} %", ratio * 100.0)
}

/// Bytes in MB.
pub(super) fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line_with_its_verdict() {
        let row = Row {
            what: "start".into(),
            budget: "≤ 300 ms".into(),
            glassbox: time(0.15),
            peer: "cAdvisor 2.5 s".into(),
            verdict: Verdict::at_most(0.15, 0.3),
        };
        let document = document(&[row], "A machine.\n", false);
        assert!(document.contains("\n| start | ≤ 300 ms | 150 ms | cAdvisor 2.5 s | met |\n"), "{document}");
        assert!(document.ends_with("\nA machine.\n"));
    }

    #[test]
    fn a_failed_group_counts_as_missed() {
        let row = Row::unmeasured("agent", &anyhow::anyhow!("no\nDocker"));
        assert_eq!((row.verdict, row.glassbox.as_str()), (Verdict::Missed, "not measured: no Docker"));
    }

    #[test]
    fn durations_have_a_suitable_unit() {
        assert_eq!([time(0.00105), time(0.3), time(5.25)], ["1.05 ms", "300 ms", "5.2 s"]);
        assert_eq!(time(f64::NAN), "not measured");
    }
}
