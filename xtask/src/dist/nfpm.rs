//! .deb and .rpm packages, with nfpm. Its configuration is generated from the list of files.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Format;
use super::contents::Packaged;
use super::release::{REVISION, Release};
use super::staging::{MAINTAINER, Staging};
use crate::setup::packages;
use crate::{step, workspace};

const TIMEOUT: Duration = Duration::from_secs(300);

const SUMMARY: &str = "host agent that makes GPU containers transparent";
const DESCRIPTION: &str = "\
One agent per host measures what each container uses, how long its threads
wait for a CPU, what it requests from the NVIDIA driver and whether it is
stuck, and exposes the results to Prometheus. It uses eBPF programs, cgroup
files, NVML and the APIs of container runtimes. Containers are not modified.";

/// Builds a package.
pub(super) fn package(
    format: Format,
    release: &Release,
    files: &[Packaged],
    staging: &Staging,
    path: &Path,
) -> anyhow::Result<()> {
    let name = if format == Format::Deb { "deb" } else { "rpm" };
    let configuration = configuration(name, release, files)?;
    let configuration =
        staging.write(&format!("nfpm-{name}.json"), format!("{configuration:#}").as_bytes())?;
    let mut nfpm = Command::new(packages::nfpm());
    nfpm.args(["package", "--packager", name, "--config"]).arg(&configuration).arg("--target").arg(path);
    nfpm.env("SOURCE_DATE_EPOCH", release.epoch()?.to_string());
    let name = release.package_name(format);
    step::run_within(&format!("package {name}"), &mut nfpm, TIMEOUT)
}

/// nfpm reads YAML, and JSON is YAML.
fn configuration(packager: &str, release: &Release, files: &[Packaged]) -> anyhow::Result<Value> {
    let time = release.rfc3339()?;
    let scripts = |names: [(&str, &str); 3]| -> anyhow::Result<Value> {
        let mut scripts = json!({});
        for (event, name) in names {
            let path = workspace::root().join("deploy/packages").join(packager).join(name);
            fs::metadata(&path).with_context(|| format!("read {}", path.display()))?;
            scripts[event] = path.display().to_string().into();
        }
        Ok(scripts)
    };
    let (depends, scripts) = if packager == "deb" {
        (
            deb_depends(release),
            scripts([("postinstall", "postinst"), ("preremove", "prerm"), ("postremove", "postrm")])?,
        )
    } else {
        (
            rpm_requires(release),
            scripts([("postinstall", "post"), ("preremove", "preun"), ("postremove", "postun")])?,
        )
    };
    let directory = json!({
        "dst": "/etc/glassbox", "type": "dir",
        "file_info": {"mode": 0o755, "owner": "root", "group": "root", "mtime": time},
    });
    let content = |file: &Packaged| {
        json!({
            "src": file.source.display().to_string(),
            "dst": format!("/{}", file.path),
            "type": if file.is_configuration() { "config|noreplace" } else { "" },
            "file_info": {"mode": file.mode, "owner": "root", "group": "root", "mtime": time},
        })
    };
    let contents: Vec<Value> = std::iter::once(directory).chain(files.iter().map(content)).collect();
    Ok(json!({
        "name": "glassbox",
        "arch": release.architecture.debian(),
        "platform": "linux",
        "version": release.version,
        "version_schema": "none",
        "release": REVISION,
        "section": "admin",
        "priority": "optional",
        "maintainer": MAINTAINER,
        "description": format!("{SUMMARY}\n{DESCRIPTION}"),
        "license": "MIT OR Apache-2.0",
        "mtime": time,
        "umask": 0o022,
        "disable_globbing": true,
        "depends": depends,
        "scripts": scripts,
        "contents": contents,
        "rpm": {"summary": SUMMARY, "group": "System Environment/Daemons", "compression": "gzip", "buildhost": "localhost"},
        "deb": {"compression": "gzip"},
    }))
}

fn deb_depends(release: &Release) -> Vec<String> {
    let (major, minor) = release.binary.glibc;
    let mut depends = vec![format!("libc6 (>= {major}.{minor})")];
    if release.binary.libraries.contains("libgcc_s.so.1") {
        depends.push("libgcc-s1".to_owned());
    }
    depends
}

fn rpm_requires(release: &Release) -> Vec<String> {
    let (major, minor) = release.binary.glibc;
    let mut requires = vec![format!("libc.so.6(GLIBC_{major}.{minor})(64bit)")];
    if release.binary.libraries.contains("libgcc_s.so.1") {
        requires.push("libgcc_s.so.1()(64bit)".to_owned());
    }
    requires
}
