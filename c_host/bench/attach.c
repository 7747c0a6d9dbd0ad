/* What a thread's first call costs.
 *
 *     bench_attach          figures in ns: first calls with a spare M and without, and a thread's whole life
 *     bench_attach COUNT    so many threads call first at the same moment; figures in ms
 */
#include <stdatomic.h>

#include "bench.h"

/* ---- one thread after another: each finds the M of the one before ---- */

enum { LIVES = 500, WARM_UP = 20 };

static double first_ns;

static void *calls_first(UNUSED void *arg)
{
    double start = now_ns();
    W->call(empty, NULL);
    first_ns = now_ns() - start;
    return NULL;
}

static void *calls_plainly(UNUSED void *arg)
{
    double start = now_ns();
    plain(NULL);
    first_ns = now_ns() - start;
    return NULL;
}

static double life_ns(thread_fn body)
{
    double start = now_ns();
    on_thread(body, NULL);
    return now_ns() - start;
}

static void lives(void)
{
    static double calling[LIVES], without[LIVES], first[LIVES], first_plain[LIVES];
    for (int i = -WARM_UP; i < LIVES; i++) {
        int at = i < 0 ? 0 : i;
        calling[at] = life_ns(calls_first);
        first[at] = first_ns;
        without[at] = life_ns(calls_plainly);
        first_plain[at] = first_ns;
    }
    say("first.pooled", median(first, LIVES));
    say("first.plain", median(first_plain, LIVES));
    say("life", median(calling, LIVES));
    say("life.plain", median(without, LIVES));
}

/* ---- threads that stay: each needs an M and a stack of its own ---- */

enum { STAYING = 200 };

static pthread_barrier_t leave;
static atomic_int arrived;

/* What no library is spared that gives a thread a stack of its own: the kernel makes memory usable, and brings a page. */
static void *takes_stack(UNUSED void *arg)
{
    enum { STACK = 256 << 10, GUARD = 64 << 10 };
    static char *next;
    if (next == NULL)
        next = mmap(NULL, (size_t)STAYING * (STACK + GUARD), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(next != MAP_FAILED);
    char *stack = next + GUARD;
    next = stack + STACK;
    double start = now_ns();
    mprotect(stack, STACK, PROT_READ | PROT_WRITE);
    *(volatile char *)(next - 1) = 1;
    first_ns = now_ns() - start;
    return NULL;
}

static thread_fn begin;

static void *stays(void *out)
{
    begin(NULL);
    *(double *)out = first_ns;
    atomic_store(&arrived, 1);
    pthread_barrier_wait(&leave);
    return NULL;
}

static double fresh(thread_fn by)
{
    begin = by;
    static pthread_t threads[STAYING];
    static double first[STAYING];
    barrier_for(&leave, STAYING + 1);
    for (int i = 0; i < STAYING; i++) {
        atomic_store(&arrived, 0);
        threads[i] = spawn(0, stays, &first[i]);
        while (!atomic_load(&arrived))
            usleep(20);
    }
    pthread_barrier_wait(&leave);
    for (int i = 0; i < STAYING; i++)
        join(threads[i]);
    return median(first, STAYING);
}

/* ---- all at once ---- */

static pthread_barrier_t ready, done;
static int storm_calls;

typedef struct stormer {
    pthread_t thread;
    double arrived, returned;
} stormer;

static void *storms(void *arg)
{
    stormer *self = arg;
    self->arrived = now_ns();
    pthread_barrier_wait(&ready);
    if (storm_calls)
        call(empty, NULL);
    else
        plain(NULL);
    self->returned = now_ns();
    pthread_barrier_wait(&done);
    return NULL;
}

/* From the moment the barrier opens, which is when the last one arrives, until the last call has returned. */
static double storm_ms(int count, int calls)
{
    storm_calls = calls;
    barrier_for(&ready, count);
    barrier_for(&done, count);
    stormer *all = calloc((size_t)count, sizeof *all);
    CHECK(all != NULL);
    for (int i = 0; i < count; i++)
        all[i].thread = spawn(65536, storms, &all[i]);
    double began = 0, ended = 0;
    for (int i = 0; i < count; i++) {
        join(all[i].thread);
        began = all[i].arrived > began ? all[i].arrived : began;
        ended = all[i].returned > ended ? all[i].returned : ended;
    }
    free(all);
    return (ended - began) / 1e6;
}

int main(int argc, char **argv)
{
    load_wharf();
    if (argc > 1) {
        say("storm.plain", storm_ms(atoi(argv[1]), 0));
        say("storm", storm_ms(atoi(argv[1]), 1));
        return 0;
    }
    lives();
    say("first.kernel", fresh(takes_stack));
    say("first.fresh", fresh(calls_first));
    return 0;
}
