# A second witness of the kernels: PTX that nvcc makes of them, translated to C++ (README.md).

# The translation itself, which needs no nvcc.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME unit.cuda_ptx COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_translate.py ${CMAKE_CXX_COMPILER})
fr_test_properties(unit.cuda_ptx unit 1)
set_tests_properties(unit.cuda_ptx PROPERTIES TIMEOUT 300) # it compiles

option(FORERUN_CUDA_PTX "Build the tests of the CUDA backend a second time, over kernels that nvcc has read (needs nvcc)" OFF)
set(FORERUN_CUDA_PTX_ARCHITECTURE 80 CACHE STRING "The GPU that FORERUN_CUDA_PTX lets nvcc make PTX for")
if(NOT FORERUN_CUDA_PTX OR FORERUN_SANITIZE)
    return()
endif()
find_program(FORERUN_NVCC nvcc HINTS ENV CUDA_PATH PATH_SUFFIXES bin PATHS /usr/local/cuda/bin DOC "NVIDIA's compiler of kernels")
if(NOT FORERUN_NVCC)
    message(FATAL_ERROR "FORERUN_CUDA_PTX is ON, but nvcc is not found; install CUDA's nvcc and put it on PATH, or set it to OFF")
endif()

# Each source to PTX with the flags of cmake/cuda.cmake, and that to C++.
set(folder ${CMAKE_CURRENT_BINARY_DIR}/cuda_ptx)
file(MAKE_DIRECTORY ${folder})
set(translator translate.py read.py words.py tensor_words.py)
list(TRANSFORM translator PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/device/cuda/*.cu)
set(translated "")
foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    add_custom_command(OUTPUT ${folder}/${name}.ptx
        COMMAND ${FORERUN_NVCC} -std=c++17 -fmad=false --ftz=false -prec-div=true -prec-sqrt=true -Werror all-warnings
            -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/src/device/cuda/hardware
            -arch=compute_${FORERUN_CUDA_PTX_ARCHITECTURE} -MD -MF cuda_ptx/${name}.d -ptx -o cuda_ptx/${name}.ptx ${source}
        WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}
        DEPENDS ${source} DEPFILE ${folder}/${name}.d COMMENT "nvcc -ptx ${name}" VERBATIM)
    add_custom_command(OUTPUT ${folder}/${name}.cpp
        COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/translate.py --out ${folder}/${name}.cpp ${folder}/${name}.ptx
        DEPENDS ${folder}/${name}.ptx ${translator} COMMENT "translate ${name}.ptx" VERBATIM)
    list(APPEND translated ${folder}/${name}.cpp)
endforeach()
add_library(fr_translated OBJECT ${translated})
target_include_directories(fr_translated PRIVATE ${PROJECT_SOURCE_DIR}/tests/cuda_emulation ${PROJECT_SOURCE_DIR}/src)
# nobody writes what is compiled here, so there is nothing to warn of
target_compile_options(fr_translated PRIVATE -O1 -ffp-contract=off -fno-math-errno -w)
if(FR_HOST_HAS_FMA)
    target_compile_options(fr_translated PRIVATE -mfma)
endif()
add_library(fr_translated_kernels STATIC $<TARGET_OBJECTS:fr_translated>
    ${PROJECT_SOURCE_DIR}/tests/cuda_emulation/block.cpp ${PROJECT_SOURCE_DIR}/tests/cuda_emulation/fiber.cpp
    ${PROJECT_SOURCE_DIR}/tests/cuda_emulation/tensor.cpp)
target_link_libraries(fr_translated_kernels PUBLIC fr_cuda PRIVATE fr_emulation_options)

# What the tests need is built by the target cuda_ptx.
add_custom_target(cuda_ptx)

# The tests of each operator, unchanged.
foreach(name activation attention attention_tensor few heads loss norm_heads norms product product_parts product_tensor qkv rows sample widen)
    add_executable(cuda_${name}_ptx ${PROJECT_SOURCE_DIR}/tests/cuda_emulation/test_${name}.c)
    target_link_libraries(cuda_${name}_ptx PRIVATE fr_cuda_pair fr_options)
    add_test(NAME conf.cuda_${name}_ptx CONFIGURATIONS long COMMAND cuda_${name}_ptx)
    fr_test_properties(conf.cuda_${name}_ptx conf 1)
    fr_emulated_gpu(cuda_${name}_ptx conf.cuda_${name}_ptx fr_translated_kernels)
    add_dependencies(cuda_ptx cuda_${name}_ptx)
endforeach()

# A model's losses and gradients, and training that ends with the bits of training over the sources.
add_executable(golden_cuda_model_ptx ${PROJECT_SOURCE_DIR}/tests/golden/test_model.c
    ${PROJECT_SOURCE_DIR}/tests/cuda_emulation/backends.c)
target_link_libraries(golden_cuda_model_ptx PRIVATE fr_support fr_options)
add_test(NAME golden.cuda_model_ptx CONFIGURATIONS long COMMAND golden_cuda_model_ptx)
fr_test_properties(golden.cuda_model_ptx golden 1)
fr_emulated_gpu(golden_cuda_model_ptx golden.cuda_model_ptx fr_translated_kernels)

add_executable(forerun_cuda_ptx ${CLI_SOURCES} ${PROJECT_SOURCE_DIR}/tests/cuda_emulation/backends.c)
target_link_libraries(forerun_cuda_ptx PRIVATE fr_program fr_options)
target_compile_definitions(forerun_cuda_ptx PRIVATE FORERUN_VERSION="${PROJECT_VERSION}")
fr_emulated_gpu(forerun_cuda_ptx "" fr_translated_kernels)
add_dependencies(cuda_ptx golden_cuda_model_ptx forerun_cuda_ptx forerun_cuda)
add_test(NAME e2e.cuda_ptx CONFIGURATIONS long COMMAND bash ${PROJECT_SOURCE_DIR}/tests/e2e/cuda_ptx.sh)
fr_test_properties(e2e.cuda_ptx e2e 2)
set_property(TEST e2e.cuda_ptx APPEND PROPERTY ENVIRONMENT
    "FORERUN=$<TARGET_FILE:forerun_cuda_ptx>" "SOURCES=$<TARGET_FILE:forerun_cuda>" "SOURCE=${PROJECT_SOURCE_DIR}"
    "LD_LIBRARY_PATH=${CMAKE_CURRENT_BINARY_DIR}/emulated_driver")
set_property(TEST e2e.cuda_ptx APPEND PROPERTY ENVIRONMENT_MODIFICATION "CUDA_VISIBLE_DEVICES=unset:")
