//! From the running kernel's BTF to the [`Offsets`] that the programs are given.

use std::path::Path;

use anyhow::Context as _;
use glassbox_ebpf::offsets::{ABSENT, Offsets};

use super::btf::{Btf, Member};

/// The kernel's type information as it is: some 6 MB.
///
/// # Errors
/// Where `path` cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| {
        format!(
            "read kernel type information {} (needs CONFIG_DEBUG_INFO_BTF, or kernel.btf)",
            path.display()
        )
    })
}

/// Resolves every field that the programs read. A field that this kernel lacks is [`ABSENT`]; whether that matters is
/// for the plan to say.
///
/// # Errors
/// Where `blob` is no BTF.
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

/// The names of those of `fields` that are absent, for messages.
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
