#!/bin/bash
# usage: scripts/bench.sh [REPOSITORY] [--rounds N] [--json FILE] [--check] [--record]
#                         [--only NAME]...
# Compares git on a mount with git on the disk below it, and what durability and a
# crash cost: a table, and JSON
# (target/bench.json unless --json says otherwise). --record keeps the ratios in
# docs/performance/history.jsonl. --check fails when a ratio is 15 % larger than the last
# one that was kept.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
# The whole workspace, as everywhere: a part of it would resolve other features of the
# dependencies and build them again.
cargo build --locked --release --workspace
case " $* " in *" --json "*) ;; *) set -- "$@" --json "$target/bench.json" ;; esac
exec "$target/release/bench" "$@"
