/*
 * fiber.h - flows of control that hand over to each other on one thread of the host. ucontext asks the kernel for each switch;
 * this does not, where the processor is known.
 */
#ifndef FR_CUDA_EMULATION_FIBER_H
#define FR_CUDA_EMULATION_FIBER_H

#include <stddef.h>

typedef struct fr_fiber fr_fiber;

/** The flow of the caller itself. */
fr_fiber *fr_fiber_here(void);
/** A flow with a stack of its own, which ends at a page that nobody may touch; `entry` never returns. */
fr_fiber *fr_fiber_create(size_t stack_bytes);
/** It begins at `entry` when it is switched to next. */
void fr_fiber_begin(fr_fiber *fiber, void (*entry)(void));
void fr_fiber_switch(fr_fiber *from, fr_fiber *to);

#endif
