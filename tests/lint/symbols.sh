#!/usr/bin/env bash
# symbols.sh ARCHIVE...: the libraries hold no writable object, end no process, print nothing and use no function of
# the C library whose bits depend on the machine (elementary.py, which names the line, sees no pointer to one).
# Standard error is for the log (ctx.c) and the progress line (metrics.c) alone.
set -euo pipefail

if [ $# -eq 0 ]; then
    echo "usage: symbols.sh ARCHIVE..." >&2
    exit 2
fi

endings='^(exit|_exit|_Exit|quick_exit|abort|raise|MPI_Abort)$'
prints='^(printf|__printf_chk|vprintf|__vprintf_chk|puts|putchar|perror|stdout)$'
transcendentals='^_*(exp(2|10|m1)?|log(2|10|1p)?|pow|sincos|a?(sin|cos|tan)h?|atan2|hypot|cbrt|erfc?|[tl]gamma)[fl]?(_finite)?$'
problems=0

report() {
    echo "$1"
    problems=$((problems + 1))
}

# objdump -t: address, seven flag columns, then section, size and name; O in the flags is an object.
writable_objects() {
    objdump -t "$1" | awk '
        /:     file format/ { member = $1; sub(/:$/, "", member) }
        substr($0, 24, 1) == "O" || $2 == "*COM*" || $3 == "*COM*" {
            rest = substr($0, 26)
            split(rest, part, /[ \t]+/)
            if (part[1] ~ /^(\.data|\.bss|\.tdata|\.tbss|\.ldata|\.lbss|\*COM\*)/ &&
                part[1] !~ /^\.data\.rel\.ro/) {
                print member ": writable object " part[3] " in " part[1]
            }
        }'
}

undefined_symbols() {
    nm -u "$1" | awk '
        /:$/ { member = $1; sub(/:$/, "", member) }
        $1 == "U" || $1 == "w" { sub(/@.*/, "", $2); print member, $2 }'
}

for archive in "$@"; do
    while IFS= read -r line; do
        report "$line"
    done < <(writable_objects "$archive")
    while read -r member symbol; do
        if [[ $symbol =~ $endings ]]; then
            report "$member: ends the process by $symbol; return a status"
        elif [[ $symbol =~ $prints ]]; then
            report "$member: prints by $symbol; use fr_log or a FILE * of the caller"
        elif [[ $symbol =~ $transcendentals ]]; then
            report "$member: uses $symbol of the C library; use base/elementary.h"
        elif [ "$symbol" = stderr ] && [[ ! $member =~ ^(ctx|metrics)\.c\.o$ ]]; then
            report "$member: names stderr; use fr_log"
        fi
    done < <(undefined_symbols "$archive")
done
echo "symbols: $# archives checked, $problems problems"
[ "$problems" -eq 0 ]
