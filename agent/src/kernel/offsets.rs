//! Resolves the [`Offsets`] of the programs from the running kernel's BTF.

use std::path::Path;

use anyhow::Context as _;
use glassbox_ebpf::offsets::{ABSENT, Offsets};

use super::btf::{Btf, Member};

/// Reads the kernel's type information, unparsed: some 6 MB.
///
/// # Errors
/// If `path` cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| {
        format!(
            "read kernel type information {} (needs CONFIG_DEBUG_INFO_BTF, or a BTF file set as kernel.btf)",
            path.display()
        )
    })
}

/// Resolves all fields that the programs read. A field that this kernel lacks is [`ABSENT`]. The attach plans decide
/// which methods need it.
///
/// # Errors
/// If `blob` is not BTF.
pub fn resolve(blob: &[u8]) -> anyhow::Result<Offsets> {
    Ok(from_btf(&Btf::parse(blob).context("parse kernel type information")?))
}

fn from_btf(btf: &Btf<'_>) -> Offsets {
    Offsets::resolve(|structure, alternatives| {
        alternatives
            .iter()
            .find_map(|path| match btf.member(structure, path) {
                Member::At(byte) => Some(byte),
                Member::Absent | Member::NoStructure | Member::Ambiguous => None,
            })
            .unwrap_or(ABSENT)
    })
}

/// The names of the absent fields among `fields`, for messages.
#[must_use]
pub fn absent(offsets: &Offsets, fields: &[&str]) -> Vec<&'static str> {
    let mut missing = Vec::new();
    offsets.each(|name, offset| {
        if offset == ABSENT && fields.contains(&name) {
            missing.push(name);
        }
    });
    missing
}
