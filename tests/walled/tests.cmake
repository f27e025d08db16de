# The program on a device behind a wall (walled.c), with scripts of tests/e2e: their results are those of the plain CPU.
add_executable(forerun_walled ${CLI_SOURCES} ${CMAKE_CURRENT_LIST_DIR}/walled.c)
target_link_libraries(forerun_walled PRIVATE fr_train fr_options)
target_compile_definitions(forerun_walled PRIVATE FORERUN_VERSION="${PROJECT_VERSION}")

# fr_walled_test(NAME SCRIPT [ARGS...])
function(fr_walled_test name script)
    add_test(NAME walled.${name} COMMAND bash ${PROJECT_SOURCE_DIR}/tests/e2e/${script}.sh ${ARGN})
    fr_test_properties(walled.${name} walled 2)
    set_property(TEST walled.${name} APPEND PROPERTY ENVIRONMENT
        "FORERUN=$<TARGET_FILE:forerun_walled>" "SOURCE=${PROJECT_SOURCE_DIR}")
endfunction()

# one_arithmetic compares with digests of the plain CPU
fr_walled_test(one_arithmetic one_arithmetic tiny)
fr_walled_test(layouts layouts tiny)
fr_walled_test(resume resume tiny)
fr_walled_test(multitask multitask)
fr_walled_test(generate generate)
fr_walled_test(quantised quantised tiny)
fr_walled_test(reparam reparam)
