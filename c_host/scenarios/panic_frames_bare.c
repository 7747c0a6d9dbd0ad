/* For PanicFrames: functions without unwind tables, as of C that is compiled with -fno-asynchronous-unwind-tables. What
 * they would be made of goes into .debug_frame, which no unwinder of a running process reads. */
#ifdef __arm__
#pragma GCC optimize("no-exceptions", "no-unwind-tables")
#else
__asm__(".cfi_sections .debug_frame");
#endif

#include "scenario.h"

#ifdef __cplusplus
extern "C" {
#endif

void bare_call(wharf_fn fn, void *arg);
void bare_wharf_call(int (*call)(wharf_fn, void *), wharf_fn fn, void *arg);
void bare_panic(void *panic);

static volatile int returned UNUSED;

void bare_call(wharf_fn fn, void *arg)
{
    fn(arg);
    returned = 1;
}

void bare_wharf_call(int (*call)(wharf_fn, void *), wharf_fn fn, void *arg)
{
    call(fn, arg);
    returned = 1;
}

void bare_panic(void *panic)
{
    ((void (*)(const char *))panic)("BOOM");
    returned = 1;
}

#ifdef __cplusplus
}
#endif
