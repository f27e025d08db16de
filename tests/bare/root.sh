# shellcheck shell=bash
# Bare Debian roots, for tests of what a machine must bring along; sourced. Needs root and debootstrap.
#
#   isolate "$@"                       start the calling script anew in mount and process namespaces of its own, with a
#                                      folder for its roots in $work: mounts, processes and folder end with it
#   make_root FOLDER SUITE             debootstrap's smallest root
#   put_tree FOLDER                    the source tree at $tree in the root: no build, no model, no folder of git
#   layer BASE FOLDER                  a copy of a root; writes go to the copy alone
#   enter FOLDER USER COMMAND...       run a command in the root, in the source tree, with an environment of its own
#
# Nothing of the host is seen in a root but its network settings and certificates.
set -euo pipefail

# A path with a space, as people have them.
tree='/srv/fore run'

isolate() {
    [ -z "${FR_BARE_WORK:-}" ] || {
        work=$FR_BARE_WORK
        return
    }
    local child code=0
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/forerun-bare.XXXXXX")
    chmod 755 "$work"
    FR_BARE_WORK=$work unshare --mount --propagation private --pid --fork --kill-child --mount-proc bash "$0" "$@" &
    child=$!
    trap 'kill -KILL "$child" 2>/dev/null || true; wait "$child" || true; rm -rf --one-file-system "$work"' EXIT
    trap 'exit 143' TERM
    trap 'exit 130' INT
    wait "$child" || code=$?
    exit "$code"
}

make_root() {
    local certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
    debootstrap --variant=minbase "$2" "$1" >"$1.log" 2>&1 || {
        tail -n 20 "$1.log" >&2
        return 1
    }
    cp /etc/resolv.conf /etc/hosts "$1/etc/"
    [ ! -f "$certificates" ] || install -D -m 644 "$certificates" "$1/etc/host-certificates.crt"
    chroot "$1" useradd --create-home --shell /bin/bash stranger
}

put_tree() {
    mkdir -p "$1$tree"
    (cd "$source_tree" && list_tree | tar --create --null --no-recursion --files-from=- --file=-) |
        tar --extract --directory "$1$tree"
    chroot "$1" chown -R stranger: "$tree"
}

# Of a checkout what git knows and what is new; of any other tree all but what is made in it.
list_tree() {
    if [ -e .git ]; then
        git -c safe.directory='*' ls-files -z --cached --others --exclude-standard
    else
        find . \( -path ./build -o -path ./models -o -path ./data -o -path ./runs \) -prune -o \! -type d -print0
    fi
}

layer() {
    mkdir -p "$2" "$2.upper" "$2.work"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$2.upper,workdir=$2.work" "$2" 2>/dev/null || cp -a "$1/." "$2/"
}

# The root must be a mount point itself: namespaces made in it are refused otherwise.
mount_system() {
    mountpoint -q "$1" || mount --bind "$1" "$1"
    mountpoint -q "$1/proc" || mount -t proc proc "$1/proc"
    mountpoint -q "$1/sys" || mount --rbind /sys "$1/sys"
    if ! mountpoint -q "$1/dev"; then
        mount --rbind /dev "$1/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
    fi
}

enter() {
    local root=$1 user=$2 home name environment=()
    shift 2
    home=$(chroot "$root" getent passwd "$user" | cut -d: -f6)
    mount_system "$root"
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_DEFAULT_TIMEOUT \
        CFLAGS CI CXXFLAGS FORERUN_FETCH FORERUN_JOBS QUICKSTART_STEPS; do
        [ -z "${!name+set}" ] || environment+=("$name=${!name}")
    done
    if [ -f "$root/etc/host-certificates.crt" ]; then
        environment+=(SSL_CERT_FILE=/etc/host-certificates.crt PIP_CERT=/etc/host-certificates.crt)
    fi
    # The root becomes that of a mount namespace of its own: a test that enters namespaces must not find the host's.
    # shellcheck disable=SC2016 # the inner shell's own arguments
    unshare --mount --propagation private bash -euc '
        cd "$1" && mkdir -p .host && pivot_root . .host && cd / && umount --lazy .host && rmdir .host
        shift
        exec "$@"' bare "$root" \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$home" USER="$user" \
        LOGNAME="$user" LANG=C.UTF-8 TERM=dumb "${environment[@]}" \
        setpriv --reuid "$user" --regid "$user" --init-groups \
        /bin/bash -c 'cd "$1" && shift && exec "$@"' bare "$tree" "$@"
}
