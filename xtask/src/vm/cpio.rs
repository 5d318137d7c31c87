//! Writer for cpio archives in "newc" format, the format of an initramfs: a header of hexadecimal numbers, the name and
//! the content of each entry.
//!
//! The kernel does not create parent directories, so the writer adds each directory before its entries.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const DATA: u32 = 0o100_644;
const LINK: u32 = 0o120_777;
/// The bits of a mode that are the kind of file.
const FORMAT: u32 = 0o170_000;

/// A cpio writer. All files are owned by root, and executable except for those of [`Archive::tree`].
pub(super) struct Archive<W> {
    out: W,
    written: usize,
    inode: u32,
    directories: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, written: 0, inode: 0, directories: BTreeSet::new() }
    }

    /// Adds a directory and its parents if they are missing.
    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        let path = path.trim_matches('/');
        if path.is_empty() || self.directories.contains(path) {
            return Ok(());
        }
        self.parent_of(path)?;
        self.directories.insert(path.to_owned());
        self.entry(path, DIRECTORY, &[])
    }

    /// Adds a file.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.parent_of(path)?;
        self.entry(path, FILE, content)
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.parent_of(path)?;
        self.entry(path, LINK, target.as_bytes())
    }

    /// Adds a file that is not executable.
    pub(super) fn data(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.parent_of(path)?;
        self.entry(path, DATA, content)
    }

    /// Adds the files, directories and symbolic links below `root` with their modes, without `root` itself.
    pub(super) fn tree(&mut self, root: &Path) -> io::Result<()> {
        let mut pending = vec![root.to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                let metadata = fs::symlink_metadata(&path)?;
                let below = path.strip_prefix(root).map_err(io::Error::other)?;
                let name = below.to_str().ok_or_else(|| io::Error::other(format!("the name {below:?}")))?;
                if metadata.is_dir() {
                    self.directories.insert(name.to_owned());
                    self.entry(name, metadata.mode(), &[])?;
                    pending.push(path);
                } else if metadata.is_symlink() {
                    let target = fs::read_link(&path)?;
                    self.entry(name, LINK, target.as_os_str().as_encoded_bytes())?;
                } else if metadata.is_file() {
                    self.entry(name, metadata.mode(), &fs::read(&path)?)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the trailer. Without it, the kernel reports a truncated archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn parent_of(&mut self, path: &str) -> io::Result<()> {
        match Path::new(path).parent().and_then(Path::to_str) {
            Some(parent) => self.directory(parent),
            None => Ok(()),
        }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let name = path.trim_start_matches('/');
        let size = u32::try_from(content.len()).map_err(|_| io::Error::other("a file over 4 GiB"))?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        self.inode += 1;
        let links = if mode & FORMAT == DIRECTORY & FORMAT { 2 } else { 1 };
        // inode, mode, uid, gid, links, mtime, size, device and device number (major, minor each), name size, checksum
        let fields = [self.inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        self.write(b"070701")?;
        for field in fields {
            self.write(format!("{field:08x}").as_bytes())?;
        }
        self.write(name.as_bytes())?;
        self.write(b"\0")?;
        self.align()?;
        self.write(content)?;
        self.align()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len();
        self.out.write_all(bytes)
    }

    /// Pads to a multiple of four, at which headers and contents start.
    fn align(&mut self) -> io::Result<()> {
        let padding = self.written.next_multiple_of(4) - self.written;
        self.write(&[0; 3][..padding])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sample() -> Vec<u8> {
        let mut archive = Archive::new(Vec::new());
        archive.file("/lib/x/one", b"12345").unwrap();
        archive.file("lib/x/two", b"").unwrap();
        archive.directory("/lib/x/").unwrap();
        archive.link("bin/sh", "busybox").unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn every_entry_is_aligned_and_has_its_size() {
        let bytes = sample();
        let mut names = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            assert_eq!(&bytes[at..at + 6], b"070701", "at {at}");
            let field = |index: usize| {
                let start = at + 6 + index * 8;
                usize::from_str_radix(std::str::from_utf8(&bytes[start..start + 8]).unwrap(), 16).unwrap()
            };
            let (size, name_size) = (field(6), field(11));
            names.push(String::from_utf8(bytes[at + 110..at + 110 + name_size - 1].to_vec()).unwrap());
            at = (at + 110 + name_size).next_multiple_of(4) + size.next_multiple_of(4);
        }
        assert_eq!(at, bytes.len());
        assert_eq!(names, ["lib", "lib/x", "lib/x/one", "lib/x/two", "bin", "bin/sh", "TRAILER!!!"]);
    }

    #[test]
    fn a_tree_keeps_its_modes_and_links() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs::write(dir.path().join("etc/shadow"), "secret").unwrap();
        fs::set_permissions(dir.path().join("etc/shadow"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("usr/bin", dir.path().join("bin")).unwrap();
        let mut archive = Archive::new(Vec::new());
        archive.tree(dir.path()).unwrap();
        archive.data("etc/passwd", b"root").unwrap();
        let bytes = archive.finish().unwrap();
        let mode = |name: &str| {
            let name = format!("{name}\0").into_bytes();
            let at = bytes.windows(name.len()).position(|window| window == name).unwrap() - 110;
            String::from_utf8(bytes[at + 14..at + 22].to_vec()).unwrap()
        };
        assert_eq!(mode("etc/shadow"), format!("{:08x}", 0o100_600));
        assert_eq!(mode("etc/passwd"), format!("{:08x}", 0o100_644));
        assert_eq!(mode("bin"), format!("{:08x}", 0o120_777));
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("usr/bin") && text.contains("secret"));
        assert_eq!(text.matches("etc\0").count(), 1, "the directory is there already");
    }

    #[test]
    fn cpio_reads_the_archive() {
        let Ok(mut child) = Command::new("cpio")
            .args(["--list", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            println!("SKIP cpio is not installed");
            return;
        };
        child.stdin.take().unwrap().write_all(&sample()).unwrap();
        let listing = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(
            listing.lines().collect::<Vec<_>>(),
            ["lib", "lib/x", "lib/x/one", "lib/x/two", "bin", "bin/sh"]
        );
    }
}
