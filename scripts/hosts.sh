#!/usr/bin/env bash
# Unpacks the hosts and libraries that the topic `hosts` of the suite runs, unmodified: Debian's packages with what they
# need (tests/hosts/packages), those of PyPI (requirements.txt, sources.txt) and of npm (package-lock.json), pinned by digests.
# Nothing is installed on the machine, and no service starts. Where nothing has changed, this ends at once.
#
# usage: scripts/hosts.sh
#   GITMOOR_TEST_HOSTS   the directory, instead of ~/.cache/gitmoor-hosts
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

lists=$root/tests/hosts
into=${GITMOOR_TEST_HOSTS:-$HOME/.cache/gitmoor-hosts}

# What was unpacked: other lists, or another release of the distribution, are another one.
stamp() { cat "$lists"/{packages,requirements.txt,sources.txt,package-lock.json} /etc/os-release "$root/scripts/hosts.sh" | sha256sum; }

# What apt would install, less what the machine has, and less a server of ssh: gitolite's commands are run without one.
unpack_packages() {
    local packages missing archive
    mapfile -t packages <"$lists/packages"
    as_root apt-get update -qq
    mapfile -t missing < <(apt-get install -s -qq --no-install-recommends "${packages[@]}" |
        awk '$1 == "Inst" && $3 !~ /^\[/ && $2 !~ /^openssh/ { print $2 }')
    mkdir "$into/debs" "$into/root"
    [ ${#missing[@]} -eq 0 ] || (cd "$into/debs" && apt-get download -qq -o APT::Sandbox::User= "${missing[@]}")
    for archive in "$into"/debs/*.deb; do
        [ ! -e "$archive" ] || dpkg-deb --extract "$archive" "$into/root"
    done
    rm -r "$into/debs"
    # Debian's gitolite names the folder of its modules.
    grep -rlF /usr/share/gitolite3 "$into"/root/usr/{bin,share}/gitolite* |
        xargs -r sed -i "s|'/usr/share/gitolite3|'$into/root/usr/share/gitolite3|"
}

# Without pip of its own: Debian has that in another package.
unpack_python() {
    local install=(python3 -m pip --python "$into/python/bin/python" install --quiet --disable-pip-version-check
        --no-deps --require-hashes)
    python3 -m venv --without-pip "$into/python"
    "${install[@]}" --only-binary :all: -r "$lists/requirements.txt" >&2
    # What PyPI has as sources alone.
    "${install[@]}" --no-binary :all: --no-build-isolation -r "$lists/sources.txt" >&2
}

unpack_node() {
    cp "$lists"/package{,-lock}.json "$into"
    npm ci --prefix "$into" --ignore-scripts --no-audit --no-fund --silent >&2
}

command -v java >/dev/null || need_packages default-jre-headless
{ command -v node && command -v npm; } >/dev/null || need_packages nodejs npm
[ "$(cat "$into/stamp" 2>/dev/null)" != "$(stamp)" ] || exit 0
say "unpacking hosts and libraries into $into"
rm -rf -- "$into"
mkdir -p "$into"
unpack_packages
unpack_python
unpack_node
stamp >"$into/stamp"
