# Every fuzz_NAME.c defines LLVMFuzzerTestOneInput for one reader of bytes from outside; seeds.sh makes its first inputs.
# With FORERUN_FUZZ each becomes a libFuzzer program, libfuzzer_NAME, which ../long.sh runs. Every other build runs the
# same code over the seeds and some damaged copies of them (replay.c), with any compiler, as the test fuzz.replay_NAME.

set(FUZZ_FOLDER ${CMAKE_CURRENT_LIST_DIR})
file(GLOB fuzz_sources CONFIGURE_DEPENDS ${FUZZ_FOLDER}/fuzz_*.c)
file(GLOB seed_sources CONFIGURE_DEPENDS ${FUZZ_FOLDER}/seeds*.c)

if(NOT CUNIT_FOUND) # its helpers, without which nothing here is built
    foreach(source ${fuzz_sources})
        get_filename_component(name ${source} NAME_WE)
        string(REGEX REPLACE "^fuzz_" "" name ${name})
        fr_skipped_test(fuzz.replay_${name} fuzz)
    endforeach()
    return()
endif()

set(FUZZ_SHARED ${FUZZ_FOLDER}/fuzz.c ${FUZZ_FOLDER}/use.c ${FUZZ_FOLDER}/models.c)

add_executable(fuzz_seeds ${seed_sources} ${FUZZ_FOLDER}/fuzz.c)
target_link_libraries(fuzz_seeds PRIVATE fr_support fr_options)

# The command `generate` is fuzzed as a whole, and what it reads of an earlier one.
get_target_property(cli_sources forerun SOURCES)
list(FILTER cli_sources EXCLUDE REGEX "main\\.c$|keep_plugins\\.c$")
set(FUZZ_MORE_generate ${cli_sources})
set(FUZZ_MORE_answers ${cli_sources})

add_custom_target(fuzzers DEPENDS fuzz_seeds)
foreach(source ${fuzz_sources})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^fuzz_" "" name ${name})
    if(FORERUN_FUZZ)
        add_executable(libfuzzer_${name} ${source} ${FUZZ_SHARED} ${FUZZ_MORE_${name}})
        target_link_libraries(libfuzzer_${name} PRIVATE fr_support fr_options)
        target_compile_definitions(libfuzzer_${name} PRIVATE FORERUN_VERSION="${PROJECT_VERSION}")
        target_link_options(libfuzzer_${name} PRIVATE -fsanitize=fuzzer)
        add_dependencies(fuzzers libfuzzer_${name})
    else()
        add_executable(replay_${name} ${source} ${FUZZ_SHARED} ${FUZZ_MORE_${name}} ${FUZZ_FOLDER}/replay.c)
        target_link_libraries(replay_${name} PRIVATE fr_support fr_options)
        target_compile_definitions(replay_${name} PRIVATE FORERUN_VERSION="${PROJECT_VERSION}")
        add_test(NAME fuzz.replay_${name} COMMAND bash ${FUZZ_FOLDER}/replay.sh ${name})
        fr_test_properties(fuzz.replay_${name} fuzz 1)
        set_property(TEST fuzz.replay_${name} APPEND PROPERTY ENVIRONMENT
            "PROGRAMS=${CMAKE_CURRENT_BINARY_DIR}" "FORERUN=$<TARGET_FILE:forerun>" "SOURCE=${PROJECT_SOURCE_DIR}")
    endif()
endforeach()
