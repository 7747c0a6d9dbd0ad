/* How long calls take: warm, nested, out on the host's stack, on two threads at once; each beside the same loop with a
 * plain function pointer, in turns, and with a library that does nothing but call.
 *
 *     bench_calls                   figures in ns per call
 *     bench_calls loop NAME COUNT   only runs that loop, for a tool that counts instructions
 */
#include "bench.h"

enum { BATCHES = 25, CALLS = 200000 };

/* Not a constant for the compiler, so that both are called through a table in memory. */
static struct {
    wharf_fn volatile fn;
    const wharf_api *volatile wharf;
    int (*volatile bare)(wharf_fn fn, void *arg);
    int (*volatile bare_switch)(wharf_fn fn, void *arg);
} table = {empty, NULL, NULL, NULL};

static NOINLINE void plain_loop(long count)
{
    for (long i = 0; i < count; i++)
        table.fn(NULL);
}

static NOINLINE void bare_loop(long count)
{
    for (long i = 0; i < count; i++)
        table.bare(empty, NULL);
}

static NOINLINE void switch_loop(long count)
{
    for (long i = 0; i < count; i++)
        table.bare_switch(empty, NULL);
}

static NOINLINE void call_loop(long count)
{
    for (long i = 0; i < count; i++)
        table.wharf->call(empty, NULL);
}

static NOINLINE void on_host_loop(long count)
{
    for (long i = 0; i < count; i++)
        table.wharf->on_host(empty, NULL);
}

typedef struct loop {
    const char *name;
    void (*run)(long count);
    int on_g;
    double batches[BATCHES];
} loop;

static loop loops[] = {
    {"plain", plain_loop, 0, {0}},
    {"call", call_loop, 0, {0}},
    {"bare", bare_loop, 0, {0}},
    {"switch", switch_loop, 0, {0}},
    {"plain.on_g", plain_loop, 1, {0}},
    {"bare.on_g", bare_loop, 1, {0}},
    {"switch.on_g", switch_loop, 1, {0}},
    {"nested", call_loop, 1, {0}},
    {"on_host", on_host_loop, 1, {0}},
};
enum { LOOPS = sizeof loops / sizeof *loops };

typedef struct run {
    const loop *loop;
    long count;
    double ns;
} run;

static void timed(void *arg)
{
    run *one = arg;
    double start = now_ns();
    one->loop->run(one->count);
    one->ns = (now_ns() - start) / (double)one->count;
}

static double run_loop(const loop *loop, long count)
{
    run one = {loop, count, 0};
    if (loop->on_g)
        call(timed, &one);
    else
        timed(&one);
    return one.ns;
}

static void on_one_thread(void)
{
    for (int batch = 0; batch < BATCHES; batch++) {
        for (int i = 0; i < LOOPS; i++)
            loops[i].batches[batch] = run_loop(&loops[i], CALLS);
    }
    for (int i = 0; i < LOOPS; i++)
        say(loops[i].name, least(loops[i].batches, BATCHES));
}

/* ---- two threads at once ---- */

static pthread_barrier_t start;
static double both[2][2][BATCHES]; /* thread, loop */

static void *one_of_two(void *arg)
{
    long thread = (long)arg;
    call(empty, NULL);
    for (int batch = 0; batch < BATCHES; batch++) {
        for (int i = 0; i < 2; i++) {
            pthread_barrier_wait(&start);
            both[thread][i][batch] = run_loop(&loops[i], CALLS);
        }
    }
    return NULL;
}

static void on_two_threads(void)
{
    barrier_for(&start, 2);
    pthread_t threads[2];
    for (long i = 0; i < 2; i++)
        threads[i] = spawn(0, one_of_two, (void *)i);
    for (int i = 0; i < 2; i++)
        join(threads[i]);
    for (int i = 0; i < 2; i++) {
        double one = least(both[0][i], BATCHES), other = least(both[1][i], BATCHES);
        say(i == 0 ? "plain.2" : "call.2", one > other ? one : other);
    }
}

/* Another library beside wharf, that does nothing but call or switch. */
static void load_bare(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/bare.so", getenv("SCENARIO_DIR"));
    void *bare = dlopen(path, RTLD_NOW);
    CHECK(bare != NULL);
    void *symbols[] = {dlsym(bare, "bare_call"), dlsym(bare, "bare_switch")};
    CHECK(symbols[0] != NULL && symbols[1] != NULL);
    memcpy((void *)&table.bare, &symbols[0], sizeof *symbols);
    memcpy((void *)&table.bare_switch, &symbols[1], sizeof *symbols);
}

int main(int argc, char **argv)
{
    load_wharf();
    load_bare();
    table.wharf = W;
    call(empty, NULL);
    if (argc == 4) {
        for (int i = 0; i < LOOPS; i++) {
            if (strcmp(argv[2], loops[i].name) == 0)
                run_loop(&loops[i], atol(argv[3]));
        }
        return 0;
    }
    on_one_thread();
    on_two_threads();
    return 0;
}
