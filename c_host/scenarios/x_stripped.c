/* Stripped: a host without symbols: its frames are places in a file.
 * source: ours
 * cflags: -s
 * case all
 * stdout: OK
 * case panic
 * args: panic
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine 1 \[running, locked to thread\]:\npcs: .* x_stripped\+0x[0-9a-f]+ .*x_stripped\+0x[0-9a-f]+
 * stderr~ \nwharf_panic\+0x[0-9a-f]+\n\t[^\n]*\n0x[0-9a-f]+\n\t[^\n]*x_stripped\+0x[0-9a-f]+
 * stderr~ \nwharf_call\+0x[0-9a-f]+\n\t[^\n]*\n0x[0-9a-f]+\n\t[^\n]*x_stripped\+0x[0-9a-f]+
 * frames: wharf_panic wharf_call
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
