//! A job file: which of it is read, and how it is opened.
//!
//! The directory belongs to a container, so every entry may be anything. Only regular files on the directory's own file
//! system are read, up to [`BYTES_MAX`], and never through a symbolic link. Of the content, only the status and the processors
//! of the steps are kept.

use std::{
    fmt,
    io::Read as _,
    path::Path,
    time::{Instant, SystemTime},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::budget::Budget;
use crate::{containers::directory::Directory, snapshot::facefusion::PROCESSORS};

/// Maximum size of a file. A step takes some 3 KB.
const BYTES_MAX: u64 = 1024 * 1024;
/// Maximum number of steps that are kept.
const STEPS_MAX: usize = 256;
/// Maximum number of processors of a step that are looked at.
const PROCESSORS_MAX: usize = 64;

/// What is kept of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JobFile {
    pub(super) steps: Vec<Step>,
    /// When it was last written; `None` if that is unknown.
    pub(super) modified: Option<SystemTime>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) status: StepStatus,
    /// Whether it uses each of [`PROCESSORS`].
    pub(super) processors: [bool; PROCESSORS.len()],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StepStatus {
    Drafted,
    Queued,
    Started,
    Completed,
    Failed,
}

impl StepStatus {
    pub(super) const fn has_started(self) -> bool {
        matches!(self, Self::Started | Self::Completed | Self::Failed)
    }
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It has vanished, or this process may not read it.
    Missing,
    /// No job, or not completely written yet.
    Unreadable,
    TooLarge,
    Special,
    /// The container has used up what an update reads.
    OverBudget,
}

/// Reads the job file with this name.
pub(super) fn read(directory: &Directory, name: &Path, budget: &mut Budget) -> Result<JobFile, Unread> {
    if budget.is_spent() {
        return Err(Unread::OverBudget);
    }
    let begun = Instant::now();
    let mut bytes = Vec::new();
    let read = content(directory, name, budget.bytes(), &mut bytes)
        .and_then(|modified| Ok(JobFile { modified, ..parse(&bytes)? }));
    budget.spend(bytes.len() as u64, begun);
    read
}

/// Adds the content of a file to `bytes`. Returns when it was last written.
fn content(
    directory: &Directory,
    name: &Path,
    bytes_left: u64,
    bytes: &mut Vec<u8>,
) -> Result<Option<SystemTime>, Unread> {
    let file = directory.regular_file(name).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP | libc::EXDEV) => Unread::Special,
        _ => Unread::Missing,
    })?;
    let Some(file) = file else { return Err(Unread::Special) };
    let metadata = file.metadata().map_err(|_| Unread::Missing)?;
    let limit = BYTES_MAX.min(bytes_left);
    let is_within = |length: u64| match length {
        0..=BYTES_MAX if length <= limit => Ok(()),
        0..=BYTES_MAX => Err(Unread::OverBudget),
        _ => Err(Unread::TooLarge),
    };
    is_within(metadata.len())?;
    file.take(limit + 1).read_to_end(bytes).map_err(|_| Unread::Missing)?;
    // It may have grown meanwhile.
    is_within(bytes.len() as u64)?;
    Ok(metadata.modified().ok())
}

fn parse(bytes: &[u8]) -> Result<JobFile, Unread> {
    /// A job, with only what is read of it.
    #[derive(Deserialize)]
    struct Job {
        steps: Vec<JobStep>,
    }
    #[derive(Deserialize)]
    struct JobStep {
        #[serde(default)]
        args: Arguments,
        status: StepStatus,
    }
    #[derive(Default, Deserialize)]
    struct Arguments {
        #[serde(default, deserialize_with = "processors")]
        processors: [bool; PROCESSORS.len()],
    }
    let job: Job = serde_json::from_slice(bytes).map_err(|_| Unread::Unreadable)?;
    let step = |step: JobStep| Step { status: step.status, processors: step.args.processors };
    Ok(JobFile { steps: job.steps.into_iter().take(STEPS_MAX).map(step).collect(), modified: None })
}

/// Which processors a list contains. Anything else than a list of names uses none.
fn processors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[bool; PROCESSORS.len()], D::Error> {
    match Value::deserialize(deserializer)? {
        Value::List(used) => Ok(used),
        Value::Processor(_) | Value::Other => Ok(<[bool; PROCESSORS.len()]>::default()),
    }
}

/// A value of any type. Of a list, the first [`PROCESSORS_MAX`] entries are looked at.
enum Value {
    /// A string: a position in [`PROCESSORS`].
    Processor(usize),
    List([bool; PROCESSORS.len()]),
    Other,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfAnyType)
    }
}

struct OfAnyType;

impl<'de> Visitor<'de> for OfAnyType {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Value, E> {
        let known = PROCESSORS.iter().position(|processor| *processor == name);
        Ok(Value::Processor(known.unwrap_or(PROCESSORS.len() - 1)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut used = [false; PROCESSORS.len()];
        for _ in 0..PROCESSORS_MAX {
            match list.next_element()? {
                Some(Value::Processor(position)) => used[position] = true,
                Some(_) => {}
                None => return Ok(Value::List(used)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::List(used))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests;
