#!/usr/bin/env bash
# Runs one fuzz target under libFuzzer, for a while or until it finds something.
# Only our own crates are built with coverage: what they depend on (RocksDB above all)
# is taken as the tests have built it. A stable toolchain will do.
#
# New inputs go to fuzz/found/TARGET, an input that breaks something to
# fuzz/found/TARGET.crash-…; what is worth keeping moves to fuzz/corpus/TARGET by hand.
#
# usage: scripts/fuzz.sh TARGET [SECONDS [LIBFUZZER ARGUMENT…]]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# Called by cargo in place of rustc, for the crates of this workspace.
if [ "${GITMOOR_FUZZ_RUSTC:-}" = yes ]; then
    exec "$@" -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares \
        -Ccodegen-units=1
fi

target=${1:?usage: scripts/fuzz.sh TARGET [SECONDS [LIBFUZZER ARGUMENT…]]}
seconds=${2:-600}
shift $(($# < 2 ? $# : 2))

GITMOOR_FUZZ_RUSTC=yes RUSTC_WORKSPACE_WRAPPER=$root/scripts/fuzz.sh \
    cargo build --locked --release --workspace --features gitmoor-fuzz/libfuzzer --bin "$target"

mkdir -p "fuzz/found/$target"
exec "${CARGO_TARGET_DIR:-target}/release/$target" "fuzz/found/$target" "fuzz/corpus/$target" \
    -artifact_prefix="fuzz/found/$target." -max_total_time="$seconds" \
    -max_len=65536 -timeout=10 -malloc_limit_mb=256 "$@"
