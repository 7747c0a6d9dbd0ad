/* ExportedSymbols: a host linked with the library, in C++, calls the functions by their names; wharf_panicf
 * of the header formats, and its frames are in the trace although the call is the last instruction of its function.
 * source: Go TestExportedSymbols
 * linked: yes
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * case call
 * args: call
 * stdout: PASS
 * case panic
 * args: panic
 * status: signal SIGABRT
 * stderr~ ^panic: 7 of nine\n\ngoroutine [1-9][0-9]* \[
 * frames: act(void*)|_ZL3actPv|act wharf_call thread(void*)|_ZL6threadPv|thread
 */
#include "scenario.h"

static void act(void *arg)
{
    if (arg == nullptr)
        wharf_panicf("%d of %s", 7, "nine");
    ++*static_cast<int *>(arg);
}

static void *thread(void *arg)
{
    CHECK_EQ(wharf_call(act, arg), WHARF_OK);
    return nullptr;
}

int main(int, char **argv)
{
    int count = 0;
    on_thread(thread, is_case(argv, "panic") ? nullptr : &count);
    CHECK_EQ(count, 1);
    CHECK_EQ(wharf_call(act, &count), WHARF_OK);
    CHECK_EQ(count, 2);
    CHECK(wharf_get_api(WHARF_ABI)->call == wharf_call);
    CHECK_EQ(wharf_get_api(WHARF_ABI)->version(), wharf_version());
    CHECK_EQ(wharf_running(), 1);
    puts("PASS");
    return 0;
}
