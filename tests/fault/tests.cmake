# Allocation-failure sweeps: every test_*.c here is one CUnit binary.

file(GLOB FAULT_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.c)
foreach(source ${FAULT_SOURCES})
    fr_fault_test(${source})
endforeach()
