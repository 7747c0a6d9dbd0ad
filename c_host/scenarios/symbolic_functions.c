/* SymbolicFunctions: the host has functions of its own with the library's names, visible to all; the library calls its own.
 * source: Go TestSymbolicFunctions (issue 80632)
 * cflags: -rdynamic
 * stdout: OK
 */
#include "scenario.h"

#define NEVER(name)                            \
    void name(void);                           \
    void name(void)                            \
    {                                          \
        CHECK(!"the host's " #name " was called"); \
    }

/* Not declared as in the header: these are other functions that happen to have the names. */
NEVER(rust_eh_personality)
NEVER(rust_begin_unwind)
NEVER(__rust_alloc)
NEVER(__rust_dealloc)
NEVER(__rdl_alloc)
NEVER(__morestack)
NEVER(getg)
NEVER(needm)
NEVER(dropm)
NEVER(cgocallback)

int wharf_call(UNUSED wharf_fn fn, UNUSED void *arg)
{
    CHECK(!"the host's wharf_call was called");
    return 0;
}

int wharf_on_host(UNUSED wharf_fn fn, UNUSED void *arg)
{
    CHECK(!"the host's wharf_on_host was called");
    return 0;
}

int wharf_start(UNUSED const wharf_config *config)
{
    CHECK(!"the host's wharf_start was called");
    return 0;
}

int wharf_stats_read(UNUSED wharf_stats *out)
{
    CHECK(!"the host's wharf_stats_read was called");
    return 0;
}

int64_t wharf_now(void)
{
    CHECK(!"the host's wharf_now was called");
    return 0;
}

static void add(void *arg)
{
    ++*(int *)arg;
}

static void callback(void *arg)
{
    on_host(add, arg);
    call(add, arg);
}

static void *host_thread(void *arg)
{
    call(callback, arg);
    return NULL;
}

int main(void)
{
    load_wharf();
    int count = 0;
    CHECK(W->call != wharf_call);
    call(callback, &count);
    on_thread(host_thread, &count);
    CHECK_EQ(count, 4);
    CHECK_EQ(W->start(NULL), WHARF_OK);
    CHECK(W->after(1) > 0);
    FILE *nowhere = fopen("/dev/null", "w");
    CHECK_EQ(W->dump(fileno(nowhere)), WHARF_OK);
    CHECK_EQ(W->trim(), WHARF_OK);
    CHECK_EQ(W->stop(W->after(INT64_C(5000000000))), WHARF_OK);
    puts("OK");
    return 0;
}
