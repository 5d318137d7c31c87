//! systemd/agent.toml lists the keys that take effect without a restart. Each key is changed, and either is taken over or is
//! reported as one that needs a restart.

use std::collections::BTreeSet;

use glassbox::config::{Config, changed_keys};
use toml::{Table, Value};

use super::config::{load, shipped};

/// The keys in the list: the indented lines of the header that follow the sentence about SIGHUP.
fn listed() -> BTreeSet<String> {
    let text = shipped();
    let (_, after) = text.split_once("take effect without a restart:\n").unwrap();
    let lines = after.lines().map_while(|line| line.strip_prefix("#   "));
    lines
        .flat_map(|line| line.split(','))
        .map(|key| key.trim().to_owned())
        .filter(|key| !key.is_empty())
        .collect()
}

/// All keys with their tables.
fn keys(table: &Table, prefix: &str, all: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => keys(inner, &format!("{prefix}{key}."), all),
            value => all.push((format!("{prefix}{key}"), value.clone())),
        }
    }
}

/// Another valid value.
fn other(key: &str, value: &Value) -> Value {
    let parsed = |text: &str| text.parse::<Table>().unwrap().remove("a").unwrap();
    match (key, value) {
        ("listen", _) => "127.0.0.1:1".into(),
        ("log", _) => "debug".into(),
        ("containers.rename", _) => parsed("a = [{name = \"x\", to = \"y\"}]"),
        ("requests.functions", _) => parsed("a = [{function = 1, name = \"x\"}]"),
        ("requests.ports", _) => parsed("a = [80]"),
        ("requests.routes", _) => parsed("a = [\"/x\"]"),
        ("programs.names", _) => parsed("a = [\"x\"]"),
        ("kernel.program_stats", _) => "never".into(),
        ("kernel.scheduler_hook", _) => "switch".into(),
        ("nvidia_driver.hook", _) => "functions".into(),
        ("nvidia_driver.release", _) => "580.65.06".into(),
        (_, Value::Boolean(on)) => (!on).into(),
        (_, Value::Integer(number)) => (number + 1).into(),
        (_, Value::String(text)) => format!("{text}-x").into(),
        ("server.allowed_hosts", _) => parsed("a = [\"x\"]"),
        (_, Value::Array(_)) => parsed("a = [\"/x\"]"),
        (key, value) => panic!("no other value for {key} = {value}"),
    }
}

fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((outer, inner)) => set(table[outer].as_table_mut().unwrap(), inner, value),
        None => {
            table.insert(key.to_owned(), value);
        }
    }
}

#[test]
fn each_key_is_either_in_the_list_or_needs_a_restart() {
    let before = Config::default();
    let table: Table = before.to_toml().unwrap().parse().unwrap();
    let mut all = Vec::new();
    keys(&table, "", &mut all);
    let listed = listed();
    let mut taken_over = BTreeSet::new();
    for (key, value) in &all {
        let mut changed = table.clone();
        set(&mut changed, key, other(key, value));
        let read = load(&changed.to_string()).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(changed_keys(&before, &read).unwrap(), [key.as_str()]);
        let mut next = before.clone();
        next.adopt(&read);
        let (applied, need_restart) =
            (changed_keys(&before, &next).unwrap(), changed_keys(&next, &read).unwrap());
        if listed.contains(key) {
            assert_eq!((applied, need_restart.len()), (vec![key.clone()], 0), "{key} is in the list");
            taken_over.insert(key.clone());
        } else {
            assert_eq!((applied.len(), need_restart), (0, vec![key.clone()]), "{key} is not in the list");
        }
    }
    assert_eq!(taken_over, listed, "the list has unknown keys");
    assert!(all.len() > 50 && listed.len() > 8, "{} keys, {} in the list", all.len(), listed.len());
}

#[test]
fn the_configuration_in_force_keeps_everything_that_needs_a_restart() {
    let read =
        load("tick_ms = 500\nlog = \"warn\"\n[server]\nmax_connections = 3\nweb_config = \"/w\"\n").unwrap();
    let mut next = Config::default();
    next.adopt(&read);
    assert_eq!(changed_keys(&Config::default(), &next).unwrap(), ["log", "server.max_connections"]);
    assert_eq!(changed_keys(&next, &read).unwrap(), ["server.web_config", "tick_ms"]);
}
