/* Every rank alone on its node, for programs that are started with LD_PRELOAD: what several machines with a shared folder are to
 * the program. */
#include <mpi.h>

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *out)
{
    int rank = 0;
    (void)info;
    int code = MPI_Comm_rank(comm, &rank);
    return code == MPI_SUCCESS && type == MPI_COMM_TYPE_SHARED
               ? MPI_Comm_split(comm, rank, key, out)
               : code;
}
