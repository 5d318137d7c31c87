//! Finds a compiler and a linker for the kernel programs.
//!
//! Only checks rustup and the file system, which takes a few milliseconds per candidate; installs nothing. The agent's build
//! script includes this file, so that `cargo xtask setup` and `cargo build` choose the same toolchain.
//!
//! Kernel programs need `core` built from source for the `bpf` target: a compiler with library sources and unstable flags
//! (nightly, or another one with `RUSTC_BOOTSTRAP=1`), and a bpf-linker with an LLVM that is not older than the compiler's.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Environment variable with the name of a rustup toolchain that replaces the search.
pub(crate) const OVERRIDE: &str = "GLASSBOX_EBPF_TOOLCHAIN";

/// The rustup toolchain that `cargo xtask setup` links to the distribution's compiler if nightly cannot be used.
pub(crate) const LINKED: &str = "glassbox-ebpf";

/// Oldest supported compiler, as `major.minor`.
pub(crate) const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// A suitable compiler.
#[derive(Debug, Clone)]
pub(crate) struct Compiler {
    /// Name for `rustup run`; without rustup, the sysroot.
    pub(crate) name: String,
    /// Path of the compiler.
    pub(crate) rustc: PathBuf,
    /// Whether unstable flags need `RUSTC_BOOTSTRAP=1`.
    pub(crate) bootstrap: bool,
}

/// A suitable compiler and linker. They were not run on a program yet.
#[derive(Debug)]
pub(crate) struct Toolchain {
    /// The compiler.
    pub(crate) compiler: Compiler,
    /// Path of bpf-linker.
    pub(crate) linker: PathBuf,
}

/// The first suitable candidate, or the reasons why no candidate is suitable.
///
/// The linked toolchain comes before nightly, because setup links it only if nightly has failed.
pub(crate) fn find() -> Result<Toolchain, Vec<String>> {
    let Some(linker) = linker() else {
        return Err(vec!["bpf-linker is neither in PATH nor in cargo's bin directory".to_owned()]);
    };
    let candidates = match (env::var(OVERRIDE), in_path("rustup")) {
        (Ok(name), _) => vec![Some(name)],
        (Err(_), Some(_)) => vec![Some(LINKED.to_owned()), Some("nightly".to_owned())],
        (Err(_), None) => vec![None],
    };
    let mut reasons = Vec::new();
    for candidate in candidates {
        match compiler(candidate.as_deref()) {
            Ok(compiler) => return Ok(Toolchain { compiler, linker }),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(reasons)
}

/// bpf-linker from PATH or from cargo's bin directory.
pub(crate) fn linker() -> Option<PathBuf> {
    in_path("bpf-linker").or_else(|| Some(cargo_bin()?.join("bpf-linker")).filter(|path| path.is_file()))
}

/// The directory where `cargo install` puts programs.
pub(crate) fn cargo_bin() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    Some(home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))?.join("bin"))
}

/// The path of a program in PATH.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// The compiler of a rustup toolchain or in PATH, or the reason why it is not suitable.
pub(crate) fn compiler(toolchain: Option<&str>) -> Result<Compiler, String> {
    let label = toolchain.map_or_else(|| "rustc in PATH".to_owned(), |name| format!("toolchain {name}"));
    let query = |arguments: &[&str]| {
        let mut command = Command::new(if toolchain.is_some() { "rustup" } else { "rustc" });
        if let Some(name) = toolchain {
            command.args(["run", name, "rustc"]);
        }
        let output = command.args(arguments).env("RUSTUP_AUTO_INSTALL", "0").stderr(Stdio::null()).output();
        output
            .ok()
            .filter(|output| output.status.success())
            .and_then(|output| String::from_utf8(output.stdout).ok())
            .ok_or_else(|| format!("{label} is not installed"))
    };
    let sysroot = PathBuf::from(query(&["--print", "sysroot"])?.trim());
    let release = query(&["-vV"])?;
    let release = release.lines().find_map(|line| line.strip_prefix("release: ")).unwrap_or_default();
    if !sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
        return Err(format!("{label} lacks the library sources (rust-src)"));
    }
    if !is_new_enough(release) {
        return Err(format!("{label} is Rust {release}; {OLDEST} or newer is needed"));
    }
    let name = toolchain.map_or_else(|| sysroot.display().to_string(), str::to_owned);
    Ok(Compiler { name, rustc: sysroot.join("bin/rustc"), bootstrap: !release.contains("nightly") })
}

/// Whether a compiler version, such as `1.97.0-nightly` or `1.96.0+dfsg1-1`, can build the workspace.
pub(crate) fn is_new_enough(version: &str) -> bool {
    minor(version) >= minor(OLDEST)
}

/// `(major, minor)`; 0 for a part that is not a number.
fn minor(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(minor("1.100.0-nightly") > minor("1.95"));
        assert!(minor("1.63.0") < minor("1.95"));
        assert_eq!(minor("1.95.0"), minor("1.95"));
        assert_eq!(minor("what"), (0, 0));
    }
}
