# The Slurm scripts: submit alone, and against a Slurm that each test starts for itself (skipped visibly without).

fr_script_test(cluster submit ${CMAKE_CURRENT_SOURCE_DIR}/cluster/submit.sh)
foreach(name requeue give_up chain array srun teardown)
    fr_script_test(cluster slurm_${name} ${CMAKE_CURRENT_SOURCE_DIR}/cluster/slurm_${name}.sh)
    set_tests_properties(cluster.slurm_${name} PROPERTIES RESOURCE_LOCK cluster)
endforeach()
set_tests_properties(cluster.slurm_requeue PROPERTIES TIMEOUT 300)

# The emulated GPU stands for those that this Slurm deals out (tests/cuda_emulation).
if(TARGET forerun_cuda)
    fr_script_test(cluster slurm_gpus ${CMAKE_CURRENT_SOURCE_DIR}/cluster/slurm_gpus.sh)
    set_property(TEST cluster.slurm_gpus APPEND PROPERTY ENVIRONMENT
        "FORERUN_CUDA=$<TARGET_FILE:forerun_cuda>" "LD_LIBRARY_PATH=${CMAKE_CURRENT_BINARY_DIR}/emulated_driver")
    set_tests_properties(cluster.slurm_gpus PROPERTIES RESOURCE_LOCK cluster)
endif()
