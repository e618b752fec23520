#!/usr/bin/env bash
# What takes too long for every change: in a fresh clone, with nothing compiled before, everything that
# scripts/test.sh does, RocksDB from source included; then each of the longer drills. Says how long each
# step took, and goes on after a failure, so that one night shows all of them; its status is then not 0.
#
# usage: scripts/nightly.sh [SECONDS]
#   SECONDS   of each fuzz target, and of the adversary; default 3600
#   TMPDIR    where the clone and what is compiled go: some 10 GB, removed afterwards
#   GITMOOR_TEST_LARGE_REPOSITORY  a mirror of git/git; default: it is cloned
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"
seconds=${1:-3600}

night=$(mktemp -d "${TMPDIR:-/tmp}/gitmoor-nightly.XXXXXX")
trap 'rm -rf -- "$night"' EXIT
git clone --quiet "$root" "$night/clone"
cd "$night/clone"
export CARGO_TARGET_DIR=$night/target
# Those are for every change's run, not for this one.
unset ROCKSDB_LIB_DIR ROCKSDB_STATIC

failed=()
# step NAME COMMAND…
step() {
    local name=$1 begin=$SECONDS
    shift
    say "$name: $*"
    "$@" || failed+=("$name")
    say "$name took $(((SECONDS - begin) / 60)) minutes"
}

# drill NAME VARIABLE=VALUE FILTER [TEST RUNNER ARGUMENT…]: some tests, for longer than usual.
drill() {
    step "$1" env "$2" cargo nextest run --locked --release --workspace --profile drill \
        --no-fail-fast -E "$3" "${@:4}"
}

export GITMOOR_DATA=$night/data
step "the first mount" scripts/mount.sh --demo "$night/mnt"
step "leaving" "$CARGO_TARGET_DIR/release/gitmoor" umount "$night/mnt"
unset GITMOOR_DATA
step "checks and tests" scripts/test.sh
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
drill "simulation" GITMOOR_SIM_SEEDS=100000 'binary(sim) and test(/^seeds$/)'
drill "crashes" GITMOOR_DRILL_ROUNDS=200 'test(crash::random)'
drill "fuzzing" GITMOOR_FUZZ_SECONDS="$seconds" 'package(gitmoor-fuzz)'
drill "memory" GITMOOR_TEST_REPOSITORIES=2000 'test(limits::memory)'
drill "the adversary" GITMOOR_ADVERSARY_SECONDS="$seconds" 'test(hostile::random)'
mirror=${GITMOOR_TEST_LARGE_REPOSITORY:-$night/git.git}
[ -d "$mirror" ] || step "a mirror of git/git" git clone --quiet --mirror https://github.com/git/git "$mirror"
drill "git itself" GITMOOR_TEST_LARGE_REPOSITORY="$mirror" 'package(gitmoor-tests)' --run-ignored only

[ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"
