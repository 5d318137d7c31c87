//! Which keys change while the agent runs. [`Config::adopt`] is the list; systemd/agent.toml repeats it for users, and a
//! test compares the two.

use anyhow::Context as _;
use toml::Value;

use super::{Config, Containers, Health, Requests, Server};

impl Config {
    /// Takes over the keys that do not need a restart. What the other keys determine exists once, at the start: sockets,
    /// connections to runtimes, sizes of kernel maps, constants of kernel programs, periods of threads.
    pub fn adopt(&mut self, new: &Self) {
        self.log.clone_from(&new.log);
        let Containers { max: _, keep_ended_s, labels: _, rename } = &new.containers;
        self.containers.keep_ended_s = *keep_ended_s;
        self.containers.rename.clone_from(rename);
        let Requests { ports: _, routes: _, slow_after_ms: _, upload_images: _, functions } = &new.requests;
        self.requests.functions.clone_from(functions);
        let Health { stuck_after_s } = &new.health;
        self.health.stuck_after_s = *stuck_after_s;
        // A changed web configuration is read without a signal, but another file could remove TLS or users.
        let web_config = std::mem::take(&mut self.server.web_config);
        self.server = Server { web_config, ..new.server.clone() };
    }
}

/// The keys with different values, with their tables, in alphabetical order: `containers.max`, `tick_ms`.
///
/// # Errors
/// A path is not UTF-8, so TOML cannot represent it.
pub fn changed_keys(old: &Config, new: &Config) -> anyhow::Result<Vec<String>> {
    let table = |config: &Config| Value::try_from(config).context("compare two configurations");
    let mut keys = Vec::new();
    compare("", &table(old)?, &table(new)?, &mut keys);
    keys.sort_unstable();
    Ok(keys)
}

fn compare(name: &str, old: &Value, new: &Value, keys: &mut Vec<String>) {
    let (Value::Table(old), Value::Table(new)) = (old, new) else {
        if old != new {
            keys.push(name.to_owned());
        }
        return;
    };
    for (key, value) in new {
        let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        match old.get(key) {
            Some(before) => compare(&name, before, value, keys),
            None => keys.push(name),
        }
    }
    let missing = old.keys().filter(|key| !new.contains_key(*key));
    keys.extend(missing.map(|key| if name.is_empty() { key.clone() } else { format!("{name}.{key}") }));
}
