//! What the agent's ELF file says: its architecture, the shared libraries that it needs, and the compiler that made it.

use std::collections::BTreeSet;

use anyhow::Context as _;
use object::read::elf::{Dyn as _, ElfFile64};
use object::{Endianness, Object as _, ObjectSection as _, elf};

use super::architecture::Architecture;

/// A dynamically linked program.
#[derive(Clone, Debug)]
pub(super) struct Binary {
    /// Names of the shared libraries, such as `libc.so.6`.
    pub(super) libraries: BTreeSet<String>,
    /// Newest glibc whose symbols are used, as `(2, 34)`.
    pub(super) glibc: (u32, u32),
    /// Version of the Rust compiler.
    pub(super) rustc: Option<String>,
}

impl Binary {
    pub(super) fn parse(content: &[u8], architecture: Architecture) -> anyhow::Result<Self> {
        let file = ElfFile64::<Endianness>::parse(content).context("parse the ELF header")?;
        anyhow::ensure!(
            file.architecture() == architecture.elf(),
            "the program is for {:?}: pass the --arch of the program",
            file.architecture()
        );
        let (endian, sections) = (file.endian(), file.elf_section_table());
        let mut libraries = BTreeSet::new();
        let mut glibc = (0, 0);
        if let Some((entries, strings)) = sections.dynamic(endian, content).context("read what is linked")? {
            let strings = sections.strings(endian, content, strings).context("read names")?;
            for entry in entries {
                if entry.tag32(endian).map(i64::from) == Some(elf::DT_NEEDED) {
                    let name = entry.string(endian, strings).context("read the name of a library")?;
                    libraries.insert(String::from_utf8_lossy(name).into_owned());
                }
            }
        }
        if let Some((mut needs, strings)) = sections.gnu_verneed(endian, content).context("read versions")? {
            let strings = sections.strings(endian, content, strings).context("read names")?;
            while let Some((_, mut versions)) = needs.next().context("read a needed version")? {
                while let Some(version) = versions.next().context("read a needed version")? {
                    let name = version.name(endian, strings).context("read the name of a version")?;
                    glibc = glibc.max(parse_glibc(&String::from_utf8_lossy(name)));
                }
            }
        }
        anyhow::ensure!(glibc != (0, 0), "the program does not use glibc");
        let comment = file.section_by_name(".comment").and_then(|section| section.data().ok());
        let rustc = comment.and_then(|text| compiler(&String::from_utf8_lossy(text)));
        Ok(Self { libraries, glibc, rustc })
    }
}

/// `(2, 34)` of `GLIBC_2.34`; `(0, 0)` of other names.
fn parse_glibc(name: &str) -> (u32, u32) {
    let mut parts =
        name.strip_prefix("GLIBC_").unwrap_or_default().split('.').map_while(|part| part.parse().ok());
    parts.next().zip(parts.next()).unwrap_or_default()
}

/// `1.95.0` of `rustc version 1.95.0 (59807616e 2026-04-14)` between other comments, which end with a zero byte.
fn compiler(comment: &str) -> Option<String> {
    let version = comment.split('\0').find_map(|line| line.strip_prefix("rustc version "))?;
    version.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_needs_glibc_and_was_made_by_rust() {
        let content = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let here = Architecture::of_this_machine().unwrap();
        let binary = Binary::parse(&content, here).unwrap();
        assert!(binary.libraries.contains("libc.so.6"), "{binary:?}");
        assert!(binary.glibc >= (2, 17), "{binary:?}");
        assert!(binary.rustc.as_ref().is_some_and(|version| version.starts_with("1.")), "{binary:?}");

        let other = if here == Architecture::Amd64 { Architecture::Arm64 } else { Architecture::Amd64 };
        let error = Binary::parse(&content, other).unwrap_err().to_string();
        assert!(error.contains("--arch"), "{error}");
        assert!(Binary::parse(b"#!/bin/sh\n", here).is_err());
    }

    #[test]
    fn versions_are_read_from_names() {
        assert_eq!(parse_glibc("GLIBC_2.34"), (2, 34));
        assert_eq!(parse_glibc("GLIBC_2.2.5"), (2, 2));
        assert_eq!(parse_glibc("GLIBC_PRIVATE"), (0, 0));
        assert_eq!(parse_glibc("GCC_3.0"), (0, 0));
        assert_eq!(
            compiler("GCC: (Debian) 12\0rustc version 1.95.0 (5980 2026)\0"),
            Some("1.95.0".to_owned())
        );
        assert_eq!(compiler("GCC: (Debian) 12\0"), None);
    }
}
