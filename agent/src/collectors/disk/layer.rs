//! Locates a container's writable layer: the upper directory of the overlay that is the container's root, from
//! `/proc/PID/mountinfo` of one of its processes. The runtime mounted the overlay, so the path is valid on the host.
//!
//! The kernel writes the text, but a container that is allowed to mount can choose the path and thereby what counts as
//! its layer. This affects only the values of that container, and the agent opens only directories there.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use crate::containers::{cgroup::Layout, process};

/// Maximum number of bytes of the mount list that are read. The root is one of the first mounts.
const MOUNTS_BYTES: u64 = 4 << 20;
/// The longest path that the kernel accepts.
const PATH_BYTES: usize = 4096;

/// The kind of a container's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// An overlay with this upper directory.
    Overlay(PathBuf),
    /// Another filesystem, or an overlay that does not report where its upper directory is on the host.
    Other,
}

/// The root of the container with the cgroup at `cgroup_path`; `None` if it has no process that can be inspected at
/// present.
pub(super) fn root_of(layout: &Layout, proc_root: &Path, cgroup_path: &str) -> Option<Root> {
    let process = process::any_of(layout, cgroup_path).ok()??;
    let mounts = File::open(proc_root.join(&process).join("mountinfo")).ok()?;
    let root = parse(BufReader::new(mounts.take(MOUNTS_BYTES))).ok()?;
    // If the process has ended since, another process may have its ID.
    process::is_member(layout, cgroup_path, &process).then_some(root?)
}

/// The uppermost mount at `/`, if there is one.
fn parse(mut mounts: impl BufRead) -> io::Result<Option<Root>> {
    let (mut line, mut root) = (Vec::new(), None);
    while mounts.read_until(b'\n', &mut line)? > 0 {
        root = parse_line(line.strip_suffix(b"\n").unwrap_or(&line)).or(root);
        line.clear();
    }
    Ok(root)
}

/// `ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [FIELDS…] - TYPE SOURCE OPTIONS`. Only mounts at `/` count.
fn parse_line(line: &[u8]) -> Option<Root> {
    let mut words = line.split(|&byte| byte == b' ');
    if words.nth(4)? != b"/" {
        return None;
    }
    words.find(|&word| word == b"-")?;
    let (kind, _source, options) = (words.next()?, words.next()?, words.next()?);
    if kind != b"overlay" {
        return Some(Root::Other);
    }
    let mut options = options.split(|&byte| byte == b',');
    let upper = options.find_map(|option| option.strip_prefix(b"upperdir=")).map(unescape);
    // A relative path is relative to the runtime's working directory, which is unknown.
    let upper = upper.filter(|path| path.starts_with(b"/") && path.len() < PATH_BYTES);
    Some(upper.map_or(Root::Other, |path| Root::Overlay(OsString::from_vec(path).into())))
}

/// Undoes the kernel's escaping of spaces, commas and so on: a backslash and three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'\\').then(|| after.first_chunk::<3>()).flatten().and_then(octal);
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    bytes
}

fn octal(digits: &[u8; 3]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The mounts of a Docker 20.10 container on Linux 6.1, shortened.
    const DOCKER: &str = "\
1183 1069 0:58 / / rw,relatime master:420 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/7PKWIE:\
/var/lib/docker/overlay2/l/XRY6,upperdir=/var/lib/docker/overlay2/4f0c/diff,workdir=/var/lib/docker/overlay2/4f0c/work
1184 1183 0:61 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
1190 1183 254:1 /var/lib/docker/containers/70e4/hosts /etc/hosts rw,relatime - ext4 /dev/vda1 rw
";

    fn parsed(text: &str) -> Option<Root> {
        parse(text.as_bytes()).unwrap()
    }

    fn overlay(path: &str) -> Option<Root> {
        Some(Root::Overlay(path.into()))
    }

    #[test]
    fn the_upper_directory_of_the_root_is_the_layer() {
        assert_eq!(parsed(DOCKER), overlay("/var/lib/docker/overlay2/4f0c/diff"));
        // A containerd snapshot, with options that newer kernels add.
        let containerd = "822 610 0:297 / / rw,relatime - overlay overlay rw,lowerdir=/a/1/fs,upperdir=/a/2/fs,\
                          workdir=/a/2/work,uuid=on,nouserxattr\n";
        assert_eq!(parsed(containerd), overlay("/a/2/fs"));
    }

    #[test]
    fn the_uppermost_mount_at_the_root_counts() {
        let below = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n";
        assert_eq!(parsed(below), Some(Root::Other));
        assert_eq!(parsed(&format!("{below}{DOCKER}")), parsed(DOCKER));
        assert_eq!(
            parsed(&format!("{DOCKER}9 1 0:9 / /a rw - overlay overlay rw,upperdir=/b\n")),
            parsed(DOCKER)
        );
        assert_eq!(parsed("9 1 0:9 / /a rw - overlay overlay rw,upperdir=/b\n"), None);
    }

    #[test]
    fn an_overlay_without_an_absolute_upper_directory_has_no_layer() {
        for options in ["ro,lowerdir=/a:/b", "rw,upperdir=relative/diff", "rw,upperdir=", "rw"] {
            let line = format!("1 0 0:5 / / rw - overlay overlay {options}\n");
            assert_eq!(parsed(&line), Some(Root::Other), "{options}");
        }
        let long = "x".repeat(PATH_BYTES);
        assert_eq!(
            parsed(&format!("1 0 0:5 / / rw - overlay overlay rw,upperdir=/{long}\n")),
            Some(Root::Other)
        );
    }

    #[test]
    fn escaped_characters_in_a_path_are_decoded() {
        let line = "1 0 0:5 / / rw - overlay overlay rw,upperdir=/a\\040b\\054c\\134d\\012,workdir=/w\n";
        assert_eq!(parsed(line), overlay("/a b,c\\d\n"));
        assert_eq!(unescape(b"\\777\\08\\1"), b"\\777\\08\\1");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<Vec<u8>>(), words in "([0-9:/]{0,3} ){4}/ ([-a-z=,/\\\\0-9]{0,12} ?){0,9}\n") {
            let _ = parse(&text[..]);
            let _ = parse(words.as_bytes());
            let _ = unescape(&text);
        }
    }
}
