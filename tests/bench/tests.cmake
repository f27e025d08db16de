# Speed measurements: built; no test looks at what they print.

add_executable(bench_gemm bench/bench_gemm.c)
target_link_libraries(bench_gemm PRIVATE fr_device fr_options)

add_executable(bench_bubble bench/bench_bubble.c support/stage_walk.c)
target_include_directories(bench_bubble PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(bench_bubble PRIVATE fr_train fr_options)

# Arithmetic over counts.
add_test(NAME unit.roofline COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_roofline.py)
fr_test_properties(unit.roofline unit 1)

# Does it run, not how fast.
fr_script_test(e2e bench ${CMAKE_CURRENT_LIST_DIR}/smoke.sh)
