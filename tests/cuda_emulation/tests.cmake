# The CUDA backend without CUDA: its kernels as C++ on fibers, its host side over a driver that is made here (README.md). Each
# operator is compared with the CPU's. Needs a C++ compiler, no nvcc and no GPU.

include(CheckLanguage)
if(NOT CMAKE_CXX_COMPILER) # one that was missing before may have been installed since
    unset(CMAKE_CXX_COMPILER CACHE)
endif()
check_language(CXX)
set(FR_CUDA_TESTS "")
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.c)
foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    list(APPEND FR_CUDA_TESTS ${name})
endforeach()

# Each fault of faults.sh finds its place, and compiles.
add_test(NAME lint.cuda_faults COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/faults.sh --check ${CMAKE_BINARY_DIR})
fr_test_properties(lint.cuda_faults lint 2)

if(NOT CUNIT_FOUND OR NOT CMAKE_CXX_COMPILER)
    foreach(name ${FR_CUDA_TESTS})
        add_test(NAME conf.cuda_${name} COMMAND sh -c
            "echo 'skipped: CUnit or a C++ compiler is not installed (launch/install-deps.sh test)'; exit 77")
        fr_test_properties(conf.cuda_${name} conf 1)
    endforeach()
    return()
endif()

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_EXTENSIONS OFF)
enable_language(CXX)

add_library(fr_emulation_options INTERFACE)
target_include_directories(fr_emulation_options INTERFACE ${PROJECT_SOURCE_DIR}/src ${CMAKE_CURRENT_LIST_DIR})
# kernels are optimized in each build: those for debugging would take minutes
target_compile_options(fr_emulation_options INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wdouble-promotion -Wcast-qual -O2 -ffp-contract=off)
# A product and sum that is rounded once is one instruction where the processor has it, else a call. The bits are the same; tests
# run where they are built.
include(CheckCXXSourceRuns)
check_cxx_source_runs("int main() { return __builtin_cpu_supports(\"fma\") ? 0 : 1; }" FR_HOST_HAS_FMA)
if(FR_HOST_HAS_FMA)
    target_compile_options(fr_emulation_options INTERFACE -mfma)
endif()
if(FORERUN_SANITIZE)
    target_compile_options(fr_emulation_options INTERFACE
        -fsanitize=${FORERUN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(fr_emulation_options INTERFACE -fsanitize=${FORERUN_SANITIZE})
endif()

file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/device/cuda/*.cu)
set_source_files_properties(${sources} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
# products of tiles are most of what an emulated product costs
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/tensor.cpp PROPERTIES COMPILE_OPTIONS -O3)
add_library(fr_emulated_kernels STATIC ${sources}
    ${CMAKE_CURRENT_LIST_DIR}/block.cpp ${CMAKE_CURRENT_LIST_DIR}/fiber.cpp ${CMAKE_CURRENT_LIST_DIR}/tensor.cpp)
target_link_libraries(fr_emulated_kernels PUBLIC fr_cuda PRIVATE fr_emulation_options)

add_library(fr_emulated_driver SHARED ${CMAKE_CURRENT_LIST_DIR}/driver.cpp)
set_target_properties(fr_emulated_driver PROPERTIES
    OUTPUT_NAME cuda SOVERSION 1 LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/emulated_driver)
target_link_libraries(fr_emulated_driver PRIVATE fr_emulation_options)

# cuBLASLt and NCCL, in folders of their own: tests that have them look there first. For all others, what cannot be opened hides
# those of this machine, which would meet an emulated GPU.
foreach(library cublasLt.so.12 cublasLt.so.13 nccl.so.2)
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/emulated_driver/lib${library} "no library\n")
endforeach()
add_library(fr_emulated_cublaslt SHARED ${CMAKE_CURRENT_LIST_DIR}/cublaslt.cpp)
set_target_properties(fr_emulated_cublaslt PROPERTIES
    OUTPUT_NAME cublasLt SOVERSION 13 LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/emulated_cublaslt)
target_link_libraries(fr_emulated_cublaslt PRIVATE fr_emulation_options ${CMAKE_DL_LIBS})
add_library(fr_emulated_nccl SHARED ${CMAKE_CURRENT_LIST_DIR}/nccl.c)
set_target_properties(fr_emulated_nccl PROPERTIES
    OUTPUT_NAME nccl SOVERSION 2 LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/emulated_nccl)
target_link_libraries(fr_emulated_nccl PRIVATE fr_emulation_options MPI::MPI_C ${CMAKE_DL_LIBS})

add_library(fr_cuda_pair STATIC ${CMAKE_CURRENT_LIST_DIR}/pair.c ${CMAKE_CURRENT_LIST_DIR}/product_case.c
    ${CMAKE_CURRENT_LIST_DIR}/product_rows.c ${CMAKE_CURRENT_LIST_DIR}/attention_both.c)
target_include_directories(fr_cuda_pair PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(fr_cuda_pair PUBLIC fr_support fr_cuda PRIVATE fr_options)

# fr_emulated_gpu(TARGET TEST KERNELS): a program with these kernels, and its test, which finds the driver
function(fr_emulated_gpu target test kernels)
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/cuda_emulation/kernels_image.c)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/cuda_emulation)
    target_link_libraries(${target} PRIVATE ${kernels})
    add_dependencies(${target} fr_emulated_driver)
    if(test)
        set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT
            "LD_LIBRARY_PATH=${CMAKE_CURRENT_BINARY_DIR}/emulated_driver")
        set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT_MODIFICATION "CUDA_VISIBLE_DEVICES=unset:")
    endif()
endfunction()

# fr_cuda_aware_mpi(TARGET): a program whose MPI takes that GPU's memory where FR_EMULATED_MPI says so
function(fr_cuda_aware_mpi target)
    if(NOT FR_MPI_TELLS_CUDA)
        return()
    endif()
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/cuda_emulation/cuda_aware_mpi.c)
    target_link_libraries(${target} PRIVATE MPI::MPI_C ${CMAKE_DL_LIBS})
endfunction()

# Each operator, the runtime, and the emulation itself.
foreach(name ${FR_CUDA_TESTS})
    add_executable(cuda_${name} ${CMAKE_CURRENT_LIST_DIR}/test_${name}.c)
    target_link_libraries(cuda_${name} PRIVATE fr_cuda_pair fr_options)
    add_test(NAME conf.cuda_${name} COMMAND cuda_${name})
    fr_test_properties(conf.cuda_${name} conf 1)
    fr_emulated_gpu(cuda_${name} conf.cuda_${name} fr_emulated_kernels)
endforeach()

foreach(name lt lt_library lt_ready lt_rows row_bits sum_order)
    add_dependencies(cuda_${name} fr_emulated_cublaslt)
    set_property(TEST conf.cuda_${name} APPEND PROPERTY ENVIRONMENT_MODIFICATION
        "LD_LIBRARY_PATH=path_list_prepend:${CMAKE_CURRENT_BINARY_DIR}/emulated_cublaslt")
endforeach()

# Words of kernels, each in a kernel of its own.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/words/kernels_words.cu PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
add_library(fr_emulated_words STATIC ${CMAKE_CURRENT_LIST_DIR}/words/kernels_words.cu)
target_include_directories(fr_emulated_words PUBLIC ${CMAKE_CURRENT_LIST_DIR}/words)
target_link_libraries(fr_emulated_words PRIVATE fr_emulation_options)
target_link_libraries(cuda_emulation_tensor PRIVATE fr_emulated_words)

# The same with kernels whose races are seen (races.cpp), several times slower: on request, and without other sanitizers.
option(FORERUN_CUDA_RACES "Build the tests of the CUDA backend a second time, so that they see races of kernels" OFF)
if(FORERUN_CUDA_RACES AND NOT FORERUN_SANITIZE)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/device/cuda/*.cu)
    # fr_watched_kernels(KIND WATCHER DEFINITIONS...): fr_KIND_kernels, whose accesses go to that source
    function(fr_watched_kernels kind watcher)
        add_library(fr_${kind}_objects OBJECT ${sources})
        target_link_libraries(fr_${kind}_objects PRIVATE fr_emulation_options)
        # numbers that are read together are seen together
        target_compile_options(fr_${kind}_objects PRIVATE -fsanitize=thread -fno-tree-sra -fno-ipa-sra)
        target_compile_definitions(fr_${kind}_objects PRIVATE ${ARGN})
        add_library(fr_${kind}_kernels STATIC $<TARGET_OBJECTS:fr_${kind}_objects>)
        foreach(source block fiber tensor seen sectors ${watcher})
            target_sources(fr_${kind}_kernels PRIVATE ${PROJECT_SOURCE_DIR}/tests/cuda_emulation/${source}.cpp)
        endforeach()
        target_link_libraries(fr_${kind}_kernels PUBLIC fr_cuda PRIVATE fr_emulation_options)
    endfunction()
    fr_watched_kernels(racing races)
    fr_watched_kernels(counted traffic FR_EMULATED_FUSED) # not of both: to count moves other accesses
    foreach(name activation attention attention_tensor few heads loss norm_heads norms product product_tensor rows sample widen)
        add_executable(cuda_${name}_races ${CMAKE_CURRENT_LIST_DIR}/test_${name}.c)
        target_link_libraries(cuda_${name}_races PRIVATE fr_cuda_pair fr_options)
        add_test(NAME conf.cuda_${name}_races CONFIGURATIONS long COMMAND cuda_${name}_races)
        fr_test_properties(conf.cuda_${name}_races conf 1)
        fr_emulated_gpu(cuda_${name}_races conf.cuda_${name}_races fr_racing_kernels)
        set_property(TEST conf.cuda_${name}_races APPEND PROPERTY ENVIRONMENT "FR_EMULATED_FEW=1") # pair.h
    endforeach()
    add_executable(cuda_sectors ${CMAKE_CURRENT_LIST_DIR}/sectors_calls.c)
    target_link_libraries(cuda_sectors PRIVATE fr_cuda_pair fr_options)
    add_test(NAME conf.cuda_sectors_races CONFIGURATIONS long COMMAND
        bash ${CMAKE_CURRENT_LIST_DIR}/coalescing.sh $<TARGET_FILE:cuda_sectors>)
    fr_test_properties(conf.cuda_sectors_races conf 1)
    fr_emulated_gpu(cuda_sectors conf.cuda_sectors_races fr_racing_kernels)
    add_executable(cuda_layer_step ${CMAKE_CURRENT_LIST_DIR}/layer_step.c)
    target_link_libraries(cuda_layer_step PRIVATE fr_cuda_pair fr_options ${CMAKE_DL_LIBS})
    fr_emulated_gpu(cuda_layer_step "" fr_counted_kernels)
    add_dependencies(cuda_layer_step fr_emulated_cublaslt)
endif()

# Messages from the memory of GPUs.
if(FR_MPI_TELLS_CUDA)
    fr_mpi_test(mpi/test_link_direct.c 2 3)
    target_link_libraries(mpi_link_direct PRIVATE fr_cuda_pair)
    fr_emulated_gpu(mpi_link_direct mpi.link_direct.n2 fr_emulated_kernels)
    set_property(TEST mpi.link_direct.n3 APPEND PROPERTY ENVIRONMENT
        "LD_LIBRARY_PATH=${CMAKE_CURRENT_BINARY_DIR}/emulated_driver")
    fr_cuda_aware_mpi(mpi_link_direct)
endif()

# Sums over NCCL.
fr_mpi_test(mpi/test_link_nccl.c 2 3)
target_link_libraries(mpi_link_nccl PRIVATE fr_cuda_pair)
fr_emulated_gpu(mpi_link_nccl "" fr_emulated_kernels)
add_dependencies(mpi_link_nccl fr_emulated_nccl)
foreach(n 2 3)
    set_property(TEST mpi.link_nccl.n${n} APPEND PROPERTY ENVIRONMENT
        "LD_LIBRARY_PATH=${CMAKE_CURRENT_BINARY_DIR}/emulated_nccl:${CMAKE_CURRENT_BINARY_DIR}/emulated_driver")
endforeach()

# Whole runs: the program with an emulated GPU, which "auto" takes. Sanitizers would take minutes for each.
# fr_emulated_run(NAME SCRIPT ARGUMENTS...): e2e.cuda_NAME
function(fr_emulated_run name script)
    set(test e2e.cuda_${name})
    add_test(NAME ${test} COMMAND bash ${PROJECT_SOURCE_DIR}/tests/e2e/${script}.sh ${ARGN})
    fr_test_properties(${test} e2e 2)
    set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT
        "FORERUN=$<TARGET_FILE:forerun_cuda>" "PLAIN=$<TARGET_FILE:forerun>"
        "FORERUN_CUDA_OR_CPU=$<TARGET_FILE:forerun_cuda_or_cpu>" "SOURCE=${PROJECT_SOURCE_DIR}"
        "FR_DRIVER=${CMAKE_CURRENT_BINARY_DIR}/emulated_driver"
        "FR_CUBLASLT=${CMAKE_CURRENT_BINARY_DIR}/emulated_cublaslt"
        "FR_NCCL=${CMAKE_CURRENT_BINARY_DIR}/emulated_nccl"
        "LD_LIBRARY_PATH=${CMAKE_CURRENT_BINARY_DIR}/emulated_driver")
    set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT_MODIFICATION "CUDA_VISIBLE_DEVICES=unset:")
endfunction()
if(NOT FORERUN_SANITIZE)
    # the second is as `forerun` with WITH_CUDA: "auto" takes the CPU where there is no GPU
    add_executable(forerun_cuda ${CLI_SOURCES} ${CMAKE_CURRENT_LIST_DIR}/backends.c)
    add_executable(forerun_cuda_or_cpu ${CLI_SOURCES} ${PROJECT_SOURCE_DIR}/src/device/backends_cuda.c)
    foreach(program forerun_cuda forerun_cuda_or_cpu)
        target_link_libraries(${program} PRIVATE fr_program fr_options)
        target_compile_definitions(${program} PRIVATE FORERUN_VERSION="${PROJECT_VERSION}")
        fr_emulated_gpu(${program} "" fr_emulated_kernels)
        add_dependencies(${program} fr_emulated_cublaslt)
    endforeach()
    fr_cuda_aware_mpi(forerun_cuda)
    foreach(name layouts resume multitask generate quantised) # reparam: .ci/long families
        fr_emulated_run(${name} ${name} tiny)
    endforeach()
    fr_emulated_run(layouts_tensor layouts tensor)
    fr_emulated_run(families families always bloom gemma2 gpt_neox qwen3) # all of them: .ci/long families
    add_dependencies(forerun_cuda fr_emulated_nccl)
    foreach(name memory preflight chosen errors offload products nccl)
        fr_emulated_run(${name} cuda_${name})
    endforeach()
    if(FR_MPI_TELLS_CUDA)
        fr_emulated_run(direct cuda_direct)
    endif()
    foreach(name model families reparam)
        add_executable(golden_cuda_${name} ${PROJECT_SOURCE_DIR}/tests/golden/test_${name}.c
            ${CMAKE_CURRENT_LIST_DIR}/backends.c)
        target_link_libraries(golden_cuda_${name} PRIVATE fr_support fr_options)
        add_test(NAME golden.cuda_${name} COMMAND golden_cuda_${name})
        fr_test_properties(golden.cuda_${name} golden 1)
        fr_emulated_gpu(golden_cuda_${name} golden.cuda_${name} fr_emulated_kernels)
    endforeach()
endif()

# The same over kernels that nvcc has read.
include(${CMAKE_CURRENT_LIST_DIR}/ptx/tests.cmake)
