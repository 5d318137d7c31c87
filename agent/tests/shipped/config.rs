//! systemd/agent.toml documents every key with its default, and configuration errors say what is wrong and what is allowed.

use std::path::Path;

use glassbox::{
    collectors::COLLECTORS,
    config::{Collectors, Config},
};
use proptest::strategy::Strategy as _;

pub(crate) fn shipped() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/agent.toml")).unwrap()
}

/// The configuration, or the error as the user sees it.
pub(crate) fn load(text: &str) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path).map_err(|error| {
        let error = format!("{:#}", anyhow::Error::from(error));
        let named = error.contains(path.to_str().unwrap());
        assert!(named, "the error does not name the file: {error}");
        error
    })
}

/// The text with the comment marker removed from each key. In prose, a space follows the marker.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.is_empty() && !key.starts_with(' ') => format!("{key}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn the_shipped_configuration_has_the_defaults() {
    assert_eq!(load(&shipped()).unwrap(), Config::default());
}

#[test]
fn the_commented_keys_have_their_defaults() {
    let text = uncommented(&shipped());
    assert!(text.contains("\ntick_ms = 1000\n") && text.contains("\nmax_connections = 64\n"));
    assert_eq!(load(&text).unwrap(), Config::default());
}

#[test]
fn it_documents_every_key() {
    let text = uncommented(&shipped());
    let mut shown = 0;
    for table in [
        "",
        "containers",
        "cgroup",
        "network",
        "disk",
        "requests",
        "docker",
        "health",
        "podman",
        "containerd",
        "cri",
        "kernel",
        "nvidia_driver",
        "nvml",
        "server",
        "paths",
    ] {
        let header = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        // The error for an unknown key lists the valid keys.
        let refusal = load(&format!("{header}none_such = 1\n")).unwrap_err();
        let (_, known) = refusal.split_once("expected one of").or(refusal.split_once("expected")).unwrap();
        let part = text.split_once(&header).unwrap().1;
        let part = if table.is_empty() { &text } else { part.split("\n[").next().unwrap() };
        for key in known.split('`').skip(1).step_by(2) {
            let is_shown = part.contains(&format!("\n{key} = ")) || text.contains(&format!("\n[{key}]\n"));
            assert!(is_shown, "{table}.{key}");
            shown += 1;
        }
    }
    assert!(shown >= 20, "{shown}");
    for collector in COLLECTORS {
        assert!(text.contains(&format!("\n{} = true\n", collector.name)), "{}", collector.name);
    }
}

#[test]
fn the_examples_of_labels_a_rename_rule_and_a_function_name_work() {
    let text = shipped();
    let header = |line| (line == "[labels]").then_some(line);
    let example = text.lines().filter_map(|line| line.strip_prefix("#     ").or_else(|| header(line)));
    let config = load(&example.collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(config.labels.shared().get("cluster").map(String::as_str), Some("eu1"));
    assert_eq!(config.requests.functions.len(), 1);
    assert_eq!(config.requests.functions[0].apply("facefusion-2", 12), Some("swap"));
    assert_eq!(config.containers.rename.len(), 1);
    assert_eq!(
        (config.containers.rename[0].name.as_str(), config.containers.rename[0].to.as_str()),
        ("studio_*_gpu", "*")
    );
}

#[test]
fn an_unknown_key_is_reported_with_its_line_and_the_valid_keys() {
    let error = load("tick_ms = 500\n\nlisten_on = \"127.0.0.1:1\"\n").unwrap_err();
    for part in ["line 3", "listen_on", "`listen`"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = load("[server]\nmax_conections = 5\n").unwrap_err();
    for part in ["line 2", "max_conections", "`max_connections`"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_similar_key_is_suggested() {
    for (text, suggested) in [
        ("[server]\nmax_conections = 5\n", Some("max_connections")),
        ("tick = 500\n", Some("tick_ms")),
        ("[nvidia_drivr]\n", Some("nvidia_driver")),
        ("[collectors]\nschedular = false\n", Some("scheduler")),
        ("[server]\nzzz = 5\n", None),
    ] {
        let error = load(text).unwrap_err();
        let expected = suggested.map(|key| format!("did you mean `{key}`?"));
        assert_eq!(error.contains("did you mean"), expected.is_some(), "{error}");
        assert!(expected.is_none_or(|expected| error.ends_with(&expected)), "{error}");
    }
}

#[test]
fn a_configuration_is_serialized_with_every_key() {
    let written = Config::default().to_toml().unwrap();
    assert_eq!(load(&written).unwrap(), Config::default());
    for line in uncommented(&shipped()).lines().filter(|line| line.contains(" = ") && !line.starts_with('#'))
    {
        assert!(written.lines().any(|other| other == line), "{line}");
    }
    let text = "tick_ms = 500\n[containers]\nmax = 3\n[[containers.rename]]\nname = \"a*\"\nto = \"*\"\n\
                [nvidia_driver]\nrelease = \"580.65.06\"\n[docker]\nenabled = false\n";
    let config = load(text).unwrap();
    assert_eq!(load(&config.to_toml().unwrap()).unwrap(), config);
}

#[test]
fn a_value_of_the_wrong_type_is_reported_with_its_line_and_the_expected_type() {
    for (text, line, parts) in [
        ("tick_ms = \"fast\"\n", 1, ["tick_ms", "u64"]),
        ("\n[docker]\nenabled = \"yes\"\n", 3, ["enabled", "boolean"]),
        ("listen = \"localhost:9966\"\n", 1, ["socket address", "127.0.0.1:9966"]),
        ("listen = \":9966\"\n", 1, ["socket address", "127.0.0.1:9966"]),
        ("[kernel]\nprogram_stats = \"often\"\n", 2, ["program_stats", "`sampled`"]),
        ("[containers]\nmax = -1\n", 2, ["max", "u32"]),
        ("[collectors]\ncgroup = 1\n", 2, ["cgroup", "boolean"]),
    ] {
        let error = load(text).unwrap_err();
        assert!(error.contains(&format!("line {line}")), "{error}");
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

#[test]
fn a_value_out_of_range_is_reported_with_the_range() {
    for (text, key, least, most) in [
        ("tick_ms = 5\n", "tick_ms", "100", "60000"),
        ("tick_ms = 60001\n", "tick_ms", "100", "60000"),
        ("[containers]\nmax = 0\n", "containers.max", "1", "16384"),
        ("[containers]\nkeep_ended_s = 100000\n", "containers.keep_ended_s", "0", "86400"),
        ("[disk]\nperiod_s = 0\n", "disk.period_s", "1", "86400"),
        ("[nvml]\nsample_ms = 20\n", "nvml.sample_ms", "50", "10000"),
        ("[server]\nmax_connections = 0\n", "server.max_connections", "1", "4096"),
        ("[server]\nheader_timeout_ms = 1\n", "server.header_timeout_ms", "100", "60000"),
        ("[server]\nwrite_timeout_ms = 1\n", "server.write_timeout_ms", "100", "300000"),
        ("[server]\nresponse_timeout_ms = 1\n", "server.response_timeout_ms", "100", "600000"),
        ("[server]\nmax_unread_bytes = 1\n", "server.max_unread_bytes", "1048576", "1073741824"),
    ] {
        let error = load(text).unwrap_err();
        assert!(error.contains(&format!("key {key}: ")), "{error}");
        assert!(error.contains(&format!("range {least} to {most}")), "{error}");
    }
}

#[test]
fn the_ranges_are_those_in_the_shipped_configuration() {
    let text = shipped();
    for (key, range) in [
        ("tick_ms", "100 to 60000"),
        ("max", "1 to 16384"),
        ("keep_ended_s", "0 to 86400"),
        ("period_s", "1 to 86400"),
        ("sample_ms", "50 to 10000"),
        ("max_connections", "1 to 4096"),
        ("header_timeout_ms", "100 to 60000"),
        ("write_timeout_ms", "100 to 300000"),
        ("response_timeout_ms", "100 to 600000"),
        ("max_unread_bytes", "1048576 to 1073741824"),
    ] {
        let (before, _) = text.split_once(&format!("\n#{key} = ")).unwrap();
        let prose = before.rsplit("\n\n").next().unwrap().replace("\n# ", " ");
        assert!(prose.contains(range), "{key}: {prose}");
    }
}

#[test]
fn an_unknown_collector_is_reported_with_the_known_ones() {
    let error = load("[collectors]\nschedular = false\n").unwrap_err();
    assert!(error.contains("schedular") && error.contains("line 2"), "{error}");
    for collector in COLLECTORS {
        assert!(error.contains(&format!("`{}`", collector.name)), "{error}");
        let config = load(&format!("[collectors]\n{} = false\n", collector.name)).unwrap();
        assert_eq!(config.collectors, Collectors::without(&[collector.name]));
        assert!(!config.is_on(collector.name));
    }
    let config = load("[collectors]\nscheduler = true\n").unwrap();
    assert_eq!(config.collectors, Collectors::default());
}

#[test]
fn a_missing_file_is_reported_with_what_to_do() {
    let error = Config::load(Path::new("/nowhere/agent.toml")).unwrap_err();
    let error = format!("{:#}", anyhow::Error::from(error));
    for part in ["/nowhere/agent.toml", "--config", "No such file"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_syntax_error_is_reported_with_its_position() {
    let error = load("listen = \"127.0.0.1:1\"\ntick_ms 500\n").unwrap_err();
    assert!(error.contains("line 2"), "{error}");
    load("\u{0}\u{1}").unwrap_err();
    assert!(load("").unwrap() == Config::default());
}

#[test]
fn docker_is_contacted_at_the_configured_sockets_or_not_at_all() {
    let config = load("[docker]\nsocket = \"/run/other.sock\"\n").unwrap();
    assert_eq!(config.docker.socket(), Some(Path::new("/run/other.sock")));
    let off = load("[docker]\nenabled = false\nsocket = \"/x\"\nextra_sockets = [\"/y\"]\n").unwrap();
    assert_eq!((off.docker.socket(), off.docker.extra_sockets().len()), (None, 0));
}

#[test]
fn runtimes_are_contacted_at_the_configured_sockets_or_not_at_all() {
    let text =
        "[podman]\nsockets = [\"/a\", \"/b\"]\n[cri]\nsockets = []\n[containerd]\nsockets = [\"/c\"]\n";
    let config = load(text).unwrap();
    assert_eq!(config.podman.sockets, [Path::new("/a"), Path::new("/b")]);
    assert!(config.cri.sockets.is_empty());
    assert_eq!(config.containerd.sockets, [Path::new("/c")]);
}

#[test]
fn a_socket_that_is_not_an_absolute_path_is_refused_with_a_correction() {
    for (table, key) in [
        ("docker", "socket"),
        ("docker", "extra_sockets"),
        ("podman", "sockets"),
        ("containerd", "sockets"),
        ("cri", "sockets"),
    ] {
        let value = |path: &str| if key == "socket" { format!("{path:?}") } else { format!("[{path:?}]") };
        let error = load(&format!("[{table}]\n{key} = {}\n", value("unix:///run/x.sock"))).unwrap_err();
        for part in [&format!("key {table}.{key}: "), "without \"unix://\"", "\"/run/x.sock\""] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let error = load(&format!("[{table}]\n{key} = {}\n", value("x.sock"))).unwrap_err();
        assert!(error.contains("absolute path"), "{error}");
    }
}

#[test]
fn a_rename_with_two_stars_is_refused() {
    for (name, to) in [("a*b*", "*"), ("a*", "*-*")] {
        let error = load(&format!("[[containers.rename]]\nname = {name:?}\nto = {to:?}\n")).unwrap_err();
        assert!(error.contains("containers.rename") && error.contains("more than one *"), "{error}");
    }
    load("[[containers.rename]]\nname = \"a*\"\nto = \"b-*\"\n").unwrap();
}

#[test]
fn a_function_name_applies_to_all_containers_by_default_and_must_not_be_empty() {
    let rule = |name: &str| load(&format!("[[requests.functions]]\nfunction = 3\nname = \"{name}\"\n"));
    assert_eq!(rule("swap").unwrap().requests.functions[0].apply("any", 3), Some("swap"));
    let error = rule("").unwrap_err();
    assert!(error.contains("requests.functions") && error.contains("function 3"), "{error}");
}

#[test]
fn per_command_histograms_are_off_by_default() {
    for (text, asked) in [("", false), ("per_command_histograms = true\n", true)] {
        let config = load(&format!("[nvidia_driver]\n{text}")).unwrap();
        assert_eq!(config.nvidia_driver.per_command_histograms, asked, "{text}");
    }
}

#[test]
fn invalid_log_levels_and_host_names_are_refused() {
    let error = load("log = \"verbose\"\n").unwrap_err();
    assert!(error.contains("key log: ") && error.contains("error, warn, info"), "{error}");
    for name in ["", "a b", "localhost:9966", "http://x"] {
        let error = load(&format!("[server]\nallowed_hosts = [\"{name}\"]\n")).unwrap_err();
        assert!(error.contains("key server.allowed_hosts: "), "{error}");
    }
    let config = load("[server]\nallowed_hosts = [\"metrics.example.org\"]\n").unwrap();
    assert_eq!(config.server.allowed_hosts, ["metrics.example.org"]);
}

proptest::proptest! {
    #[test]
    fn no_configuration_panics_and_accepted_values_are_in_range(
        text in "\\PC{0,60}",
        key in proptest::sample::select(vec![
            "tick_ms", "log", "listen", "containers.max", "containers.keep_ended_s", "server.max_connections",
            "server.max_unread_bytes", "server.response_timeout_ms", "server.allowed_hosts", "docker.socket",
            "nvml.sample_ms", "nvidia_driver.release", "disk.period_s", "cri.sockets",
        ]),
        value in proptest::prelude::prop_oneof![
            proptest::prelude::any::<i64>().prop_map(|number| number.to_string()),
            (0u64..100_000).prop_map(|number| number.to_string()),
            "\"[a-z0-9.:/=,]{0,20}\"",
            "\\[(\"[a-z/.]{0,9}\",)?\\]",
        ],
    ) {
        let _ = load(&text);
        if let Ok(config) = load(&format!("{key} = {value}\n")) {
            let tick_ms = config.tick_ms.as_millis();
            proptest::prop_assert!((100..=60_000).contains(&tick_ms));
            proptest::prop_assert!((1..=16_384).contains(&*config.containers.max));
            proptest::prop_assert!((1..=4096).contains(&*config.server.max_connections));
            proptest::prop_assert!((1 << 20..=1 << 30).contains(&*config.server.max_unread_bytes));
        }
    }
}
