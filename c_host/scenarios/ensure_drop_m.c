/* EnsureDropM: an M goes back when its thread ends, and the next thread gets the same one.
 * source: Go TestEnsureDropM (issue 13881)
 * stdout: OK
 */
#include "scenario.h"

typedef struct visit {
    uintptr_t stack; /* of the callback: an M keeps its own */
    wharf_stats inside;
} visit;

static NOINLINE void look(void *arg)
{
    visit *now = (visit *)arg;
    now->stack = HERE();
    now->inside = stats();
}

static void *host_thread(void *arg)
{
    call(look, arg);
    return NULL;
}

int main(void)
{
    load_wharf();
    visit first, other;
    on_thread(host_thread, &first);
    CHECK_EQ(first.inside.threads_bound, 1);
    CHECK_EQ(first.inside.stacks_used, 1);
    CHECK_EQ(stats().threads_bound, 0);
    for (int i = 0; i < 200; i++) {
        on_thread(host_thread, &other);
        CHECK_EQ(other.inside.threads_bound, 1);
        CHECK_EQ(other.inside.threads_made, first.inside.threads_made);
        CHECK_EQ(other.inside.stacks_made, first.inside.stacks_made);
        CHECK(other.stack == first.stack);
    }
    CHECK_EQ(stats().threads_bound, 0);
    CHECK_EQ(stats().stacks_used, 0);
    puts("OK");
    return 0;
}
