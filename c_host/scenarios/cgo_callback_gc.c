/* CgoCallbackGC: 100 threads with 256 KiB of stack, four at a time; their callbacks use more stack than the
 * threads have while others trim the pool. Nothing counts as used before and after, and no live page is trimmed.
 * source: Go TestCgoCallbackGC
 * stdout: OK
 */
#include "scenario.h"

enum { ROUNDS = 25, BESIDE = 4 };

static void inside_it(UNUSED void *arg)
{
    wharf_stats now = stats();
    CHECK(now.threads_bound >= 1 && now.threads_bound <= BESIDE);
    CHECK(now.stacks_used >= 1 && now.stacks_used <= BESIDE);
}

static void trim(UNUSED void *arg)
{
    CHECK_EQ(W->trim(), WHARF_OK);
}

static void trim_everywhere(UNUSED void *arg)
{
    trim(NULL);
    on_host(trim, NULL);
}

static void task(UNUSED void *arg)
{
    inside_it(NULL);
    deeper(SCALED(600 << 10), trim_everywhere, NULL);
    deeper(SCALED(900 << 10), inside_it, NULL);
    trim(NULL);
    deeper(SCALED(300 << 10), inside_it, NULL);
}

static void *host_thread(UNUSED void *arg)
{
    call(task, NULL);
    trim(NULL);
    call(task, NULL);
    return NULL;
}

int main(void)
{
    load_wharf();
    CHECK_EQ(stats().threads_bound, 0);
    CHECK_EQ(stats().stacks_used, 0);
    uint32_t made = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[BESIDE];
        for (int i = 0; i < BESIDE; i++)
            threads[i] = spawn(256 << 10, host_thread, NULL);
        for (int i = 0; i < BESIDE; i++)
            join(threads[i]);
        CHECK_EQ(stats().threads_bound, 0);
        CHECK_EQ(stats().stacks_used, 0);
        made = stats().threads_made;
    }
    CHECK(made <= 2 * BESIDE + 16); /* a few spares, but not one for every thread */
    puts("OK");
    return 0;
}
