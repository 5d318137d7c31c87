//! Libraries and model files in the mappings of a process, from `/proc/PID/maps`.
//!
//! A process chooses the paths of its files; the kernel escapes line breaks in them.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read as _},
    path::Path,
};

use super::{MODEL_BYTES_MIN, names};
use crate::snapshot::inference::Libraries;

/// Maximum number of bytes that are read of one process. A process with PyTorch has some 500 kB.
const MAPS_BYTES: u64 = 4 << 20;

/// What the mappings show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) libraries: Libraries,
    /// Whether a model file is mapped.
    pub(super) model: bool,
}

impl Mapped {
    /// Adds the mappings of a process. One that has ended has none.
    pub(super) fn read(&mut self, proc_root: &Path, process: &str) {
        if let Ok(file) = File::open(proc_root.join(process).join("maps")) {
            self.parse(BufReader::with_capacity(64 << 10, file.take(MAPS_BYTES)));
        }
    }

    fn parse(&mut self, mut maps: impl BufRead) {
        let mut line = Vec::new();
        // An error ends the list, as the end of the process does.
        while maps.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            self.parse_line(line.strip_suffix(b"\n").unwrap_or(&line));
            line.clear();
        }
    }

    /// `START-END PERMISSIONS OFFSET DEVICE INODE PATH`. Only lines with a path count.
    fn parse_line(&mut self, line: &[u8]) {
        let mut words = line.splitn(6, |byte| *byte == b' ');
        let (Some(range), Some(path)) = (words.next(), words.nth(4)) else { return };
        let path = path.trim_ascii_start();
        if !path.starts_with(b"/") {
            return;
        }
        let name = names::file_name(path);
        if let Some(library) = names::library(name) {
            self.libraries.add(library);
        } else if !self.model && names::is_model(name) {
            self.model = length(range).is_some_and(|bytes| bytes >= MODEL_BYTES_MIN);
        }
    }
}

/// The length of a range of hexadecimal addresses.
fn length(range: &[u8]) -> Option<u64> {
    let (start, end) = std::str::from_utf8(range).ok()?.split_once('-')?;
    u64::from_str_radix(end, 16).ok()?.checked_sub(u64::from_str_radix(start, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::inference::Library;

    fn parsed(text: &[u8]) -> Mapped {
        let mut mapped = Mapped::default();
        mapped.parse(text);
        mapped
    }

    fn with(libraries: &[Library], model: bool) -> Mapped {
        Mapped { libraries: libraries.iter().copied().collect(), model }
    }

    #[test]
    fn mapped_libraries_and_models_are_found() {
        let maps = b"\
55e0a1c00000-55e0a1e00000 r-xp 00000000 fe:01 1310725                    /usr/bin/python3.12
7f10a0000000-7f10c0000000 r--p 00000000 00:2f 7741                       /models/the model.safetensors
7f20a0000000-7f20a2000000 r-xp 00000000 00:2f 7742                       /x/libonnxruntime.so.1 (deleted)
7f20a2000000-7f20a2400000 rw-p 00000000 00:00 0
7ffd0f9d2000-7ffd0f9f3000 rw-p 00000000 00:00 0                          [stack]
";
        assert_eq!(parsed(maps), with(&[Library::OnnxRuntime], true));
    }

    #[test]
    fn a_small_mapping_is_no_model() {
        assert_eq!(
            parsed(b"7f10a0000000-7f10a0001000 r--p 00000000 00:2f 7741  /x/site.pth\n"),
            with(&[], false)
        );
    }

    #[test]
    fn only_file_names_count() {
        for line in [
            "1-9 r-xp 00000000 00:00 0   [anon:/x/libtorch.so]\n",
            "1-9 r-xp 00000000 00:01 7   /memfd:libtorch.so (deleted)\n",
            "1-9 r-xp 00000000 00:2f 7   /libtorch.so/other\n",
            "1-9 r-xp 00000000 00:2f 7   /x\\012libtorch.so\n",
            "/x/libtorch.so\n",
            "1-9 r-xp /x/libtorch.so\n",
        ] {
            assert_eq!(parsed(line.as_bytes()), with(&[], false), "{line}");
        }
    }

    #[test]
    fn a_huge_list_is_read_up_to_a_limit() {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir(proc.path().join("7")).unwrap();
        let torch = "1-9 r-xp 00000000 00:2f 7 /x/libtorch.so\n";
        let huge =
            [torch.as_bytes(), &vec![b'x'; 8 << 20], b"\n1-9 r-xp 00000000 00:2f 7 /x/libnvinfer.so\n"];
        std::fs::write(proc.path().join("7/maps"), huge.concat()).unwrap();
        let mut mapped = Mapped::default();
        mapped.read(proc.path(), "7");
        mapped.read(proc.path(), "8");
        assert_eq!(mapped, with(&[Library::Torch], false));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<Vec<u8>>(), words in "([-0-9a-f:/]{0,17} ){0,5}[ -~]{0,20}") {
            parsed(&text);
            parsed(words.as_bytes());
        }
    }
}
