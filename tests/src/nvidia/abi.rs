//! The driver's interface to its clients: request words, structs and status codes of the releases from 535.43.02 to 595.
//!
//! Source: NVIDIA/open-gpu-kernel-modules, nvos.h, nv-ioctl.h, nv-unix-nvos-params-wrappers.h and uvm_ioctl.h,
//! compiled for x86-64 per release. All integers are little endian.

pub mod bytes;
pub mod class;
pub mod frontend;
pub mod heap;
pub mod request;
pub mod status;
pub mod uvm;

use std::{fmt, str::FromStr};

use anyhow::{Context as _, bail, ensure};

/// The releases that the stand-ins are tested with: one before and one after each change of a layout that CUDA uses.
pub const RELEASES: [&str; 4] = ["535.104.05", "550.54.14", "580.65.06", "595.45.04"];

/// The oldest release with known layouts. It moved RM_ALLOC's status to its current offset.
const OLDEST: Release = Release(535, 43, 2);

/// A driver's release, as in `580.65.06`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32, pub u32);

impl FromStr for Release {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let numbers: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        let numbers = numbers.with_context(|| format!("read release {text:?}"))?;
        let [major, minor, patch] = numbers[..] else {
            bail!("release {text:?} does not have three numbers")
        };
        let release = Self(major, minor, patch);
        ensure!(
            release >= OLDEST,
            "release {release} is older than {OLDEST}, the first one with known layouts"
        );
        Ok(release)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{:02}.{:02}", self.0, self.1, self.2)
    }
}

/// The device node of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {
    /// `/dev/nvidiactl`
    Ctl,
    /// `/dev/nvidia0` and so on
    Gpu,
    /// `/dev/nvidia-uvm`
    Uvm,
}

impl Device {
    /// Its name in an account.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ctl => "ctl",
            Self::Gpu => "gpu",
            Self::Uvm => "uvm",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RELEASES, Release};

    #[test]
    fn a_release_is_parsed_and_displayed_as_the_driver_writes_it() {
        for text in RELEASES {
            assert_eq!(text.parse::<Release>().unwrap().to_string(), text);
        }
        assert!("550.9.1".parse::<Release>().unwrap() < "550.54.14".parse().unwrap());
    }

    #[test]
    fn a_release_without_known_layouts_is_refused() {
        for text in ["530.41.03", "535", "580.65.06.1", "580.65.x", ""] {
            assert!(text.parse::<Release>().is_err(), "{text:?}");
        }
    }
}
