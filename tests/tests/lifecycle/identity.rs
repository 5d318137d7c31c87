//! Which cgroup belongs to a container, which containers run, and their names.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use glassbox::containers::cgroup::{Layout, Mode, walk};
use glassbox_tests::{
    agent::Agent,
    cgroup::{Cgroup, ROOT},
    docker::{Container, Docker, Network, eventually},
    worker::{Work, Worker},
};

use super::{
    or_skip,
    series::{TIMEOUT, becomes, becomes_state, series, value},
};

/// Many ticks of these agents, enough for a walk over all cgroups.
const MANY_TICKS: Duration = Duration::from_secs(3);

fn docker() -> Option<Docker> {
    or_skip(Docker::own(Network::None))
}

fn agent(docker: &Docker) -> Agent {
    agent_with(docker, "")
}

/// The same with further keys of the configuration.
fn agent_with(docker: &Docker, more: &str) -> Agent {
    Agent::start(&format!("tick_ms = 200\n[docker]\nsocket = \"{}\"\n{more}", docker.socket().display()))
}

/// The hierarchies in which a runtime creates a container's cgroup.
fn trees() -> Vec<PathBuf> {
    let layout = Layout::detect(Path::new(ROOT)).unwrap();
    let controllers = ["cpu", "cpuacct", "memory"].map(|name| layout.directory(name, "/"));
    let unified = Some(layout.primary("/")).filter(|_| layout.mode() != Mode::V1);
    let mut trees: Vec<_> = controllers.into_iter().chain([unified]).flatten().collect();
    trees.sort();
    trees.dedup_by_key(|tree| tree.canonicalize().unwrap());
    trees
}

/// The path of a container's own cgroup.
fn cgroup_of(id: &str) -> String {
    let layout = Layout::detect(Path::new(ROOT)).unwrap();
    let found = walk(&layout).unwrap().found;
    found.into_iter().find(|found| found.own && found.container == id).expect("its cgroup").path
}

/// The label `container` of every container with this runtime name, and the paths of their cgroups.
fn names(agent: &Agent, name: &str) -> Vec<(String, String)> {
    let info = series(agent, "glassbox_container_info", &[&format!("name=\"{name}\"")]);
    let label = |set: &str, label: &str| {
        let mut labels = set.split(',').filter_map(|one| one.strip_prefix(label)?.strip_prefix("=\""));
        labels.next().map(|value| value.trim_end_matches('"').to_owned()).unwrap_or_default()
    };
    info.iter().map(|(set, _)| (label(set, "container"), label(set, "id"))).collect()
}

#[test]
fn a_nested_cgroup_that_repeats_the_id_is_part_of_the_container() {
    let Some(docker) = docker() else { return };
    let command =
        ["sh", "-c", "while true; do i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done; sleep 0.01; done"];
    let container = Container::run(&docker, "node", &[], &command);
    let path = cgroup_of(&container.id);
    let before = agent(&docker);
    let name = r#"container="node""#;
    let oncpu = |agent: &Agent| value(agent, "glassbox_container_oncpu_seconds_total", &[name]).unwrap();
    becomes(&before, "glassbox_container_running", &[name], 1.0);
    let nested: Vec<_> = trees()
        .iter()
        .map(|tree| Cgroup::new(tree, &format!("{path}/docker/{}", container.id)).unwrap())
        .collect();
    let after = agent(&docker);
    becomes(&after, "glassbox_container_running", &[name], 1.0);
    for agent in [&before, &after] {
        let seen = oncpu(agent);
        std::thread::sleep(MANY_TICKS);
        assert_eq!(names(agent, "node"), [("node".to_owned(), path.clone())]);
        assert!(oncpu(agent) > seen);
        for family in ["container_memory_usage_bytes", "container_cpu_usage_seconds_total"] {
            assert_eq!(series(agent, family, &[r#"name="node""#]).len(), 1, "{family}");
        }
        assert!(!agent.metrics().contains(&format!("container=\"{}", &container.id[..12])));
    }
    // Processes in the nested cgroup count for the container, even if the kernel reported that cgroup as a start.
    for (agent, nested) in [(&before, &nested), (&after, &nested)] {
        let idle = oncpu(agent);
        let worker = Worker::start(&nested[nested.len() - 1], Work::Spin, None);
        worker.go();
        std::thread::sleep(Duration::from_secs(1));
        worker.stop();
        let spun = worker.run_time_ns() as f64 / 1e9;
        drop(worker);
        if trees().len() == 1 || trees()[trees().len() - 1].ends_with("unified") {
            eventually("what ran in the nested cgroup counts", TIMEOUT, || {
                (oncpu(agent) - idle > 0.9 * spun).then_some(())
            });
        }
    }
}

#[test]
fn a_cgroup_elsewhere_with_the_id_of_a_container_is_not_that_container() {
    let Some(docker) = docker() else { return };
    let agents = [agent(&docker)];
    let victim = Container::run(&docker, "victim", &[], &["sleep", "600"]);
    let other = Container::run(&docker, "other", &[], &["sleep", "600"]);
    let name = r#"container="victim""#;
    let path = cgroup_of(&victim.id);
    becomes(&agents[0], "glassbox_container_running", &[name], 1.0);
    // One in another container, one at a valid path that is younger than the container, and one with an invalid name.
    let places = [
        format!("{}/{}", cgroup_of(&other.id), victim.id),
        format!("/glassbox-impostor/docker/{}", victim.id),
        format!("/glassbox-impostor/{}", victim.id),
    ];
    let tree = Layout::detect(Path::new(ROOT)).unwrap().primary("/");
    let mut impostors: Vec<_> = places.iter().map(|place| Cgroup::new(&tree, place).unwrap()).collect();
    let is_the_container = |agent: &Agent| {
        std::thread::sleep(MANY_TICKS);
        assert_eq!(names(agent, "victim"), [("victim".to_owned(), path.clone())]);
        let metrics = agent.metrics();
        for place in &places {
            assert!(!metrics.contains(place), "{place} is exported");
        }
        assert_eq!(series(agent, "glassbox_container_running", &[name]).len(), 1);
    };
    is_the_container(&agents[0]);
    // An agent that starts later does not know which one was first.
    let later = agent(&docker);
    becomes(&later, "glassbox_container_running", &[name], 1.0);
    is_the_container(&later);
    // The copies are older than the next run of the container.
    docker.run(&["restart", "--time=0", &victim.id]);
    for agent in [&agents[0], &later] {
        becomes(agent, "glassbox_container_restarts_total", &[name], 1.0);
        is_the_container(agent);
    }
    // The copies are not taken for the stopped container either.
    docker.run(&["stop", "--time=0", &victim.id]);
    for agent in [&agents[0], &later] {
        becomes(agent, "glassbox_container_running", &[name], 0.0);
        is_the_container(agent);
    }
    // Nor is a copy in another container, for an agent that has never seen the container run.
    impostors.truncate(1);
    let last = agent(&docker);
    becomes(&last, "glassbox_container_running", &[r#"container="other""#], 1.0);
    std::thread::sleep(MANY_TICKS);
    assert!(!last.metrics().contains(&places[0]), "{} is exported", places[0]);
    drop(impostors);
}

#[test]
fn a_running_container_keeps_its_name_when_others_start() {
    let Some(docker) = docker() else { return };
    let labels = |oneoff: &str| {
        let labels = ["project=shop", "service=web", "container-number=1", &format!("oneoff={oneoff}")];
        labels.map(|label| format!("--label=com.docker.compose.{label}"))
    };
    let (service, one_off) = (labels("False"), labels("True"));
    let service: Vec<&str> = service.iter().map(String::as_str).collect();
    let one_off: Vec<&str> = one_off.iter().map(String::as_str).collect();
    let _web = Container::run(&docker, "shop-web-1", &service, &["sleep", "600"]);
    let _bb = Container::run(&docker, "happy_morse", &[], &["sleep", "600"]);
    let first = agent(&docker);
    let shown = |agent: &Agent, name: &str| names(agent, name).first().map(|(shown, _)| shown.clone());
    let becomes_shown = |agent: &Agent, name: &str, wanted: &str| {
        let what = format!("{name} is exported as {wanted}");
        eventually(&what, TIMEOUT, || (shown(agent, name).as_deref() == Some(wanted)).then_some(()));
    };
    becomes_shown(&first, "shop-web-1", "web-1");
    becomes_shown(&first, "happy_morse", "glassbox-tests");
    let _one_off = Container::run(&docker, "shop-web-run-0a1b2c", &one_off, &["sleep", "600"]);
    let _foreign = Container::run(&docker, "mine", &service, &["sleep", "600"]);
    let _job = Container::run(&docker, "zen_tesla", &[], &["sleep", "600"]);
    let later = agent(&docker);
    for agent in [&first, &later] {
        becomes_shown(agent, "shop-web-run-0a1b2c", "shop-web-run-0a1b2c");
        becomes_shown(agent, "mine", "mine");
        becomes_shown(agent, "zen_tesla", "zen_tesla");
        becomes_shown(agent, "shop-web-1", "web-1");
        becomes_shown(agent, "happy_morse", "glassbox-tests");
        assert_eq!(series(agent, "glassbox_container_info", &[r#"name="happy_morse""#]).len(), 1);
    }
}

#[test]
fn rename_rules_apply_to_compose_containers() {
    let Some(docker) = docker() else { return };
    let labels = ["project=shop", "service=web", "container-number=1"]
        .map(|label| format!("--label=com.docker.compose.{label}"));
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let _web = Container::run(&docker, "shop-web-1", &labels, &["sleep", "600"]);
    let rule = "[[containers.rename]]\nname = \"shop-*-1\"\nto = \"front-*\"";
    let agent = agent_with(&docker, rule);
    becomes(&agent, "glassbox_container_running", &[r#"container="front-web""#], 1.0);
}

#[test]
fn a_leftover_cgroup_does_not_run_and_its_replacement_gets_the_name() {
    let Some(docker) = docker() else { return };
    let labels = ["project=shop", "service=web", "container-number=1"]
        .map(|label| format!("--label=com.docker.compose.{label}"));
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let agent = agent(&docker);
    let old = Container::run(&docker, "shop-web-1", &labels, &["sleep", "600"]);
    let path = cgroup_of(&old.id);
    let name = r#"container="web-1""#;
    becomes(&agent, "glassbox_container_running", &[name], 1.0);
    // A process that the runtime does not kill keeps the cgroup.
    let tree = Layout::detect(Path::new(ROOT)).unwrap().primary("/");
    let stuck = Cgroup::new(&tree, &format!("{path}/stuck")).unwrap();
    let worker = Worker::start(&stuck, Work::SpinAndSleep, None);
    worker.go();
    docker.run(&["kill", &old.id]);
    becomes_state(&agent, name, "exited");
    assert!(tree.join(path.trim_start_matches('/')).exists(), "the cgroup is left behind");
    assert_eq!(value(&agent, "glassbox_container_running", &[name]), Some(1.0), "it still has a process");
    docker.run(&["rename", "shop-web-1", "old"]);
    let new = Container::run(&docker, "shop-web-1", &labels, &["sleep", "600"]);
    becomes_state(&agent, name, "running");
    assert_eq!(names(&agent, "shop-web-1"), [("web-1".to_owned(), cgroup_of(&new.id))]);
    drop(worker);
    let seen = || {
        let series = series(&agent, "container_last_seen", &[&format!("id=\"{path}\"")]);
        series.first().map(|(_, seconds)| *seconds)
    };
    std::thread::sleep(MANY_TICKS);
    let last = seen().unwrap();
    std::thread::sleep(MANY_TICKS);
    assert_eq!(seen(), Some(last), "it was last seen running when its last process ended");
    assert_eq!(value(&agent, "glassbox_container_running", &[name]), Some(1.0), "the new one runs");
    drop(stuck);
    // The empty cgroup can be removed.
    let directory = tree.join(path.trim_start_matches('/'));
    eventually("the cgroup goes", TIMEOUT, || {
        let _ = std::fs::remove_dir(&directory);
        (!directory.exists()).then_some(())
    });
}
