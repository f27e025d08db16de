#!/usr/bin/env bash
# A rank that is killed at its start leaves no lock behind that mpirun waits for: mpirun and its ranks share no memory. What
# they would share lies in a folder pmix_dstor... of mpirun's own.
. "$(dirname "$0")/../e2e/common.sh"
if ! mpirun --version | grep -q 'Open MPI) 4'; then
    echo "another Open MPI than 4: its folders have other names"
    exit 77
fi
export OMPI_MCA_orte_tmpdir_base=$work/session
mkdir "$work/session"
make_tiny
make_config 40 4 f32 true

# lasts NAME COMMAND...: how the folder looks while the command runs
lasts() {
    local name=$1 job seen=0
    shift
    "$@" >"$work/out" 2>"$work/err" </dev/null &
    job=$!
    while kill -0 $job 2>/dev/null; do
        find "$work/session" -mindepth 2 >"$work/found" 2>/dev/null || true
        [ ! -s "$work/found" ] || seen=1
        ! grep pmix_dstor "$work/found" || fail "$name: ranks share memory with mpirun"
        sleep 0.02
    done
    wait $job || fail "$name: $(cat "$work/err")"
    [ "$seen" = 1 ] || fail "$name: mpirun was not seen with a folder"
    echo "$name: no shared memory"
}

lasts mpirun mpirun -n 2 "$FORERUN" train "$work/c.yaml" --set run.stages=2
rm -r "$work/run"
unset PMIX_MCA_gds
lasts launch/run bash "$SOURCE/launch/run" -n 2 "$work/c.yaml" -- --set run.stages=2

# Daemons on other hosts are started without the environment of here.
cat >"$work/lock-rsh" <<'SH'
#!/usr/bin/env bash
shift
exec env -i PATH="$PATH" HOME="$HOME" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    OMPI_MCA_orte_tmpdir_base="$OMPI_MCA_orte_tmpdir_base" sh -c "$*"
SH
chmod +x "$work/lock-rsh"
echo "another-host slots=2" >"$work/hosts"
rm -r "$work/run"
export PATH=$work:$PATH OMPI_MCA_plm_rsh_agent=lock-rsh
lasts "another host" bash "$SOURCE/launch/run" --hostfile "$work/hosts" -n 2 "$work/c.yaml" -- --set run.stages=2
