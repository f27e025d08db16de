# Every test_*.c here is one CUnit binary, an allocation-failure sweep. The scripts kill runs and let their system
# calls fail; kill.sh takes any number of rounds, crash_points.sh an `all`.

file(GLOB FAULT_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.c)
foreach(source ${FAULT_SOURCES})
    fr_fault_test(${source})
endforeach()

fr_script_test(fault kill ${CMAKE_CURRENT_LIST_DIR}/kill.sh 5)
fr_script_test(fault run_folder ${CMAKE_CURRENT_LIST_DIR}/run_folder.sh)
fr_script_test(fault full_disk ${CMAKE_CURRENT_LIST_DIR}/full_disk.sh)

# The sanitizers' runtime must be the first library of a process, and so must this one.
if(NOT FORERUN_SANITIZE)
    add_library(fr_crash_shim MODULE ${CMAKE_CURRENT_LIST_DIR}/crash_shim.c)
    target_link_libraries(fr_crash_shim PRIVATE fr_options ${CMAKE_DL_LIBS})
    fr_script_test(fault crash_points ${CMAKE_CURRENT_LIST_DIR}/crash_points.sh $<TARGET_FILE:fr_crash_shim>)
endif()
