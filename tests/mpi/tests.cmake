# Tests that run under mpirun: each file once per listed number of ranks.

fr_mpi_test(mpi/test_group.c 2 3 4)
fr_mpi_test(mpi/test_agree.c 2 3)
fr_mpi_test(mpi/test_grid.c 1 2 3 4 6)
fr_mpi_test(mpi/test_watch.c 2 3)
