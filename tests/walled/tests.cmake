# The program on a device behind a wall (walled.c), with scripts of tests/e2e: their results are those of the plain CPU.
set(WALL ${CMAKE_CURRENT_LIST_DIR}/walled.c ${CMAKE_CURRENT_LIST_DIR}/narrow.c)
add_executable(forerun_walled ${CLI_SOURCES} ${WALL})
target_link_libraries(forerun_walled PRIVATE fr_program fr_options)
target_compile_definitions(forerun_walled PRIVATE FORERUN_VERSION="${PROJECT_VERSION}")

# fr_walled_test(NAME SCRIPT [ARGS...]); scripts are of tests/e2e, but for those with a folder of their own
function(fr_walled_test name script)
    if(NOT script MATCHES "/")
        set(script e2e/${script})
    endif()
    add_test(NAME walled.${name} ${FR_TEST_WHEN} COMMAND bash ${PROJECT_SOURCE_DIR}/tests/${script}.sh ${ARGN})
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
fr_walled_test(memory walled/memory)

# Tests written in C whose devices come from the list that they are linked with (fr_device_create). The wall is an object of
# the program, so its list of devices is taken and not the one in the library.
# fr_walled_cunit_test(NAME SOURCE)
function(fr_walled_cunit_test name source)
    get_filename_component(program ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "walled_" program ${program})
    fr_cunit_test(walled.${name} walled 1 ${PROJECT_SOURCE_DIR}/tests/${source} ${program})
    if(TARGET ${program})
        target_sources(${program} PRIVATE ${WALL})
        target_compile_definitions(${program} PRIVATE FR_TEST_WALLED)
    endif()
endfunction()

foreach(name model families reparam) # of tiny models: real ones take minutes
    fr_walled_cunit_test(golden_${name} golden/test_${name}.c)
endforeach()
fr_walled_cunit_test(image unit/test_image.c)

# bf16 between operators (narrow.h)
fr_walled_cunit_test(narrow walled/test_narrow.c)
add_test(NAME walled.narrow_layouts COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/narrow.sh)
fr_test_properties(walled.narrow_layouts walled 4)
set_property(TEST walled.narrow_layouts APPEND PROPERTY ENVIRONMENT
    "FORERUN=$<TARGET_FILE:forerun_walled>" "PLAIN=$<TARGET_FILE:forerun>" "SOURCE=${PROJECT_SOURCE_DIR}")

# Each fault of faults.sh finds its place, and compiles.
add_test(NAME lint.walled_faults COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/faults.sh --check ${CMAKE_BINARY_DIR})
fr_test_properties(lint.walled_faults lint 2)

# The real model takes minutes.
set(FR_TEST_WHEN CONFIGURATIONS long)
fr_walled_cunit_test(golden_smollm2 golden/test_smollm2.c)
foreach(name one_arithmetic layouts resume quantised)
    fr_walled_test(${name}_smollm2 ${name} smollm2)
endforeach()
unset(FR_TEST_WHEN)
