#!/bin/sh
# unlike_ranks.sh FIRST SECOND COMMAND...: what mpirun starts where rank 0 is to have FORERUN_ISA=FIRST and the others SECOND.
# One command for all ranks, since the mpirun of Open MPI 5.0 crashes on two with a colon between.
FORERUN_ISA=$2
[ "${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-0}}" != 0 ] || FORERUN_ISA=$1
export FORERUN_ISA
shift 2
exec "$@"
