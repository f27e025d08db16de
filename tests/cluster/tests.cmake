# Tests that start a cluster's software for themselves; skipped visibly where it can't be started.

fr_script_test(cluster submit ${CMAKE_CURRENT_SOURCE_DIR}/cluster/submit.sh)
foreach(name requeue give_up chain array srun teardown)
    fr_script_test(cluster slurm_${name} ${CMAKE_CURRENT_SOURCE_DIR}/cluster/slurm_${name}.sh)
    set_property(TEST cluster.slurm_${name} PROPERTY RESOURCE_LOCK slurm)
endforeach()
