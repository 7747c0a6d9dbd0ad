/* Of Sanitized: a frame without unwind tables, as of C that is compiled with -fno-asynchronous-unwind-tables. */
__asm__(".cfi_sections .debug_frame");

#include "wharf.h"

#ifdef __cplusplus
extern "C"
#endif
void bare(wharf_fn fn, void *arg);

void bare(wharf_fn fn, void *arg)
{
    volatile char local[100];
    local[3] = 1;
    fn(arg);
    local[4] = local[3];
}
