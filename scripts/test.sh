#!/usr/bin/env bash
# Sets up what the tests need, then checks and tests everything. Any failure ends
# it with a status that is not 0; mounts and servers it started are gone afterwards.
#
# usage: scripts/test.sh [TEST RUNNER ARGUMENT…]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

# The object server of the integration tests.
GARAGE_VERSION=2.5.0

set_up() {
    need_rust
    need_packages git curl procps e2fsprogs mount "${BUILD_PACKAGES[@]}"
    need_fuse
    if ! command -v garage >/dev/null && [ ! -x "${CARGO_HOME:-$HOME/.cargo}/bin/garage" ]; then
        say "installing garage $GARAGE_VERSION, the S3 server of the tests"
        cargo install --locked --version "$GARAGE_VERSION" \
            --no-default-features --features bundled-libs,sqlite garage
    fi
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
}

# Everything below this directory belongs to this run, so that it can be found and
# cleaned up however the run ends.
begin_run() {
    TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/gitmoor-test.XXXXXX")
    export TMPDIR
    trap clean_up EXIT
}

clean_up() {
    local at
    # Innermost first; a mount's daemon ends when it is unmounted.
    awk -v dir="$TMPDIR/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r at; do
            printf 'left mounted: %b\n' "$at" >&2
            umount -l "$(printf '%b' "$at")" 2>/dev/null ||
                fusermount3 -uz "$(printf '%b' "$at")" || true
        done
    rm -rf -- "$TMPDIR"
}

check_style() {
    say "formatting"
    cargo fmt --all --check
    say "clippy"
    cargo clippy --locked --release --workspace --all-targets -- -D warnings
    say "documentation"
    RUSTDOCFLAGS='-D warnings' cargo doc --locked --release --workspace --no-deps --quiet
    if command -v shellcheck >/dev/null; then
        say "shell scripts"
        shellcheck -x scripts/*.sh .ci/run
    else
        say "skipping the shell scripts: shellcheck is not installed"
    fi
}

check_dependencies() {
    if cargo deny --version >/dev/null 2>&1; then
        say "licences and advisories of dependencies"
        cargo deny --workspace check
    else
        say "skipping licences and advisories: cargo-deny is not installed"
    fi
}

run_tests() {
    say "tests"
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --release --workspace --no-fail-fast "$@"
        # nextest does not run them.
        cargo test --locked --release --workspace --doc --quiet
    else
        cargo test --locked --release --workspace --no-fail-fast "$@"
    fi
}

set_up
begin_run
check_style
check_dependencies
run_tests "$@"
