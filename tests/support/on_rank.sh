#!/bin/sh
# on_rank.sh RANK NAME=VALUE... -- COMMAND...: what mpirun starts where one rank alone is to have these variables.
rank=$1
shift
while [ "$1" != -- ]; do
    [ "${OMPI_COMM_WORLD_RANK:-0}" != "$rank" ] || export "${1?}"
    shift
done
shift
exec "$@"
