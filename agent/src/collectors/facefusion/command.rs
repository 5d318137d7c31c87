//! The command line of FaceFusion, and where it says that the jobs are. Pure.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// The script that starts FaceFusion.
const SCRIPT: &[u8] = b"facefusion.py";
/// The script is among the first arguments: Python, its options, the script.
const SCRIPT_WITHIN: usize = 8;
/// Maximum length of a path.
const PATH_BYTES_MAX: usize = 4096;

/// A command line of FaceFusion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// `--jobs-path`
    pub(super) jobs_path: Option<PathBuf>,
    /// `--config-path`
    pub(super) config_path: Option<PathBuf>,
}

impl Command {
    /// Parses the arguments, each of which ends with a NUL byte. `None` if they do not start FaceFusion.
    pub(super) fn of(arguments: &[u8]) -> Option<Self> {
        let mut arguments = arguments.split(|byte| *byte == 0);
        let is_script = |argument: &[u8]| argument.rsplit(|byte| *byte == b'/').next() == Some(SCRIPT);
        arguments.by_ref().take(SCRIPT_WITHIN).find(|argument| is_script(argument))?;
        let mut command = Self::default();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.iter().position(|byte| *byte == b'=') {
                Some(at) => (&argument[..at], Some(&argument[at + 1..])),
                None => (argument, None),
            };
            let target = match name {
                b"--jobs-path" => &mut command.jobs_path,
                b"--config-path" => &mut command.config_path,
                _ => continue,
            };
            *target = value.or_else(|| arguments.next()).and_then(path);
        }
        Some(command)
    }
}

/// The value of `jobs_path` in the section `paths` of facefusion.ini, which Python's `configparser` reads.
pub(super) fn jobs_path_of(ini: &[u8]) -> Option<PathBuf> {
    let mut is_paths = false;
    let mut found = None;
    for line in ini.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if let Some(section) = line.strip_prefix(b"[").and_then(|line| line.strip_suffix(b"]")) {
            is_paths = section == b"paths";
        } else if is_paths && let Some(at) = line.iter().position(|byte| matches!(byte, b'=' | b':')) {
            let (name, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"jobs_path") {
                found = path(value);
            }
        }
    }
    found
}

fn path(bytes: &[u8]) -> Option<PathBuf> {
    let is_path = !bytes.is_empty() && bytes.len() <= PATH_BYTES_MAX && !bytes.contains(&0);
    is_path.then(|| Path::new(OsStr::from_bytes(bytes)).to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn command(line: &str) -> Option<Command> {
        Command::of(line.replace(' ', "\0").as_bytes())
    }

    fn jobs_path(line: &str) -> Option<String> {
        command(line)?.jobs_path.map(|path| path.display().to_string())
    }

    #[test]
    fn facefusion_is_recognized_by_its_script() {
        for line in [
            "python facefusion.py run ",
            "/opt/conda/bin/python3 -u /facefusion/facefusion.py headless-run -j 1 ",
        ] {
            assert_eq!(command(line), Some(Command::default()), "{line}");
        }
        for line in
            ["", "python app.py facefusion ", "vim not-facefusion.py ", "a b c d e f g h facefusion.py "]
        {
            assert_eq!(command(line), None, "{line}");
        }
    }

    #[test]
    fn the_paths_are_those_of_the_options() {
        assert_eq!(jobs_path("python facefusion.py run --jobs-path /jobs -x ").as_deref(), Some("/jobs"));
        assert_eq!(jobs_path("python facefusion.py run --jobs-path=a/b ").as_deref(), Some("a/b"));
        for line in [
            "python facefusion.py run --jobs-path",
            "python facefusion.py run --jobs-path= ",
            "python facefusion.py ",
        ] {
            assert_eq!(jobs_path(line), None, "{line}");
        }
        let config = command("python facefusion.py run --config-path my.ini ").unwrap().config_path;
        assert_eq!(config.as_deref(), Some(Path::new("my.ini")));
    }

    #[test]
    fn the_path_in_the_configuration_is_that_of_its_section() {
        let path = |text: &str| jobs_path_of(text.as_bytes()).map(|path| path.display().to_string());
        assert_eq!(
            path("[paths]\ntemp_path =\njobs_path = /data/jobs\r\n[x]\n").as_deref(),
            Some("/data/jobs")
        );
        assert_eq!(path("[misc]\njobs_path = a\n[paths]\nJobs_Path: b c\n").as_deref(), Some("b c"));
        for text in [
            "",
            "jobs_path = a",
            "[paths]\njobs_path =\n",
            "[paths]\n;jobs_path = a\n",
            "[paths",
            "[misc]\njobs_path=a",
        ] {
            assert_eq!(path(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in any::<Vec<u8>>(), text in "(python\0|facefusion.py\0|--jobs-path[\0=]|\\[paths\\]\n|jobs_path=|x){0,12}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                let _ = Command::of(bytes);
                let _ = jobs_path_of(bytes);
            }
        }
    }
}
