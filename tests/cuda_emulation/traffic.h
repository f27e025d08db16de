/*
 * traffic.h - counts of what kernels ask a GPU for (traffic.cpp), for a program that does something else first.
 */
#ifndef FR_CUDA_EMULATION_TRAFFIC_H
#define FR_CUDA_EMULATION_TRAFFIC_H

#ifdef __cplusplus
extern "C" {
#endif

/** Counts of traffic.cpp and sectors.cpp begin anew. Not while a kernel runs. */
void fr_traffic_forget(void);

#ifdef __cplusplus
}
#endif

#endif
