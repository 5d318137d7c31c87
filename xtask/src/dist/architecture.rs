//! The architectures with packages, and their names in each toolchain and package format.

use std::env;

use anyhow::bail;

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Architecture {
    /// x86_64
    Amd64,
    /// aarch64
    Arm64,
}

impl Architecture {
    pub(super) fn of_this_machine() -> anyhow::Result<Self> {
        match env::consts::ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => bail!("there are no packages for {other}; choose one with --arch amd64 or --arch arm64"),
        }
    }

    /// In Debian packages, and for nfpm.
    pub(super) const fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// In names of rpm packages and of GNU tools.
    pub(super) const fn gnu(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// Rust's name of the target.
    pub(super) fn target(self) -> String {
        format!("{}-unknown-linux-gnu", self.gnu())
    }

    /// Debian's compiler for this architecture. Rust uses it as the linker.
    pub(super) fn compiler(self) -> String {
        format!("{}-linux-gnu-gcc", self.gnu())
    }

    /// The Debian package of the compiler.
    pub(super) fn compiler_package(self) -> String {
        format!("gcc-{}-linux-gnu", self.gnu().replace('_', "-"))
    }

    /// In the header of an ELF file.
    pub(super) const fn elf(self) -> object::Architecture {
        match self {
            Self::Amd64 => object::Architecture::X86_64,
            Self::Arm64 => object::Architecture::Aarch64,
        }
    }
}
