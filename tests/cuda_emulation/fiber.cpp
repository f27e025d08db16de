/* Fibers: the stack pointer and the registers that a call keeps are all that a switch moves. */
#include "fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

struct fr_fiber {
    void *top; /* of the stack while it is switched from */
    char *stack;
    size_t bytes;
    void (*entry)(void);
    void *shadow; /* of the address sanitizer */
#ifndef __x86_64__
    ucontext_t context;
#endif
};

static fr_fiber *leaving; /* the flow that a switch comes from */

static void arrive(fr_fiber *fiber)
{
#ifdef __SANITIZE_ADDRESS__
    const void *stack = nullptr;
    size_t bytes = 0;
    __sanitizer_finish_switch_fiber(fiber->shadow, &stack, &bytes);
    if (leaving->stack == nullptr) { /* the thread's own, which is not known before */
        leaving->bytes = bytes;
        leaving->stack = const_cast<char *>(static_cast<const char *>(stack));
    }
#endif
    (void)fiber;
}

static fr_fiber *beginning;

static void first(void)
{
    fr_fiber *fiber = beginning;
    arrive(fiber);
    fiber->entry();
    abort();
}

#ifdef __x86_64__
extern "C" void fr_fiber_jump(void **from, void *to);
asm(".text\n.type fr_fiber_jump,@function\nfr_fiber_jump:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size fr_fiber_jump,.-fr_fiber_jump\n");
#endif

fr_fiber *fr_fiber_here(void)
{
    static fr_fiber here;
    return &here;
}

fr_fiber *fr_fiber_create(size_t stack_bytes)
{
    size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    auto *fiber = static_cast<fr_fiber *>(calloc(1, sizeof(fr_fiber)));
    void *memory = mmap(nullptr, stack_bytes + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fiber == nullptr || memory == MAP_FAILED ||
        mprotect(memory, page, PROT_NONE) != 0) {
        perror("emulation: a fiber");
        abort();
    }
    fiber->stack = static_cast<char *>(memory) + page;
    fiber->bytes = stack_bytes;
    return fiber;
}

void fr_fiber_begin(fr_fiber *fiber, void (*entry)(void))
{
    fiber->entry = entry;
    fiber->shadow = nullptr;
#ifdef __x86_64__
    enum { KEPT = 6 };
    /* Stacks lie whole pages apart; without that all would begin in the same lines of the caches. */
    static size_t n_begun = 0;
    size_t apart = n_begun++ % 13 * 320;
    auto *top = reinterpret_cast<void **>(fiber->stack + fiber->bytes - apart);
    *--top = nullptr; /* so that the stack is aligned as behind a call */
    *--top = reinterpret_cast<void *>(first);
    for (int i = 0; i < KEPT; i++) {
        *--top = nullptr;
    }
    fiber->top = top;
#else
    (void)getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = fiber->bytes;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, first, 0);
#endif
}

void fr_fiber_switch(fr_fiber *from, fr_fiber *to)
{
    leaving = from;
    beginning = to;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->shadow, to->stack, to->bytes);
#endif
#ifdef __x86_64__
    fr_fiber_jump(&from->top, to->top);
#else
    (void)swapcontext(&from->context, &to->context);
#endif
    arrive(from);
}
