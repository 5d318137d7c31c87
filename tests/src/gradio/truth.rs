//! What a Gradio application and its clients logged about their jobs.

use std::collections::BTreeMap;

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
    /// Queue waits until the server could report the start, in ns. Empty for API calls.
    pub waits_ns: Vec<u64>,
    /// Times from that start to the end of the function, in ns, of jobs that ended with success or an error. Empty for
    /// API calls.
    pub runs_ns: Vec<u64>,
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
        let (asked_ns, begins_ns) = (at_ns(asked), at_ns(begins));
        // The server reports the start to an open stream only.
        let left_ns = |stream: &Value| {
            let leaves = log.iter().find(|line| line["what"] == "leaves" && line["tag"] == stream["tag"]);
            leaves.map_or(u64::MAX, at_ns)
        };
        let reported_ns = log
            .iter()
            .filter(|line| line["what"] == "listens" && line["session"] == asked["session"])
            .filter(|stream| left_ns(stream) > begins_ns)
            .map(|stream| at_ns(stream).max(begins_ns))
            .min();
        let started_ns = reported_ns.unwrap_or(begins_ns);
        // Gradio runs a job that was cancelled in the queue, after its end was reported.
        if !tag.as_str().is_some_and(|tag| tag.starts_with("cancelled-queued")) {
            function.waits_ns.push(started_ns - asked_ns);
        }
        if let (Some(ends), "success" | "error") = (of("ends"), outcome) {
            function.runs_ns.push(at_ns(ends) - started_ns);
        }
    }
}

/// Asserts that a sum of times is right: each time may differ by 5 % or 100 ms.
///
/// # Panics
/// If it is not.
pub fn assert_near(what: &str, seconds: f64, known_ns: &[u64]) {
    let tolerance_ns: u64 = known_ns.iter().map(|ns| (ns / 20).max(100_000_000)).sum();
    let known_s = known_ns.iter().sum::<u64>() as f64 / 1e9;
    println!("{what}: {seconds:.3} s, known {known_s:.3} s of {} jobs", known_ns.len());
    let tolerance_s = tolerance_ns as f64 / 1e9;
    assert!((seconds - known_s).abs() <= tolerance_s, "{what}: {seconds} s, not {known_s} s");
}
