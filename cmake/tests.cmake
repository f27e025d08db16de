# Helpers that register tests: kind.file[.nRANKS], with labels, time limits and processor counts. FR_TEST_WHEN, where it is
# set: arguments of add_test that keep a test out of a plain run ("CONFIGURATIONS long": `ctest -C long` runs it).

set(FR_TEST_ENVIRONMENT
    "FORERUN_CACHE=0"
    "OMP_WAIT_POLICY=passive" "OMPI_ALLOW_RUN_AS_ROOT=1" "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    "OMPI_MCA_rmaps_base_oversubscribe=1" "OMPI_MCA_mpi_yield_when_idle=1"
    "OMPI_MCA_hwloc_base_binding_policy=none" "OMPI_MCA_btl_base_warn_component_unused=0"
    "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe" "PRTE_MCA_hwloc_default_binding_policy=none"
    "OMPI_MCA_btl_vader_single_copy_mechanism=none")

# Sanitizers and Open MPI: its plugins are unloaded before the leak check, so leak stacks lose their names
# (keep_plugins.c), they are built without frame pointers, and they keep memory to the end (lsan.supp).
set(FR_KEEP_PLUGINS ${CMAKE_CURRENT_LIST_DIR}/../tests/support/keep_plugins.c)
cmake_path(NORMAL_PATH FR_KEEP_PLUGINS)
if(FORERUN_SANITIZE AND CUNIT_FOUND)
    target_sources(fr_support INTERFACE ${FR_KEEP_PLUGINS})
    target_link_options(fr_support INTERFACE "LINKER:--export-dynamic-symbol=dlclose")
endif()
if(FORERUN_SANITIZE)
    target_sources(forerun PRIVATE ${FR_KEEP_PLUGINS})
    target_link_options(forerun PRIVATE "LINKER:--export-dynamic-symbol=dlclose")
    list(APPEND FR_TEST_ENVIRONMENT
        "ASAN_OPTIONS=fast_unwind_on_malloc=0:allocator_may_return_null=1:detect_stack_use_after_return=1"
        "LSAN_OPTIONS=suppressions='${CMAKE_CURRENT_SOURCE_DIR}/support/lsan.supp':print_suppressions=0"
        "UBSAN_OPTIONS=print_stacktrace=1")
else()
    set_source_files_properties(${FR_KEEP_PLUGINS} PROPERTIES HEADER_FILE_ONLY ON)
endif()

function(fr_test_properties test kind processors)
    set(timeout_unit 60)
    set(timeout_conf 300)
    set(timeout_golden 120)
    set(timeout_fuzz 300)
    set(timeout_mpi 120)
    set(timeout_e2e 600)
    set(timeout_fault 300)
    set(timeout_walled 600)
    set(timeout_gpu 600)
    set(timeout_cluster 180)
    set(timeout_lint 60)
    set(timeout ${timeout_${kind}})
    if(kind MATCHES "^(e2e|walled)$") # runs of a few steps: most of the time ranks start and end, and processors are idle
        set(processors 1)
    endif()
    if(FORERUN_SANITIZE) # several times slower, more on a busy machine
        math(EXPR timeout "5 * ${timeout}")
    endif()
    set_tests_properties(${test} PROPERTIES
        LABELS ${kind} TIMEOUT ${timeout} PROCESSORS ${processors}
        SKIP_RETURN_CODE 77 ENVIRONMENT "${FR_TEST_ENVIRONMENT}")
endfunction()

# fr_skipped_test(TEST KIND): in the place of a test whose packages are missing.
function(fr_skipped_test test kind)
    add_test(NAME ${test} COMMAND sh -c
        "echo 'skipped: CUnit is not installed (launch/install-deps.sh test)'; exit 77")
    fr_test_properties(${test} ${kind} 1)
endfunction()

# fr_cunit_test(TEST KIND PROCESSORS SOURCE COMMAND...): build SOURCE as KIND_NAME and register COMMAND as TEST.
function(fr_cunit_test test kind processors source)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    if(NOT CUNIT_FOUND)
        fr_skipped_test(${test} ${kind})
        return()
    endif()
    if(NOT TARGET ${kind}_${name})
        add_executable(${kind}_${name} ${source})
        target_link_libraries(${kind}_${name} PRIVATE fr_support fr_options)
    endif()
    add_test(NAME ${test} ${FR_TEST_WHEN} COMMAND ${ARGN})
    fr_test_properties(${test} ${kind} ${processors})
endfunction()

# fr_test(KIND FILE): build FILE and register it as KIND.name.
function(fr_test kind source)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    fr_cunit_test(${kind}.${name} ${kind} 1 ${source} ${kind}_${name})
endfunction()

# fr_fault_test(FILE): like fr_test, with the allocations of statically linked code redirected to fault.c.
function(fr_fault_test source)
    fr_test(fault ${source})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    if(NOT CUNIT_FOUND)
        return()
    endif()
    foreach(wrapped malloc calloc realloc aligned_alloc strdup free)
        target_link_options(fault_${name} PRIVATE "LINKER:--wrap=${wrapped}")
    endforeach()
endfunction()

# fr_mpi_test(FILE RANKS...): build once, register once per rank count; the binary gets the count.
function(fr_mpi_test source)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    set(program "")
    if(CUNIT_FOUND)
        set(program $<TARGET_FILE:mpi_${name}>)
    endif()
    foreach(ranks ${ARGN})
        fr_cunit_test(mpi.${name}.n${ranks} mpi ${ranks} ${source}
            ${MPIEXEC_EXECUTABLE} -n ${ranks} ${program} --ranks ${ranks})
    endforeach()
endfunction()

# fr_script_test(KIND NAME SCRIPT [ARGS...]): a shell script that gets FORERUN (the binary) and SOURCE in its environment.
function(fr_script_test kind name script)
    add_test(NAME ${kind}.${name} COMMAND bash ${script} ${ARGN})
    fr_test_properties(${kind}.${name} ${kind} 2)
    set_property(TEST ${kind}.${name} APPEND PROPERTY ENVIRONMENT
        "FORERUN=$<TARGET_FILE:forerun>" "SOURCE=${PROJECT_SOURCE_DIR}")
endfunction()
