/* The C library's own heap, for hosts that put an allocator of theirs before it. */
#ifndef WHARF_LIBC_HEAP_H
#define WHARF_LIBC_HEAP_H

#include <stddef.h>

#ifdef __GLIBC__
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);
#else
/* Others have no second names for it. Their dlsym asks for no memory while it finds something. */
#include <dlfcn.h>
#include <string.h>

#define NEXT_OF(name, type, takes, given)                                                                              \
    static inline __attribute__((unused)) type __libc_##name takes                                                     \
    {                                                                                                                  \
        static type(*next) takes;                                                                                      \
        if (next == NULL) {                                                                                            \
            void *symbol = dlsym(RTLD_NEXT, #name);                                                                    \
            memcpy(&next, &symbol, sizeof next);                                                                       \
        }                                                                                                              \
        return next given;                                                                                             \
    }

NEXT_OF(malloc, void *, (size_t bytes), (bytes))
NEXT_OF(calloc, void *, (size_t count, size_t bytes), (count, bytes))
NEXT_OF(realloc, void *, (void *old, size_t bytes), (old, bytes))
NEXT_OF(memalign, void *, (size_t align, size_t bytes), (align, bytes))
NEXT_OF(free, void, (void *old), (old))
#undef NEXT_OF
#endif

#endif
