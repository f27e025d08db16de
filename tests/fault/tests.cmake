# Every test_*.c here is one CUnit binary, an allocation-failure sweep. The scripts kill runs and let their system
# calls fail; kill.sh takes any number of rounds, soak.sh of steps, crash_points.sh an `all`.

file(GLOB FAULT_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.c)
foreach(source ${FAULT_SOURCES})
    fr_fault_test(${source})
endforeach()

# Ranks that stop under mpirun.
fr_script_test(fault stop_rank.n2 ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh stopped 2 1 1)
fr_script_test(fault stop_rank.n3 ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh stopped 1 3 0)
fr_script_test(fault stop_rank.n4 ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh stopped 2 2 3)
fr_script_test(fault stop_rank.slow ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh slow)
fr_script_test(fault stop_rank.busy ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh busy)
fr_script_test(fault stop_rank.signals ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh signals)
fr_script_test(fault launch_run ${CMAKE_CURRENT_LIST_DIR}/launch_run.sh)
fr_script_test(fault launch_run_user ${CMAKE_CURRENT_LIST_DIR}/launch_run.sh user)
set_property(TEST fault.launch_run fault.launch_run_user PROPERTY RESOURCE_LOCK cluster)
fr_script_test(fault kill ${CMAKE_CURRENT_LIST_DIR}/kill.sh 5)
fr_script_test(fault launcher_lock ${CMAKE_CURRENT_LIST_DIR}/launcher_lock.sh)
fr_script_test(fault soak ${CMAKE_CURRENT_LIST_DIR}/soak.sh 12000)
fr_script_test(fault run_folder ${CMAKE_CURRENT_LIST_DIR}/run_folder.sh)
fr_script_test(fault full_disk ${CMAKE_CURRENT_LIST_DIR}/full_disk.sh)


# Ranks of commands without a run folder.
foreach(case "eval 2 1 STOP" "eval 3 0 STOP" "eval 3 2 KILL" "generate 2 0 STOP" "generate 3 1 STOP" "generate 2 1 KILL")
    string(REPLACE " " ";" arguments ${case})
    string(REPLACE " " "." name ${case})
    fr_script_test(fault stop_command.${name} ${CMAKE_CURRENT_LIST_DIR}/stop_command.sh ${arguments})
endforeach()

# The sanitizers' runtime must be the first library of a process, and so must this one.
if(NOT FORERUN_SANITIZE)
    add_library(fr_crash_shim MODULE ${CMAKE_CURRENT_LIST_DIR}/crash_shim.c)
    target_link_libraries(fr_crash_shim PRIVATE fr_options ${CMAKE_DL_LIBS})
    fr_script_test(fault stop_rank.hanging ${CMAKE_CURRENT_LIST_DIR}/stop_rank.sh hanging $<TARGET_FILE:fr_crash_shim>)
    fr_script_test(fault slow_disk ${CMAKE_CURRENT_LIST_DIR}/slow_disk.sh $<TARGET_FILE:fr_crash_shim>)
    fr_script_test(fault crash_points ${CMAKE_CURRENT_LIST_DIR}/crash_points.sh $<TARGET_FILE:fr_crash_shim>)
    fr_script_test(fault export_points ${CMAKE_CURRENT_LIST_DIR}/export_points.sh $<TARGET_FILE:fr_crash_shim>)
    add_library(fr_hang_shim MODULE ${CMAKE_CURRENT_LIST_DIR}/hang_shim.c)
    target_link_libraries(fr_hang_shim PRIVATE fr_options ${CMAKE_DL_LIBS})
    foreach(case early ranks remember late closed terminal mpirun rows)
        fr_script_test(fault signals.${case} ${CMAKE_CURRENT_LIST_DIR}/signals.sh $<TARGET_FILE:fr_hang_shim> ${case})
    endforeach()
    foreach(case "generate 2 1 LOAD" "preflight 2 1 STOP")
        string(REPLACE " " ";" arguments ${case})
        string(REPLACE " " "." name ${case})
        fr_script_test(fault stop_command.${name} ${CMAKE_CURRENT_LIST_DIR}/stop_command.sh ${arguments}
            $<TARGET_FILE:fr_hang_shim>)
    endforeach()
endif()

add_executable(fault_abandon ${CMAKE_CURRENT_LIST_DIR}/abandon.c)
target_link_libraries(fault_abandon PRIVATE fr_comm fr_options)
fr_script_test(fault abandon ${CMAKE_CURRENT_LIST_DIR}/abandon.sh $<TARGET_FILE:fault_abandon>)
fr_script_test(fault abandon_staged ${CMAKE_CURRENT_LIST_DIR}/abandon.sh $<TARGET_FILE:fault_abandon> staged)
fr_script_test(fault abandon_direct ${CMAKE_CURRENT_LIST_DIR}/abandon.sh $<TARGET_FILE:fault_abandon> direct)
