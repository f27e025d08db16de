# Lints read the sources or the built libraries; each takes seconds. `tidy` takes minutes: ctest -C tidy.

find_package(Python3 REQUIRED COMPONENTS Interpreter)

foreach(name layers sizes paths elementary words)
    add_test(NAME lint.${name}
        COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/${name}.py)
    fr_test_properties(lint.${name} lint 1)
endforeach()
foreach(name format shell config_doc)
    fr_script_test(lint ${name} ${CMAKE_CURRENT_LIST_DIR}/${name}.sh)
endforeach()

set_tests_properties(lint.shell PROPERTIES TIMEOUT 300) # shellcheck takes its time

add_test(NAME lint.links COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/links.py)
fr_test_properties(lint.links lint 1)

# The compiler judges: behind a header, each source that may not follow memory of a device.
add_test(NAME lint.device_memory COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/device_memory.py ${CMAKE_BINARY_DIR})
fr_test_properties(lint.device_memory lint 2)
set_tests_properties(lint.device_memory PROPERTIES TIMEOUT 300)

fr_script_test(lint selftest ${CMAKE_CURRENT_LIST_DIR}/selftest.sh ${CMAKE_C_COMPILER})

# Sanitizers add writable objects of their own.
if(NOT FORERUN_SANITIZE)
    fr_script_test(lint symbols ${CMAKE_CURRENT_LIST_DIR}/symbols.sh
        $<TARGET_FILE:fr_base> $<TARGET_FILE:fr_device> $<TARGET_FILE:fr_comm>
        $<TARGET_FILE:fr_model> $<TARGET_FILE:fr_train> $<TARGET_FILE:fr_serve>)
endif()

add_test(NAME tidy.sources CONFIGURATIONS tidy
    COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/tidy.sh ${CMAKE_BINARY_DIR})
set_tests_properties(tidy.sources PROPERTIES
    LABELS tidy TIMEOUT 1800 PROCESSORS 2 SKIP_RETURN_CODE 77)
