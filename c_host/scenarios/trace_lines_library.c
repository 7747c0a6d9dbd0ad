/* The library of TraceLines. */
#include <stddef.h>

void library_calls(void (*f)(void *), void *arg);

#line 10 "library.c"
static inline __attribute__((always_inline)) void library_inlined(void (*f)(void *), void *arg)
{
    f(arg);
    __asm__ volatile("");
}

void library_calls(void (*f)(void *), void *arg)
{
    library_inlined(f, arg);
    __asm__ volatile("");
}
