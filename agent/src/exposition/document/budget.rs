//! The number of series per container: what Prometheus has to store for each of them.

use crate::{
    exposition::{
        encoding::{self, text::Text},
        family::{Family, Samples},
    },
    snapshot::Snapshot,
};

/// Maximum number of series of a container without a GPU, with one disk, one network interface and the default
/// configuration.
pub const CPU_CONTAINER: usize = 130;
/// Maximum number of series of such a container with one GPU.
pub const GPU_CONTAINER: usize = 290;
/// Maximum number of additional series of a container that serves requests and streams, without jobs.
pub const SERVING: usize = 100;
/// Maximum number of additional series of a container with a Gradio server, three functions of which take seconds.
pub const THREE_GRADIO_FUNCTIONS: usize = 60;

/// Maximum number of additional series of a container for each listed program that it has run.
pub const PROGRAM: usize = 7;

/// The number of series of all containers of `snapshot`, by subject.
#[must_use]
pub fn series_by_subject(
    snapshot: &Snapshot,
    subjects: impl Iterator<Item = (&'static str, &'static [Family])>,
) -> Vec<(&'static str, usize)> {
    subjects.map(|(subject, families)| (subject, series(snapshot, families))).collect()
}

fn series(snapshot: &Snapshot, families: &'static [Family]) -> usize {
    let mut text = Text::default();
    let of_containers = |family: &&Family| matches!(family.samples, Samples::Container(_));
    encoding::encode(families.iter().filter(of_containers), snapshot, &mut text);
    let lines = text.take();
    lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count()
}
