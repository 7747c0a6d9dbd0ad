/* A Rust panic that ends in C, beside one that the plugin catches by itself: loops in turns, the least batch in ns, and what
 * of it is a ratio. The plugin is face_a.so.
 *
 *     bench_rust                   figures
 *     bench_rust loop NAME COUNT   only runs that loop, for a tool that counts or samples
 */
#include <dlfcn.h>
#include <setjmp.h>

#include "bench.h"

enum { BATCHES = 40, PANICS = 1000 };

static wharf_fn boom, catches;

/* Panics and catches it in the plugin. */
static void catch_loop(long count)
{
    for (long i = 0; i < count; i++)
        CHECK_EQ(W->call(catches, NULL), WHARF_OK);
}

/* Panics, and a wharf_try of the host's catches it. */
static void panicked_loop(long count)
{
    for (long i = 0; i < count; i++) {
        wharf_panic_info *info;
        CHECK_EQ(W->try_(boom, NULL, &info), WHARF_PANICKED);
        W->panic_info_free(info);
    }
}

/* Panics, and comes to C by what any library would have to do: `Floor` of c_host/plugins/rust/src/floor.rs. */
typedef struct bottom {
    void (*jump)(struct bottom *);
    void *own[4];
    void *thrown;
    size_t behind, count;
    void *trace[32];
    jmp_buf back;
} bottom;

static void (*floors)(bottom *);

static void jumps(bottom *on)
{
    longjmp(on->back, 1);
}

static NOINLINE void to_the_floor(bottom *on)
{
    if (setjmp(on->back) == 0)
        floors(on);
}

static void to_the_floors(void *count)
{
    static _Alignas(16) bottom on = {.jump = jumps};
    for (long i = 0; i < (long)count; i++)
        to_the_floor(&on);
    CHECK(on.count > 4 && on.count < 32);
}

/* Inside an export of the plugin: nothing is printed there. */
static void (*pass)(const void *task);

static void floor_loop(long count)
{
    struct {
        wharf_fn f;
        void *arg;
    } task = {to_the_floors, (void *)count};
    pass(&task);
}

static struct {
    const char *name;
    void (*run)(long count);
    double batches[BATCHES];
} loops[] = {{"rust.catch", catch_loop, {0}}, {"rust.panicked", panicked_loop, {0}}, {"rust.floor", floor_loop, {0}}};
enum { LOOPS = sizeof loops / sizeof *loops };

int main(int argc, char **argv)
{
    load_wharf();
    char path[4096];
    snprintf(path, sizeof path, "%s/face_a.so", getenv("SCENARIO_DIR"));
    void *plugin = dlopen(path, RTLD_NOW);
    CHECK(plugin != NULL);
    *(void **)&boom = dlsym(plugin, "plugin_boom");
    *(void **)&catches = dlsym(plugin, "plugin_catch");
    *(void **)&pass = dlsym(plugin, "plugin_pass");
    *(void **)&floors = dlsym(plugin, "plugin_floor");
    for (int i = 0; i < LOOPS && argc == 4; i++) {
        if (strcmp(loops[i].name, argv[2]) == 0)
            loops[i].run(atol(argv[3]));
    }
    if (argc == 4)
        return 0;
    for (int batch = 0; batch < BATCHES; batch++) {
        for (int i = 0; i < LOOPS; i++) {
            double start = now_ns();
            loops[i].run(PANICS);
            loops[i].batches[batch] = (now_ns() - start) / PANICS;
        }
    }
    for (int i = 0; i < LOOPS; i++)
        say(loops[i].name, least(loops[i].batches, BATCHES));
    say("rust.ratio", least(loops[1].batches, BATCHES) / least(loops[0].batches, BATCHES));
    say("rust.floor_ratio", least(loops[2].batches, BATCHES) / least(loops[0].batches, BATCHES));
    return 0;
}
