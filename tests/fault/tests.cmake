# Allocation-failure sweeps: every test_*.c here is one CUnit binary. Scripts lose ranks and hosts.

file(GLOB FAULT_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.c)
foreach(source ${FAULT_SOURCES})
    fr_fault_test(${source})
endforeach()

fr_script_test(fault launch_run ${CMAKE_CURRENT_LIST_DIR}/launch_run.sh)
fr_script_test(fault launch_run_user ${CMAKE_CURRENT_LIST_DIR}/launch_run.sh user)
set_property(TEST fault.launch_run fault.launch_run_user PROPERTY RESOURCE_LOCK cluster)
