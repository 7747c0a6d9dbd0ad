/* ReturnAfterGrow: a callback that has used 4 MiB of its stack, with calls back to the host and in again on the way,
 * returns to where it was called from, its own data and the host's unharmed.
 * source: Go TestReturnAfterGrow, TestReturnAfterGrowFromGo, TestCallbackGC, TestCallbackStack
 * stdout: OK
 */
#include "scenario.h"

enum { MUCH = SCALED(4 << 20), HOST_BYTES = 64 << 10 };

static bounds own_stack;
static int level;

static void trim(UNUSED void *arg)
{
    CHECK_EQ(W->trim(), WHARF_OK);
}

static void callback(void *arg);

static NOINLINE void at_bottom(void *arg)
{
    CHECK(!inside(own_stack, HERE()));
    ++*(int *)arg;
    if (level == 0)
        return;
    level--;
    call(callback, arg); /* from a callback: the same stack */
    level++;
}

/* On the host's stack, below the wharf_call that the callback came by. */
static NOINLINE void host_side(void *arg)
{
    CHECK(inside(own_stack, HERE()));
    if (level > 0) {
        level--;
        call(callback, arg); /* another managed stack */
        level++;
    }
    deeper(8 << 10, trim, NULL);
}

static void from_deep(void *arg)
{
    on_host(host_side, arg);
    at_bottom(arg);
}

static NOINLINE void callback(void *arg)
{
    unsigned char mine[512];
    memset(mine, 0x5a + level, sizeof mine);
    deeper(level == 0 ? SCALED(128 << 10) : MUCH, from_deep, arg);
    on_host(host_side, arg);
    for (size_t i = 0; i < sizeof mine; i++)
        CHECK(((volatile unsigned char *)mine)[i] == (unsigned char)(0x5a + level));
}

static void *host_thread(UNUSED void *arg)
{
    own_stack = thread_stack();
    for (int i = 0; i < 20; i++) {
        volatile unsigned char mine[512];
        memset((void *)mine, i, sizeof mine);
        int count = 0;
        level = 1;
        call(callback, &count);
        for (size_t byte = 0; byte < sizeof mine; byte++)
            CHECK(mine[byte] == i);
        CHECK_EQ(count, 4); /* level 1 once, and level 0 by three ways */
        CHECK_EQ(level, 1);
    }
    return NULL;
}

int main(void)
{
    load_wharf();
    host_thread(NULL);
    pthread_t thread = spawn(HOST_BYTES, host_thread, NULL);
    join(thread);
    CHECK_EQ(stats().stacks_used, 0);
    puts("OK");
    return 0;
}
