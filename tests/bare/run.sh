#!/usr/bin/env bash
# run.sh ORDER...: what README.md promises, in bare Debian roots made for it by debootstrap. Needs root.
#
#   first      Debian 12: quickstart with 2 steps, then the whole of tests/run.sh
#   tests      Debian 12: tests/run.sh first, then the quickstart, then each again
#   user       Debian 12: an ordinary user with sudo
#   read-only  Debian 12: a source tree that cannot be written to
#   alone      Debian 12: an ordinary user without sudo and without the tests' packages: the other tests run
#   debian13   Debian 13: builds, and passes the tests of the kinds unit, conf and mpi, those of the launcher and of the bits
#   all        each of them
#
# The orders after the first run the tests of the kinds unit and lint. Each order begins in a copy of a bare root.
set -euo pipefail

source_tree=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=root.sh
. "$source_tree/tests/bare/root.sh"

usage() {
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '$d'
}

skip() {
    echo "skipped: $*"
    exit 77
}

say() {
    printf '\n== bare root: %s (%d s)\n' "$1" "$SECONDS" >&2
}

# root_of ORDER SUITE: a fresh copy, in $root.
root_of() {
    if [ ! -d "$work/$2" ]; then
        say "making $2"
        make_root "$work/$2" "$2"
        put_tree "$work/$2"
    fi
    root=$work/$1
    layer "$work/$2" "$root"
}

in_root() {
    enter "$root" "${user:-root}" "$@"
}

quick_tests() {
    in_root ./tests/run.sh -L '^(unit|lint)$'
}

order_first() {
    root_of first bookworm
    say "quickstart, then tests/run.sh"
    QUICKSTART_STEPS=2 in_root ./launch/quickstart.sh
    in_root ./tests/run.sh
}

order_tests() {
    root_of tests bookworm
    say "tests/run.sh, then the quickstart, then each again"
    quick_tests
    QUICKSTART_STEPS=2 in_root ./launch/quickstart.sh
    quick_tests
    QUICKSTART_STEPS=2 in_root ./launch/quickstart.sh
}

order_user() {
    local user=stranger
    root_of user bookworm
    say "an ordinary user with sudo"
    user=root in_root sh -c 'apt-get -q update && apt-get -q install -y --no-install-recommends sudo' >&2
    cat >"$root/etc/sudoers.d/stranger" <<'SUDO'
Defaults env_keep += "http_proxy https_proxy no_proxy SSL_CERT_FILE"
stranger ALL=(ALL) NOPASSWD: ALL
SUDO
    QUICKSTART_STEPS=2 in_root ./launch/quickstart.sh
    quick_tests
}

order_read_only() {
    root_of read-only bookworm
    say "a source tree that cannot be written to"
    mount_system "$root"
    mount --bind "$root$tree" "$root$tree"
    mount -o remount,bind,ro "$root$tree"
    quick_tests
    QUICKSTART_STEPS=2 in_root sh -c 'mkdir ~/built && FORERUN_HOME=~/built ./launch/quickstart.sh'
}

order_alone() {
    local user=stranger
    root_of alone bookworm
    say "an ordinary user without sudo, without the tests' packages"
    user=root in_root ./launch/install-deps.sh build
    in_root ./tests/run.sh -L '^(unit|lint|mpi)$'
}

order_debian13() {
    root_of debian13 trixie
    say "Debian 13"
    in_root ./tests/run.sh -L '^(unit|conf|mpi)$'
    in_root ./tests/run.sh -R 'launch|quickstart|one_arithmetic_tiny'
}

case "${1:---help}" in
-h | --help)
    usage
    exit 0
    ;;
esac
[ "$(id -u)" = 0 ] || skip "a bare root needs root"
command -v debootstrap >/dev/null || skip "debootstrap is not installed (launch/install-deps.sh check)"
isolate "$@"

[ "$*" != all ] || set -- first tests user read-only alone debian13
for order in "$@"; do
    case $order in
    first | tests | user | read-only | alone | debian13) "order_${order//-/_}" ;;
    *)
        echo "run.sh: unknown order '$order'; --help lists them" >&2
        exit 2
        ;;
    esac
done
say "done: $*"
