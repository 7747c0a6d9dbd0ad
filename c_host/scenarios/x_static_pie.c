/* StaticPie: a static host that is loaded anywhere, with wharf in it: no loader tells what is where.
 * source: ours
 * linked: static
 * cflags: -static-pie
 * needs: -static-pie
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
    W = wharf_get_api(WHARF_ABI);
    CHECK(W != NULL);
    if (is_case(argv, "panic"))
        call(boom, NULL);
    try_all();
    stop_all();
    return 0;
}
