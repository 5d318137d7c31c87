//! A job file: which of it is read, and how it is opened.
//!
//! The directory belongs to a container, so every entry may be anything. Only regular files on the directory's own file
//! system are read, up to [`BYTES_MAX`], and never through a symbolic link. Of the content, only the status and the processors
//! of the steps are kept.

use std::{fs::File, io::Read as _, path::Path, time::SystemTime};

use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::{containers::directory::Directory, snapshot::facefusion::PROCESSORS};

/// Maximum size of a file. A step takes some 3 KB.
const BYTES_MAX: u64 = 1024 * 1024;
/// Maximum number of steps that are kept.
const STEPS_MAX: usize = 256;

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
}

/// Reads the job file with this name.
pub(super) fn read(directory: &Directory, name: &Path) -> Result<JobFile, Unread> {
    let file = directory.regular_file(name).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP | libc::EXDEV) => Unread::Special,
        _ => Unread::Missing,
    })?;
    let Some(file) = file else { return Err(Unread::Special) };
    let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
    Ok(JobFile { modified, ..parse(&bytes(file)?)? })
}

fn bytes(file: File) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|_| Unread::Missing)?;
    if bytes.len() as u64 > BYTES_MAX { Err(Unread::TooLarge) } else { Ok(bytes) }
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
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        List(Vec<Entry>),
        Other(IgnoredAny),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Entry {
        Name(String),
        Other(IgnoredAny),
    }
    let mut used = [false; PROCESSORS.len()];
    if let Value::List(entries) = Value::deserialize(deserializer)? {
        for entry in entries {
            let Entry::Name(name) = entry else { continue };
            let known = PROCESSORS.iter().position(|processor| *processor == name);
            used[known.unwrap_or(PROCESSORS.len() - 1)] = true;
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        process::Command,
        time::{Duration, Instant},
    };

    use proptest::prelude::*;

    use super::*;

    const JOB: &str = r#"{"version": "1", "date_created": "2026-08-05T10:00:00+00:00", "date_updated": null, "steps": [
        {"args": {"processors": ["face_swapper", "mystery"], "source_paths": ["/a.jpg"], "output_path": "/o.mp4"}, "status": "completed"},
        {"args": {"processors": null}, "status": "started"}, {"status": "queued"}]}"#;

    #[test]
    fn the_status_and_the_processors_of_the_steps_are_read() {
        let job = parse(JOB.as_bytes()).unwrap();
        let status: Vec<_> = job.steps.iter().map(|step| step.status).collect();
        assert_eq!(status, [StepStatus::Completed, StepStatus::Started, StepStatus::Queued]);
        let used = |position: usize| {
            let step = &job.steps[position];
            PROCESSORS
                .iter()
                .zip(step.processors)
                .filter(|(_, used)| *used)
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
        };
        assert_eq!(used(0), ["face_swapper", "other"]);
        assert!(used(1).is_empty() && used(2).is_empty());
    }

    #[test]
    fn half_a_file_and_what_is_no_job_is_unreadable() {
        for end in [0, 1, 40, JOB.len() - 1] {
            assert_eq!(parse(&JOB.as_bytes()[..end]), Err(Unread::Unreadable), "{end}");
        }
        let nested = "[".repeat(100_000);
        for text in ["[]", "{}", r#"{"steps": 3}"#, r#"{"steps": [{"status": "asleep"}]}"#, &nested] {
            assert_eq!(parse(text.as_bytes()), Err(Unread::Unreadable));
        }
        let nested = format!(r#"{{"steps": [], "x": {}}}"#, "[".repeat(100_000));
        assert_eq!(parse(nested.as_bytes()), Err(Unread::Unreadable));
    }

    #[test]
    fn only_small_regular_files_are_read() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(at("job.json"), JOB).unwrap();
        fs::write(at("large.json"), vec![b' '; BYTES_MAX as usize + 1]).unwrap();
        fs::create_dir(at("directory.json")).unwrap();
        symlink("job.json", at("link.json")).unwrap();
        symlink("/etc/shadow", at("shadow.json")).unwrap();
        assert!(Command::new("mkfifo").arg(at("pipe.json")).status().unwrap().success());
        let directory = Directory::at(root.path()).unwrap();
        let read = |name: &str| read(&directory, Path::new(name));
        assert!(read("job.json").is_ok());
        assert_eq!(read("large.json"), Err(Unread::TooLarge));
        let begun = Instant::now();
        for name in ["link.json", "shadow.json", "pipe.json", "directory.json"] {
            assert_eq!(read(name), Err(Unread::Special), "{name}");
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "a named pipe must not block");
        for name in ["missing.json", "../job.json", "/etc/passwd"] {
            assert!(read(name).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(bytes in any::<Vec<u8>>(), cut in 0..JOB.len()) {
            let _ = parse(&bytes);
            let _ = parse(&JOB.as_bytes()[..cut.min(JOB.len())]);
        }
    }
}
