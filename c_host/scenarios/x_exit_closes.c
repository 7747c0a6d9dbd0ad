/* ExitCloses: while the process exits and another thread is in a callback: a `dlclose` in an exit handler waits for the
 * callback and unloads, as at any time; the exit itself waits for nobody, in whatever namespace the library is.
 * source: ours
 * stdout: OK
 * timeout: 20
 * case closed_in_handler
 * needs: dlclose()
 * args: closed_in_handler
 * case namespace
 * needs: dlmopen()
 * args: namespace
 * case namespace_closed
 * needs: dlmopen()
 * args: namespace_closed
 */
#include "scenario.h"

enum { LONG_US = 300000 };

static void *handle;
static int closes, is_in, left;

static void stay(UNUSED void *arg)
{
    __atomic_store_n(&is_in, 1, __ATOMIC_SEQ_CST);
    do
        usleep(LONG_US);
    while (!closes);
    __atomic_store_n(&left, 1, __ATOMIC_SEQ_CST);
}

static void *insider(UNUSED void *arg)
{
    call(stay, NULL);
    return NULL;
}

static void close_it(void)
{
    CHECK_EQ(dlclose(handle), 0);
    CHECK_EQ(__atomic_load_n(&left, __ATOMIC_SEQ_CST), 1);
}

static void load_into_namespace(void)
{
    handle = open_apart(getenv("WHARF_LIB"));
    CHECK(handle != NULL);
    const wharf_api *(*get_api)(uint32_t) = (const wharf_api *(*)(uint32_t))dlsym(handle, "wharf_get_api");
    CHECK(get_api != NULL);
    W = get_api(WHARF_ABI);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    closes = !is_case(argv, "namespace");
    /* Before the library's own, so that it runs after it. */
    if (closes)
        CHECK_EQ(atexit(close_it), 0);
    if (is_case(argv, "closed_in_handler"))
        handle = load_wharf();
    else
        load_into_namespace();
    spawn(0, insider, NULL);
    while (!__atomic_load_n(&is_in, __ATOMIC_SEQ_CST))
        usleep(1000);
    puts("OK");
    return 0;
}
