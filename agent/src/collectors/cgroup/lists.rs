//! Parsers of files with several values per line: pressure, lists of processes, NUMA nodes.

use super::text::{BUFFER_BYTES, number};
use crate::snapshot::cgroup::{NumaPages, Pressure, Processes};

/// Maximum number of NUMA values that are kept for one container.
const NUMA_MAX: usize = 1024;

/// Parses `*.pressure`: `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`. The totals are in
/// µs.
pub(super) fn pressure(text: &str, pressure: &mut Pressure) {
    for line in text.lines() {
        let total = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="));
        let Some(total) = total.and_then(number) else {
            continue;
        };
        if line.starts_with("some ") {
            pressure.waiting_us = Some(total);
        } else if line.starts_with("full ") {
            pressure.stalled_us = Some(total);
        }
    }
}

/// Parses `cgroup.procs`, with one line per process. The count is unknown if the list is longer than the buffer, or if
/// all processes are in nested cgroups: their lists are not read, but their threads are counted here.
pub(super) fn processes(text: &str, processes: &mut Processes) {
    let lines = text.lines().filter(|line| number(line).is_some()).count();
    let elsewhere = lines == 0 && processes.threads > Some(0);
    let cut = text.len() > BUFFER_BYTES - 16;
    processes.processes = (!elsewhere && !cut).then_some(lines as u64);
}

/// Parses v1's `memory.numa_stat`: `file=3 N0=2 N1=1`, in pages. Lines with the prefix `hierarchical_` include nested
/// cgroups.
pub(super) fn numa_v1(text: &str, into: &mut Vec<NumaPages>) {
    into.clear();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('=') else {
            continue;
        };
        let (scope, name) = match name.strip_prefix("hierarchical_") {
            Some(name) => ("hierarchy", name),
            None => ("container", name),
        };
        nodes(name, scope, rest, 1, into);
    }
}

/// Parses v2's `memory.numa_stat`: `file N0=8192 N1=4096`, in bytes, always including nested cgroups.
pub(super) fn numa_v2(text: &str, into: &mut Vec<NumaPages>) {
    // SAFETY: the call takes no pointers. It cannot fail, because the page size is always known.
    let page_bytes = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096).max(1);
    into.clear();
    for line in text.lines() {
        if let Some((name, rest)) = line.split_once(' ') {
            nodes(name, "hierarchy", rest, page_bytes, into);
        }
    }
}

fn nodes(name: &str, scope: &'static str, rest: &str, divisor: u64, into: &mut Vec<NumaPages>) {
    let Some(kind) = ["file", "anon", "unevictable"].into_iter().find(|kind| *kind == name) else {
        return;
    };
    for word in rest.split_ascii_whitespace() {
        let node = word.strip_prefix('N').and_then(|word| word.split_once('='));
        let Some((Ok(node), Some(value))) = node.map(|(node, value)| (node.parse(), number(value))) else {
            continue;
        };
        if into.len() < NUMA_MAX {
            into.push(NumaPages { kind, scope, node, pages: value / divisor });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pressure_is_the_total_of_each_line() {
        let mut read = Pressure::default();
        let some = "some avg10=75.42 avg60=48.43 avg300=36.88 total=6582967827\n";
        pressure(some, &mut read);
        assert_eq!(read, Pressure { waiting_us: Some(6_582_967_827), stalled_us: None }, "before 5.13");
        pressure(&format!("{some}full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n"), &mut read);
        assert_eq!(read.stalled_us, Some(12));
    }

    #[test]
    fn processes_are_counted_unless_all_are_nested_or_the_list_is_cut() {
        let count = |text: &str, threads| {
            let mut read = Processes { threads, ..Processes::default() };
            processes(text, &mut read);
            read.processes
        };
        assert_eq!(count("1\n20\n300\n", Some(7)), Some(3));
        assert_eq!(count("0\n0\n", Some(2)), Some(2), "in another PID namespace");
        assert_eq!(count("", Some(0)), Some(0));
        assert_eq!(count("", None), Some(0));
        assert_eq!(count("", Some(2)), None, "in a nested cgroup");
        assert_eq!(count(&"1\n".repeat(BUFFER_BYTES / 2), Some(9)), None, "cut");
    }

    #[test]
    fn numa_values_are_in_pages_on_v1_and_v2() {
        let mut read = Vec::new();
        let page = |kind, scope, node, pages| NumaPages { kind, scope, node, pages };
        numa_v1("total=9 N0=9\nfile=3 N0=2 N1=1\nhierarchical_anon=5 N0=5\n", &mut read);
        let expected = [
            page("file", "container", 0, 2),
            page("file", "container", 1, 1),
            page("anon", "hierarchy", 0, 5),
        ];
        assert_eq!(read, expected);
        numa_v2("anon N0=40960 N1=0\nkernel_stack N0=4096\n", &mut read);
        // SAFETY: the call takes no pointers.
        let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
        assert_eq!(
            read,
            [page("anon", "hierarchy", 0, 40_960 / page_bytes), page("anon", "hierarchy", 1, 0)]
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), lines in "((some|full|file|anon) ?=?(N|total)?=?[0-9-]{0,25}\n){0,6}") {
            for text in [&text, &lines] {
                pressure(text, &mut Pressure::default());
                processes(text, &mut Processes::default());
                let mut numa = Vec::new();
                numa_v1(text, &mut numa);
                numa_v2(text, &mut numa);
            }
        }
    }
}
