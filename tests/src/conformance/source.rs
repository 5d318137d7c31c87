//! Reads a value where tests/conformance/families.txt says that it is, by means of its own: nothing here is the agent's.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::table::Row;
use crate::cgroup::ROOT;

/// Where a value is.
#[derive(Clone, Debug)]
pub enum Source {
    /// In no cgroup file.
    Elsewhere,
    /// Nowhere: the kernel does not tell.
    Nowhere,
    /// In a file.
    File {
        /// The hierarchy.
        tree: &'static str,
        /// The file.
        file: &'static str,
        /// The key in it.
        key: &'static str,
        /// By what it is multiplied.
        factor: f64,
        /// What else comes in.
        also: Option<Also>,
    },
}

/// A second file, and what becomes of both.
#[derive(Clone, Copy, Debug)]
pub enum Also {
    /// This file's key is taken off.
    Minus(&'static str, &'static str),
    /// The greater one.
    Max(&'static str, &'static str),
}

/// What a source says: one value, one for each device or interface, or none.
pub type Values = BTreeMap<String, f64>;

impl Source {
    /// # Panics
    /// Where the text is no source.
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

/// The cgroup directories of the container that a process is in, by the kernel's own account.
pub struct Directories {
    pid: u32,
    lines: String,
}

impl Directories {
    /// # Panics
    /// Where there is no such process.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self { pid, lines: read(&format!("/proc/{pid}/cgroup")) }
    }

    /// Which of both is this host's.
    #[must_use]
    pub fn choose<'a>(&self, v2: &'a Source, v1: &'a Source) -> &'a Source {
        let tree = v1.tree().or(v2.tree());
        if tree.is_some_and(|tree| self.v1(tree).is_some()) { v1 } else { v2 }
    }

    /// What the source says now; empty where file or key is missing, `None` where the source is elsewhere.
    ///
    /// # Panics
    /// Where the process is gone.
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

    /// What a container with or without a CPU quota must show of a row.
    ///
    /// # Panics
    /// Where the process is gone.
    #[must_use]
    pub fn values(&self, row: &Row, quota: bool) -> Values {
        if row.quota && !quota {
            return Values::new();
        }
        self.read(self.choose(&row.v2, &row.v1)).unwrap_or_default()
    }

    /// Its directory in the v1 hierarchy of a controller, if that is mounted.
    fn v1(&self, controller: &str) -> Option<PathBuf> {
        self.lines.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let bears = controllers.split(',').any(|one| one == controller);
            bears.then(|| PathBuf::from(format!("{ROOT}/{controllers}{path}")))
        })
    }

    fn v2(&self) -> PathBuf {
        let path = self.lines.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        let beside = Path::new(ROOT).join("unified");
        let root = if beside.is_dir() { beside } else { ROOT.into() };
        root.join(path.trim_start_matches('/'))
    }

    /// A column of the interfaces, counted from 1 after the name.
    fn interfaces(&self, column: usize) -> Values {
        let text = read(&format!("/proc/{}/net/dev", self.pid));
        let lines = text.lines().skip(2).filter_map(|line| line.rsplit_once(':'));
        let lines = lines.map(|(name, rest)| (name.trim(), rest)).filter(|(name, _)| *name != "lo");
        let value = |rest: &str| number_of(rest.split_ascii_whitespace().nth(column - 1).unwrap_or_default());
        lines.map(|(name, rest)| (name.to_owned(), value(rest))).collect()
    }
}

/// The values of one key, by the name of the device they are of; of no device, by the empty one.
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

/// A device by the name that its numbers have in sysfs, and its value.
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
