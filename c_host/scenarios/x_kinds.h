/* What each kind of host does with wharf, by the table W: calls, threads that end, a panic that a try gets, one that
 * nobody does. */
#ifndef WHARF_SCENARIO_KINDS_H
#define WHARF_SCENARIO_KINDS_H

#include "scenario.h"

static void count(void *arg)
{
    ++*(int *)arg;
}

static NOINLINE void boom(UNUSED void *arg)
{
    W->panic("BOOM");
}

static void *calling_thread(void *arg)
{
    call(count, arg);
    return NULL;
}

static void out(void *arg)
{
    on_host(count, arg);
    call(count, arg);
}

static void try_all(void)
{
    int counted = 0;
    call(out, &counted);
    CHECK_EQ(counted, 2);
    for (int i = 0; i < 3; i++) {
        pthread_t thread = spawn(0, calling_thread, &counted);
        join(thread);
    }
    CHECK_EQ(counted, 5);
    check_bound(1);
    CHECK_EQ(stats().calls, 5);
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(boom, NULL, &info), WHARF_PANICKED);
    CHECK_EQ(strcmp(info->message, "BOOM"), 0);
    CHECK_EQ(info->cut, 0);
    W->panic_info_free(info);
}

static void stop_all(void)
{
    CHECK_EQ(stats().stacks_used, 0);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    puts("OK");
}

#endif
