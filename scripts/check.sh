#!/usr/bin/env bash
# The inner loop: builds gitmoor and runs the tests of one topic, without setting anything up.
#
# usage: scripts/check.sh TOPIC [TEST RUNNER ARGUMENT…]
#        scripts/check.sh --list
#   TOPIC    a module of the suite, or a part of it: repository, refs, hostile::sealed, refs::links
#            a crate: gitmoor-fs
#            a test target of a crate: gitmoor-replicator/sim
#   --list   prints all topics
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

# The modules of the suite, by their whole paths: repository::refs.
suite_topics() {
    (cd tests/tests/suite && find . -name '*.rs' ! -path ./main.rs) |
        sed 's/^\.\///; s/\.rs$//; s/\/mod$//; s/\//::/g' | sort
}

# The modules that a topic may name, or that hold the test which it names: refs, or refs::push.
suite_modules() {
    local name=$1 modules
    while :; do
        if modules=$(suite_topics | grep -xF -- "$name"); then break; fi
        if modules=$(suite_topics | grep -E -- "::$name\$"); then break; fi
        case $name in *::*) name=${name%::*} ;; *) return 1 ;; esac
    done
    while read -r module; do
        # `gc` is not `gc_…`, but `refs::push` is every test that begins so.
        case $1 in "$name") echo "$module::" ;; *) echo "$module${1#"$name"}" ;; esac
    done <<<"$modules"
}

# Crates, and their test targets.
crate_topics() {
    # shellcheck disable=SC2016 # jq expands it
    metadata '.packages[] | .name as $crate | $crate,
        (.targets[] | select(.kind == ["test"]) | "\($crate)/\(.name)")'
}

list() {
    say "the suite"
    suite_topics
    say "crates, and their other tests"
    crate_topics | grep -vx gitmoor-tests/suite
}

run() {
    say "tests of $topic"
    cargo nextest run --locked --release --workspace "$@" "${arguments[@]}"
}

check() {
    local crate=${topic%%/*} prefixes targets=()
    if prefixes=$(suite_modules "$topic"); then
        build_gitmoor
        run --test suite -E "test(/^(${prefixes//$'\n'/|})/)"
    elif crate_topics | grep -qxF -- "$topic"; then
        # Only these run a binary that cargo does not build for them.
        [ "$crate" != gitmoor-tests ] || build_gitmoor
        if [ "$crate" = "$topic" ]; then add_test_targets "$crate"; else targets=(--test "${topic#*/}"); fi
        run "${targets[@]}" -E "package(=$crate)"
    else
        die "no topic $topic: scripts/check.sh --list shows all"
    fi
}

PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
topic=${1-}
arguments=("${@:2}")
case $topic in
    -h | --help) usage ;;
    --list) list ;;
    '' | -*) usage >&2 && exit 2 ;;
    *)
        command -v cargo-nextest >/dev/null || die "cargo-nextest is not installed; scripts/test.sh installs it"
        check
        ;;
esac
