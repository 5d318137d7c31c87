//! Jobs of FaceFusion in a container, and what the running one does. Nothing here identifies a file or a person.

use std::time::Duration;

use super::scheduler::Histogram;

/// FaceFusion in one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaceFusion {
    /// What has happened since the container was first seen.
    pub counters: FaceFusionCounters,
    /// Jobs that are prepared, and not submitted yet.
    pub drafted: u64,
    /// Jobs that wait for their start.
    pub queued: u64,
    /// Jobs of which a step has started.
    pub running: u64,
    /// Jobs that stopped without an end, and have not started again. Their files are in the queue.
    pub stopped: u64,
    /// What the running job does; `None` if no job is running.
    pub current: Option<Running>,
}

/// Counters of jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaceFusionCounters {
    /// Jobs that ended with success.
    pub completed: u64,
    /// Jobs that failed.
    pub failed: ByReason,
    /// Jobs that stopped without an end: with an exception, or with their process. Their files stay in the queue.
    pub abandoned: ByReason,
    /// Failed jobs that were queued again.
    pub retries: u64,
    /// Steps that ended with success.
    pub steps_completed: u64,
    /// Steps that failed.
    pub steps_failed: u64,
    /// Steps that have started, by [`PROCESSORS`].
    pub processors: [u64; PROCESSORS.len()],
    /// Time from the submission to the start of the first step.
    pub queue_waits: Histogram,
    /// Time from the start of the first step to the end of the job.
    pub durations: Histogram,
    /// Time of running jobs, by [`Phase`], in ns.
    pub phases_ns: [u64; Phase::ALL.len()],
    /// Frames of videos that were processed.
    pub frames: u64,
    /// Job files that were ignored.
    pub ignored: IgnoredFiles,
}

/// Numbers of job files, or of changes of them, that were ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IgnoredFiles {
    /// Not a job: no JSON, or without a list of steps.
    pub unreadable: u64,
    /// Larger than what is read.
    pub too_large: u64,
    /// A symbolic link, a named pipe or another special file.
    pub special: u64,
    /// More jobs than are kept in memory.
    pub too_many: u64,
}

impl IgnoredFiles {
    /// The values of the label `reason` with their numbers.
    #[must_use]
    pub const fn by_reason(&self) -> [(&'static str, u64); 4] {
        [
            ("unreadable", self.unreadable),
            ("too_large", self.too_large),
            ("special", self.special),
            ("too_many", self.too_many),
        ]
    }
}

/// Numbers of jobs by [`FailureReason`].
pub type ByReason = [u64; FailureReason::ALL.len()];

/// Why a job failed or was abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The video was read, and nothing was processed: the content filter refused it.
    RefusedByContentFilter = 0,
    /// The driver refused to allocate GPU memory while the job was running.
    GpuMemory = 1,
    /// A program failed that extracts, reads, merges or writes frames.
    ProcessingError = 2,
    /// There is no sign of the reason.
    Unknown = 3,
}

impl FailureReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 4] =
        [Self::RefusedByContentFilter, Self::GpuMemory, Self::ProcessingError, Self::Unknown];

    /// The value of the label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RefusedByContentFilter => "refused_by_content_filter",
            Self::GpuMemory => "gpu_memory",
            Self::ProcessingError => "processing_error",
            Self::Unknown => "unknown",
        }
    }
}

/// What a running job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It downloads models.
    Download = 0,
    /// It reads the properties of its files.
    Probe = 1,
    /// It reads the video for the content filter.
    ContentFilter = 2,
    /// It writes the frames of the video to files (up to 3.7).
    Extract = 3,
    /// It processes frames.
    Process = 4,
    /// It makes a video of the frames (up to 3.7), or joins the videos of several steps.
    Merge = 5,
    /// It adds the audio.
    Audio = 6,
    /// All else: it loads models, processes an image, or moves files.
    Other = 7,
}

impl Phase {
    /// All phases, in the order of their counters.
    pub const ALL: [Self; 8] = [
        Self::Download,
        Self::Probe,
        Self::ContentFilter,
        Self::Extract,
        Self::Process,
        Self::Merge,
        Self::Audio,
        Self::Other,
    ];

    /// The value of the label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Probe => "probe",
            Self::ContentFilter => "content_filter",
            Self::Extract => "extract",
            Self::Process => "process",
            Self::Merge => "merge",
            Self::Audio => "audio",
            Self::Other => "other",
        }
    }
}

/// The processors of FaceFusion 3: the values of the label `processor`. The last one stands for all others.
pub const PROCESSORS: [&str; 12] = [
    "age_modifier",
    "background_remover",
    "deep_swapper",
    "expression_restorer",
    "face_debugger",
    "face_editor",
    "face_enhancer",
    "face_swapper",
    "frame_colorizer",
    "frame_enhancer",
    "lip_syncer",
    "other",
];

/// The running job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Running {
    /// What it does.
    pub phase: Phase,
    /// Time since its first step started.
    pub elapsed: Duration,
    /// Frames per second over the last seconds; `None` outside of [`Phase::Process`].
    pub frames_per_second: Option<f64>,
    /// Share of the video's frames that are processed, 0 to 1; `None` if their total is unknown.
    pub progress_ratio: Option<f64>,
    /// The video that it writes, if known.
    pub video: Option<Video>,
}

/// Classes of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Video {
    /// By its shorter side.
    pub resolution: Resolution,
    /// What encodes it.
    pub encoder: Encoder,
}

/// Classes of resolution, by the shorter side of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Less than 720 pixels.
    Sd,
    /// Less than 1080 pixels.
    Hd,
    /// Less than 1440 pixels.
    FullHd,
    /// Less than 2160 pixels.
    QuadHd,
    /// 2160 pixels and more.
    UltraHd,
}

impl Resolution {
    /// The class of a frame of this size.
    #[must_use]
    pub fn of(width: u32, height: u32) -> Self {
        match width.min(height) {
            0..720 => Self::Sd,
            720..1080 => Self::Hd,
            1080..1440 => Self::FullHd,
            1440..2160 => Self::QuadHd,
            2160.. => Self::UltraHd,
        }
    }

    /// The value of the label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sd => "below_720p",
            Self::Hd => "720p",
            Self::FullHd => "1080p",
            Self::QuadHd => "1440p",
            Self::UltraHd => "2160p",
        }
    }
}

/// What encodes a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// NVIDIA's encoder on the GPU.
    Nvenc,
    /// Another encoder in hardware.
    OtherHardware,
    /// A program on the CPU.
    Cpu,
}

impl Encoder {
    /// The class of ffmpeg's encoder with this name.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let ends = |suffixes: &[&[u8]]| suffixes.iter().any(|suffix| name.ends_with(suffix));
        if ends(&[b"_nvenc"]) {
            Self::Nvenc
        } else if ends(&[b"_amf", b"_qsv", b"_vaapi", b"_videotoolbox"]) {
            Self::OtherHardware
        } else {
            Self::Cpu
        }
    }

    /// The value of the label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nvenc => "nvenc",
            Self::OtherHardware => "other_hardware",
            Self::Cpu => "cpu",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_reasons_and_phases_is_that_of_their_counters() {
        assert!(FailureReason::ALL.iter().enumerate().all(|(position, reason)| *reason as usize == position));
        assert!(Phase::ALL.iter().enumerate().all(|(position, phase)| *phase as usize == position));
    }

    #[test]
    fn a_video_has_the_class_of_its_shorter_side() {
        for (width, height, name) in [
            (1920, 1080, "1080p"),
            (1080, 1920, "1080p"),
            (1280, 719, "below_720p"),
            (0, 0, "below_720p"),
            (3840, 2160, "2160p"),
        ] {
            assert_eq!(Resolution::of(width, height).name(), name, "{width}x{height}");
        }
    }

    #[test]
    fn encoders_have_classes() {
        for (name, class) in
            [("h264_nvenc", "nvenc"), ("hevc_qsv", "other_hardware"), ("libx264", "cpu"), ("", "cpu")]
        {
            assert_eq!(Encoder::of(name.as_bytes()).name(), class, "{name}");
        }
    }
}
