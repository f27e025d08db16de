# WITH_CUDA: the kernels of src/device/cuda as nvcc compiles them, in the program. Nothing else of the CUDA Toolkit is needed, and
# nothing of it when the program runs: the driver is opened at run time.
#
#   WITH_CUDA=AUTO  where nvcc 12.8 or newer is found (on PATH, in CUDA_PATH or in /usr/local/cuda)
#   WITH_CUDA=ON    it must be there
#   WITH_CUDA=OFF

set(WITH_CUDA AUTO CACHE STRING "Build for NVIDIA's GPUs: AUTO (where nvcc is found), ON or OFF")
set(FORERUN_CUDA_ARCHITECTURES "80;90;100" CACHE STRING "GPUs that there are kernels for; later ones compile those of the last")
set(FR_CUDA_OLDEST_NVCC 12.8)
set(FR_HAS_CUDA FALSE)
if(NOT WITH_CUDA)
    return()
endif()

if(NOT FORERUN_NVCC) # one that was missing before may have been installed since
    unset(FORERUN_NVCC CACHE)
endif()
find_program(FORERUN_NVCC nvcc HINTS ENV CUDA_PATH PATH_SUFFIXES bin PATHS /usr/local/cuda/bin DOC "NVIDIA's compiler of kernels")
set(reason "")
if(NOT FORERUN_NVCC)
    set(reason "nvcc is not found")
else()
    execute_process(COMMAND ${FORERUN_NVCC} --version OUTPUT_VARIABLE text RESULT_VARIABLE code ERROR_QUIET)
    string(REGEX MATCH "release ([0-9.]+)" ignored "${text}")
    set(version "${CMAKE_MATCH_1}")
    if(NOT code EQUAL 0 OR version STREQUAL "")
        set(reason "${FORERUN_NVCC} does not say its version")
    elseif(version VERSION_LESS FR_CUDA_OLDEST_NVCC)
        set(reason "${FORERUN_NVCC} is of CUDA ${version}, older than ${FR_CUDA_OLDEST_NVCC}")
    endif()
endif()
if(NOT reason STREQUAL "")
    if(NOT WITH_CUDA STREQUAL "AUTO")
        message(FATAL_ERROR "WITH_CUDA is ${WITH_CUDA}, but ${reason}; install CUDA's nvcc ${FR_CUDA_OLDEST_NVCC} or newer and put it "
            "on PATH, or set WITH_CUDA to OFF")
    endif()
    message(STATUS "without CUDA: ${reason}")
    return()
endif()
message(STATUS "with CUDA: nvcc ${version}, for sm_${FORERUN_CUDA_ARCHITECTURES}")
set(FR_HAS_CUDA TRUE)

# The flags of tests/cuda_emulation/nvcc.sh, whose tables are of these kernels.
set(flags -std=c++17 -fmad=false --ftz=false -prec-div=true -prec-sqrt=true -Werror all-warnings
    -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/src/device/cuda/hardware)
foreach(architecture ${FORERUN_CUDA_ARCHITECTURES})
    list(APPEND flags -gencode arch=compute_${architecture},code=sm_${architecture})
endforeach()
list(GET FORERUN_CUDA_ARCHITECTURES -1 last)
list(APPEND flags -gencode arch=compute_${last},code=compute_${last})

enable_language(ASM)
file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/device/cuda/*.cu)
set(folder ${PROJECT_BINARY_DIR}/cuda)
set(images "")
set(data "")
set(list "")
foreach(kernel ${kernels})
    get_filename_component(name ${kernel} NAME_WE)
    set(image ${folder}/${name}.fatbin)
    # in the file of dependencies nvcc does not escape blanks in the name of what it makes, so that name holds no folder of the user's
    add_custom_command(OUTPUT ${image}
        COMMAND ${FORERUN_NVCC} ${flags} -MD -MF cuda/${name}.fatbin.d -fatbin -o cuda/${name}.fatbin ${kernel}
        WORKING_DIRECTORY ${PROJECT_BINARY_DIR}
        DEPENDS ${kernel} DEPFILE ${image}.d COMMENT "nvcc ${name}" VERBATIM)
    list(APPEND images ${image})
    string(APPEND data "    .balign 16\n    .globl fr_image_${name}\nfr_image_${name}:\n    .incbin \"${image}\"\n")
    string(APPEND list "extern const unsigned char fr_image_${name}[];\n")
endforeach()
string(APPEND list "\nconst void *const fr_cuda_images[] = {\n")
foreach(kernel ${kernels})
    get_filename_component(name ${kernel} NAME_WE)
    string(APPEND list "    fr_image_${name},\n")
endforeach()
string(APPEND list "    0};\n")
file(CONFIGURE OUTPUT ${folder}/images.S @ONLY
    CONTENT "    .section .rodata\n@data@    .section .note.GNU-stack,\"\",@progbits\n")
file(CONFIGURE OUTPUT ${folder}/images.c @ONLY CONTENT "#include \"device/cuda/runtime.h\"\n\n@list@")
set_source_files_properties(${folder}/images.S PROPERTIES OBJECT_DEPENDS "${images}")
set_source_files_properties(${folder}/images.c PROPERTIES OBJECT_DEPENDS "${images}")

# The images, and the list of backends of the program, which not all that have the images take. Both are objects: a program that
# names them has them, and its list comes before the one of fr_device.
add_library(fr_cuda_images OBJECT ${folder}/images.S ${folder}/images.c)
target_link_libraries(fr_cuda_images PUBLIC fr_cuda PRIVATE fr_options)
add_library(fr_with_cuda OBJECT ${PROJECT_SOURCE_DIR}/src/device/backends_cuda.c)
target_link_libraries(fr_with_cuda PUBLIC fr_cuda PRIVATE fr_options)
