# Shared by tests that start launch/run: processes, mounts and hosts of a test end with it, however it ends.
set -euo pipefail

skip() {
    echo "skipped: $*"
    exit 77
}

# isolate ARGUMENTS...: run this test in namespaces of its own, with a temporary folder in memory, so that nothing
# is left behind even if it is killed. Without the right to do so it runs as it is, and kills what it started.
isolate() {
    local folder
    if [ -z "${FR_ISOLATED:-}" ]; then
        if can_isolate; then
            FR_ISOLATED=1 exec unshare --pid --fork --kill-child --mount --mount-proc --net --uts --ipc \
                bash "$0" "$@"
        fi
        folder=${TMPDIR:-/tmp}
    else
        folder=$(spare_folder)
        mount -t tmpfs -o size=512m,mode=1777 none "$folder"
        ip link set lo up
    fi
    export TMPDIR=$folder
    . "$SOURCE/tests/e2e/common.sh"
    TMPDIR=$folder # whole: other users write to it, too
    trap 'end_children $$; rm -rf "$work"' EXIT
}

can_isolate() {
    command -v ip >/dev/null &&
        unshare --pid --fork --mount --mount-proc --net --uts --ipc true 2>/dev/null
}

# An existing folder that holds neither the sources nor the build.
spare_folder() {
    local folder
    for folder in /mnt /media /srv /opt; do
        if [ -d "$folder" ] && [[ $SOURCE/ != "$folder"/* && $FORERUN != "$folder"/* ]]; then
            echo "$folder"
            return
        fi
    done
    skip "no folder to mount a temporary file system on"
}

# Kill all descendants of a process.
end_children() {
    local child
    for child in $(pgrep -P "$1" || true); do
        [ "$child" != "$BASHPID" ] || continue
        end_children "$child"
        kill -KILL "$child" 2>/dev/null || true
    done
}

# A process that has ended but waits to be collected does not run.
is_running() {
    [ -e "/proc/$1/stat" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}
