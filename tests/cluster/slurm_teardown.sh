#!/usr/bin/env bash
# Of a test that is killed nothing stays: no daemon, no job, no folder.
. "$(dirname "$0")/slurm.sh"

cat >"$work/victim.sh" <<'SH'
#!/usr/bin/env bash
. "$SOURCE/tests/cluster/slurm.sh"
slurm_start 1
printf '#!/bin/sh\nsleep 600\n' >"$work/long.sh"
job=$(sbatch --parsable "$work/long.sh")
wait_job "$job" 20 RUNNING
printf '%s\n' "$slurm" "$work" >"$told.new"
mv "$told.new" "$told"
sleep 600
SH
told=$work/told bash "$work/victim.sh" >"$work/out" 2>&1 &
victim=$!
end=$((SECONDS + 60))
while [ "$SECONDS" -le "$end" ]; do
    [ ! -e "$work/told" ] && kill -0 "$victim" 2>/dev/null || break
    sleep 0.1
done
if [ ! -e "$work/told" ]; then
    cat "$work/out"
    kill "$victim" 2>/dev/null || true
    code=0
    wait "$victim" || code=$?
    [ "$code" = 77 ] || fail "the victim did not come up: exit code $code"
    exit 77
fi
mapfile -t folders <"$work/told"
mapfile -t ids < <(processes_of "${folders[0]}")
[ ${#ids[@]} -ge 4 ] || fail "${#ids[@]} processes of a Slurm with a job, wanted munged, slurmctld, slurmd and the job"
kill -KILL "$victim"
end=$((SECONDS + 30))
while [ "$SECONDS" -le "$end" ]; do
    mapfile -t ids < <(processes_of "${folders[0]}")
    [ ${#ids[@]} -gt 0 ] || [ -e "${folders[0]}" ] || [ -e "${folders[1]}" ] || break
    sleep 0.1
done
if [ ${#ids[@]} -gt 0 ] || [ -e "${folders[0]}" ] || [ -e "${folders[1]}" ]; then
    slurm_clean "${folders[@]}"
    fail "30 s later there is still ${ids[*]} ${folders[*]}"
fi
echo "a killed test leaves no process and no folder of its Slurm"
