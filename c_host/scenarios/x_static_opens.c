/* StaticOpens: a static host that opens the library, which so brings a loader and a libc of its own: that one sees none of
 * the host's threads end.
 * source: ours
 * cflags: -static-pie
 * needs: -static-pie
 * needs: static_dlopen()
 * case all
 * stdout: OK
 * case panic
 * args: panic
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine 1 \[running, locked to thread\]:\n
 * frames: boom wharf_call main
 */
#include "x_kinds.h"

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "panic"))
        call(boom, NULL);
    try_all();
    stop_all();
    return 0;
}
