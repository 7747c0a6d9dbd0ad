/* Preload: the library is there before the host, which opens it once more and cannot unload it.
 * source: ours
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
    if (getenv("LD_PRELOAD") == NULL) {
        CHECK_EQ(setenv("LD_PRELOAD", getenv("WHARF_LIB"), 1), 0);
        execv("/proc/self/exe", argv);
        CHECK(!"it runs anew");
    }
    CHECK(dlsym(RTLD_DEFAULT, "wharf_call") != NULL);
    void *opened = load_wharf();
    CHECK(dlsym(RTLD_DEFAULT, "wharf_call") == dlsym(opened, "wharf_call"));
    if (is_case(argv, "panic"))
        call(boom, NULL);
    try_all();
    stop_all();
    CHECK_EQ(dlclose(opened), 0);
    CHECK_EQ(W->call(boom, NULL), WHARF_STOPPED);
    return 0;
}
