# Several hosts on one machine: namespaces joined by a switch in user space. Root and /dev/net/tun, or skipped.

add_executable(cluster_link ${CMAKE_CURRENT_LIST_DIR}/link.c)
target_link_libraries(cluster_link PRIVATE fr_options)

# fr_cluster_test(NAME SCRIPT ARGS...): one at a time; LINK is the switch.
function(fr_cluster_test name script)
    fr_script_test(cluster ${name} ${PROJECT_SOURCE_DIR}/tests/cluster/${script} ${ARGN})
    set_property(TEST cluster.${name} APPEND PROPERTY ENVIRONMENT "LINK=$<TARGET_FILE:cluster_link>")
    set_property(TEST cluster.${name} PROPERTY RESOURCE_LOCK cluster)
endfunction()

foreach(how clean loss pause)
    fr_cluster_test(training_${how} training.sh ${how})
endforeach()
foreach(how end shrink)
    fr_cluster_test(cut_${how} cut.sh ${how})
endforeach()
fr_cluster_test(placement placement.sh)
foreach(how one hosts silent)
    fr_cluster_test(preflight_${how} preflight.sh ${how})
endforeach()
if(TARGET forerun_cuda)
    fr_cluster_test(gpus gpus.sh)
    set_property(TEST cluster.gpus APPEND PROPERTY ENVIRONMENT
        "FORERUN_CUDA=$<TARGET_FILE:forerun_cuda>" "LD_LIBRARY_PATH=${CMAKE_CURRENT_BINARY_DIR}/emulated_driver")
endif()
