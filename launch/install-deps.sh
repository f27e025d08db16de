#!/usr/bin/env bash
# install-deps.sh [build] [test] [check] [model]: install the Debian packages that are missing.
#
#   build  what compiles and runs forerun (default)
#   test   what ctest needs on top
#   check  a second compiler and the linters
#   model  what launch/fetch-model.sh needs
#
# Nothing is called but dpkg-query when all is there, so it works offline then. Otherwise needs root or sudo.
set -euo pipefail

declare -A sets=(
    [build]="gcc libc6-dev cmake ninja-build pkg-config libopenmpi-dev openmpi-bin libhdf5-dev
             libcsv-dev libedit-dev libjansson-dev libmicrohttpd-dev libpcre2-dev libssl-dev libutf8proc-dev libyaml-dev
             python3 procps"
    [test]="libcunit1-dev g++ binutils curl iproute2 tmux util-linux"
    [check]="clang libomp-dev"
    [model]="python3-pip ca-certificates"
)
# Linters, and the Slurm that the cluster tests start for themselves: skipped visibly where they are absent.
declare -A extras=(
    [build]=""
    [test]="clang-format-14 shellcheck munge slurmctld slurmd slurm-client python3-h5py hdf5-tools jq"
    [check]="clang-tidy git debootstrap libclang-rt-dev"
    [model]=""
)

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0"
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# A version of the package in the archive's index that could be installed? (grep reads to the end: one that
# leaves early makes apt-cache, and with it the pipe, fail.)
is_offered() {
    apt-cache policy "$1" 2>/dev/null | grep 'Candidate: [^(]' >/dev/null
}

wanted=()
optional=()
[ $# -gt 0 ] || set -- build
for name in "$@"; do
    case $name in
    -h | --help)
        usage
        exit 0
        ;;
    esac
    if [ -z "${sets[$name]:-}" ]; then
        echo "install-deps: unknown set '$name'; allowed: build, test, check, model" >&2
        exit 2
    fi
    read -ra part <<<"$(tr '\n' ' ' <<<"${sets[$name]}")"
    wanted+=("${part[@]}")
    read -ra part <<<"$(tr '\n' ' ' <<<"${extras[$name]}")"
    optional+=("${part[@]}")
done

if ! command -v dpkg-query >/dev/null; then
    echo "install-deps: not a Debian system; please install the equivalents of: ${wanted[*]}" >&2
    exit 3
fi

missing=()
for package in "${wanted[@]}"; do
    is_installed "$package" || missing+=("$package")
done
missing_optional=()
for package in "${optional[@]}"; do
    is_installed "$package" || missing_optional+=("$package")
done
if [ ${#missing[@]} -eq 0 ] && [ ${#missing_optional[@]} -eq 0 ]; then
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root=(sudo)
    elif [ ${#missing[@]} -eq 0 ]; then
        echo "install-deps: going on without ${missing_optional[*]} (neither root nor sudo)" >&2
        exit 0
    else
        echo "install-deps: neither root nor sudo; ask an administrator for:" >&2
        echo "    apt-get install ${missing[*]}" >&2
        exit 1
    fi
fi

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q \
        -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@" >&2
}

# Daemons that come with a package stay off, now and at the next boot: the tests start their own.
policy=/usr/sbin/policy-rc.d
keep_services_off() {
    if [ ! -e "$policy" ]; then
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin "$policy"
    fi
}

disable_services() {
    local package
    [ -d /run/systemd/system ] || return 0
    for package in "$@"; do
        case $package in
        munge | slurmctld | slurmd) "${as_root[@]}" systemctl disable --now "$package" >&2 || true ;;
        esac
    done
}

echo "install-deps: installing ${missing[*]} ${missing_optional[*]}" >&2
apt update || echo "install-deps: no fresh package index; trying the one at hand" >&2
for package in "${missing_optional[@]}"; do
    if is_offered "$package"; then
        missing+=("$package")
    else
        echo "install-deps: going on without $package (not offered here)" >&2
    fi
done
if [ ${#missing[@]} -gt 0 ]; then
    keep_services_off
    apt install -y --no-install-recommends "${missing[@]}"
    disable_services "${missing[@]}"
fi
