# Tests that run under mpirun: each file once per listed number of ranks.

fr_mpi_test(mpi/test_group.c 2 3 4)
fr_mpi_test(mpi/test_agree.c 2 3)
fr_mpi_test(mpi/test_grid.c 1 2 3 4 6)
fr_mpi_test(mpi/test_node.c 2 3)
fr_mpi_test(mpi/test_share.c 1 2 3)
fr_mpi_test(mpi/test_frozen.c 1 2 3)
fr_mpi_test(mpi/test_watch.c 2 3)
fr_mpi_test(mpi/test_post.c 2 3)
fr_mpi_test(mpi/test_reparam.c 1 2 3 4)
fr_mpi_test(mpi/test_gather.c 1 2 3 4)
fr_mpi_test(mpi/test_bubble.c 2 3 4)
fr_mpi_test(mpi/test_links_train.c 2 3 4)
fr_mpi_test(mpi/test_link.c 2 3)

# Its device is late, and its allocations fail.
if(TARGET mpi_link)
    foreach(wrapped fr_device_get fr_device_mark fr_device_passed malloc calloc realloc aligned_alloc strdup free)
        target_link_options(mpi_link PRIVATE "LINKER:--wrap=${wrapped}")
    endforeach()
endif()
