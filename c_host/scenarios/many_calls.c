/* ManyCalls: 100 000 callbacks from the main thread and from another; each is counted, and memory does not grow.
 * source: Go TestManyCalls (issue 35294)
 * stdout: OK
 */
#include "scenario.h"

enum { CALLS = 100000 };

static void nothing(UNUSED void *arg) {}

static void add(void *arg)
{
    ++*(long *)arg;
    on_host(nothing, NULL);
    call(nothing, NULL);
}

static void *many(UNUSED void *arg)
{
    long count = 0;
    long rss_before = 0, maps_before = 0;
    wharf_stats before = stats();
    for (int i = 0; i < 3; i++) { /* the measuring itself takes memory at first */
        for (int warm_up = 0; warm_up < 100; warm_up++)
            call(add, &count);
        before = stats();
        maps_before = map_count();
        rss_before = rss_kb();
    }
    for (int i = 0; i < CALLS; i++)
        call(add, &count);
    wharf_stats after = stats();
    long rss_after = rss_kb();
    CHECK_EQ(count, CALLS + 300);
    CHECK(after.calls - before.calls >= CALLS);
    CHECK_EQ(after.stacks_made, before.stacks_made);
    CHECK_EQ(after.stacks_used, 0);
    CHECK_EQ(after.bytes_committed, before.bytes_committed);
    CHECK_EQ(map_count(), maps_before);
    CHECK(rss_after - rss_before <= 16);
    return NULL;
}

int main(void)
{
    load_wharf();
    many(NULL);
    on_thread(many, NULL);
    puts("OK");
    return 0;
}
