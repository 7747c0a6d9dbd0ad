/* CallbackInInit: the library is loaded and called from a constructor of a plugin, while the loader holds its lock: on the
 * loading thread itself, and (Issue3775) on a thread that the constructor waits for. A panic there has a whole trace, too.
 * source: Go TestCallbackInInit, Test3775
 * library: callback_in_init_plugin.c
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * case here
 * args: here
 * stdout: in init
 * stdout: OK
 * case thread
 * args: thread
 * stdout: in init
 * stdout: OK
 * case panic
 * args: panic
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [1-9]
 * frames: boom wharf_call plugin_init <libc> open_plugin main
 */
#include "scenario.h"

static void nothing(UNUSED void *arg) {}

static void open_plugin(const char *how)
{
    char path[4096];
    CHECK_EQ(setenv("PLUGIN_DOES", how, 1), 0);
    snprintf(path, sizeof path, "%s/callback_in_init_plugin.so", getenv("SCENARIO_DIR"));
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(plugin != NULL);
    int *calls = (int *)dlsym(plugin, "plugin_calls");
    CHECK_EQ(*calls, 1);
}

int main(UNUSED int argc, char **argv)
{
    open_plugin(argv[1]);
    load_wharf();
    call(nothing, NULL);
    puts("OK");
    return 0;
}
