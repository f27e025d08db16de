# Compiler options as an interface target, and the two helpers that define a room.

add_library(fr_options INTERFACE)
target_include_directories(fr_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(fr_options INTERFACE m)
target_compile_options(fr_options INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wundef -Wwrite-strings -Wpointer-arith
    -Wdouble-promotion -Wcast-qual -Wformat=2 -fno-common
    # memory of a device has types of its own, which must not pass for the host's
    -Werror=incompatible-pointer-types)
# Compilers fuse nothing by themselves: what is fused is written so, and every compiler gives the same bits.
target_compile_options(fr_options INTERFACE -ffp-contract=off)
if(FORERUN_SANITIZE)
    target_compile_options(fr_options INTERFACE
        -fsanitize=${FORERUN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(fr_options INTERFACE -fsanitize=${FORERUN_SANITIZE})
endif()

# fr_room(NAME LINKS target...): static library fr_NAME from src/NAME/**.c
function(fr_room name)
    cmake_parse_arguments(ROOM "" "" "LINKS" ${ARGN})
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.c)
    list(FILTER sources EXCLUDE REGEX "/device/(cuda/|backends_cuda)") # see fr_cuda_backend
    list(FILTER sources EXCLUDE REGEX "/comm/group_mpi_(cuda|no_cuda)") # see fr_mpi_cuda
    add_library(fr_${name} STATIC ${sources})
    target_link_libraries(fr_${name} PUBLIC ${ROOM_LINKS} PRIVATE fr_options)
endfunction()

# Whether MPI can be asked for GPUs' memory in messages: Open MPI has a function for that, other MPIs may have none.
function(fr_mpi_cuda)
    include(CheckSymbolExists)
    set(CMAKE_REQUIRED_LIBRARIES MPI::MPI_C)
    check_symbol_exists(MPIX_Query_cuda_support "mpi.h;mpi-ext.h" FR_MPI_TELLS_CUDA)
    set(source group_mpi_no_cuda.c)
    if(FR_MPI_TELLS_CUDA)
        set(source group_mpi_cuda.c)
    endif()
    target_sources(fr_comm PRIVATE ${PROJECT_SOURCE_DIR}/src/comm/${source})
endfunction()

# The host's side of CUDA, a library of its own above fr_device: not every program has it. Its kernels come with another one
# (cmake/cuda.cmake, tests/cuda_emulation), and so does a list of backends that names it.
function(fr_cuda_backend)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/device/cuda/*.c)
    add_library(fr_cuda STATIC ${sources})
    target_link_libraries(fr_cuda PUBLIC fr_device PRIVATE fr_options)
endfunction()

# Kernels named *_avx2.c, *_avx512.c and *_avx512_vnni.c are compiled for that instruction set and picked at run time. Those
# of number formats (quant_*) are left to the compiler's vectors, which GCC uses badly where it unrolls a loop of 16 before.
# GCC clears the upper halves of vectors behind such code only among its expensive optimizations (-O2). In builds for debugging
# (-Og, -O1) processors that keep both halves in use would run the plain code after it several times slower.
function(fr_isa_sources)
    set(avx2 "-mavx2;-mfma;-mf16c")
    set(avx512 "-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mfma;-mf16c;-mprefer-vector-width=512")
    set(avx512_vnni "${avx512};-mavx512vnni")
    foreach(isa avx2 avx512 avx512_vnni)
        file(GLOB_RECURSE kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/device/*_${isa}.c)
        set_source_files_properties(${kernels} PROPERTIES COMPILE_OPTIONS
            "${${isa}};$<$<C_COMPILER_ID:GNU>:-fexpensive-optimizations>")
        list(FILTER kernels INCLUDE REGEX "/quant_")
        set_property(SOURCE ${kernels} APPEND PROPERTY
            COMPILE_OPTIONS "$<$<C_COMPILER_ID:GNU>:--param=max-completely-peel-times=0>")
    endforeach()
endfunction()
