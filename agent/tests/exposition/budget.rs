//! The number of series of a container.

use std::borrow::Cow;

use glassbox::{
    exposition::{
        Scope,
        document::budget::{
            CPU_CONTAINER, GPU_CONTAINER, PROGRAM, SERVING, THREE_GRADIO_FUNCTIONS, series_by_subject,
        },
        subjects,
    },
    snapshot::{
        Snapshot,
        jobs::{FunctionJobs, IgnoredEvents, Jobs},
        nvidia_driver::{CommandUsage, Failure, FailureCount},
        scheduler::Histogram,
    },
};

use glassbox_fixtures::{
    exposition::{Sample, families},
    host,
};

use super::golden::text;

/// Commands, by device, of a CUDA application that uses everything.
const SENT: [(&str, &[&str]); 3] = [
    (
        "ctl",
        &[
            "alloc_os_event",
            "card_info",
            "check_version_str",
            "free_os_event",
            "query_device_intr",
            "rm_alloc_channel",
            "rm_alloc_channel_group",
            "rm_alloc_client",
            "rm_alloc_compute",
            "rm_alloc_context_dma2",
            "rm_alloc_context_share",
            "rm_alloc_copy_engine",
            "rm_alloc_device",
            "rm_alloc_doorbell",
            "rm_alloc_event",
            "rm_alloc_memory",
            "rm_alloc_memory_pinned",
            "rm_alloc_memory_system",
            "rm_alloc_memory_video",
            "rm_alloc_memory_virtual",
            "rm_alloc_object",
            "rm_alloc_vaspace",
            "rm_control_channel",
            "rm_control_device",
            "rm_control_event",
            "rm_control_gpu_ids",
            "rm_control_memory_info",
            "rm_control_monitoring",
            "rm_control_other",
            "rm_control_subdevice",
            "rm_control_system",
            "rm_dup_object",
            "rm_free",
            "rm_map_memory",
            "rm_map_memory_dma",
            "rm_share",
            "rm_unmap_memory",
            "rm_unmap_memory_dma",
            "rm_update_device_mapping_info",
            "rm_vid_heap_control",
            "status_code",
            "sys_params",
        ],
    ),
    ("gpu", &["register_fd", "rm_map_memory", "wait_open_complete"]),
    (
        "uvm",
        &[
            "uvm_create_external_range",
            "uvm_create_range_group",
            "uvm_free",
            "uvm_initialize",
            "uvm_map_external_allocation",
            "uvm_migrate",
            "uvm_mm_initialize",
            "uvm_pageable_mem_access",
            "uvm_register_channel",
            "uvm_register_gpu",
            "uvm_register_gpu_vaspace",
            "uvm_set_preferred_location",
            "uvm_unregister_channel",
            "uvm_validate_va_range",
        ],
    ),
];

/// Requests that the driver refuses while CUDA starts, and later failures.
const REFUSED: [(&str, &str); 10] = [
    ("rm_alloc_memory_video", "no_memory"),
    ("rm_alloc_profiler", "invalid_class"),
    ("rm_control_channel", "invalid_argument"),
    ("rm_control_device", "not_supported"),
    ("rm_control_gpu_ids", "not_supported"),
    ("rm_control_subdevice", "not_supported"),
    ("rm_control_system", "not_supported"),
    ("rm_free", "invalid_object"),
    ("rm_share", "insufficient_permissions"),
    ("rm_vid_heap_control", "no_memory"),
];

/// A host with one container without a GPU, on cgroup v2 and with the default configuration.
pub(crate) fn cpu_container() -> Snapshot {
    host::snapshot(vec![host::docker_without_gpu()])
}

/// The same with a container that uses one GPU and has sent every command.
pub(crate) fn gpu_container() -> Snapshot {
    let mut row = host::docker_by_default();
    let driver = row.nvidia_driver.as_mut().unwrap();
    let mut durations = Histogram { sum_ns: 3_000, ..Histogram::default() };
    durations.buckets[7] = 3;
    let all =
        SENT.iter().flat_map(|(device, commands)| commands.iter().map(move |command| (*device, *command)));
    driver.commands = all
        .map(|(device, command)| CommandUsage { device, command: Cow::Borrowed(command), durations })
        .collect();
    driver.failures = REFUSED
        .iter()
        .map(|(command, status)| FailureCount {
            device: "ctl",
            command: Cow::Borrowed(command),
            reason: Failure::Status(Cow::Borrowed(status)),
            count: 2,
        })
        .collect();
    host::snapshot(vec![row])
}

fn samples(snapshot: &Snapshot) -> Vec<Sample> {
    let samples = families(&text(snapshot, Scope::All)).into_iter().flat_map(|family| family.samples);
    samples.filter(|sample| sample.labels.contains_key("container")).collect()
}

#[test]
fn a_container_has_no_more_series_than_the_budget() {
    for (snapshot, budget) in [(cpu_container(), CPU_CONTAINER), (gpu_container(), GPU_CONTAINER)] {
        let samples = samples(&snapshot).len();
        let table = series_by_subject(&snapshot, subjects());
        assert!(samples <= budget, "{samples} series, at most {budget} are allowed: {table:?}");
        assert_eq!(samples, table.iter().map(|(_, series)| series).sum::<usize>(), "{table:?}");
    }
}

#[test]
fn a_container_without_a_gpu_has_no_gpu_series() {
    let gpu = |sample: &&Sample| ["gpu", "nvidia"].iter().any(|word| sample.name.contains(word));
    let of_gpu: Vec<_> = samples(&cpu_container());
    assert_eq!(
        of_gpu.iter().filter(gpu).map(|sample| &sample.name).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
}

#[test]
fn commands_without_their_own_series_are_in_the_totals() {
    let snapshot = gpu_container();
    let sent: usize = SENT.iter().map(|(_, commands)| commands.len()).sum();
    assert!(sent > 51);
    let samples = samples(&snapshot);
    let total = |name: &str| -> f64 { samples.iter().filter(|s| s.name == name).map(|s| s.value).sum() };
    assert_eq!(total("glassbox_container_nvidia_ioctls_total"), (3 * sent) as f64);
    assert_eq!(total("glassbox_container_nvidia_ioctl_duration_seconds_count"), (3 * sent) as f64);
    assert!((total("glassbox_container_nvidia_ioctl_seconds_total") - 3e-6 * sent as f64).abs() < 1e-9);
    assert_eq!(total("glassbox_container_nvidia_rm_errors_total"), (2 * REFUSED.len()) as f64);
    let other = samples.iter().filter(|s| s.name == "glassbox_container_nvidia_ioctls_total");
    let other = other.filter(|s| s.labels["command"] == "other").map(|s| s.labels["device"].as_str());
    assert_eq!(other.collect::<Vec<_>>(), ["ctl", "gpu", "uvm"]);
}

#[test]
fn a_setting_restores_a_histogram_for_each_command() {
    let mut snapshot = gpu_container();
    snapshot.containers[0].nvidia_driver.as_mut().unwrap().per_command_histograms = true;
    let sent: usize = SENT.iter().map(|(_, commands)| commands.len()).sum();
    let samples = samples(&snapshot);
    let of = |name: &str| samples.iter().filter(|sample| sample.name == name).collect::<Vec<_>>();
    let counts = of("glassbox_container_nvidia_ioctl_duration_seconds_count");
    assert_eq!((counts.len(), of("glassbox_container_nvidia_ioctls_total").len()), (sent, sent));
    assert!(counts.iter().all(|count| count.labels.contains_key("command") && count.value == 3.0));
}

fn samples_of_jobs(jobs: Jobs) -> Vec<Sample> {
    let mut row = host::docker_without_gpu();
    row.jobs = Some(Box::new(jobs));
    let all = samples(&host::snapshot(vec![row]));
    all.into_iter().filter(|sample| sample.name.contains("_job")).collect()
}

#[test]
fn three_gradio_functions_have_no_more_series_than_the_budget() {
    let mut jobs = host::jobs();
    jobs.ignored = IgnoredEvents { ended_job: 2, ..IgnoredEvents::default() };
    jobs.functions[2].counters.durations = jobs.functions[0].counters.durations;
    let series = samples_of_jobs(jobs).len();
    assert!(
        series <= THREE_GRADIO_FUNCTIONS,
        "{series} series, at most {THREE_GRADIO_FUNCTIONS} are allowed"
    );
}

#[test]
fn a_container_that_serves_requests_has_no_more_additional_series_than_the_budget() {
    let count = |row| samples(&host::snapshot(vec![row])).len();
    let mut row = host::docker_by_default();
    let before = count(row.clone());
    let serving = host::docker();
    (row.requests, row.work_time, row.health) = (serving.requests, serving.work_time, serving.health);
    // A container has few kinds of connections that cannot be followed.
    row.requests.as_mut().unwrap().measures.opaque = [1, 0, 1, 0, 0, 0, 0];
    // Off by default.
    row.requests.as_mut().unwrap().uploads = None;
    let added = count(row) - before;
    assert!((50..=SERVING).contains(&added), "{added} series, at most {SERVING} are allowed");
}

#[test]
fn a_program_that_ended_in_every_way_has_no_more_series_than_the_budget() {
    let mut row = host::docker_by_default();
    row.programs = host::docker().programs;
    row.programs[0].counters.exits = [1; 4];
    row.programs.truncate(1);
    let all = samples(&host::snapshot(vec![row]));
    assert_eq!(all.iter().filter(|sample| sample.name.contains("_program_")).count(), PROGRAM);
}

#[test]
fn a_short_function_has_sums_and_no_histogram() {
    let samples = samples_of_jobs(host::jobs());
    let of = |fn_name: &str, family: &str| {
        let is_of = |sample: &&Sample| sample.labels.get("fn").is_some_and(|name| name == fn_name);
        samples.iter().filter(is_of).filter(|sample| sample.name.starts_with(family)).count()
    };
    assert_eq!(of("12", "glassbox_container_job_duration_seconds"), 0);
    assert_eq!(of("12", "glassbox_container_job_run_seconds_total"), 1);
    assert_eq!(of("swap", "glassbox_container_job_duration_seconds"), 12);
    // 33 functions of a page.
    let short = host::jobs().functions[2].counters.clone();
    let functions =
        (0..33).map(|number: u32| FunctionJobs { name: number.to_string().into(), counters: short.clone() });
    let page = samples_of_jobs(Jobs { functions: functions.collect(), ..Jobs::default() }).len();
    assert_eq!(page, 33 * 5 + 2);
}
