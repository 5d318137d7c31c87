//! How many series a container has, by noun: what Prometheus has to keep for each.

use crate::exposition::{
    Emit, Encoder, Family, Samples, Text, encoding::containers::SeriesSet, encoding::seen::Seen,
};
use crate::snapshot::{ContainerRow, Snapshot};

/// Most series of a container that uses no GPU, with one disk, one network interface and the default configuration.
pub const CPU_CONTAINER: usize = 100;
/// Most series of a container that uses one GPU, with those of any other container.
pub const GPU_CONTAINER: usize = 250;

/// The number of series of all containers of `snapshot` by noun, in the order of `nouns`.
#[must_use]
pub fn series_by_noun(
    snapshot: &Snapshot,
    nouns: impl Iterator<Item = (&'static str, &'static [Family])>,
) -> Vec<(&'static str, usize)> {
    nouns.map(|(noun, families)| (noun, series(snapshot, families))).collect()
}

fn series(snapshot: &Snapshot, families: &'static [Family]) -> usize {
    let mut text = Text::default();
    let rows = SeriesSet::new(&snapshot.containers, &text);
    for family in families {
        let Samples::Container(read) = family.samples else { continue };
        text.begin(family);
        for (row, base) in rows.bearing(family) {
            emit(read, row, base, &mut text);
        }
        text.end();
    }
    let written = text.take();
    written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count()
}

fn emit(read: fn(&ContainerRow, &mut Emit<'_>), row: &ContainerRow, base: &[u8], text: &mut Text) {
    let mut seen = Seen::default();
    read(row, &mut Emit { encoder: text, base, labels: &[], seen: &mut seen });
}
