//! Frames in files: how many a job has extracted, and how many of them it has written again.
//!
//! ffmpeg creates and closes each file once when it extracts the frames. FaceFusion then writes each file again, in place, and
//! closes it once more. inotify reports both.

use std::{fs, path::Path};

use inotify::{EventMask, Inotify, WatchMask};

use super::{
    children::Child,
    phases::{FrameFiles, Running},
};
use crate::containers::directory::Directory;

/// Maximum number of files that are counted when the directory is opened.
const LISTED_MAX: usize = 100_000;
/// Bytes of events that are read at a time, and how often.
const EVENTS_BYTES: usize = 64 * 1024;
const READS_MAX: usize = 8;

/// The directory with the frames of one step.
pub(super) struct Frames {
    /// The ffmpeg that extracts the frames.
    process: u32,
    inotify: Inotify,
    total: u64,
    created: u64,
    closed: u64,
}

impl Frames {
    /// Follows the directory of the extraction that runs, if one does.
    pub(super) fn follow(frames: &mut Option<Self>, running: &[Running], proc_root: &Path) {
        let extraction = running.iter().find_map(|one| match &one.child {
            Child::Extract { directory } => Some((one.process, directory)),
            _ => None,
        });
        if let Some((process, directory)) = extraction
            && frames.as_ref().is_none_or(|known| known.process != process)
        {
            *frames = Self::open(process, directory, proc_root);
        }
    }

    fn open(process: u32, directory: &Path, proc_root: &Path) -> Option<Self> {
        let root = Directory::process_root(proc_root, &process.to_string()).ok()?;
        let directory = root.on_host(directory).ok()?;
        let inotify = Inotify::init().ok()?;
        let mask = WatchMask::CREATE | WatchMask::CLOSE_WRITE | WatchMask::ONLYDIR;
        inotify.watches().add(directory.path(), mask).ok()?;
        let total = fs::read_dir(directory.path()).ok()?.take(LISTED_MAX).count();
        Some(Self { process, inotify, total: total as u64, created: 0, closed: 0 })
    }

    /// The files so far.
    pub(super) fn read(&mut self) -> FrameFiles {
        let mut buffer = [0; EVENTS_BYTES];
        for _ in 0..READS_MAX {
            let Ok(events) = self.inotify.read_events(&mut buffer) else { break };
            for event in events {
                self.created += u64::from(event.mask.contains(EventMask::CREATE));
                self.closed += u64::from(event.mask.contains(EventMask::CLOSE_WRITE));
            }
        }
        FrameFiles { processed: self.closed.saturating_sub(self.created), total: self.total + self.created }
    }
}
