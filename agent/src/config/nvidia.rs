//! `[nvidia_driver]` and `[nvml]`: NVIDIA's kernel driver and its management library.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{bounded::Millis, release::Release};

/// Which attach method the NVIDIA driver programs use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NvidiaDriverHook {
    /// The first method that this kernel supports.
    Auto,
    /// Only the driver's own functions.
    Functions,
    /// Only the system call tracepoints.
    Syscalls,
}

/// `[nvidia_driver]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NvidiaDriver {
    /// Which attach method the programs use.
    pub hook: NvidiaDriverHook,
    /// The driver's release; `None` (an empty string in the file) if the driver reports it.
    #[serde(deserialize_with = "release", serialize_with = "written")]
    pub release: Option<Release>,
    /// Files that are treated as /dev/nvidiactl.
    pub extra_ctl_paths: Vec<PathBuf>,
    /// Files that are treated as /dev/nvidia0.
    pub extra_gpu_paths: Vec<PathBuf>,
    /// Files that are treated as /dev/nvidia-uvm.
    pub extra_uvm_paths: Vec<PathBuf>,
    /// Whether ioctl durations are exported as a histogram per command, in addition to the histogram per device.
    pub per_command_histograms: bool,
}

impl Default for NvidiaDriver {
    fn default() -> Self {
        Self {
            hook: NvidiaDriverHook::Auto,
            release: None,
            extra_ctl_paths: Vec::new(),
            extra_gpu_paths: Vec::new(),
            extra_uvm_paths: Vec::new(),
            per_command_histograms: false,
        }
    }
}

impl NvidiaDriver {
    /// Whether any file is treated as a device of the driver in addition to the real devices.
    #[must_use]
    pub fn has_extra_paths(&self) -> bool {
        [&self.extra_ctl_paths, &self.extra_gpu_paths, &self.extra_uvm_paths]
            .iter()
            .any(|paths| !paths.is_empty())
    }
}

fn release<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Release>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    let refusal = || D::Error::custom(format!("{text:?} is not a release, such as \"580.65.06\""));
    Release::parse(&text).map(Some).ok_or_else(refusal)
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn written<S: Serializer>(release: &Option<Release>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&release.map(|release| release.to_string()).unwrap_or_default())
}

/// `[nvml]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nvml {
    /// NVIDIA's management library: a path, or a name that the dynamic linker finds.
    pub library: PathBuf,
    /// Time between two samples of fast-changing GPU values.
    pub sample_ms: Millis<50, 10_000>,
}

impl Default for Nvml {
    fn default() -> Self {
        Self { library: "libnvidia-ml.so.1".into(), sample_ms: Duration::from_millis(200).into() }
    }
}
