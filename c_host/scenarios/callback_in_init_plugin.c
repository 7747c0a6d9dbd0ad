/* The plugin of CallbackInInit. */
#include "scenario.h"

int plugin_calls;

static void count(UNUSED void *arg)
{
    plugin_calls++;
}

static void boom(UNUSED void *arg)
{
    W->panic("BOOM");
}

static void *plugin_thread(UNUSED void *arg)
{
    call(count, NULL);
    return NULL;
}

__attribute__((constructor)) static void plugin_init(void)
{
    const char *how = getenv("PLUGIN_DOES");
    load_wharf();
    if (strcmp(how, "panic") == 0)
        W->call(boom, NULL);
    else if (strcmp(how, "thread") == 0)
        on_thread(plugin_thread, NULL);
    else
        call(count, NULL);
    puts("in init");
}
