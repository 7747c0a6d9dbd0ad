/* StopStorm: sixteen threads call, nest, attach, detach, look in and end as fast as they can, while another starts, trims and
 * stops. Every status is one that the header names; a call from after a start until before the next stop works, one
 * between a stop and the next start is turned away.
 * source: ours (Go #59711, CPython 3.13: a late call crashes)
 * stdout~ ^OK$
 * timeout: 60
 * case long
 * args: 2000 all
 * case lazily
 * args: 1000 lazily
 * case calls
 * args: 1000 calls
 * case valgrind
 * args: 500 all
 * needs: valgrind
 * wrap: valgrind -q --error-exitcode=9
 * stderr!~ ^==
 */
#include "scenario.h"

#include <sched.h>

enum { THREADS = 16, STATUSES = 32, MS = 1000000, KINDS = 6 };

/* What lies between the moments that the stopper tells. */
enum { STOPPED, STARTING, RUNNING, STOPPING, PHASES };

static unsigned moment; /* modulo PHASES: the phase */
static int over, kinds = KINDS;
static long outcomes[STATUSES]; /* by status */
static unsigned stops;
static long between, worked;    /* calls that began between a start and a stop; that worked */

static unsigned now(void)
{
    return __atomic_load_n(&moment, __ATOMIC_SEQ_CST);
}

static int is_over(void)
{
    return __atomic_load_n(&over, __ATOMIC_RELAXED);
}

static void next_phase(void)
{
    __atomic_fetch_add(&moment, 1, __ATOMIC_SEQ_CST);
}

static void add(long *to)
{
    __atomic_fetch_add(to, 1, __ATOMIC_RELAXED);
}

static void told(int status)
{
    CHECK(status <= 0 && -status < STATUSES);
    add(&outcomes[-status]);
}

static __thread int runs;

static void run(UNUSED void *arg)
{
    runs++;
}

static void add_one(void *arg)
{
    ++*(int *)arg;
}

static void nest(UNUSED void *arg)
{
    int ours = 0; /* on a stack that goes from thread to thread */
    call(add_one, &ours);
    on_host(add_one, &ours);
    CHECK_EQ(ours, 2);
    call(run, NULL); /* inside a callback calls work, whatever comes */
    on_host(run, NULL);
}

static void nest_out(UNUSED void *arg)
{
    on_host(nest, NULL);
    runs--;
}

static void one_call(wharf_fn fn, int wanted)
{
    unsigned before = now();
    runs = 0;
    int status = W->call(fn, NULL);
    int same = now() == before;
    told(status);
    CHECK(status == WHARF_OK || status == WHARF_STOPPED);
    CHECK_EQ(runs, status == WHARF_OK ? wanted : 0);
    if (before % PHASES == RUNNING) {
        add(&between);
        if (status == WHARF_OK)
            add(&worked);
    }
    if (same && before % PHASES == RUNNING)
        CHECK_EQ(status, WHARF_OK);
    if (same && before % PHASES == STOPPED)
        CHECK_EQ(status, WHARF_STOPPED);
}

static void *calls_and_ends(void *arg)
{
    one_call(run, 1);
    if (arg != NULL)
        pthread_exit(NULL);
    return NULL;
}

static void *calls_first(UNUSED void *arg)
{
    call(run, NULL);
    return NULL;
}

/* A thread that may be in the way when this one ends. */
static void *calls_detached(UNUSED void *arg)
{
    CHECK_EQ(pthread_detach(pthread_self()), 0);
    one_call(nest, 2);
    return NULL;
}

static void attach_and_detach(void)
{
    int attached = W->attach(NULL), detached;
    told(attached);
    CHECK(attached == WHARF_OK || attached == WHARF_STOPPED);
    detached = W->detach();
    told(detached);
    /* It was tied up before, or is now, or never was. */
    CHECK(detached == WHARF_OK || (detached == WHARF_ESTATE && attached == WHARF_STOPPED));
}

static void *storms(void *number)
{
    for (unsigned i = (unsigned)(uintptr_t)number; !is_over(); i++) {
        switch (i / 16 % (unsigned)kinds) {
        case 0: one_call(run, 1); break;
        case 1: one_call(nest, 2); break;
        case 2: attach_and_detach(); break;
        case 3: on_thread(calls_and_ends, i % 2 == 0 ? NULL : &moment); break;
        case 4: one_call(nest_out, 1); break;
        default:
            if (i % 16 == 0)
                told(W->stats_read(&(wharf_stats)WHARF_STATS_INIT));
            else
                join(spawn(64 << 10, calls_and_ends, NULL));
        }
    }
    return NULL;
}

static void trim(void)
{
    int status = W->trim();
    told(status);
    CHECK_EQ(status, WHARF_OK);
}

/* The runtime runs when it is called, counted or not; stopped when it returns. */
static void stop(unsigned round)
{
    for (int64_t patience = round % 3 == 0 ? 0 : 2 * MS;; patience = round % 3 == 1 ? WHARF_NEVER : patience * 2 + 1) {
        next_phase();
        int status = W->stop(patience == WHARF_NEVER ? patience : W->after(patience));
        told(status);
        if (status == WHARF_OK)
            break;
        CHECK_EQ(status, WHARF_TIMEOUT);
        __atomic_fetch_add(&moment, PHASES - 1, __ATOMIC_SEQ_CST); /* it runs as before */
        usleep(100);
    }
    CHECK_EQ(W->running(), 0);
    stops++;
    next_phase();
}

static void starts_and_stops(int64_t until)
{
    for (unsigned round = 0; W->now() < until; round++) {
        CHECK_EQ(W->stop(0), WHARF_STOPPED);
        usleep(round * 7 % 50);
        next_phase();
        CHECK_EQ(W->start(NULL), WHARF_OK);
        CHECK_EQ(W->running(), 1);
        next_phase();
        usleep(round * 37 % 1000 + 500);
        if (round % 4 == 0)
            trim();
        stop(round);
    }
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS], detached;
    CHECK(argc == 3);
    load_wharf();
    if (strcmp(argv[2], "calls") == 0)
        kinds = 2;
    if (strcmp(argv[2], "lazily") == 0)
        on_thread(calls_first, NULL);
    else
        CHECK_EQ(W->start(NULL), WHARF_OK);
    moment = RUNNING;
    for (uintptr_t i = 0; i < THREADS; i++)
        threads[i] = spawn(256 << 10, storms, (void *)(i * 16));
    CHECK_EQ(pthread_create(&detached, NULL, calls_detached, NULL), 0);
    stop(1);
    int64_t times = getenv("SOAK") != NULL ? 5 : 1;
    starts_and_stops(W->after(atoll(argv[1]) * times * MS));
    __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    CHECK_EQ(W->start(NULL), WHARF_OK);
    for (int i = 0; i < 1000 && stats().threads_bound > 0; i++)
        usleep(1000);
    CHECK_EQ(stats().threads_bound, 0);
    CHECK_EQ(stats().stacks_used, 0);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    printf("tally: stops=%u between=%ld worked=%ld ok=%ld timeout=%ld stopped=%ld estate=%ld\n", stops, between, worked,
           outcomes[0], outcomes[-WHARF_TIMEOUT], outcomes[-WHARF_STOPPED], outcomes[-WHARF_ESTATE]);
    CHECK(worked * 2 >= between);
    CHECK(worked > 0);
    puts("OK");
    return 0;
}
