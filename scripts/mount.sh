#!/usr/bin/env bash
# Sets up what is missing, builds gitmoor, and mounts it with its embedded defaults:
# one replicator node inside the daemon, and a directory as object store.
#
# usage: scripts/mount.sh [--demo] [MOUNTPOINT] [OPTION…]
#   --demo        then create a repository, push this project's history into it,
#                 clone it back and compare
#   MOUNTPOINT    default ./mnt; created if missing
#   OPTION        handed to gitmoor mount, such as --store s3://bucket/prefix
#   GITMOOR_DATA  data directory; default ~/.local/share/gitmoor
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

parse() {
    demo=no
    case ${1-} in
        -h | --help) usage && exit ;;
        --demo) demo=yes && shift ;;
    esac
    mountpoint=$PWD/mnt
    if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
        mountpoint=$(realpath -ms -- "$1")
        shift
    fi
    options=("$@")
}

set_up() {
    need_rust
    need_packages git "${BUILD_PACKAGES[@]}"
    need_fuse
}

build() {
    say "building (the first time takes a while: RocksDB is compiled from source)"
    (cd "$root" && cargo build --locked --release --workspace --bin gitmoor)
    gitmoor=$(cd "$root" && target_dir)/release/gitmoor
}

mount_it() {
    export GITMOOR_DATA=${GITMOOR_DATA:-${XDG_DATA_HOME:-$HOME/.local/share}/gitmoor}
    if "$gitmoor" status --json 2>/dev/null | grep -qF "\"mountpoint\": \"$mountpoint\""; then
        say "already mounted at $mountpoint"
        return
    fi
    [ -d "$mountpoint" ] || mkdir -p -- "$mountpoint"
    "$gitmoor" mount "${options[@]}" "$mountpoint"
}

# A history to push: this project's own, or its files in one commit where the
# checkout has no complete history (an archive, a shallow clone).
history_to_push() {
    if [ "$(git -C "$root" rev-parse --is-shallow-repository 2>/dev/null)" = false ]; then
        printf '%s\n' "$root"
        return
    fi
    local copy=$scratch/history
    git init -q "$copy"
    tar -C "$root" --exclude=./target --exclude=./.git --exclude=./mnt -c . | tar -C "$copy" -x
    git -C "$copy" add -A
    git -C "$copy" -c user.name=demo -c user.email=demo@example.org commit -qm "Demo"
    printf '%s\n' "$copy"
}

# One line that differs if any object reachable from HEAD differs.
fingerprint() { git -C "$1" rev-list --objects HEAD | sort | sha256sum; }

run_demo() {
    scratch=$(mktemp -d)
    trap 'rm -rf -- "$scratch"' EXIT
    local name source
    name=demo/gitmoor-$(date +%Y%m%d-%H%M%S).git
    source=$(history_to_push)

    say "gitmoor repo create $name"
    "$gitmoor" repo create "$name"
    say "git push: $(git -C "$source" rev-list --count HEAD) commits"
    git -C "$source" push -q "$mountpoint/$name" HEAD:refs/heads/main
    say "git clone, from the mount to a local directory"
    git clone -q --no-local "$mountpoint/$name" "$scratch/clone"
    git -C "$scratch/clone" fsck --no-dangling --no-progress
    [ "$(fingerprint "$source")" = "$(fingerprint "$scratch/clone")" ] ||
        die "what was cloned is not what was pushed"
    say "the clone holds exactly the objects that were pushed"
    "$gitmoor" status
}

next_steps() {
    cat <<EOF

Mounted at $mountpoint. Try:

    export GITMOOR_DATA=$GITMOOR_DATA PATH=$(dirname "$gitmoor"):\$PATH
    git init --bare $mountpoint/hello.git
    git push $mountpoint/hello.git HEAD:refs/heads/main
    gitmoor status
    gitmoor umount $mountpoint
EOF
}

parse "$@"
set_up
build
mount_it
[ "$demo" = no ] || run_demo
next_steps
