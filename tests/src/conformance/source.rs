//! Reads values from the files that tests/conformance/families.txt names. It uses no code of the agent.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::table::Row;
use crate::cgroup::ROOT;

/// The source of a value.
#[derive(Clone, Debug)]
pub enum Source {
    /// Not a cgroup file.
    Elsewhere,
    /// None: the kernel does not provide the value.
    Nowhere,
    /// A file.
    File {
        /// The hierarchy.
        tree: &'static str,
        /// The file's name.
        file: &'static str,
        /// The key in the file.
        key: &'static str,
        /// The factor that converts the value to the unit of the metric.
        factor: f64,
        /// A second value.
        also: Option<Also>,
    },
}

/// How a second value is combined with the first one.
#[derive(Clone, Copy, Debug)]
pub enum Also {
    /// The value of this file and key is subtracted.
    Minus(&'static str, &'static str),
    /// The greater of both values is used.
    Max(&'static str, &'static str),
}

/// Values by device or interface. A value of neither has the empty key.
pub type Values = BTreeMap<String, f64>;

impl Source {
    /// # Panics
    /// If the text is not a source.
    pub(super) fn parse(text: &'static str) -> Self {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match words[..] {
            ["elsewhere"] => Self::Elsewhere,
            ["-"] => Self::Nowhere,
            [tree, file, key, factor, ref rest @ ..] => {
                let also = match rest {
                    [] => None,
                    ["minus", file, key] => Some(Also::Minus(file, key)),
                    ["max", file, key] => Some(Also::Max(file, key)),
                    _ => panic!("a source: {text}"),
                };
                let factor = factor.parse().unwrap_or_else(|_| panic!("a factor: {text}"));
                Self::File { tree, file, key, factor, also }
            }
            _ => panic!("a source: {text}"),
        }
    }

    fn tree(&self) -> Option<&'static str> {
        if let Self::File { tree, .. } = self { Some(tree) } else { None }
    }
}

/// The cgroup directories of a container, found by the membership of one of its processes in `/proc`.
pub struct Directories {
    pid: u32,
    lines: String,
}

impl Directories {
    /// # Panics
    /// If there is no such process.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self { pid, lines: read(&format!("/proc/{pid}/cgroup")) }
    }

    /// The source that applies to this host.
    #[must_use]
    pub fn choose<'a>(&self, v2: &'a Source, v1: &'a Source) -> &'a Source {
        let tree = v1.tree().or(v2.tree());
        if tree.is_some_and(|tree| self.v1(tree).is_some()) { v1 } else { v2 }
    }

    /// The current values. Empty if the file or the key is missing, `None` if the source is not a cgroup file.
    ///
    /// # Panics
    /// If the process has exited.
    #[must_use]
    pub fn read(&self, source: &Source) -> Option<Values> {
        let Source::File { tree, file, key, factor, also } = source else {
            return if matches!(source, Source::Nowhere) { Some(Values::new()) } else { None };
        };
        if let Some(column) = key.strip_prefix("net:") {
            return Some(self.interfaces(number_of(column) as usize));
        }
        let directory = self.v1(tree).unwrap_or_else(|| self.v2());
        let read = |file: &str, key: &str| {
            fs::read_to_string(directory.join(file)).map(|text| values(&text, key)).unwrap_or_default()
        };
        let mut values = read(file, key);
        let second = |file, key| read(file, key).get("").copied();
        for value in values.values_mut() {
            match also {
                None => {}
                Some(Also::Minus(file, key)) => *value = (*value - second(file, key)?).max(0.0),
                Some(Also::Max(file, key)) => *value = value.max(second(file, key)?),
            }
            *value *= factor;
        }
        Some(values)
    }

    /// The values that a container must show for a row, with or without a CPU quota.
    ///
    /// # Panics
    /// If the process has exited.
    #[must_use]
    pub fn values(&self, row: &Row, quota: bool) -> Values {
        if row.quota && !quota {
            return Values::new();
        }
        self.read(self.choose(&row.v2, &row.v1)).unwrap_or_default()
    }

    /// The container's directory in the v1 hierarchy of a controller, if that hierarchy is mounted.
    fn v1(&self, controller: &str) -> Option<PathBuf> {
        self.lines.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let has = controllers.split(',').any(|one| one == controller);
            has.then(|| PathBuf::from(format!("{ROOT}/{controllers}{path}")))
        })
    }

    fn v2(&self) -> PathBuf {
        let path = self.lines.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        let beside = Path::new(ROOT).join("unified");
        let root = if beside.is_dir() { beside } else { ROOT.into() };
        root.join(path.trim_start_matches('/'))
    }

    /// One column of `net/dev` by interface. The column after the name is number 1.
    fn interfaces(&self, column: usize) -> Values {
        let text = read(&format!("/proc/{}/net/dev", self.pid));
        let lines = text.lines().skip(2).filter_map(|line| line.rsplit_once(':'));
        let lines = lines.map(|(name, rest)| (name.trim(), rest)).filter(|(name, _)| *name != "lo");
        let value = |rest: &str| number_of(rest.split_ascii_whitespace().nth(column - 1).unwrap_or_default());
        lines.map(|(name, rest)| (name.to_owned(), value(rest))).collect()
    }
}

/// The values of one key, by device. A value without a device has the empty key.
fn values(text: &str, key: &str) -> Values {
    if let Some(operation) = key.strip_prefix("op:") {
        let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        return words.filter(|words| words.len() == 3 && words[1] == operation).map(device).collect();
    }
    if key.ends_with('=') {
        let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let value = |words: Vec<&str>| {
            let value = words.iter().find_map(|word| word.strip_prefix(key))?.to_owned();
            Some(device(vec![words[0], "", &value]))
        };
        return lines.filter_map(value).collect();
    }
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let value = match key {
        "-" => number(text),
        "lines" => Some(text.lines().count() as f64),
        "limit" if text.trim() == "max" => Some(0.0),
        "limit" => number(text).map(|limit| if limit > (1_u64 << 62) as f64 { 0.0 } else { limit }),
        "some" | "full" => text
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|line| number(line.rsplit_once("total=")?.1)),
        _ => text.lines().find_map(|line| number(line.strip_prefix(key)?.strip_prefix(' ')?)),
    };
    value.map(|value| (String::new(), value)).into_iter().collect()
}

/// The device, by its name in sysfs, and the value.
fn device(words: Vec<&str>) -> (String, f64) {
    let uevent = fs::read_to_string(format!("/sys/dev/block/{}/uevent", words[0])).unwrap_or_default();
    let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    let name = name.map_or_else(|| words[0].to_owned(), |name| format!("/dev/{name}"));
    (name, number_of(words[2]))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

fn number_of(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("a number, not {text:?}"))
}
