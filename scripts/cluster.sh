#!/usr/bin/env bash
# A cluster on this machine, to try things out: three nodes with a mount each, over one
# S3 server (Garage), all on loopback.
#
# usage: scripts/cluster.sh up|status|down [DIRECTORY]
#   up         sets up what is missing, builds, starts what does not run
#   status     who leads, who lags
#   down       unmounts and stops; the data stays
#   DIRECTORY  of everything; default ./cluster
#   GITMOOR_CLUSTER_PORT  the first of seven ports; default 7400
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

nodes=(1 2 3)
bucket=gitmoor
# How long anything here may take to answer, in tenths of a second.
patience=600

parse() {
    if [ $# -lt 1 ] || [ $# -gt 2 ]; then
        usage >&2
        exit 2
    fi
    command=$1
    dir=$(realpath -ms -- "${2-cluster}")
    port=${GITMOOR_CLUSTER_PORT:-7400}
    export PATH=$PATH:$HOME/.cargo/bin
    gitmoor=$(cd "$root" && target_dir)/release/gitmoor
}

data() { printf '%s\n' "$dir/node-$1"; }
mount_point() { printf '%s\n' "$dir/mnt-$1"; }
address() { printf '127.0.0.1:%d\n' $((port + $1)); }
on() { "$gitmoor" "${@:2}" --data "$(data "$1")"; }
is_mounted() { mountpoint -q -- "$(mount_point "$1")"; }

# until_it_does WHAT COMMAND…
until_it_does() {
    local what=$1 i
    shift
    for ((i = 0; i < patience; i++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    "$@" >&2 || die "$what: not within $((patience / 10)) s; the logs are in $dir"
}

set_up() {
    need_rust
    need_packages git "${BUILD_PACKAGES[@]}"
    need_fuse
    need_garage
    say "building (the first time takes a while: RocksDB is compiled from source)"
    (cd "$root" && cargo build --locked --release --workspace --bin gitmoor)
}

garage() { command garage -c "$dir/garage/garage.toml" "$@"; }

garage_pid() {
    local pid
    pid=$(cat "$dir/garage/pid" 2>/dev/null) || return
    # The number may be another process's by now.
    [ "$(ps -o comm= -p "$pid")" = garage ] && printf '%s\n' "$pid"
}

# Only this user may read what has keys in it.
write_garage_config() {
    (umask 077 && cat >"$dir/garage/garage.toml") <<EOF
metadata_dir = "$dir/garage/meta"
data_dir = "$dir/garage/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:$((port + 4))"
rpc_public_addr = "127.0.0.1:$((port + 4))"
rpc_secret = "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:$((port + 5))"
[admin]
api_bind_addr = "127.0.0.1:$((port + 6))"
EOF
}

stop_garage() {
    local pid
    pid=$(garage_pid) || return 0
    kill "$pid"
    while garage_pid >/dev/null; do sleep 0.1; done
    rm -f -- "$dir/garage/pid"
}

start_garage() {
    if [ ! -f "$dir/garage/keys" ]; then
        # What an interrupted `up` left has no keys, so nothing is in it.
        stop_garage
        rm -rf -- "$dir/garage"
        mkdir -p -- "$dir/garage"
        write_garage_config
    fi
    if ! garage_pid >/dev/null; then
        say "starting Garage"
        # shellcheck disable=SC2016 # the inner shell expands it
        setsid -f bash -c 'echo $$ >"$1/pid"; exec garage -c "$1/garage.toml" server' _ "$dir/garage" \
            >>"$dir/garage/log" 2>&1 </dev/null
    fi
    until_it_does "Garage answers" garage status
    [ -f "$dir/garage/keys" ] || make_bucket
}

make_bucket() {
    local key
    garage layout assign -z here -c 10G "$(garage node id -q | cut -d@ -f1)" >/dev/null
    garage layout apply --version 1 >/dev/null
    garage bucket create "$bucket" >/dev/null
    key=$(garage key create gitmoor)
    garage bucket allow --read --write --owner "$bucket" --key gitmoor >/dev/null
    (umask 077 && cat >"$dir/garage/keys.new") <<EOF
export S3_ENDPOINT=http://127.0.0.1:$((port + 5))
export S3_REGION=garage
export S3_ACCESS_KEY_ID=$(sed -n 's/^ *Key ID: *//p' <<<"$key")
export S3_SECRET_ACCESS_KEY=$(sed -n 's/^ *Secret key: *//p' <<<"$key")
EOF
    mv -- "$dir/garage/keys.new" "$dir/garage/keys"
}

# A node and its mount. All are started at once: each waits for a majority.
start_node() {
    is_mounted "$1" && return
    mkdir -p -- "$(mount_point "$1")"
    say "mounting node $1 at $(mount_point "$1")"
    on "$1" mount --store "s3://$bucket/cluster" "$(mount_point "$1")" >/dev/null
}

is_member() { [ -f "$(data "$1")/cluster/node.toml" ]; }

up() {
    set_up
    mkdir -p -- "$dir"
    start_garage
    # shellcheck source=/dev/null
    . "$dir/garage/keys"
    is_member 1 || on 1 cluster init --listen "$(address 1)" >/dev/null
    local n starting=()
    for n in "${nodes[@]}"; do
        is_member "$n" || continue
        start_node "$n" &
        starting+=($!)
    done
    for n in "${starting[@]}"; do wait "$n"; done
    for n in "${nodes[@]}"; do
        is_member "$n" || add_node "$n"
    done
    # Also those of an `up` that was interrupted.
    for n in $(learners); do
        until_it_does "node $n gets a vote" on 1 cluster promote "$n"
    done
    on 1 cluster status
    next_steps
}

add_node() {
    on 1 cluster token | on "$1" cluster join - --listen "$(address "$1")" >/dev/null
    start_node "$1"
}

# The numbers of those that have no vote yet.
learners() { on 1 cluster status | sed -n 's/^node \([0-9]*\) .* learner .*/\1/p'; }

down() {
    local n
    for n in "${nodes[@]}"; do
        is_mounted "$n" || continue
        on "$n" umount "$(mount_point "$n")"
    done
    stop_garage
    say "stopped; everything is still in $dir"
}

status() {
    local n
    for n in "${nodes[@]}"; do
        is_mounted "$n" && on "$n" cluster status 2>/dev/null && return
    done
    die "none of the nodes in $dir runs; start them: scripts/cluster.sh up"
}

next_steps() {
    cat <<EOF

Three mounts of one cluster: $dir/mnt-1, mnt-2, mnt-3. Try:

    git init --bare -b main $dir/mnt-1/hello.git
    git push $dir/mnt-2/hello.git HEAD:main
    git ls-remote $dir/mnt-3/hello.git
EOF
}

parse "$@"
case $command in
    up | down | status) "$command" ;;
    -h | --help) usage ;;
    *) usage >&2 && exit 2 ;;
esac
