//! What a Gradio application and its clients logged about their jobs.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde_json::Value;

/// What is known about all jobs.
#[derive(Debug, Default)]
pub struct Truth {
    /// The jobs by function, under the value of the label `fn`.
    pub functions: BTreeMap<String, Function>,
    /// The streams that the application has served, by version of HTTP.
    pub streams: BTreeMap<String, u64>,
}

/// The jobs of one function.
#[derive(Debug, Default)]
pub struct Function {
    /// Ends by outcome.
    pub ended: BTreeMap<String, u64>,
    /// Queue waits until the server reported the start, in ns. The least is from the moment when the application had read
    /// the request, the most from the moment when the client sent it. Empty for API calls.
    pub waits_ns: Vec<RangeInclusive<u64>>,
    /// Times from that report to the report of the end, in ns, of jobs that ended with success or an error. Empty for API
    /// calls.
    pub runs_ns: Vec<RangeInclusive<u64>>,
}

impl Truth {
    /// Reads the lines of both logs.
    ///
    /// # Panics
    /// If a line is not as the scripts write them.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("parse {line}: {error}"));
        let log: Vec<Value> = text.lines().map(parse).collect();
        let mut truth = Self::default();
        for job in log.iter().filter(|line| line["outcome"].is_string()) {
            truth.add(&log, job);
        }
        for version in log.iter().filter_map(|line| line["http"].as_str()) {
            *truth.streams.entry(version.to_owned()).or_default() += 1;
        }
        truth
    }

    /// The number of jobs.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.functions.values().flat_map(|function| function.ended.values()).sum()
    }

    fn add(&mut self, log: &[Value], job: &Value) {
        let tag = &job["tag"];
        let of = |what: &str| log.iter().find(|line| line["tag"] == *tag && line["what"] == what);
        let is_call = job["via"] == "call";
        let name = job["name"].as_str().unwrap_or_default();
        let label = if is_call { format!("/{name}") } else { job["fn"].to_string() };
        let function = self.functions.entry(label).or_default();
        let outcome = job["outcome"].as_str().unwrap_or_default();
        *function.ended.entry(outcome.to_owned()).or_default() += 1;
        let (Some(asked), Some(begins), false) = (of("asked"), of("begins"), is_call) else { return };
        let at_ns = |line: &Value| line["at_ns"].as_u64().unwrap_or_default();
        let event = of("joined").map(|line| &line["event"]);
        let reported = |what: &str| {
            log.iter().find(|line| line["what"] == what && event.is_some_and(|event| line["event"] == *event))
        };
        // Of a client that left, nothing is reported.
        let started_ns = at_ns(reported("process_starts").unwrap_or(begins));
        // Gradio runs a job that was cancelled in the queue, after its end was reported.
        if !tag.as_str().is_some_and(|tag| tag.starts_with("cancelled-queued")) {
            let sent_ns = job["asked_ns"].as_u64().unwrap_or_default();
            function.waits_ns.push(started_ns - at_ns(asked)..=started_ns - sent_ns);
        }
        if let (Some(ended), "success" | "error") = (reported("process_completed"), outcome) {
            let run_ns = at_ns(ended) - started_ns;
            function.runs_ns.push(run_ns..=run_ns);
        }
    }
}

/// Asserts that a sum of times is right: each time may differ by 5 % or 100 ms.
///
/// # Panics
/// If it is not.
pub fn assert_near(what: &str, seconds: f64, known_ns: &[RangeInclusive<u64>]) {
    let sum_s = |of: fn(&RangeInclusive<u64>) -> u64| known_ns.iter().map(of).sum::<u64>() as f64 / 1e9;
    let (least_s, most_s) = (sum_s(|ns| *ns.start()), sum_s(|ns| *ns.end()));
    let tolerance_s = sum_s(|ns| (ns.start() / 20).max(100_000_000));
    println!("{what}: {seconds:.3} s, known {least_s:.3} to {most_s:.3} s of {} jobs", known_ns.len());
    let expected = least_s - tolerance_s..=most_s + tolerance_s;
    assert!(expected.contains(&seconds), "{what}: {seconds} s, not within {expected:?}");
}
