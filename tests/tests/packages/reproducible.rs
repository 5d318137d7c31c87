//! Two runs give the same bytes, and dpkg-deb, rpm, tar, sha256sum and CycloneDX's validator accept them.

use std::{collections::BTreeSet, process::Command};

use glassbox_tests::skip;

use crate::{dist, files, run, tools};

/// Validates the document on standard input.
const VALIDATE: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()))
";

/// The packaged files, without directories, in lines of `tar --list`, `rpm --list` or the like.
fn paths(listing: &str, prefix: &str) -> BTreeSet<String> {
    let lines = listing.lines().filter(|line| !line.ends_with('/'));
    lines.filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned).collect()
}

#[test]
fn two_runs_give_the_same_packages_and_their_tools_accept_them() {
    let name = "two_runs_give_the_same_packages_and_their_tools_accept_them";
    let tools = match tools() {
        Ok(tools) => tools,
        Err(reason) => return skip(name, &reason),
    };
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    dist("umask 022; export TZ=UTC LC_ALL=C", first.path(), &[]);
    dist("umask 077; export TZ=Asia/Shanghai LC_ALL=C.UTF-8", second.path(), &[]);
    let built = files(first.path());
    for (one, other) in built.iter().zip(files(second.path())) {
        assert_eq!(one.0, other.0);
        assert!(one.1 == other.1, "{} differs", one.0);
    }
    let file = |suffix: &str| {
        let found = built.iter().find(|(name, _)| name.ends_with(suffix));
        first.path().join(&found.unwrap_or_else(|| panic!("no {suffix}")).0)
    };
    let check = run(Command::new("sha256sum").current_dir(first.path()).args(["--check", "SHA256SUMS"]));
    assert_eq!(check.matches(": OK").count(), 4, "{check}");
    run(Command::new(tools.join("bin/python")).args(["-c", VALIDATE]).arg(file(".cdx.json")));

    let tar = run(Command::new("tar").args(["--list", "--file"]).arg(file(".tar.gz")));
    let directory = tar.split_inclusive('/').next().unwrap();
    let tar = paths(&tar, directory);
    assert!(tar.contains("usr/bin/glassbox") && tar.contains("etc/glassbox/agent.toml"), "{tar:?}");
    run(Command::new("rpm").args(["--checksig", "--nosignature"]).arg(file(".rpm")));
    let rpm = run(Command::new("rpm").args(["--query", "--list", "--package"]).arg(file(".rpm")));
    let rpm: BTreeSet<_> = paths(&rpm, "/").into_iter().filter(|path| path != "etc/glassbox").collect();
    assert_eq!(rpm, tar);
    let configuration = run(Command::new("rpm").args(["-qpc"]).arg(file(".rpm")));
    assert_eq!(configuration, "/etc/default/glassbox\n/etc/glassbox/agent.toml\n");
    let mut deb = Command::new("sh");
    deb.args(["-c", "dpkg-deb --fsys-tarfile \"$0\" | tar --list"]).arg(file(".deb"));
    let deb = paths(&run(&mut deb), "./");
    let only_deb: Vec<_> = deb.difference(&tar).map(String::as_str).collect();
    assert_eq!(
        only_deb,
        [
            "usr/share/doc/glassbox/changelog.Debian.gz",
            "usr/share/doc/glassbox/copyright",
            "usr/share/lintian/overrides/glassbox",
            "usr/share/zsh/vendor-completions/_glassbox",
        ]
    );
}
