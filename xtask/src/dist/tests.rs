//! Tests of the lists and names. tests/tests/packages.rs builds packages.

use clap::Parser;

use super::release::{Release, parse_version};
use super::*;

fn release(version: &str) -> Release {
    let agent = std::env::current_exe().unwrap();
    Release::of(agent, Architecture::of_this_machine().unwrap(), Some(version)).unwrap()
}

#[test]
fn each_package_has_every_document_and_nothing_twice() {
    let release = release("0.1.0");
    let staging = staging::prepare(&release).unwrap();
    for format in [Format::Deb, Format::Rpm, Format::Tar] {
        let files = contents::of(format, &release, &staging).unwrap();
        let mut paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        let count = paths.len();
        paths.dedup();
        assert_eq!(paths.len(), count, "{paths:?}");
        for path in [
            "usr/bin/glassbox",
            "etc/glassbox/agent.toml",
            "usr/share/man/man1/glassbox-run.1.gz",
            "usr/share/doc/glassbox/docs/runbooks/zh/AgentDown.md",
            "usr/share/glassbox/dashboards/zh/gpu.json",
            "usr/share/doc/glassbox/sbom.cdx.json",
        ] {
            assert!(paths.contains(&path), "{format:?}: {path}");
        }
        for file in &files {
            assert!(file.source.is_file(), "{}", file.source.display());
            assert_eq!(file.mode == 0o755, file.path.starts_with("usr/bin/"), "{}", file.path);
        }
    }
}

#[test]
fn the_crates_of_the_kernel_programs_are_listed_and_those_of_tests_are_not() {
    let components = components::of(&release("0.1.0")).unwrap();
    let has = |name: &str| components.iter().any(|component| component.name == name);
    assert!(has("glassbox") && has("aya") && has("aya-ebpf"));
    assert!(!has("proptest") && !has("clap_mangen") && !has("serde_derive"));
    let licences = licences::text(&components).unwrap();
    for component in components.iter().filter(|component| component.checksum.is_some()) {
        assert!(licences.contains(&format!("{} {}", component.name, component.version)));
    }
}

#[test]
fn names_have_version_and_architecture() {
    let release = Release { architecture: Architecture::Arm64, ..release("1.2~rc1") };
    assert_eq!(release.package_name(Format::Deb), "glassbox_1.2~rc1-1_arm64.deb");
    assert_eq!(release.package_name(Format::Rpm), "glassbox-1.2~rc1-1.aarch64.rpm");
    assert_eq!(release.package_name(Format::Tar), "glassbox-1.2~rc1-linux-arm64.tar.gz");
    for format in [Format::Deb, Format::Rpm, Format::Tar] {
        assert!(release.is_own(&release.package_name(format)));
    }
    assert!(!release.is_own("glassbox_1.2~rc10-1_arm64.deb") && !release.is_own("SHA256SUMS"));
}

#[test]
fn a_version_has_no_separator_of_package_names() {
    assert_eq!(parse_version("0.1.0~rc1+2"), Ok("0.1.0~rc1+2".to_owned()));
    for bad in ["", "v1", "1-2", "1_2", "1/2", "1 2", "../1"] {
        assert!(parse_version(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_list_of_formats_can_be_given() {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        arguments: Arguments,
    }
    let formats = |words: &[&str]| {
        Cli::try_parse_from(std::iter::once(&"dist").chain(words)).map(|cli| cli.arguments.format)
    };
    assert_eq!(formats(&["--format", "deb,tar"]).unwrap(), [Format::Deb, Format::Tar]);
    assert_eq!(formats(&[]).unwrap(), [Format::Deb, Format::Rpm, Format::Tar]);
    assert!(formats(&["--format", "zip"]).is_err());
}
