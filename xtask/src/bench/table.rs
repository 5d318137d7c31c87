//! The table of figures, and the document that holds it.

/// What a figure says about its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Within it.
    Met,
    /// Beyond it.
    Missed,
    /// The noise of this run does not tell.
    Unclear,
    /// There is none.
    None,
}

impl Verdict {
    /// Met where a figure does not exceed its budget.
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

/// One figure.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// What was measured.
    pub(super) what: String,
    /// What it may be.
    pub(super) budget: String,
    /// What it is.
    pub(super) glassbox: String,
    /// What a peer's is, and which peer's.
    pub(super) peer: String,
    /// Whether the budget is met.
    pub(super) verdict: Verdict,
}

impl Row {
    /// A group that could not be measured.
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

What glassbox costs, beside what others cost on the same machine in the same run. Written by
`cargo xtask bench --write`; how each figure is taken stands in `tests/bench/`. Ratios carry over
to other machines, absolute times do not.

";

const NOTES: &str = "
- **Switch**: the kernel's own run-time statistics of each program (`bpf_stats`) while `stress-ng --switch 2`
  runs; glassbox and runqlat in turn, as a host has one of them, each before and after the empty program; median
  of the rounds with the least and the greatest. The statistics read a clock twice in every run; subtracting
  the empty program's time takes that out, and what it costs to call a program at all. All is per switch: a
  tool that also hooks wakeups has their time in it.
- **Container, untracked**: whether the stressors run in a container, which has a slot of its own, or outside.
- **cAdvisor** is Debian 11's 0.38.7, the last that Debian has, with its defaults. Newer ones are not in the
  run, nor is Rezolus: neither is packaged.
- **node_exporter** tells of the host alone and of no container; it is here as a scale.
- **CPU** is of one core, by the process's CPU clock. **Scraped** is one scrape a second of each exporter, each
  of a new snapshot. **Start** ends with the first scrape that shows every container.
- **1,000 cgroups** have Docker's names but nothing in them, in every hierarchy that is read.
- **Slowdown**: the same workload in a container without the tool, with it and without it again, within a few
  seconds and warm, by operations per second of its CPU time; median of the rounds with its 95 % confidence interval
  (bootstrap). What the tool adds to switches and system calls is in that time; what its own process takes is
  in the rows of CPU. Switches: two threads on one CPU pass a byte to and fro. System calls: `getppid`.
  Requests: HTTP over loopback on one connection, both ends on that CPU. *Unclear* where the interval holds the
  budget. Without the second in thirty in which the kernel measures the programs' run time
  (`kernel.program_stats`), which by the row of the empty program costs some 50 ns a switch.
- **Context switches** are the worst case: that workload does nothing but switch, and 1 % of it is some 27 ns.
  The last two rows take its slowdown apart, with programs attached and detached again every tenth of a second:
  on this hook any program at all costs more than the budget, since the kernel then leaves the tracepoint's
  patched-out path, calls through a retpoline and sets up the program's run. The rest is ours. A service that
  switches 10,000 times a second loses 0.1 % to both.
- **Requests** take two such switches of some 16 µs, since both ends share a CPU: the two last rows make 1.4 % of
  that, 0.8 % of it the hook. **System calls** meet no program of ours at all.
- **Ioctls**: as the parts of a switch, on a plain file that stands for the driver's control device, which refuses
  at once; a real call takes from 1 µs to milliseconds. With these programs on, every system call of the host takes
  the kernel's slow path. They are attached only while there is a driver; where the kernel
  has kprobes, the driver's own functions are probed instead and nobody else pays.
- **Ioctls by method**: this machine has no kprobes, so the methods were compared in a guest that has (Linux 6.1, an
  emulated CPU some fifteen times as slow, kernel module in the driver's place):
  `cargo xtask vm --kernel 6.1 -- --ignored --nocapture cost`, medians of 9 rounds of 4,000 calls, 2026-11-22. To a
  driver call of 22.5 µs kprobes add 15.1 µs (empty programs on the same hooks 7.7), tracepoints 15.8 µs (empty
  4.0); to an ioctl elsewhere kprobes add nothing (-0.4), tracepoints 10.0 µs (empty 2.2). Beyond an empty program the
  kprobe method thus takes 0.63 times what the tracepoint method takes, whose nanoseconds are in the table.
- **Packets**: 64 bytes from a UDP socket to itself, so each is sent and received; half of what the two programs add to
  that. A large transfer has one such packet for tens of KiB. Attached only to containers in the host's network.
- **NVML**: the thread that asks it, which sleeps in between. What NVIDIA's library takes comes on top; none of it
  is on the tick's way.
";

/// The whole document.
pub(super) fn document(rows: &[Row], machine: &str, quick: bool) -> String {
    let mut text = String::from(INTRODUCTION);
    if quick {
        text += "A quick run: fewer and shorter rounds than the table deserves.\n\n";
    }
    text += "| what | budget | glassbox | peer in the same run | verdict |\n|---|---|---|---|---|\n";
    for Row { what, budget, glassbox, peer, verdict } in rows {
        text += &format!("| {what} | {budget} | {glassbox} | {peer} | {} |\n", verdict.text());
    }
    text += NOTES;
    text + "\n" + machine
}

/// A time in the unit that suits it.
pub(super) fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds.is_nan() => "not measured".into(),
        seconds if seconds >= 1.0 => format!("{seconds:.1} s"),
        seconds if seconds >= 0.02 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{:.2} ms", seconds * 1e3),
    }
}

/// A share of one CPU, or a slowdown.
pub(super) fn percent(ratio: f64) -> String {
    format!("{:.2} %", ratio * 100.0)
}

/// Bytes in millions.
pub(super) fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line_and_says_whether_its_budget_is_met() {
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
    fn a_group_without_figures_counts_as_missed() {
        let row = Row::unmeasured("agent", &anyhow::anyhow!("no\nDocker"));
        assert_eq!((row.verdict, row.glassbox.as_str()), (Verdict::Missed, "not measured: no Docker"));
    }

    #[test]
    fn times_come_in_the_unit_that_suits_them() {
        assert_eq!([time(0.00105), time(0.3), time(5.25)], ["1.05 ms", "300 ms", "5.2 s"]);
        assert_eq!(time(f64::NAN), "not measured");
    }
}
