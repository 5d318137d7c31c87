//! The programs that FaceFusion starts, recognized by their arguments. Pure; of the arguments, only sizes and the class of the
//! encoder are kept.
//!
//! | program | sign | what it does |
//! |---|---|---|
//! | curl | | downloads a model |
//! | ffprobe | | reads the properties of a file |
//! | ffmpeg | input `pipe:0` | writes the video from frames that it reads (from 3.8) |
//! | ffmpeg | output `-`, raw video | reads frames of the video (from 3.8) |
//! | ffmpeg | output `%08d…` | writes each frame to a file (up to 3.7, and 3.8 if configured) |
//! | ffmpeg | input `%08d…` | makes a video from these files |
//! | ffmpeg | `-f concat` | joins the videos of several steps |
//! | ffmpeg | `-c:v copy` with an audio encoder | adds the audio |

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::command::Command;
use crate::snapshot::facefusion::{Encoder, Resolution, Video};

/// A running program.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Child {
    /// Downloads a model.
    Download,
    /// Reads the properties of a file.
    Probe,
    /// Decodes the video, from its first frame on or from a later one.
    Reader { is_from_start: bool },
    /// Encodes the video from frames of this size in bytes, which it reads from its standard input.
    Writer { frame_bytes: u64, video: Video },
    /// Writes frames into this directory.
    Extract { directory: PathBuf },
    /// Makes a video from files.
    Merge { video: Option<Video> },
    /// Adds the audio.
    Audio,
    /// Another program, or another use of ffmpeg.
    Other,
    /// A copy of FaceFusion's own process that has not become another program yet.
    Starting,
}

/// Maximum length of the side of a frame, in pixels.
const SIDE_MAX: u32 = 32_768;
/// Maximum length of a path.
const PATH_BYTES_MAX: usize = 4096;
/// In the names of files with frames.
const FRAME_PATTERN: &[u8] = b"%08d";

impl Child {
    /// Recognizes a program by its arguments, each of which ends with a NUL byte.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let arguments: Vec<&[u8]> =
            bytes.strip_suffix(b"\0").unwrap_or(bytes).split(|byte| *byte == 0).collect();
        if Command::of(bytes).is_some() {
            return Self::Starting;
        }
        let program = arguments.first().and_then(|path| path.rsplit(|byte| *byte == b'/').next());
        match program {
            Some(b"curl") => Self::Download,
            Some(b"ffprobe") => Self::Probe,
            Some(b"ffmpeg") => Self::of_ffmpeg(&arguments[1..]),
            _ => Self::Other,
        }
    }

    fn of_ffmpeg(arguments: &[&[u8]]) -> Self {
        // The options before the first input are those of the input.
        let input_at = arguments.windows(2).position(|pair| pair[0] == b"-i");
        let Some(input_at) = input_at else { return Self::Other };
        let (before, input, after) =
            (&arguments[..input_at], arguments[input_at + 1], &arguments[input_at + 2..]);
        let output = after.last().copied().unwrap_or_default();
        if input == b"pipe:0" {
            return writer(before, after).unwrap_or(Self::Other);
        }
        if contains(input, FRAME_PATTERN) {
            return Self::Merge { video: video(after) };
        }
        if contains(output, FRAME_PATTERN) || after.iter().any(|argument| contains(argument, FRAME_PATTERN)) {
            let pattern = after.iter().find(|argument| contains(argument, FRAME_PATTERN));
            let directory = pattern.and_then(|pattern| Path::new(OsStr::from_bytes(pattern)).parent());
            let directory = directory.filter(|path| path.as_os_str().len() <= PATH_BYTES_MAX);
            return directory.map_or(Self::Other, |path| Self::Extract { directory: path.to_owned() });
        }
        if value(before, b"-f") == Some(b"concat") {
            return Self::Merge { video: None };
        }
        if output == b"-" && value(after, b"-f") == Some(b"rawvideo") {
            // FaceFusion writes the position in seconds.
            let position = value(before, b"-ss").unwrap_or(b"0");
            return Self::Reader { is_from_start: position.iter().all(|byte| matches!(byte, b'0' | b'.')) };
        }
        if value(after, b"-c:v") == Some(b"copy") && value(after, b"-c:a").is_some() {
            return Self::Audio;
        }
        Self::Other
    }
}

/// The ffmpeg that encodes the frames that it reads.
fn writer(before: &[&[u8]], after: &[&[u8]]) -> Option<Child> {
    let (width, height) = size(value(before, b"-s")?)?;
    let pixel_bytes = match value(before, b"-pix_fmt")? {
        b"bgr24" | b"rgb24" => 3,
        b"bgra" | b"rgba" => 4,
        _ => return None,
    };
    let frame_bytes = u64::from(width) * u64::from(height) * pixel_bytes;
    let encoder = Encoder::of(value(after, b"-c:v")?);
    let output = value(after, b"-s").and_then(size).unwrap_or((width, height));
    Some(Child::Writer {
        frame_bytes,
        video: Video { resolution: Resolution::of(output.0, output.1), encoder },
    })
}

fn video(options: &[&[u8]]) -> Option<Video> {
    let (width, height) = size(value(options, b"-s")?)?;
    Some(Video { resolution: Resolution::of(width, height), encoder: Encoder::of(value(options, b"-c:v")?) })
}

/// The value of an option.
fn value<'a>(arguments: &[&'a [u8]], option: &[u8]) -> Option<&'a [u8]> {
    arguments.windows(2).find(|pair| pair[0] == option).map(|pair| pair[1])
}

/// A size such as `1920x1080`.
fn size(text: &[u8]) -> Option<(u32, u32)> {
    let (width, height) = std::str::from_utf8(text).ok()?.split_once('x')?;
    let side = |text: &str| text.parse().ok().filter(|side| (1..=SIDE_MAX).contains(side));
    Some((side(width)?, side(height)?))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn child(line: &str) -> Child {
        Child::of(format!("{}\0", line.replace(' ', "\0")).as_bytes())
    }

    #[test]
    fn each_use_of_a_program_is_recognized() {
        let full_hd = |encoder| Video { resolution: Resolution::FullHd, encoder };
        let cases = [
            ("/usr/bin/curl --user-agent FaceFusion/3.8.1 --output /a.onnx https://x", Child::Download),
            ("ffprobe -v error -show_entries stream=width /a.mp4", Child::Probe),
            (
                "/usr/bin/ffmpeg -loglevel error -ss 0.0 -i /a.mp4 -vsync 0 -pix_fmt bgr24 -f rawvideo -",
                Child::Reader { is_from_start: true },
            ),
            (
                "ffmpeg -ss 10.04 -i /a.mp4 -pix_fmt bgr24 -f rawvideo -",
                Child::Reader { is_from_start: false },
            ),
            (
                "ffmpeg -loglevel error -f rawvideo -pix_fmt bgra -s 1920x1080 -r 25.0 -i pipe:0 -s 1280x720 -c:v h264_nvenc -y /t.mp4",
                Child::Writer {
                    frame_bytes: 1920 * 1080 * 4,
                    video: Video { resolution: Resolution::Hd, encoder: Encoder::Nvenc },
                },
            ),
            (
                "ffmpeg -loglevel error -i /a.mp4 -s 1920x1080 -q:v 0 -vf fps=25.0 /tmp/facefusion/a/%08d.png -progress -",
                Child::Extract { directory: "/tmp/facefusion/a".into() },
            ),
            (
                "ffmpeg -loglevel error -r 25.0 -i /tmp/facefusion/a/%08d.png -s 1920x1080 -c:v libx264 -crf 14 -y /t.mp4 -progress -",
                Child::Merge { video: Some(full_hd(Encoder::Cpu)) },
            ),
            (
                "ffmpeg -f concat -safe 0 -i /tmp/x -c:v copy -c:a copy -y /o.mp4",
                Child::Merge { video: None },
            ),
            (
                "ffmpeg -i /t.mp4 -ss 0.0 -i /a.mp4 -c:v copy -c:a aac -map 0:v:0 -map 1:a:0 -t 10 -y /o.mp4",
                Child::Audio,
            ),
            ("ffmpeg -i /a.mp4 -vn -ar 48000 -f s16le -ac 2 -", Child::Other),
            ("ffmpeg -encoders", Child::Other),
            ("python facefusion.py run", Child::Starting),
            ("python app.py", Child::Other),
            ("", Child::Other),
        ];
        for (line, expected) in cases {
            assert_eq!(child(line), expected, "{line}");
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_ignored() {
        for size in ["0x10", "10x0", "99999x10", "10", "x", "-1x5", "4294967296x1"] {
            let line =
                format!("ffmpeg -f rawvideo -pix_fmt bgr24 -s {size} -i pipe:0 -c:v libx264 -y /t.mp4");
            assert_eq!(child(&line), Child::Other, "{size}");
        }
    }

    #[test]
    fn a_path_that_is_too_long_is_not_kept() {
        let line = |length| format!("ffmpeg -i /a.mp4 /{}/%08d.png", "a".repeat(length));
        assert!(matches!(child(&line(PATH_BYTES_MAX - 1)), Child::Extract { .. }));
        assert_eq!(child(&line(PATH_BYTES_MAX)), Child::Other);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in any::<Vec<u8>>(), text in "ffmpeg\0(-i\0|pipe:0\0|-s\0|1x1\0|-f\0|rawvideo\0|-\0|%08d\0|-c:v\0){0,12}") {
            let _ = Child::of(&bytes);
            let _ = Child::of(text.as_bytes());
        }
    }
}
