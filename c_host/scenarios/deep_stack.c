/* DeepStack: calls come from a shallow host stack, from 40 KB further down, and from the shallow place again, also with
 * managed frames between; the way back to the host always leads right below the frame that called.
 * source: Go TestDeepStack (issues 59294, 68285)
 * stdout: OK
 */
#include "scenario.h"

enum { DEEP = 40 << 10, NEAR = 4096 };

static bounds own_stack;
static int arrivals;

static void nothing(UNUSED void *arg) {}

typedef struct trip {
    uintptr_t caller; /* the host frame that calls in */
    int levels;       /* how many more calls are nested below it */
} trip;

static void there_and_back(int levels);

static NOINLINE void arrive(void *arg)
{
    trip *now = (trip *)arg;
    CHECK(inside(own_stack, HERE()));
    CHECK(HERE() < now->caller);
    CHECK(now->caller - HERE() < NEAR);
    arrivals++;
    if (now->levels > 0)
        there_and_back(now->levels - 1);
}

static NOINLINE void callback(void *arg)
{
    CHECK(!inside(own_stack, HERE()));
    on_host(arrive, arg);
    deeper(DEEP, nothing, NULL);
    on_host(arrive, arg);
}

static NOINLINE void call_in(void *arg)
{
    trip now = {HERE(), *(int *)arg};
    call(callback, &now);
}

/* Shallow, deep, shallow. */
static void there_and_back(int levels)
{
    call_in(&levels);
    deeper(DEEP, call_in, &levels);
    call_in(&levels);
}

static void *host_thread(UNUSED void *arg)
{
    own_stack = thread_stack();
    for (int i = 0; i < 10; i++)
        there_and_back(2);
    return NULL;
}

int main(void)
{
    load_wharf();
    host_thread(NULL);
    on_thread(host_thread, NULL);
    CHECK_EQ(arrivals, 2 * 10 * (6 + 6 * 6 + 6 * 6 * 6));
    CHECK_EQ(stats().stacks_used, 0);
    puts("OK");
    return 0;
}
