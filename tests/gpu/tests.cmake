# What a GPU alone can show: the operators, golden values and whole runs of tests/cuda_emulation with nvcc's kernels and NVIDIA's
# driver. Built where nvcc is found, skipped at each run where no GPU is. tests/gpu.sh runs all of it, and measures. All but the
# kernels is built a second time over the emulated GPU, for a rehearsal of that script.

if(NOT TARGET fr_cuda_pair)
    return()
endif()

# Each operator, and the runtime where it does not need errors that only an emulated driver makes. tests/gpu.sh reads this list and
# begins with the first: those that take long.
set(FR_GPU_TESTS product attention attention_tensor lt_rows product_tensor few widen sample product_parts qkv loss activation norms norm_heads rows heads memory
    pool row_bits sum_order)
set(FR_GPU_GOLDEN model families reparam)

# ---- over the emulated GPU ----

# gpu_rehearsal: all that `tests/gpu.sh run --rehearse` runs
if(TARGET forerun_cuda)
    add_executable(cuda_with_gpu ${CMAKE_CURRENT_LIST_DIR}/with_gpu.c)
    target_link_libraries(cuda_with_gpu PRIVATE fr_cuda fr_options)
    fr_emulated_gpu(cuda_with_gpu "" fr_emulated_kernels)
    add_executable(cuda_rates ${CMAKE_CURRENT_LIST_DIR}/rates.c)
    target_link_libraries(cuda_rates PRIVATE fr_cuda_pair fr_options)
    fr_emulated_gpu(cuda_rates "" fr_emulated_kernels)
    add_custom_target(gpu_rehearsal DEPENDS cuda_with_gpu cuda_rates fr_emulated_driver fr_emulated_cublaslt forerun_cuda)
    foreach(name ${FR_GPU_TESTS})
        add_dependencies(gpu_rehearsal cuda_${name})
    endforeach()
    foreach(name ${FR_GPU_GOLDEN})
        add_dependencies(gpu_rehearsal golden_cuda_${name})
    endforeach()

    # one program of each kind: the others are tests of their own
    fr_script_test(e2e gpu_rehearsal ${CMAKE_CURRENT_LIST_DIR}/rehearsal.sh)
    set_property(TEST e2e.gpu_rehearsal APPEND PROPERTY ENVIRONMENT "GPU_BUILD=${PROJECT_BINARY_DIR}")
    set_property(TEST e2e.gpu_rehearsal APPEND PROPERTY ENVIRONMENT_MODIFICATION "CUDA_VISIBLE_DEVICES=unset:")
endif()

# ---- on a GPU ----

if(NOT FR_HAS_CUDA)
    return()
endif()

add_executable(with_gpu ${CMAKE_CURRENT_LIST_DIR}/with_gpu.c)
target_link_libraries(with_gpu PRIVATE fr_cuda fr_cuda_images fr_options)
add_executable(gpu_rates ${CMAKE_CURRENT_LIST_DIR}/rates.c ${CMAKE_CURRENT_LIST_DIR}/real.c)
target_link_libraries(gpu_rates PRIVATE fr_cuda_pair fr_cuda_images fr_options)

# gpu_tests: all that tests/gpu.sh runs
add_custom_target(gpu_tests DEPENDS forerun with_gpu gpu_rates)

# fr_gpu_test(NAME COMMAND...): one at a time, since most GPUs of those who build this have little memory
function(fr_gpu_test name)
    add_test(NAME gpu.${name} COMMAND with_gpu ${ARGN})
    fr_test_properties(gpu.${name} gpu 1)
    set_tests_properties(gpu.${name} PROPERTIES RESOURCE_LOCK gpu)
endfunction()

foreach(name ${FR_GPU_TESTS})
    add_executable(gpu_${name} ${PROJECT_SOURCE_DIR}/tests/cuda_emulation/test_${name}.c ${CMAKE_CURRENT_LIST_DIR}/real.c)
    target_link_libraries(gpu_${name} PRIVATE fr_cuda_pair fr_cuda_images fr_options)
    fr_gpu_test(${name} $<TARGET_FILE:gpu_${name}>)
    add_dependencies(gpu_tests gpu_${name})
endforeach()

# Golden values, on the GPU alone.
foreach(name ${FR_GPU_GOLDEN})
    add_executable(gpu_golden_${name} ${PROJECT_SOURCE_DIR}/tests/golden/test_${name}.c
        ${PROJECT_SOURCE_DIR}/tests/cuda_emulation/backends.c)
    target_link_libraries(gpu_golden_${name} PRIVATE fr_support fr_cuda_images fr_options)
    fr_gpu_test(golden_${name} $<TARGET_FILE:gpu_golden_${name}>)
    add_dependencies(gpu_tests gpu_golden_${name})
endforeach()

# Whole runs of the program itself; all ranks of a run share the GPU.
foreach(name layouts resume multitask generate quantised reparam)
    fr_gpu_test(${name} bash ${PROJECT_SOURCE_DIR}/tests/e2e/${name}.sh tiny)
    set_property(TEST gpu.${name} PROPERTY PROCESSORS 2)
    set_property(TEST gpu.${name} APPEND PROPERTY ENVIRONMENT "FORERUN=${CMAKE_CURRENT_LIST_DIR}/forerun.sh"
        "GPU_PROGRAM=$<TARGET_FILE:forerun>" "SOURCE=${PROJECT_SOURCE_DIR}")
endforeach()

# And what the same program does where there is no driver.
fr_script_test(e2e no_driver ${CMAKE_CURRENT_LIST_DIR}/no_driver.sh)
set_property(TEST e2e.no_driver APPEND PROPERTY ENVIRONMENT "WITH_GPU=$<TARGET_FILE:with_gpu>")
