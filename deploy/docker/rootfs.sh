#!/bin/sh
# Collects the files of an image: the agent, the shared libraries that it needs, and directories for mounts.
#
#   rootfs.sh BINARY DIRECTORY
#
# The agent is linked dynamically with glibc because NVIDIA's libnvidia-ml.so.1 is, which NVIDIA's container runtime mounts
# into the container and the agent loads. A static program cannot load it. The libraries come from this host, so they match
# the binary if it was built here.
set -eu

if [ $# -ne 2 ] || [ ! -x "$1" ]; then
    echo "usage: $0 BINARY DIRECTORY; BINARY is the agent: cargo build --release --package glassbox" >&2
    exit 64
fi
binary=$1 root=$2

install -D -m 755 "$binary" "$root/usr/bin/glassbox"
# Mount points, because the root file system is read-only in the pod. /tmp and /etc are also needed by NVIDIA's runtime.
for directory in etc/glassbox proc sys dev run tmp var usr/lib; do
    mkdir -p "$root/$directory"
done
[ -L "$root/var/run" ] || ln -s ../run "$root/var/run"
[ -L "$root/lib" ] || ln -s usr/lib "$root/lib"
[ -L "$root/lib64" ] || ln -s usr/lib64 "$root/lib64"
mkdir -p "$root/usr/lib64"

# Each line of ldd has a path, except that of the vdso: "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)".
libraries=$(ldd "$binary" | grep -o '/[^ ]*')
libc=$(printf '%s\n' "$libraries" | grep '/libc\.so\.6$')
# libnvidia-ml.so.1 also needs these, which are stubs since glibc 2.34.
for name in libdl.so.2 libpthread.so.0 librt.so.1; do
    libraries="$libraries $(dirname "$libc")/$name"
done
for library in $libraries; do
    install -D -m 755 "$library" "$root$library"
done
