#!/bin/bash
# usage: scripts/bench.sh [REPOSITORY] [--rounds N] [--json FILE]
# Compares git on a mount with git on the disk below it: a table, and JSON
# (target/bench.json unless --json says otherwise).
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cargo build --release -p gitmoor -p gitmoor-tests --bin gitmoor --bin bench
case " $* " in *" --json "*) ;; *) set -- "$@" --json "$target/bench.json" ;; esac
exec "$target/release/bench" "$@"
