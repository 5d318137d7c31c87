//! The compose stack: Docker Compose accepts it, and Debian's Prometheus runs with its configuration and scrapes a real agent.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use glassbox_tests::{
    agent::Agent,
    deployment::{Tools, file},
    prometheus::Programs,
    repository::in_repository,
    service::{Service, free_address},
    skip,
};
use serde_json::Value;

const PROMETHEUS_RULES: [&str; 2] = ["alerts.yml", "recording.yml"];

/// The stack as Docker Compose reads it, with defaults and absolute paths.
fn stack(tools: &Tools) -> Value {
    of_files(tools, &["compose/compose.yaml"])
}

fn of_files(tools: &Tools, names: &[&str]) -> Value {
    let mut compose = tools.program("docker-compose");
    for name in names {
        compose.arg("--file").arg(file(name));
    }
    compose.args(["config", "--format=json"]);
    let output = compose.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// dashboards/ in `rules`, as the stack mounts it.
fn configuration(directory: &Path, replaced: &[(&str, &str)]) -> std::path::PathBuf {
    let mut text = fs::read_to_string(file("compose/prometheus.yml")).unwrap();
    for (name, address) in replaced {
        assert!(text.contains(name), "no target {name}");
        text = text.replace(name, address);
    }
    fs::create_dir(directory.join("rules")).unwrap();
    for name in PROMETHEUS_RULES {
        fs::copy(in_repository("dashboards").join(name), directory.join("rules").join(name)).unwrap();
    }
    let place = directory.join("prometheus.yml");
    fs::write(&place, text).unwrap();
    place
}

#[test]
fn docker_compose_accepts_the_stack() {
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(reason) => return skip("docker_compose_accepts_the_stack", &reason),
    };
    let stack = stack(&tools);
    let services = stack["services"].as_object().unwrap();
    let names: Vec<_> = services.keys().map(String::as_str).collect();
    assert_eq!(names, ["agent", "alertmanager", "alloy", "grafana", "loki", "prometheus"]);
    for (name, service) in services {
        let (_, tag) = service["image"].as_str().unwrap().rsplit_once(':').unwrap();
        assert!(
            tag.trim_start_matches('v').split('.').count() == 3,
            "{name}: the version {tag} is not pinned"
        );
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}");
        }
        // The image of Alloy has no program that could make a request.
        assert_eq!(service["healthcheck"].is_object(), name != "alloy", "{name}");
    }
    assert!(services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"].is_string());
    assert_eq!(services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"], Value::Null);
    // Every file of the repository that is mounted exists.
    for volume in services.values().flat_map(|service| service["volumes"].as_array().into_iter().flatten()) {
        let source = volume["source"].as_str().unwrap();
        let exists = Path::new(source).exists() || volume["type"] == "volume";
        let elsewhere = source.starts_with("/sys") || source.starts_with("/var/run");
        assert!(exists || elsewhere, "{source} is missing");
    }
}

#[test]
fn the_health_check_of_the_agent_has_the_flags_of_its_command() {
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(reason) => return skip("the_health_check_of_the_agent_has_the_flags_of_its_command", &reason),
    };
    let agent = &stack(&tools)["services"]["agent"];
    let words = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let (command, check) = (words(&agent["command"]), words(&agent["healthcheck"]["test"]));
    assert_eq!(check[..3], ["CMD", "/usr/bin/glassbox", "health"]);
    assert_eq!(check[3..], command[1..]);
}

#[test]
fn the_agent_of_the_stack_has_the_capabilities_of_the_systemd_unit() {
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(reason) => {
            return skip("the_agent_of_the_stack_has_the_capabilities_of_the_systemd_unit", &reason);
        }
    };
    let unit = fs::read_to_string(in_repository("systemd/glassbox.service")).unwrap();
    let bounding = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    let mut unit: BTreeSet<_> = bounding.split(' ').map(|name| name.trim_start_matches("CAP_")).collect();
    // The unit does not run as root. In a container, root owns the runtimes' sockets.
    assert!(unit.remove("DAC_OVERRIDE"));
    let agent = &stack(&tools)["services"]["agent"];
    let added = agent["cap_add"].as_array().unwrap().iter();
    assert_eq!(added.map(|name| name.as_str().unwrap()).collect::<BTreeSet<_>>(), unit);
    assert_eq!(agent["cap_drop"], serde_json::json!(["ALL"]));
    assert_eq!(agent["read_only"], true);
}

#[test]
fn the_override_for_gpus_adds_all_gpus_to_the_agent() {
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(reason) => return skip("the_override_for_gpus_adds_all_gpus_to_the_agent", &reason),
    };
    let mut stack = of_files(&tools, &["compose/compose.yaml", "compose/compose.gpu.yaml"]);
    let mut agent = stack["services"]["agent"].take();
    assert_eq!(agent["gpus"][0]["count"], -1, "{agent}");
    assert_eq!(agent["environment"]["NVIDIA_DRIVER_CAPABILITIES"], "utility");
    let fields = agent.as_object_mut().unwrap();
    fields.remove("gpus");
    fields.remove("environment");
    let mut plain = self::stack(&tools)["services"]["agent"].take();
    plain.as_object_mut().unwrap().remove("environment");
    assert_eq!(agent, plain);
}

#[test]
fn grafana_finds_the_dashboards_and_the_data_sources() {
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(reason) => return skip("grafana_finds_the_dashboards_and_the_data_sources", &reason),
    };
    let provisioning = file("compose/grafana/provisioning");
    let provider = &tools.yaml(&provisioning.join("dashboards/glassbox.yaml"))[0]["providers"][0];
    let stack = stack(&tools);
    let mounts = stack["services"]["grafana"]["volumes"].as_array().unwrap().clone();
    let dashboards = mounts.iter().find(|mount| mount["target"] == provider["options"]["path"]).unwrap();
    let source = fs::canonicalize(dashboards["source"].as_str().unwrap()).unwrap();
    assert_eq!(source, in_repository("dashboards"));
    assert_eq!(provider["options"]["foldersFromFilesStructure"], true);
    let sources = tools.yaml(&provisioning.join("datasources/glassbox.yaml")).remove(0);
    for source in sources["datasources"].as_array().unwrap() {
        let url = source["url"].as_str().unwrap();
        let host = url.trim_start_matches("http://").split(':').next().unwrap();
        assert!(stack["services"][host].is_object(), "{url} is no service");
    }
}

#[test]
fn logs_and_metrics_have_the_same_instance() {
    let logs = fs::read_to_string(file("compose/config.alloy")).unwrap();
    let (_, rule) = logs.split_once("target_label = \"instance\"").unwrap();
    let instance = rule.split('"').nth(1).unwrap();
    let metrics = fs::read_to_string(file("compose/prometheus.yml")).unwrap();
    let (_, job) = metrics.split_once("job_name: glassbox").unwrap();
    assert_eq!(job.split('"').nth(1), Some(instance));
}

#[test]
fn prometheus_scrapes_the_agent_with_the_configuration_of_the_stack() {
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(reason) => {
            return skip("prometheus_scrapes_the_agent_with_the_configuration_of_the_stack", &reason);
        }
    };
    let checked = tempfile::tempdir().unwrap();
    let configuration_file = configuration(checked.path(), &[]);
    let _ = programs.report(&["check", "config"], &[configuration_file]);

    let (agent, address) = (Agent::start(""), free_address());
    let (target, own) = (agent.address.to_string(), address.to_string());
    let replaced = [("agent:9966", target.as_str()), ("127.0.0.1:9090", own.as_str()), ("15s", "1s")];
    let _prometheus = Service::start("Prometheus", address, "/-/ready", |directory| {
        let mut command = Command::new(&programs.prometheus);
        command.arg(format!("--config.file={}", configuration(directory, &replaced).display()));
        command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        command
    });
    let ask = |path: &str| {
        let answer = glassbox_tests::http::get(address, path).unwrap();
        serde_json::from_str::<Value>(&answer.body).unwrap()["data"].take()
    };
    glassbox_tests::docker::eventually("the agent is up", Duration::from_secs(30), || {
        let up = ask("/api/v1/query?query=up%7Bjob%3D%22glassbox%22%7D");
        (up["result"][0]["value"][1] == "1").then_some(())
    });
    let rules = ask("/api/v1/rules")["groups"].take();
    assert!(rules.as_array().unwrap().iter().any(|group| group["name"] == "glassbox-containers"), "{rules}");
}
