# Allocation-failure sweeps (every test_*.c here is one CUnit binary), and scripts that stop and lose ranks.

file(GLOB FAULT_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.c)
foreach(source ${FAULT_SOURCES})
    fr_fault_test(${source})
endforeach()

# Ranks that stop under mpirun.
fr_script_test(fault stop_rank.n2 ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh stopped 2 1 1)
fr_script_test(fault stop_rank.n3 ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh stopped 1 3 0)
fr_script_test(fault stop_rank.n4 ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh stopped 2 2 3)
fr_script_test(fault stop_rank.hanging ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh hanging)
fr_script_test(fault stop_rank.slow ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh slow)
fr_script_test(fault stop_rank.busy ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh busy)
fr_script_test(fault stop_rank.signals ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh signals)
fr_script_test(fault launch_run ${CMAKE_CURRENT_LIST_DIR}/launch_run.sh)
fr_script_test(fault launch_run_user ${CMAKE_CURRENT_LIST_DIR}/launch_run.sh user)
set_property(TEST fault.launch_run fault.launch_run_user PROPERTY RESOURCE_LOCK cluster)
