/* The least that a library can do for a callback: bare_call calls it where the caller is; bare_switch does so on a stack of
 * its own, known by a thread-local word, and notes where it came from and that it is on. What is left of wharf's figure
 * over these is wharf's own; the rest is what this machine takes for the way there and back. */
#include <stdint.h>

int bare_call(void (*fn)(void *), void *arg);
int bare_switch(void (*fn)(void *), void *arg);

static __thread struct {
    volatile uintptr_t on, came_from;
    _Alignas(64) char stack[16 << 10];
} own;

int bare_call(void (*fn)(void *), void *arg)
{
    fn(arg);
    return 0;
}

int bare_switch(void (*fn)(void *), void *arg)
{
    own.on = 1;
#if defined(__x86_64__)
    void *top = own.stack + sizeof own.stack;
    __asm__ volatile("mov %%rsp, %%rbx\n\t"
                     "mov %%rsp, %1\n\t"
                     "mov %2, %%rsp\n\t"
                     "call *%3\n\t"
                     "mov %%rbx, %%rsp"
                     : "+D"(arg), "=m"(own.came_from)
                     : "r"(top), "r"(fn)
                     : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
#else
    fn(arg);
#endif
    own.came_from = 0;
    own.on = 0;
    return 0;
}
