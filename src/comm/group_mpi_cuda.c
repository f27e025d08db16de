/* An MPI that says whether it was built for GPUs' memory and has found NVIDIA's driver. */
#include "comm/group_mpi_impl.h"

#include <mpi-ext.h>

bool fr_mpi_takes_cuda(void)
{
    return MPIX_Query_cuda_support() == 1;
}
