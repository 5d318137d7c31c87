//! The exposition of the fixture host, and rules that hold for every exposition.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use glassbox::{
    exposition::{self, Scope, Text, families, registry::Registry},
    snapshot::{Snapshot, Totals},
    version,
};

use glassbox_fixtures::{
    exposition::{Family, Sample, families as parse},
    host::{self, host, identity, now, row},
};

use super::assert_is_file;

pub(crate) fn text(snapshot: &Snapshot, scope: Scope) -> String {
    let mut text = Text::default();
    exposition::encode(snapshot, scope, &mut text);
    String::from_utf8(text.take().to_vec()).unwrap()
}

fn samples<'a>(families: &'a [Family], name: &str) -> &'a [Sample] {
    families.iter().find(|family| family.name == name).map_or(&[], |family| &family.samples)
}

#[test]
fn the_text_of_the_fixture_host_is_the_golden_file() {
    let commit = |commit, date| format!("commit=\"{commit}\",commit_date=\"{date}\"");
    let text = text(&host(), Scope::All);
    let built = commit(version::COMMIT, version::COMMIT_DATE);
    assert_eq!(text.matches(&built).count(), 1, "{built}");
    assert_is_file("tests/golden/metrics.txt", &text.replace(&built, &commit("COMMIT", "DATE")));
}

#[test]
fn every_series_is_unique_and_every_family_is_in_the_table() {
    let parsed = parse(&text(&host(), Scope::All));
    let mut series = BTreeSet::new();
    for family in &parsed {
        let row = families().find(|row| row.name == family.name).unwrap();
        assert_eq!(format!("{:?}", row.kind).to_lowercase(), family.kind);
        for sample in &family.samples {
            assert!(series.insert((&sample.name, &sample.labels)), "{sample:?}");
        }
    }
    assert_eq!(parsed.len(), families().count(), "the fixture host shows every family");
}

#[test]
fn names_are_unique_and_those_of_counters_end_in_total() {
    let mut names = BTreeSet::new();
    for family in families() {
        assert!(names.insert(family.name), "{}", family.name);
        let is_counter = family.kind == exposition::Kind::Counter;
        // These names are inherited from cAdvisor.
        let gauge = ["tcp", "tcp6", "udp", "udp6"]
            .iter()
            .any(|table| family.name == format!("container_network_{table}_usage_total"));
        let counter = ["container_memory_failcnt", "container_hugetlb_failcnt"].contains(&family.name)
            // These names are inherited from dcgm-exporter.
            || family.name.starts_with("DCGM_FI_");
        let is_called_total = if gauge || counter { gauge } else { is_counter };
        assert_eq!(family.name.ends_with("_total"), is_called_total, "{}", family.name);
        assert!(!family.source.is_empty() && family.help.ends_with('.'), "{}", family.name);
    }
}

#[test]
fn the_inherited_families_are_those_with_names_of_cadvisor() {
    for family in families() {
        let name = family.name.starts_with("container_") || family.name.starts_with("machine_");
        assert_eq!(family.is_inherited(), name, "{}", family.name);
    }
}

#[test]
fn the_help_states_the_unit() {
    for family in families() {
        let unit = if family.unit() == "ratio" { "fraction" } else { family.unit() };
        let help = family.help.to_lowercase();
        assert!(help.contains(&unit.to_lowercase()), "{} is in {unit}: {}", family.name, family.help);
    }
}

/// OpenMetrics and client libraries treat `x` and `x_total` as one family.
#[test]
fn no_two_names_differ_only_by_a_reserved_suffix() {
    const RESERVED: [&str; 6] = ["_total", "_count", "_sum", "_bucket", "_created", "_info"];
    let registry: Vec<_> =
        Registry::new().unwrap().gather_all().iter().map(|family| family.name().to_owned()).collect();
    let names = families().map(|family| family.name).chain(registry.iter().map(String::as_str));
    let mut stems = std::collections::BTreeMap::new();
    for name in names {
        let stem = RESERVED.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        if let Some(other) = stems.insert(stem, name) {
            panic!("{other} and {name} differ only by a reserved suffix");
        }
    }
    assert!(stems.len() > 150, "{}", stems.len());
}

#[test]
fn buckets_are_cumulative_and_end_with_the_count() {
    let parsed = parse(&text(&host(), Scope::All));
    let all = samples(&parsed, "glassbox_container_runqueue_latency_seconds");
    let mut histograms = 0;
    for group in all.chunk_by(|a, b| a.labels["container"] == b.labels["container"]) {
        let (buckets, rest) = group.split_at(18);
        let le: Vec<f64> = buckets.iter().map(|bucket| bucket.labels["le"].parse().unwrap()).collect();
        assert!(le.is_sorted_by(|a, b| a < b) && le[17] == f64::INFINITY, "{le:?}");
        assert!(buckets.is_sorted_by(|a, b| a.value <= b.value));
        assert!(rest[0].name.ends_with("_sum") && rest[1].name.ends_with("_count"));
        assert_eq!(rest[1].value, buckets[17].value);
        // 1000 waits of at most 2^-20 s, 20 of at most 2^-10 s, 3 right above, and 3 above 64 s.
        let at = |bound: f64| buckets[le.iter().position(|le| *le == bound).unwrap()].value;
        assert_eq!([at(2f64.powi(-18)), at(2f64.powi(-11)), at(2f64.powi(-10))], [1000.0, 1000.0, 1020.0]);
        assert_eq!([at(2f64.powi(-9)), at(4.0), at(f64::INFINITY)], [1023.0, 1023.0, 1026.0]);
        histograms += 1;
    }
    assert_eq!(histograms, 2, "the containers that own their names and have scheduler counters");
}

#[test]
fn the_cadvisor_path_has_the_inherited_families_only() {
    let parsed = parse(&text(&host(), Scope::Inherited));
    let inherited = |name: &str| name.starts_with("container_") || name.starts_with("machine_");
    assert!(parsed.iter().all(|family| inherited(&family.name)));
    assert_eq!(parsed.len(), families().filter(|family| family.is_inherited()).count());
}

#[test]
fn a_container_that_exits_before_it_is_read_has_cpu_time() {
    let parsed = parse(&text(&host(), Scope::All));
    let usage = samples(&parsed, "container_cpu_usage_seconds_total");
    let flash = usage.iter().find(|sample| sample.labels["container"] == "flash").unwrap();
    assert_eq!(flash.value, 0.048_700_001);
    assert_eq!(flash.labels["cpu"], "total");
}

#[test]
fn of_a_restarted_container_only_the_running_row_is_exported() {
    let mut before = row(identity("again"));
    before.ended_at = Some(now());
    before.cgroup.memory.rss_bytes = Some(1);
    let mut after = row(identity("again"));
    after.cgroup.memory.rss_bytes = Some(2);
    for rows in [vec![before.clone(), after.clone()], vec![after, before]] {
        let parsed = parse(&text(&host::snapshot(rows), Scope::All));
        let rss = samples(&parsed, "container_memory_rss");
        assert_eq!(rss.iter().map(|sample| sample.value).collect::<Vec<_>>(), [2.0]);
        let running = samples(&parsed, "glassbox_container_running");
        assert_eq!(running.iter().map(|sample| sample.value).collect::<Vec<_>>(), [1.0]);
    }
}

/// The rule of "After a restart" in docs/metrics.md.
#[test]
fn every_container_counter_continues_except_those_of_interfaces() {
    let (once, mut twice) = (host(), host());
    for (row, earlier) in twice.containers.iter_mut().zip(&once.containers) {
        Totals::of(earlier).add_to(row);
    }
    let [once, twice] = [once, twice].map(|snapshot| parse(&text(&snapshot, Scope::All)));
    let mut continued = BTreeSet::new();
    for (family, after) in once.iter().zip(&twice).filter(|(family, _)| family.kind != "gauge") {
        // The runtime counts restarts itself, and the analysis keeps the sums of the time by display name.
        let elsewhere = ["glassbox_container_restarts_total", "glassbox_container_work_seconds_total"];
        let stays =
            family.name.starts_with("container_network_") || elsewhere.contains(&family.name.as_str());
        for (before, after) in family.samples.iter().zip(&after.samples) {
            if !before.labels.contains_key("container") || before.value == 0.0 {
                continue;
            }
            let expected = if stays { before.value } else { 2.0 * before.value };
            assert!((after.value - expected).abs() <= 1e-9 * expected, "before {before:?}, after {after:?}");
            continued.insert(&family.name);
        }
    }
    assert!(continued.len() > 40, "{continued:?}");
}

#[test]
fn of_containers_with_one_name_only_one_has_the_series_by_name() {
    let rows = ["/docker/a", "/docker/b", "/docker/c"].map(|path| {
        let mut identity = identity("same");
        identity.cgroup_path = path.into();
        row(identity)
    });
    let parsed = parse(&text(&host::snapshot(rows.to_vec()), Scope::All));
    assert_eq!(samples(&parsed, "container_last_seen").len(), 3);
    assert_eq!(samples(&parsed, "glassbox_container_running").len(), 1);
    let mut none = rows.to_vec();
    for row in &mut none {
        row.owns_name = false;
    }
    let parsed = parse(&text(&host::snapshot(none), Scope::All));
    assert_eq!(samples(&parsed, "glassbox_container_running").len(), 0);
}

#[test]
fn the_order_of_rows_does_not_change_the_text() {
    let mut turned = host();
    turned.containers.reverse();
    assert_eq!(text(&turned, Scope::All), text(&host(), Scope::All));
}

#[test]
fn a_host_without_containers_exports_host_and_agent_metrics() {
    let mut empty = host();
    empty.containers.clear();
    empty.host.machine = None;
    let parsed = parse(&text(&empty, Scope::All));
    let ours = |name: &str| name.starts_with("glassbox_") || name.starts_with("DCGM_FI_");
    assert!(parsed.iter().all(|family| ours(&family.name)));
    assert!(parse(&text(&empty, Scope::Inherited)).is_empty());
}

#[test]
fn the_registry_is_written_after_the_snapshot() {
    let mut all = Text::default();
    exposition::encode(&host(), Scope::All, &mut all);
    Registry::new().unwrap().write(all.writer()).unwrap();
    let parsed = parse(std::str::from_utf8(&all.take()).unwrap());
    for name in
        ["process_resident_memory_bytes", "process_cpu_seconds_total", "glassbox_server_connections_total"]
    {
        assert!(!samples(&parsed, name).is_empty(), "{name}");
    }
}

#[test]
fn very_long_names_and_labels_are_truncated() {
    let mut long = identity("x");
    long.image = "ß".repeat(1 << 20);
    for number in 0..10_000 {
        long.labels.insert(format!("label.{number}"), "y".repeat(100));
    }
    let mut row = row(long);
    row.last_seen = now() - Duration::from_secs(1);
    let text = text(&host::snapshot(vec![row; 1]), Scope::All);
    assert!(text.len() < 100_000, "{}", text.len());
    assert!(!parse(&text).is_empty());
}

#[test]
fn a_thousand_containers_are_encoded() {
    let rows = (0..1000).map(|number| {
        let mut row = host().containers.swap_remove(0);
        Arc::make_mut(&mut row.identity).container = format!("c{number}");
        Arc::make_mut(&mut row.identity).cgroup_path = format!("/docker/{number}");
        row
    });
    let snapshot = host::snapshot(rows.collect());
    let parsed = parse(&text(&snapshot, Scope::All));
    assert_eq!(samples(&parsed, "container_memory_rss").len(), 1000);
    assert_eq!(samples(&parsed, "glassbox_container_runqueue_latency_seconds").len(), 20_000);
}

#[test]
fn a_lost_gpu_exports_only_its_identity_state_and_xid_errors() {
    let parsed = parse(&text(&host(), Scope::All));
    let of_lost = |sample: &&Sample| sample.labels.get("gpu").is_some_and(|gpu| gpu == "1");
    let exported: BTreeSet<_> = parsed
        .iter()
        .flat_map(|family| family.samples.iter().filter(of_lost))
        .map(|s| s.name.as_str())
        .collect();
    let expected =
        ["DCGM_FI_DEV_XID_ERRORS", "glassbox_gpu_info", "glassbox_gpu_up", "glassbox_gpu_xid_errors_total"];
    assert_eq!(exported, expected.into());
    let up = samples(&parsed, "glassbox_gpu_up");
    let up: Vec<_> = up.iter().map(|s| (s.labels.get("pci_bus_id").map(String::as_str), s.value)).collect();
    assert_eq!(up, [(None, 1.0), (None, 0.0), (Some("0001:00:01.0"), 0.0)]);
}

#[test]
fn dcgm_families_have_the_labels_and_units_of_dcgm_exporter() {
    let parsed = parse(&text(&host(), Scope::All));
    let used = &samples(&parsed, "DCGM_FI_DEV_FB_USED")[0];
    assert_eq!(used.value, 8192.0, "MiB");
    let labels: Vec<_> = used.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        labels,
        [
            ("DCGM_FI_DRIVER_VERSION", "580.159.04"),
            ("Hostname", "studio"),
            ("UUID", "GPU-5e0d1a32-7c1f-4a87-8a55-0f4f5a5c9d10"),
            ("device", "nvidia0"),
            ("gpu", "0"),
            ("modelName", "NVIDIA H100 \"PCIe\"\n"),
            ("pci_bus_id", "00000000:01:00.0"),
        ]
    );
    let value = |name| samples(&parsed, name)[0].value;
    assert_eq!([value("DCGM_FI_DEV_GPU_UTIL"), value("DCGM_FI_DEV_SM_CLOCK")], [61.0, 1755.0], "% and MHz");
    assert_eq!(value("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"), 9_876_543_210.0, "mJ");
    assert_eq!(value("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL"), 6.0, "KiB");
    let xid = &samples(&parsed, "DCGM_FI_DEV_XID_ERRORS")[0];
    assert_eq!((xid.value, xid.labels["err_msg"].as_str()), (31.0, "GPU memory page fault"));
}

#[test]
fn ratio_histograms_have_twenty_buckets_and_a_count() {
    let parsed = parse(&text(&host(), Scope::All));
    let all = samples(&parsed, "glassbox_gpu_utilization_samples_ratio");
    let counts: Vec<_> = all.iter().map(|sample| sample.value).collect();
    assert_eq!(all.len(), 23);
    assert_eq!(
        [counts[0], counts[1], counts[9], counts[18], counts[19], counts[20]],
        [2.0, 3.0, 4.0, 4.0, 6.0, 6.0]
    );
    assert_eq!((counts[22], (counts[21] - 2.61).abs() < 1e-9), (6.0, true));
}
