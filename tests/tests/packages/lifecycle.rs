//! dpkg installs, upgrades, removes and purges the .deb in an overlay of this host, which is discarded. There is no systemd in
//! it, so the scripts enable the service, but start nothing; the guest with systemd tests that.

use std::{path::Path, process::Command};

use glassbox_tests::skip;

use crate::{dist, files, run, tools};

/// Arguments: an empty directory, the older and the newer package. Prints the state after each step.
const STEPS: &str = r#"
set -eu
scratch=$1
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
root=$scratch/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$root"
mount --bind /dev "$root/dev"
mkdir -p "$root/packages"
cp "$2" "$root/packages/old.deb"
cp "$3" "$root/packages/new.deb"
do_dpkg() {
    DEBIAN_FRONTEND=noninteractive chroot "$root" dpkg --no-triggers "$@" </dev/null >"$scratch/log" 2>&1 ||
        { cat "$scratch/log"; exit 1; }
}
state() {
    version=$(chroot "$root" dpkg-query --show --showformat '${db:Status-Status} ${Version}' glassbox 2>/dev/null || echo absent)
    binary=$(test ! -e "$root/usr/bin/glassbox" || echo binary)
    configuration=$(sed -n 's/^# changed by /changed by /p' "$root/etc/glassbox/agent.toml" 2>/dev/null || echo none)
    link=$root/etc/systemd/system/multi-user.target.wants/glassbox.service
    enabled=$(test ! -L "$link" || echo enabled)
    echo "$1: $version, $binary, ${configuration:-as shipped}, $enabled"
}
do_dpkg --install /packages/old.deb; state install
echo '# changed by the user' >>"$root/etc/glassbox/agent.toml"
do_dpkg --install /packages/new.deb; state upgrade
rm "$link"; do_dpkg --install /packages/new.deb; state disabled
do_dpkg --remove glassbox; state remove
do_dpkg --install /packages/new.deb; state again
do_dpkg --purge glassbox; state purge
find "$scratch/upper" -name '*glassbox*' ! -type c -printf 'left: %P\n'
"#;

fn package(version: &str, directory: &Path) -> std::path::PathBuf {
    let out = directory.join(version);
    dist("umask 022", &out, &["--format", "deb", "--version", version]);
    let built = files(&out).into_iter().map(|(name, _)| name);
    out.join(built.filter(|name| name.ends_with(".deb")).max().unwrap())
}

#[test]
fn the_package_is_installed_upgraded_and_purged_without_leftovers() {
    let name = "the_package_is_installed_upgraded_and_purged_without_leftovers";
    if let Err(reason) = tools() {
        return skip(name, &reason);
    }
    // SAFETY: geteuid takes nothing, touches no memory and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return skip(name, "needs root for an overlay");
    }
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (package("0.0.1~rc1", directory.path()), package("0.0.1", directory.path()));
    let overlay = directory.path().join("overlay");
    std::fs::create_dir(&overlay).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", STEPS, "sh"]).arg(overlay);
    assert_eq!(
        run(command.arg(old).arg(new)),
        "\
install: installed 0.0.1~rc1-1, binary, as shipped, enabled
upgrade: installed 0.0.1-1, binary, changed by the user, enabled
disabled: installed 0.0.1-1, binary, changed by the user, 
remove: config-files 0.0.1-1, , changed by the user, 
again: installed 0.0.1-1, binary, changed by the user, 
purge: absent, , none, 
"
    );
}
