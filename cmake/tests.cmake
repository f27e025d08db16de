# Helpers that register tests: kind.file[.nRANKS], with labels, time limits and processor counts.

set(FR_TEST_ENVIRONMENT
    "OMP_WAIT_POLICY=passive" "OMPI_ALLOW_RUN_AS_ROOT=1" "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    "OMPI_MCA_rmaps_base_oversubscribe=1" "OMPI_MCA_mpi_yield_when_idle=1"
    "OMPI_MCA_hwloc_base_binding_policy=none" "OMPI_MCA_btl_base_warn_component_unused=0")

function(fr_test_properties test kind processors)
    set(timeout_unit 60)
    set(timeout_conf 120)
    set(timeout_golden 120)
    set(timeout_fuzz 120)
    set(timeout_mpi 120)
    set(timeout_e2e 600)
    set(timeout_fault 300)
    set(timeout_lint 60)
    set_tests_properties(${test} PROPERTIES
        LABELS ${kind} TIMEOUT ${timeout_${kind}} PROCESSORS ${processors}
        SKIP_RETURN_CODE 77 ENVIRONMENT "${FR_TEST_ENVIRONMENT}")
endfunction()

# fr_test(KIND FILE): build FILE and register it as KIND.name.
function(fr_test kind source)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    add_executable(${kind}_${name} ${source})
    target_link_libraries(${kind}_${name} PRIVATE fr_support fr_options)
    add_test(NAME ${kind}.${name} COMMAND ${kind}_${name})
    fr_test_properties(${kind}.${name} ${kind} 1)
endfunction()

# fr_mpi_test(FILE RANKS...): build once, register once per rank count; the binary gets the count.
function(fr_mpi_test source)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    add_executable(mpi_${name} ${source})
    target_link_libraries(mpi_${name} PRIVATE fr_support fr_options)
    foreach(ranks ${ARGN})
        add_test(NAME mpi.${name}.n${ranks}
            COMMAND ${MPIEXEC_EXECUTABLE} -n ${ranks} $<TARGET_FILE:mpi_${name}> --ranks ${ranks})
        fr_test_properties(mpi.${name}.n${ranks} mpi ${ranks})
    endforeach()
endfunction()

# fr_script_test(KIND NAME SCRIPT [ARGS...]): a shell script that gets FORERUN and TESTS in its environment.
function(fr_script_test kind name script)
    add_test(NAME ${kind}.${name} COMMAND bash ${script} ${ARGN})
    fr_test_properties(${kind}.${name} ${kind} 2)
    set_property(TEST ${kind}.${name} APPEND PROPERTY ENVIRONMENT
        "FORERUN=$<TARGET_FILE:forerun>" "SOURCE=${PROJECT_SOURCE_DIR}")
endfunction()
