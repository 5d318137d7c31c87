//! The tarball: one directory with the files in the places where the packages install them. Owner and time of each entry are fixed.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Context as _;
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use super::contents::Packaged;
use super::release::Release;

pub(super) fn write(release: &Release, files: &[Packaged], path: &Path) -> anyhow::Result<()> {
    let describe = || format!("write {}", path.display());
    let file = File::create(path).with_context(describe)?;
    let mut archive = Builder::new(GzBuilder::new().write(file, Compression::best()));
    for file in files {
        let content = fs::read(&file.source).with_context(|| format!("read {}", file.source.display()))?;
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(file.mode);
        header.set_size(content.len() as u64);
        header.set_mtime(release.epoch()?);
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root").with_context(describe)?;
        header.set_groupname("root").with_context(describe)?;
        let name = format!("{}/{}", release.directory_name(), file.path);
        archive.append_data(&mut header, name, content.as_slice()).with_context(describe)?;
    }
    archive.into_inner().with_context(describe)?.finish().with_context(describe)?;
    Ok(())
}
