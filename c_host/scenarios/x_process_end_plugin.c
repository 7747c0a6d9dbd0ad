/* The plugin of ProcessEnd: calls in from its constructor and its destructor. */
#include "scenario.h"

static void count(void *arg)
{
    ++*(int *)arg;
}

static void *call_once(void *arg)
{
    W->call(count, arg);
    return NULL;
}

__attribute__((constructor)) static void begin(void)
{
    int calls = 0;
    load_wharf();
    call(count, &calls);
    CHECK_EQ(calls, 1);
    if (getenv("PLUGIN_STARTS") != NULL)
        CHECK_EQ(W->start(NULL), WHARF_OK);
}

__attribute__((destructor)) static void end(void)
{
    int calls = 0, status = W->call(count, &calls);
    CHECK_EQ(calls, status == WHARF_OK);
    if (getenv("PLUGIN_THREAD") != NULL)
        on_thread(call_once, &calls);
    printf("plugin's destructor: %s %d\n", W->status_name(status), calls);
    fflush(stdout);
}
