/*
 * sectors.h - counts what the accesses of warps touch, for races.cpp and traffic.cpp, which see each access.
 *
 * A GPU moves memory in sectors of 32 bytes. What the lanes of a warp do at one place of a program for the n-th time is one
 * access: it touches some sectors, and needs as many as its bytes fill. FR_EMULATED_SECTORS names a file that holds at the end of the
 * process a line for each kernel: its name, accesses, sectors, and sectors that were needed. Unless it is set nothing is
 * counted.
 */
#ifndef FR_CUDA_EMULATION_SECTORS_H
#define FR_CUDA_EMULATION_SECTORS_H

#include <cstddef>
#include <cstdint>

/** Memory that the running kernel is given the address of, if it is not shared. Its arguments and constant tables are not: a GPU
 * has them in other memory. */
bool fr_is_device_memory(uintptr_t at);

/** Counts begin anew. */
void fr_sectors_forget(void);

/** The running thread of the running block reads or writes memory that is not shared. `from`: the place in the program. */
void fr_sectors_see(uintptr_t at, size_t bytes, const void *from);

#endif
