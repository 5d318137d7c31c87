//! Runs every query and every variable of every dashboard on a real Prometheus.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use glassbox_tests::{
    dashboards::{Dashboard, list, text},
    docker::Container,
    grafana::{Field, Grafana},
    prometheus::Prometheus,
    skip,
};

use serde_json::{Value, json};

use super::{
    gpus::Gpus,
    native::Native,
    page,
    stack::{BLOCK_IO, Stack, counted_block_io},
    traffic::Traffic,
};

/// Families without series until something has happened that this test does not provoke.
const RARE: [&str; 6] = [
    "_socket_accept_queue_overflows_total",
    "_socket_udp_dropped_total",
    "_job_queue_size",
    // Nine jobs in a container must have ended.
    "glassbox_container_memory_leak_",
    // Only for containers to which a runtime has given GPUs.
    "glassbox_container_model_load_",
    "glassbox_container_inference_",
];

/// Replaces Grafana's variables as Grafana does, with everything selected.
pub(super) fn filled_in(query: &str, jobs: &[String]) -> String {
    query
        .replace("$__rate_interval", "10s")
        .replace("$__range", "1h")
        .replace("$job", &jobs.join("|"))
        .replace("$instance", ".+")
        .replace("$container", ".+")
        .replace("$gpu", ".+")
}

/// The values of a variable. Grafana's query is `label_values(SELECTOR, LABEL)`.
fn values(prometheus: &Prometheus, query: &str, jobs: &[String]) -> Vec<String> {
    let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
    let (selector, label) = inside.rsplit_once(", ").unwrap();
    prometheus.label_values(&filled_in(selector, jobs), label).unwrap()
}

#[test]
fn every_query_of_every_dashboard_returns_data() {
    // By default, programs are measured for one second in thirty, and the test would have to wait for two of those.
    let measured = "kernel.program_stats = \"always\"\n";
    let gpus = Gpus::start();
    let walked = "disk.walk = true\ndisk.period_s = 1\n";
    let configuration = measured.to_owned() + walked + &gpus.configuration();
    let Some(stack) = Stack::start("every_query_of_every_dashboard_returns_data", &configuration) else {
        return;
    };
    let counted = counted_block_io(&stack.docker);
    let prometheus = &stack.prometheus;
    let limits = ["--cpus", "0.5", "--memory", "64m"];
    let arguments: Vec<_> = limits.into_iter().chain(counted.iter().flatten().map(String::as_str)).collect();
    let busy = format!("{BLOCK_IO}; while true; do true; done");
    let facefusion = Container::run(&stack.docker, "facefusion-1", &arguments, &["sh", "-c", &busy]);
    let whisper =
        Container::run(&stack.docker, "whisper-1", &limits, &["sh", "-c", "while true; do sleep 0.01; done"]);
    let _ended = Container::run(&stack.docker, "ended", &[], &["sh", "-c", "exit 3"]);
    let _on_the_gpu = gpus.work_in(&facefusion, &whisper);
    let traffic = Traffic::start(&stack.docker);
    if let Err(reason) = &traffic.gradio {
        skip("every_query_of_every_dashboard_returns_data (jobs)", reason);
    }
    if let Err(reason) = &traffic.facefusion {
        skip("every_query_of_every_dashboard_returns_data (FaceFusion)", reason);
    }
    // Without block I/O, Docker's files are not on a disk.
    let block_io = counted.is_none().then_some("container_fs_");
    let missing: Vec<&str> = traffic.missing().into_iter().chain(block_io).collect();
    let native = Native::start(stack.agent.address)
        .map_err(|reason| skip("every_query_of_every_dashboard_returns_data (native histograms)", &reason));
    traffic.during(|| {
        returns_data(prometheus, &missing);
        if let Ok(native) = &native {
            native.agrees_with_classic_histograms(&missing);
        }
    });
    page::every_query_of_a_container_returns_data(prometheus, stack.agent.address, "facefusion-1");
    queries_of_a_table_have_the_same_labels(prometheus);
    the_gpu_dashboard_shows_each_container(prometheus);
    the_overview_shows_the_health_of_each_container(prometheus);
    match Grafana::find() {
        Ok(grafana) => grafana_shows_every_panel(prometheus, &grafana),
        Err(reason) => skip("every_query_of_every_dashboard_returns_data (Grafana's libraries)", &reason),
    }
}

/// `missing` has parts of the names of families that this host cannot have.
fn returns_data(prometheus: &Prometheus, missing: &[&str]) {
    // At least two scrapes within the ten seconds of a rate, and several periods of throttling.
    std::thread::sleep(Duration::from_secs(12));
    // A call counts as stuck after ten seconds.
    prometheus.wait_for(
        "glassbox_container_gpu_state{state=\"stuck_in_driver\"} == 1",
        Duration::from_secs(15),
        |samples| !samples.is_empty(),
    );

    let mut empty = Vec::new();
    // The other languages have the same queries.
    for dashboard in Dashboard::in_language("en") {
        let jobs = values(prometheus, "label_values(glassbox_build_info, job)", &[]);
        assert_eq!(jobs, ["glassbox"]);
        for variable in dashboard.variables().filter(|variable| variable["type"] == "query") {
            let query = text(&variable["query"]["query"]);
            let found = values(prometheus, query, &jobs);
            println!("{query}: {found:?}");
            if text(&variable["name"]) == "container" {
                assert!(found.iter().any(|name| name == "facefusion-1"), "{query}: {found:?}");
            }
            assert!(!found.is_empty(), "{query}");
        }
        for query in dashboard.queries() {
            match prometheus.query(&filled_in(&query.promql, &jobs)) {
                Ok(samples) if samples.iter().any(|sample| sample.value.is_finite()) => {
                    println!("{}: {} series", query.place, samples.len());
                }
                Ok(_) if missing.iter().any(|family| query.promql.contains(family)) => {
                    println!("{}: not on this host", query.place);
                }
                Ok(_) if RARE.iter().any(|family| query.promql.contains(family)) => {
                    println!("{}: has not happened", query.place);
                }
                // It is valid, and nothing has happened.
                Ok(_) if query.is_annotation => println!("{}: no event", query.place),
                other => empty.push(format!("{}: {}: {other:?}", query.place, query.promql)),
            }
        }
    }
    assert!(empty.is_empty(), "{} queries without data:\n{}", empty.len(), empty.join("\n"));
}

/// The values of a query of a panel in English, by a label.
fn answer(prometheus: &Prometheus, file: &str, place: &str, label: &str) -> Vec<(String, f64)> {
    let dashboard =
        Dashboard::in_language("en").into_iter().find(|dashboard| dashboard.file == file).unwrap();
    let query = dashboard.queries().find(|query| query.place == format!("{file}: {place}")).unwrap();
    let samples = prometheus.query(&filled_in(&query.promql, &["glassbox".into()])).unwrap();
    samples
        .into_iter()
        .map(|sample| (sample.labels.get(label).cloned().unwrap_or_default(), sample.value))
        .collect()
}

fn the_overview_shows_the_health_of_each_container(prometheus: &Prometheus) {
    let lamps = answer(prometheus, "en/overview.json", "Container health: A", "container");
    println!("lamps: {lamps:?}");
    let (healthy, stuck, down) = (1.0, 8.0, 9.0);
    // It hangs in the driver.
    assert!(lamps.contains(&("whisper-1".into(), stuck)), "{lamps:?}");
    assert!(lamps.contains(&("facefusion-1".into(), healthy)), "{lamps:?}");
    assert!(lamps.contains(&("ended".into(), down)), "{lamps:?}");
    let imbalance = answer(prometheus, "en/overview.json", "Imbalance of CPU usage: A", "image");
    assert!(imbalance.iter().any(|(image, _)| !image.is_empty()), "{imbalance:?}");
}

/// Shows the results of all panels with Grafana's libraries: names, units, mappings and columns.
fn grafana_shows_every_panel(prometheus: &Prometheus, grafana: &Grafana) {
    // The languages have the same queries.
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    let mut result = |target: &Value| -> Value {
        let query = || -> Value {
            let samples = prometheus.query(&filled_in(text(&target["expr"]), &["glassbox".into()])).unwrap();
            let finite = samples.into_iter().filter(|sample| sample.value.is_finite());
            finite.map(|sample| json!({ "labels": sample.labels, "value": sample.value })).collect()
        };
        known.entry(text(&target["expr"]).to_owned()).or_insert_with(query).clone()
    };
    for dashboard in Dashboard::all() {
        let panels: Vec<_> = dashboard.panels().filter(|panel| panel["type"] != "heatmap").collect();
        let asked = panels.iter().map(|panel| {
            let results = list(&panel["targets"])
                .iter()
                .map(|target| (text(&target["refId"]).to_owned(), result(target)));
            json!({ "panel": panel, "results": results.collect::<serde_json::Map<_, _>>() })
        });
        let shown =
            grafana.show(&asked.collect()).unwrap_or_else(|error| panic!("{}: {error}", dashboard.file));
        assert_eq!(shown.len(), panels.len());
        for (panel, fields) in panels.iter().zip(&shown) {
            assert_shown(&format!("{}: {}", dashboard.file, text(&panel["title"])), panel, fields);
        }
    }
}

fn assert_shown(place: &str, panel: &Value, fields: &[Field]) {
    println!(
        "{place}: {:?}",
        fields.iter().map(|field| (&field.name, &field.text)).take(3).collect::<Vec<_>>()
    );
    let defaults = &panel["fieldConfig"]["defaults"];
    let unnamed = fields.iter().find(|field| field.name.contains("{{") || field.name.starts_with("Value #"));
    assert!(unnamed.is_none(), "{place}: {unnamed:?}");
    let texts = || fields.iter().flat_map(|field| &field.text);
    match text(&panel["type"]) {
        "table" => {
            let columns = panel["transformations"][1]["options"]["renameByName"].as_object().unwrap();
            let shown: BTreeSet<_> = fields.iter().map(|field| field.name.as_str()).collect();
            let missing: Vec<_> =
                columns.values().map(text).filter(|column| !shown.contains(column)).collect();
            assert!(missing.is_empty(), "{place}: no columns {missing:?} in {shown:?}");
        }
        _ if !list(&defaults["mappings"]).is_empty() => {
            let names = defaults["mappings"][0]["options"].as_object().unwrap();
            let names: BTreeSet<_> = names.values().map(|name| text(&name["text"])).collect();
            assert!(texts().all(|text| names.contains(text.as_str())), "{place}: {fields:?}");
        }
        _ if defaults["unit"] == "percentunit" => {
            assert!(texts().all(|text| text.ends_with('%')), "{place}: {fields:?}");
        }
        _ => {}
    }
}

/// The workloads of both containers are those of [`Gpus`].
fn the_gpu_dashboard_shows_each_container(prometheus: &Prometheus) {
    let answer = |place: &str, label: &str| answer(prometheus, "en/gpu.json", place, label);
    let expected = |values: [f64; 2]| {
        ["facefusion-1", "whisper-1"].map(str::to_owned).into_iter().zip(values).collect::<Vec<_>>()
    };
    let (busy, stuck) = (1.0, 5.0);
    assert_eq!(answer("GPU state: A", "container"), expected([busy, stuck]));
    let gib = f64::from(1_u32 << 30);
    assert_eq!(answer("GPU memory by container: A", "container"), expected([6.0 * gib, gib]));
    assert_eq!(answer("GPU memory of other processes: A", "gpu"), [("0".to_owned(), gib)]);
    // It existed before the first scrape and must be counted.
    assert_eq!(answer("GPU errors (Xid): A", ""), [(String::new(), 1.0)]);
    // One allocation was refused and then granted.
    assert_eq!(answer("Failed GPU allocations: A", ""), [(String::new(), 0.0)]);
}

/// Grafana joins the queries of a table into one row per set of labels, so all queries need the same labels.
fn queries_of_a_table_have_the_same_labels(prometheus: &Prometheus) {
    let mut tables = 0;
    for dashboard in
        Dashboard::in_language("en").into_iter().filter(|dashboard| dashboard.has_variable("container"))
    {
        for panel in dashboard.panels().filter(|panel| panel["type"] == "table") {
            tables += 1;
            let mut sets = BTreeSet::new();
            for target in list(&panel["targets"]) {
                let samples =
                    prometheus.query(&filled_in(text(&target["expr"]), &["glassbox".into()])).unwrap();
                let ours = samples.into_iter().filter(|sample| {
                    sample.labels.get("container").is_some_and(|name| name == "facefusion-1")
                });
                let before = sets.len();
                sets.extend(ours.map(|sample| sample.labels));
                assert!(sets.len() == 1, "{}: {before} sets of labels, then {sets:?}", text(&target["expr"]));
            }
        }
    }
    assert!(tables > 0, "there is no table");
}
