//! README.md: its commands work in their order, and its queries work with the recommended scrape interval.

use std::path::Path;

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The seconds of a duration such as `15s` or `1m`.
fn seconds(text: &str) -> u64 {
    let (number, unit) = text.split_at(text.len() - 1);
    number.parse::<u64>().unwrap() * if unit == "m" { 60 } else { 1 }
}

#[test]
fn every_query_has_a_window_of_at_least_four_scrapes() {
    let readme = file("README.md");
    let interval = readme.lines().find_map(|line| line.trim().strip_prefix("scrape_interval: ")).unwrap();
    let windows: Vec<_> =
        readme.split('[').filter_map(|rest| rest.split_once(']')).map(|(window, _)| window).collect();
    let is_duration = |text: &&&str| {
        text.len() > 1
            && text.ends_with(['s', 'm'])
            && text[..text.len() - 1].bytes().all(|byte| byte.is_ascii_digit())
    };
    let windows: Vec<_> = windows.iter().filter(is_duration).collect();
    assert!(windows.len() >= 3, "{windows:?}");
    for window in windows {
        assert!(seconds(window) >= 4 * seconds(interval), "[{window}] with a scrape interval of {interval}");
    }
}

#[test]
fn everything_that_the_first_command_needs_is_installed_before_it() {
    let readme = file("README.md");
    let (before, _) = readme.split_once("$ cargo xtask run").unwrap();
    assert!(before.contains("](https://rustup.rs)"), "no link to a toolchain");
    let line = before.lines().find(|line| line.contains("apt install ")).unwrap();
    // The packages that CI installs to build `cargo xtask`.
    let script = file(".ci/run");
    let ci = script.lines().find_map(|line| line.split_once("--no-install-recommends ")).unwrap().1;
    // `curl` installs the toolchain, and `git` clones the repository.
    for package in ci.split_whitespace().chain(["curl", "git"]) {
        assert!(line.contains(package), "{package}: {line}");
    }
}

#[test]
fn the_server_instructions_build_kernel_programs_and_set_file_modes() {
    let readme = file("README.md");
    let (_, server) = readme.split_once("\n## Install\n").unwrap();
    let at = |text: &str| server.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(
        at("cargo xtask setup") < at("cargo build --release"),
        "a build before it has no kernel programs"
    );
    for line in server.lines().filter(|line| line.contains(" install -")) {
        let mode = if line.contains("/usr/bin") { "-Dm755" } else { "-Dm644" };
        assert!(line.contains(mode), "{line}");
    }
}
