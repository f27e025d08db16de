# The Slurm scripts: submit alone, and against a Slurm that each test starts for itself (skipped visibly without).

fr_script_test(cluster submit ${CMAKE_CURRENT_SOURCE_DIR}/cluster/submit.sh)
foreach(name requeue give_up chain array srun teardown)
    fr_script_test(cluster slurm_${name} ${CMAKE_CURRENT_SOURCE_DIR}/cluster/slurm_${name}.sh)
    set_tests_properties(cluster.slurm_${name} PROPERTIES RESOURCE_LOCK cluster)
endforeach()
set_tests_properties(cluster.slurm_requeue PROPERTIES TIMEOUT 300)
