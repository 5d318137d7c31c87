//! Dashboards and rules for cAdvisor: 14282 for Docker, kubernetes-mixin for Kubernetes, and the Docker mixin. Each of their
//! queries must return data from the agent.

use std::time::Duration;

use glassbox_tests::docker::Container;

use super::stack::{BLOCK_IO, Stack, counted_block_io};

/// The source of each query, and the query.
const QUERIES: &str = include_str!("../../fixtures/cadvisor_queries.txt");

#[test]
fn every_query_for_cadvisor_returns_data() {
    let Some(stack) = Stack::start("every_query_for_cadvisor_returns_data", "") else { return };
    let labels = [
        "com.docker.compose.project=studio",
        "com.docker.compose.service=facefusion",
        "com.docker.compose.project.working_dir=/srv/studio",
        // The labels that the kubelet sets through Docker.
        "io.kubernetes.pod.namespace=media",
        "io.kubernetes.pod.name=facefusion-0",
        "io.kubernetes.container.name=facefusion",
    ];
    let mut arguments = vec!["--cpus", "0.5", "--memory", "64m"];
    arguments.extend(labels.iter().flat_map(|label| ["--label", label]));
    let counted = counted_block_io(&stack.docker);
    arguments.extend(counted.iter().flatten().map(String::as_str));
    let work = format!("{BLOCK_IO}; while true; do true; done");
    let _container = Container::run(&stack.docker, "studio-facefusion-1", &arguments, &["sh", "-c", &work]);
    stack.prometheus.wait_for(
        "count_over_time(container_cpu_cfs_periods_total{pod=\"facefusion-0\"}[1m]) >= 4",
        Duration::from_secs(30),
        |samples| !samples.is_empty(),
    );
    let (mut asked, mut wrong) = (0, Vec::new());
    for line in QUERIES.lines().filter(|line| !line.starts_with('#')) {
        let (origin, query) = line.split_once(" | ").unwrap();
        let query = query
            .replace("$host", ".+")
            .replace("$container", ".+")
            .replace("$namespace", "media")
            .replace("$pod", "facefusion-0")
            // The name of the job is the user's choice.
            .replace("job=\"cadvisor\"", "job=\"glassbox\"");
        let samples = stack.prometheus.query(&query).unwrap();
        let answered = samples.iter().any(|sample| sample.value.is_finite());
        if !answered && query.contains("container_fs_") && counted.is_none() {
            println!("{origin}: Docker's files are not on a disk: {query}");
            continue;
        }
        asked += 1;
        if !answered {
            wrong.push(format!("{origin}: {query}: {samples:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} queries without data:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked >= 25, "{asked}");
}
