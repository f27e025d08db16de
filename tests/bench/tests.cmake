# Speed measurements: built, never run as tests.

add_executable(bench_gemm bench/bench_gemm.c)
target_link_libraries(bench_gemm PRIVATE fr_device fr_options)
