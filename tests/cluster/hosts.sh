# Hosts for tests: network, host name and mounts of their own, joined by a switch in user space (link.c). Sourced
# after common.sh; LINK is the switch's program. Host i is h<i> with the address 10.77.0.<10+i>.

# need_hosts ARGUMENTS...: isolate the test, or skip it.
need_hosts() {
    [ "$(id -u)" = 0 ] || skip "hosts need root"
    [ -w /dev/net/tun ] || skip "hosts need /dev/net/tun"
    can_isolate || skip "hosts need iproute2 and the right to make namespaces"
    isolate "$@"
    export HOSTS_FOLDER=$TMPDIR/hosts
    mkdir "$HOSTS_FOLDER"
    cp "$SOURCE/tests/cluster/hosts-rsh" "$HOSTS_FOLDER/hosts-rsh"
    export PATH=$HOSTS_FOLDER:$PATH
}

# hosts_up N [RATE_MBIT [DELAY_US [LOSS_PPM]]]
hosts_up() {
    local n=$1 i pid switch_pid
    mkfifo "$HOSTS_FOLDER/switch"
    "$LINK" tap "$n" "${2:-1000}" "${3:-200}" "${4:-0}" <"$HOSTS_FOLDER/switch" >"$HOSTS_FOLDER/switch.out" &
    switch_pid=$!
    disown $switch_pid
    exec {switch}>"$HOSTS_FOLDER/switch"
    wait_for_line "$HOSTS_FOLDER/switch.out" ready
    chrt -f -p 20 $switch_pid 2>/dev/null || true # else its delays grow with the load
    echo '127.0.0.1 localhost' >"$HOSTS_FOLDER/names"
    for ((i = 0; i < n; i++)); do
        echo "10.77.0.$((10 + i)) h$i" >>"$HOSTS_FOLDER/names"
    done
    mount --bind "$HOSTS_FOLDER/names" /etc/hosts
    for ((i = 0; i < n; i++)); do
        unshare --net --uts --mount -- sh -c "hostname h$i; echo up >'$HOSTS_FOLDER/h$i.up'; exec sleep 1000000" &
        pid=$!
        disown $pid # the shell says nothing when the test's end kills it
        wait_for_file "$HOSTS_FOLDER/h$i.up"
        echo $pid >"$HOSTS_FOLDER/h$i"
        ip link set "tap$i" netns $pid name eth0
        on "h$i" ip addr add "10.77.0.$((10 + i))/24" dev eth0
        on "h$i" ip link set lo up
        on "h$i" ip link set eth0 up
    done
    cat >"$HOSTS_FOLDER/site.env" <<SITE
OMPI_MCA_plm=rsh
OMPI_MCA_plm_rsh_agent=hosts-rsh
OMPI_MCA_plm_rsh_no_tree_spawn=1
OMPI_MCA_oob_tcp_if_include=eth0
OMPI_MCA_btl_tcp_if_include=eth0
OMPI_MCA_pml=ob1
OMPI_MCA_btl=self,vader,tcp
OMPI_MCA_orte_tmpdir_base=$HOSTS_FOLDER
FORERUN_SHARE_CORES=1
SITE
}

# on HOST COMMAND...: with this test's environment.
on() {
    nsenter --target "$(cat "$HOSTS_FOLDER/$1")" --net --uts --mount -- "${@:2}"
}

# tell "WORD PORT VALUE": an order to the switch; what it says in $answer.
tell() {
    local answers
    answers=$(wc -l <"$HOSTS_FOLDER/switch.out")
    echo "$1" >&"$switch"
    for _ in $(seq 100); do
        if [ "$(wc -l <"$HOSTS_FOLDER/switch.out")" -gt "$answers" ]; then
            answer=$(tail -n 1 "$HOSTS_FOLDER/switch.out")
            [[ $answer == "ok "* ]] || fail "the switch did not understand: $1"
            return 0
        fi
        sleep 0.02
    done
    fail "the switch did not answer: $1"
}

wait_for_line() {
    for _ in $(seq 200); do
        ! grep -q -- "$2" "$1" 2>/dev/null || return 0
        sleep 0.05
    done
    fail "no line '$2' in $1 after 10 s: $(cat "$1")"
}

# Processes on a host beside the one that holds it.
left_on() {
    local holder space process
    holder=$(cat "$HOSTS_FOLDER/$1")
    space=$(readlink "/proc/$holder/ns/net")
    for process in /proc/[0-9]*; do
        if [ "$(readlink "$process/ns/net" 2>/dev/null)" = "$space" ] && is_running "${process#/proc/}" &&
            [ "${process#/proc/}" != "$holder" ]; then
            tr '\0' ' ' <"$process/cmdline" || true
            echo
        fi
    done
}
