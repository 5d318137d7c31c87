//! Dashboard 12239, which NVIDIA publishes for dcgm-exporter: every query returns the values of each GPU.

use std::{collections::BTreeMap, time::Duration};

use glassbox_tests::{
    agent::Agent,
    dashboards::{list, text},
    nvml::{StandIn, gpu, host},
    prometheus::{Programs, Prometheus, Sample},
    skip,
};
use serde_json::{Value, json};

/// Variables and queries of both editions, with the paths of the expected values in the scenario.
const QUERIES: &str = include_str!("../../fixtures/dashboard_12239.json");

/// Two GPUs with different values.
fn two_gpus() -> Value {
    let mut scenario = host();
    let mut devices = [gpu("GPU-aaaa", 0), gpu("GPU-bbbb", 1)];
    let gib = 1_u64 << 30;
    for (device, [temperature, milliwatts, clock, utilization, used, graphics, tensor]) in devices
        .iter_mut()
        .zip([[58, 230_125, 1755, 61, 8 * gib, 61, 12], [71, 318_500, 1410, 97, 77 * gib, 96, 48]])
    {
        device["values"]["nvmlDeviceGetTemperature:0"] = json!(temperature);
        device["values"]["nvmlDeviceGetPowerUsage"] = json!(milliwatts);
        device["values"]["nvmlDeviceGetClockInfo:1"] = json!(clock);
        device["values"]["nvmlDeviceGetUtilizationRates:gpu"] = json!(utilization);
        device["values"]["nvmlDeviceGetMemoryInfo_v2:used"] = json!(used);
        (device["gpm"]["1"], device["gpm"]["5"]) = (json!(graphics), json!(tensor));
    }
    scenario["devices"] = json!(devices);
    scenario
}

/// Escapes a value as Grafana does for a regular expression in a query.
fn escaped(value: &str) -> String {
    let special = |c: char| "$^*{}[]'+?.()|".contains(c);
    value.chars().fold(String::new(), |text, c| match c {
        '\\' => text + r"\\\\",
        c if special(c) => text + r"\\" + &String::from(c),
        c => text + &String::from(c),
    })
}

/// Replaces Grafana's variables by all of their values.
fn filled_in(promql: &str, variables: &BTreeMap<String, Vec<String>>) -> String {
    variables.iter().fold(promql.to_owned(), |promql, (name, values)| {
        let values: Vec<_> = values.iter().map(|value| escaped(value)).collect();
        let value = if let [one] = &values[..] { one.clone() } else { format!("({})", values.join("|")) };
        promql.replace(&format!("${name}"), &value)
    })
}

/// The values of the dashboard's variables in order, because a later one may use an earlier one.
fn variables(prometheus: &Prometheus, edition: &Value) -> BTreeMap<String, Vec<String>> {
    list(&edition["variables"]).iter().fold(BTreeMap::new(), |mut known, variable| {
        let query = text(&variable["query"]);
        let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let (selector, label) = inside.rsplit_once(", ").unwrap();
        let values = prometheus.label_values(&filled_in(selector, &known), label).unwrap();
        known.insert(text(&variable["name"]).to_owned(), values);
        known
    })
}

/// The expected values by `gpu`, or by "" for a query over all GPUs.
fn expected(query: &Value, scenario: &Value) -> BTreeMap<String, f64> {
    let factor = query["factor"].as_f64().unwrap();
    let value = |device: &Value| device.pointer(text(&query["value"])).unwrap().as_f64().unwrap() * factor;
    let values: Vec<_> = list(&scenario["devices"]).iter().map(value).collect();
    let sum: f64 = values.iter().sum();
    let of_all = |value| BTreeMap::from([(String::new(), value)]);
    match text(&query["fold"]) {
        "each" => values.into_iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        "sum" => of_all(sum),
        "mean" => of_all(sum / values.len() as f64),
        other => panic!("unknown aggregation {other}"),
    }
}

fn by_gpu(samples: &[Sample]) -> BTreeMap<String, f64> {
    let found: BTreeMap<_, _> =
        samples.iter().map(|one| (one.labels.get("gpu").cloned().unwrap_or_default(), one.value)).collect();
    assert_eq!(found.len(), samples.len(), "more than one series of a GPU: {samples:?}");
    found
}

#[test]
fn every_query_of_dashboard_12239_returns_the_values_of_each_gpu() {
    const TEST: &str = "every_query_of_dashboard_12239_returns_the_values_of_each_gpu";
    let _alone = super::stack::alone();
    let Ok(programs) = Programs::find().map_err(|reason| skip(TEST, &reason)) else { return };
    let scenario = two_gpus();
    let stand_in = StandIn::new(&scenario);
    let agent = Agent::start(&format!(
        "docker.enabled = false\nkernel.enabled = false\n[nvml]\nlibrary = {:?}\n",
        stand_in.library()
    ));
    let prometheus = Prometheus::start(&programs, agent.address);
    // The last value to appear, because GPM compares two samples.
    let gpm = "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE";
    prometheus.wait_for(gpm, Duration::from_secs(15), |samples| samples.len() == 2);

    let fixture: Value = serde_json::from_str(QUERIES).unwrap();
    let mut wrong = Vec::new();
    for edition in list(&fixture["editions"]) {
        let variables = variables(&prometheus, edition);
        assert_eq!(variables["gpu"], ["0", "1"]);
        assert!(variables.values().all(|values| !values.is_empty()), "{variables:?}");
        let queries = list(&edition["queries"]);
        assert_eq!(queries.len(), 8, "the dashboard has eight panels");
        for query in queries {
            let promql = filled_in(text(&query["promql"]), &variables);
            let (found, wanted) = (by_gpu(&prometheus.query(&promql).unwrap()), expected(query, &scenario));
            println!("{}: {promql}: {found:?}", text(&query["title"]));
            let same = |(gpu, value): (&String, &f64)| {
                found.get(gpu).is_some_and(|found| (found - value).abs() <= value.abs() * 1e-9)
            };
            if found.len() != wanted.len() || !wanted.iter().all(same) {
                wrong.push(format!("{promql}: {found:?}, not {wanted:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
}
