//! Compares the agent with a real cAdvisor, which `GLASSBOX_CADVISOR` names. Every difference in families, types, labels and
//! series must be listed in tests/conformance/ with its reason. Needs root and Docker.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use glassbox_fixtures::exposition::Scrape;
use glassbox_tests::{
    agent::Agent,
    conformance::table::{differences, left_out},
    docker::{Container, Docker, Network, eventually},
    http,
    service::free_address,
    skip,
};

/// Names the binary of cAdvisor.
const VARIABLE: &str = "GLASSBOX_CADVISOR";
const NAME: &str = "service-1";

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // Fails if it has already exited.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_difference_from_a_real_cadvisor_is_listed_with_its_reason() {
    let test = "every_difference_from_a_real_cadvisor_is_listed_with_its_reason";
    let Some(program) = env::var_os(VARIABLE) else {
        glassbox_tests::inapplicable(test, &format!("{VARIABLE} is not set"));
        return;
    };
    let Some(docker) = Docker::own(Network::Bridge).map_err(|reason| skip(test, &reason)).ok() else {
        return;
    };
    let limits = ["--cpus=0.5", "--memory=64m", "--label", "com.docker.compose.project=studio"];
    let _container = Container::run(&docker, NAME, &limits, &["sh", "-c", "while true; do sleep 0.1; done"]);
    let agent = Agent::start(&format!("docker.socket = {:?}\n", docker.socket().display().to_string()));

    let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
    let log = fs::File::create(directory.path().join("log")).unwrap();
    let mut peer = Command::new(program);
    peer.args(["-listen_ip", &address.ip().to_string(), "-port", &address.port().to_string()])
        .args(["-docker", &format!("unix://{}", docker.socket().display()), "-logtostderr=true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let _peer = Peer(peer.spawn().unwrap());
    let theirs = eventually("cAdvisor shows the container", Duration::from_secs(60), || {
        let scrape = Scrape::parse(&http::get(address, "/metrics").ok()?.body);
        let shown = scrape.of("container_cpu_usage_seconds_total", &ours()).next().is_some();
        shown.then_some(scrape)
    });
    let scrape = Scrape::parse(&agent.metrics());
    report(&theirs, &scrape);
}

fn ours() -> Vec<(String, String)> {
    vec![("name".into(), NAME.into())]
}

fn report(theirs: &Scrape, scrape: &Scrape) {
    let left_out: BTreeSet<_> = left_out().into_iter().map(|(family, _)| family).collect();
    let allowed = |family: &str, what: &str| {
        differences().iter().any(|[of, allowed, _]| {
            (*of == "*" || *of == family)
                && (*allowed == what || (allowed.ends_with('_') && what.starts_with(allowed)))
        })
    };
    let of_interest = |name: &&str| name.starts_with("container_") || name.starts_with("machine_");
    let (their_types, our_types) = (theirs.types(), scrape.types());
    let (mut compared, mut wrong) = (0, Vec::new());
    for family in their_types.keys().copied().filter(of_interest) {
        if left_out.contains(family) {
            println!("{family}: left out");
            continue;
        }
        let machine = family.starts_with("machine_");
        let subject = if machine { Vec::new() } else { ours() };
        let (their, our) = (labels(theirs, family, &subject), labels(scrape, family, &subject));
        if their.is_empty() {
            continue; // Of other cgroups.
        }
        let Some(kind) = our_types.get(family).filter(|_| !our.is_empty()) else {
            println!("{family}: absent");
            if !allowed(family, "absent") {
                wrong.push(format!("{family} is absent; cAdvisor shows {:?}", their.values()));
            }
            continue;
        };
        compared += 1;
        if *kind != their_types[family] {
            wrong.push(format!("{family} is a {kind}; cAdvisor's is a {}", their_types[family]));
        }
        let names = |series: &BTreeMap<BTreeMap<String, String>, f64>| -> BTreeSet<String> {
            series.keys().flat_map(BTreeMap::keys).cloned().collect()
        };
        for label in names(&their).symmetric_difference(&names(&our)) {
            println!("{family}: label {label}");
            if !allowed(family, &format!("label {label}")) {
                wrong.push(format!("{family}: only one of the two has the label {label}"));
            }
        }
        // Constant values must be equal.
        if family.starts_with("container_spec_") || machine || family == "container_start_time_seconds" {
            let (their, our): (Vec<_>, Vec<_>) = (their.values().collect(), our.values().collect());
            if their != our && !allowed(family, "value") {
                wrong.push(format!("{family} is {our:?}; cAdvisor shows {their:?}"));
            }
        }
    }
    println!("{compared} families that both have");
    assert!(compared >= 30, "{compared}");
    assert!(wrong.is_empty(), "{} differences without a reason:\n{}", wrong.len(), wrong.join("\n"));
}

/// The series of a family that belong to the subject.
fn labels(
    scrape: &Scrape,
    family: &str,
    subject: &[(String, String)],
) -> BTreeMap<BTreeMap<String, String>, f64> {
    scrape.of(family, subject).map(|sample| (sample.set_labels(), sample.value)).collect()
}
