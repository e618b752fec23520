#!/usr/bin/env bash
# Builds gitmoor and a Debian package of it: the binary, mount.gitmoor, units for systemd,
# manual pages, completions and documents. Prints where the package is.
#
# usage: scripts/deb.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

need_rust
need_packages git dpkg-dev "${BUILD_PACKAGES[@]}"
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
need_crate cargo-deb 3.8.0

say "building"
cargo build --locked --release --workspace --bin gitmoor
gitmoor=$(target_dir)/release/gitmoor

# What the package has besides the binary; it says itself what it can do.
generated=packaging/generated
rm -rf "$generated"
mkdir -p "$generated/completions"
"$gitmoor" man "$generated/man" >&2
"$gitmoor" completions bash >"$generated/completions/gitmoor"
"$gitmoor" completions zsh >"$generated/completions/_gitmoor"
"$gitmoor" completions fish >"$generated/completions/gitmoor.fish"
ln -s ../bin/gitmoor "$generated/mount.gitmoor"
ln -s ../bin/gitmoor "$generated/mount.fuse.gitmoor"

say "packing"
cargo deb --locked --no-build --strip --package gitmoor
