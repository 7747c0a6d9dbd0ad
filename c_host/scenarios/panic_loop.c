/* CallbackPanicLoop: a hundred thousand callbacks that panic, through 1, 2 and 100 callbacks with host functions between,
 * use up neither the host's stack nor managed ones nor memory; a million calls after them neither. In `together` eight
 * threads panic at once, and each gets its own panics.
 * source: Go TestCallbackPanicLoop, TestCallbackPanic, TestCallbackPanicLocked; SCENARIOS O14
 * stdout: OK
 * timeout: 120
 * case tried
 * args: tried
 * serial: yes
 * case recovered
 * args: recovered
 * serial: yes
 * case together
 * args: together
 */
#include "scenario.h"

enum { PANICS = 100000, CALLS = 1000000, THREADS = 8, DEEP = 100 };

static void boom(UNUSED void *arg)
{
    W->panic("BOOM");
}

static void recover(UNUSED void *arg)
{
    wharf_panic_info *info = W->recover();
    CHECK(info != NULL);
    CHECK(strcmp(info->message, "BOOM") == 0);
    W->panic_info_free(info);
}

/* ---- down: call, on_host, call, ... ---- */

static void down_on_host(void *depth);

static void down(void *depth)
{
    if ((intptr_t)depth <= 1)
        boom(NULL);
    on_host(down_on_host, (void *)((intptr_t)depth - 1));
}

static void down_on_host(void *depth)
{
    call(down, depth);
}

static void down_recovers(void *depth)
{
    CHECK_EQ(W->defer(recover, NULL), WHARF_OK);
    down(depth);
}

static void panic_down(int tried, int depth)
{
    if (tried) {
        wharf_panic_info *info = NULL;
        CHECK_EQ(W->try_(down, (void *)(intptr_t)depth, &info), WHARF_PANICKED);
        CHECK(strcmp(info->message, "BOOM") == 0);
        W->panic_info_free(info);
    } else {
        CHECK_EQ(W->call(down_recovers, (void *)(intptr_t)depth), WHARF_RECOVERED);
    }
}

/* ---- where the frames lie ---- */

static void where(void *at)
{
    *(uintptr_t *)at = HERE();
}

/* Where a host function and a callback run now: the stacks are as they were, if these are. */
static void mark(uintptr_t at[3])
{
    at[0] = HERE();
    call(where, &at[1]);
    on_host(where, &at[2]);
}

static void loop(int tried, int depth, int rounds)
{
    uintptr_t before[3], after[3];
    long rss = 0;
    mark(before);
    for (int i = 0; i < rounds; i++) {
        if (i == rounds / 10)
            rss = rss_kb();
        panic_down(tried, depth);
    }
    mark(after);
    CHECK(memcmp(before, after, sizeof before) == 0);
    CHECK_EQ(stats().stacks_used, 0);
    long grown = rss_kb() - rss;
    if (grown > 64)
        fprintf(stderr, "%d callbacks deep: %ld KiB more\n", depth, grown);
    CHECK(grown <= 64);
}

static void count(void *at)
{
    ++*(int *)at;
}

static void calls(void)
{
    int counted = 0;
    long rss = 0;
    for (int i = 0; i < CALLS; i++) {
        if (i == CALLS / 10)
            rss = rss_kb();
        call(count, &counted);
    }
    CHECK_EQ(counted, CALLS);
    CHECK_EQ(stats().stacks_used, 0);
    CHECK(rss_kb() - rss <= 64);
}

/* ---- eight at once, each with messages of its own ---- */

static pthread_barrier_t all_here;

static void boom_by_name(void *name)
{
    W->panic((const char *)name);
}

static void boom_by_name_out(void *name)
{
    on_host(boom_by_name, name);
}

static void recover_name(void *name)
{
    wharf_panic_info *info = W->recover();
    CHECK(info != NULL);
    CHECK(strcmp(info->message, (const char *)name) == 0);
    W->panic_info_free(info);
}

static void recovers_name(void *name)
{
    CHECK_EQ(W->defer(recover_name, name), WHARF_OK);
    on_host(boom_by_name, name);
}

static void *together_thread(void *number)
{
    char name[32];
    pthread_barrier_wait(&all_here);
    for (int i = 0; i < 2000; i++) {
        wharf_panic_info *info = NULL;
        snprintf(name, sizeof name, "BOOM %d %d", (int)(intptr_t)number, i);
        CHECK_EQ(W->try_(i % 2 ? boom_by_name : boom_by_name_out, name, &info), WHARF_PANICKED);
        CHECK(strcmp(info->message, name) == 0);
        W->panic_info_free(info);
        CHECK_EQ(W->call(recovers_name, name), WHARF_RECOVERED);
    }
    return NULL;
}

static void together(void)
{
    pthread_t threads[THREADS];
    CHECK_EQ(pthread_barrier_init(&all_here, NULL, THREADS), 0);
    for (intptr_t i = 0; i < THREADS; i++)
        threads[i] = spawn(0, together_thread, (void *)i);
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    CHECK_EQ(stats().stacks_used, 0);
}

static void *host_thread(void *tried)
{
    int is_try = tried != NULL;
    rss_kb(); /* brings in what reading the figure takes */
    loop(is_try, 1, PANICS);
    loop(is_try, 2, PANICS / 2);
    loop(is_try, DEEP, PANICS / DEEP);
    calls();
    return NULL;
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "together"))
        together();
    else
        on_thread(host_thread, is_case(argv, "tried") ? &all_here : NULL);
    puts("OK");
    return 0;
}
