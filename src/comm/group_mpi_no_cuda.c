/* An MPI that cannot be asked about GPUs' memory, which it would crash on if it could not read it. */
#include "comm/group_mpi_impl.h"

bool fr_mpi_takes_cuda(void)
{
    return false;
}
