//! The agent's metrics of one container's use of the driver.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::agent::Agent;

/// Families whose change over a step is reported, and the labels that distinguish their series.
const COUNTED: [(&str, &[&str]); 8] = [
    ("glassbox_container_nvidia_ioctls_total", &["device", "command"]),
    ("glassbox_container_nvidia_rm_errors_total", &["command", "status"]),
    ("glassbox_container_nvidia_ioctl_errors_total", &["command", "errno"]),
    ("glassbox_container_nvidia_undecoded_ioctls_total", &["reason"]),
    ("glassbox_container_gpu_memory_allocations_total", &[]),
    ("glassbox_container_gpu_memory_allocated_bytes_total", &[]),
    ("glassbox_container_gpu_memory_freed_bytes_total", &[]),
    ("glassbox_container_gpu_memory_allocation_failures_total", &["reason"]),
];
const COLD_START: &str = "glassbox_container_gpu_cold_start_seconds";

/// Values by family, then by the values of the labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Account(BTreeMap<String, BTreeMap<String, f64>>);

impl Account {
    /// The current values of a container; empty before the agent discovers it.
    pub(super) fn of(agent: &Agent, container: &str) -> Self {
        Self::read(&agent.metrics(), container)
    }

    fn read(metrics: &str, container: &str) -> Self {
        let mut account = Self::default();
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let counted = COUNTED.iter().find(|(family, _)| *family == name);
            let kept: &[&str] = match counted {
                Some((_, labels)) => labels,
                None if name == COLD_START => &["phase"],
                None => continue,
            };
            let labels = labels(line);
            if labels["container"] != container {
                continue;
            }
            let words: Vec<_> = kept.iter().filter_map(|label| labels[*label].as_str()).collect();
            if let Some(value) = line.rsplit(' ').next().and_then(|value| value.parse().ok()) {
                account.0.entry(name.to_owned()).or_default().insert(words.join(" "), value);
            }
        }
        account
    }

    /// The increase since an earlier reading. Values that have not increased are left out.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut grown = Self::default();
        for (family, series) in self.0.iter().filter(|(family, _)| *family != COLD_START) {
            for (words, value) in series {
                let was = before.0.get(family).and_then(|series| series.get(words)).copied().unwrap_or(0.0);
                if *value > was {
                    grown.0.entry(family.clone()).or_default().insert(words.clone(), value - was);
                }
            }
        }
        grown
    }

    /// The phases of the cold start, in seconds.
    pub(super) fn phases(&self) -> Value {
        json!(self.0.get(COLD_START))
    }

    pub(super) fn to_json(&self) -> Value {
        json!(self.0)
    }
}

/// The labels of a sample. None of the values contains a quote.
pub(super) fn labels(line: &str) -> Value {
    let inside =
        line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(inside, _)| inside);
    let pairs = inside.split("\",").filter_map(|pair| pair.split_once("=\""));
    let labels: Map<String, Value> =
        pairs.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').into())).collect();
    labels.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_increases_of_this_container_are_reported() {
        let line = |container: &str, status: &str, value: u32| {
            let labels =
                format!("container=\"{container}\",device=\"ctl\",command=\"rm_alloc\",status=\"{status}\"");
            format!("glassbox_container_nvidia_rm_errors_total{{{labels}}} {value}\n")
        };
        let before = Account::read(&line("a", "no_memory", 2), "a");
        let text = line("a", "no_memory", 5) + &line("b", "no_memory", 9) + &line("a", "invalid_argument", 1);
        let grown = Account::read(&text, "a").since(&before).to_json();
        let expected = json!({ "rm_alloc no_memory": 3.0, "rm_alloc invalid_argument": 1.0 });
        assert_eq!(grown["glassbox_container_nvidia_rm_errors_total"], expected);
        assert_eq!(Account::read(&text, "a").since(&Account::read(&text, "a")), Account::default());
    }
}
