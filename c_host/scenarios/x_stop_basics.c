/* StopBasics: what stop promises: its counts, who gets which status, that it waits for callbacks but not for ever, and that
 * threads which live on are turned away until the next start.
 * source: DESIGN.md decision 2 and "The states"; SCENARIOS O15
 * stdout: OK
 * timeout: 60
 * case counts
 * args: counts
 * case idle
 * args: idle
 * case lazy
 * args: lazy
 * case lazy_counted
 * args: lazy_counted
 * case threads_left
 * args: threads_left
 * case threads_live
 * args: threads_live
 * case from_callback
 * args: from_callback
 * case deadline
 * args: deadline
 * case waits
 * args: waits
 * case two_stop
 * args: two_stop
 * case callers
 * args: callers
 */
#include "scenario.h"

/* A stop that only waits for processors is over by then, on a machine with more to do than it can. */
enum { THREADS = 8, PATIENCE_MS = 20000 };

static pthread_barrier_t turn;
static volatile int let_go;

static void add(void *arg)
{
    __atomic_fetch_add((int *)arg, 1, __ATOMIC_RELAXED);
}

static void call_ok(void)
{
    int count = 0;
    call(add, &count);
    CHECK_EQ(count, 1);
}

/* A call that is turned away, and whose function does not run. */
static void call_stopped(void)
{
    int count = 0;
    CHECK_EQ(W->call(add, &count), WHARF_STOPPED);
    CHECK_EQ(count, 0);
}

static int stop_within_ms(int64_t ms)
{
    return W->stop(W->after(ms * 1000000));
}

static void *one_call(UNUSED void *arg)
{
    call_ok();
    return NULL;
}

static void check_stopped(void)
{
    CHECK_EQ(W->running(), 0);
    call_stopped();
    CHECK_EQ(W->attach(NULL), WHARF_STOPPED);
    CHECK_EQ(W->trim(), WHARF_STOPPED);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_STOPPED);
    wharf_stats now = stats();
    CHECK_EQ(now.threads_bound + now.threads_made + now.stacks_made, 0);
    CHECK_EQ(now.bytes_reserved, 0);
}

/* ---- states ---- */

static void counts(void)
{
    CHECK_EQ(W->running(), 0);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_ESTATE); /* never started */
    for (int i = 0; i < 3; i++)
        CHECK_EQ(W->start(NULL), WHARF_OK);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
        CHECK_EQ(W->running(), 1);
        call_ok();
    }
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    check_stopped();
    CHECK_EQ(W->start(NULL), WHARF_OK);
    call_ok();
    CHECK_EQ(W->stop(0), WHARF_OK); /* nothing is on: a passed deadline is enough */
    check_stopped();
}

static void idle(void)
{
    CHECK_EQ(W->start(NULL), WHARF_OK);
    CHECK_EQ(W->stop(0), WHARF_OK);
    check_stopped();
}

static void lazily_counted(void)
{
    call_ok();
    CHECK_EQ(W->start(NULL), WHARF_OK); /* counts 1: the lazy start was not counted */
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    check_stopped();
}

static void *call_stopped_thread(UNUSED void *arg)
{
    call_stopped();
    return NULL;
}

static void lazily_started(void)
{
    call_ok();
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    check_stopped();
    on_thread(call_stopped_thread, NULL); /* a late call never starts it again */
    CHECK_EQ(W->running(), 0);
}

static void threads_left(void)
{
    for (int i = 0; i < 100; i++)
        on_thread(one_call, NULL);
    CHECK_EQ(stop_within_ms(PATIENCE_MS), WHARF_OK);
    check_stopped();
}

/* Steps of the main thread and the others alternate. */
static void *living_thread(UNUSED void *arg)
{
    call_ok();
    for (int round = 0; round < 20; round++) {
        pthread_barrier_wait(&turn); /* all idle */
        pthread_barrier_wait(&turn); /* stopped */
        call_stopped();
        pthread_barrier_wait(&turn);
        pthread_barrier_wait(&turn); /* started again */
        call_ok();
    }
    return NULL;
}

static void threads_live(void)
{
    pthread_t threads[THREADS];
    CHECK_EQ(pthread_barrier_init(&turn, NULL, THREADS + 1), 0);
    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(0, living_thread, NULL);
    for (int round = 0; round < 20; round++) {
        pthread_barrier_wait(&turn);
        CHECK_EQ(stop_within_ms(PATIENCE_MS), WHARF_OK);
        check_stopped();
        pthread_barrier_wait(&turn);
        pthread_barrier_wait(&turn);
        CHECK_EQ(W->start(NULL), WHARF_OK);
        pthread_barrier_wait(&turn);
    }
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    CHECK_EQ(stats().threads_bound, 0);
}

static void stop_here(UNUSED void *arg)
{
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_ESTATE);
    CHECK_EQ(W->stop(0), WHARF_ESTATE);
    CHECK_EQ(W->running(), 1);
}

static void stop_inside(UNUSED void *arg)
{
    stop_here(NULL);
    on_host(stop_here, NULL);
    call(stop_here, NULL);
}

static void from_callback(void)
{
    CHECK_EQ(W->start(NULL), WHARF_OK);
    call(stop_inside, NULL);
    call_ok();
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
}

/* ---- callbacks that are on ---- */

static void stay(UNUSED void *arg)
{
    pthread_barrier_wait(&turn);
    while (!let_go) {
        usleep(1000);
        int count = 0;
        CHECK_EQ(W->call(add, &count), WHARF_OK); /* nested ones work all the while */
        on_host(add, &count);
        CHECK_EQ(count, 2);
    }
}

static void *staying_thread(UNUSED void *arg)
{
    call(stay, NULL);
    return NULL;
}

static void deadline(void)
{
    CHECK_EQ(pthread_barrier_init(&turn, NULL, 2), 0);
    pthread_t thread = spawn(0, staying_thread, NULL);
    pthread_barrier_wait(&turn);
    int64_t before = W->now();
    CHECK_EQ(stop_within_ms(100), WHARF_TIMEOUT);
    int64_t took_ms = (W->now() - before) / 1000000;
    CHECK(took_ms >= 99 && took_ms < PATIENCE_MS);
    CHECK_EQ(stop_within_ms(-100), WHARF_TIMEOUT);
    CHECK_EQ(W->running(), 1);
    call_ok();
    on_thread(one_call, NULL);
    let_go = 1;
    CHECK_EQ(stop_within_ms(PATIENCE_MS), WHARF_OK);
    join(thread);
    check_stopped();
}

static void *let_go_later(UNUSED void *arg)
{
    usleep(50000);
    call_stopped(); /* the stop is waiting by now */
    let_go = 1;
    return NULL;
}

static void waits(void)
{
    CHECK_EQ(pthread_barrier_init(&turn, NULL, 2), 0);
    pthread_t thread = spawn(0, staying_thread, NULL);
    pthread_barrier_wait(&turn);
    pthread_t other = spawn(0, let_go_later, NULL);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    CHECK_EQ(let_go, 1);
    join(thread);
    join(other);
    check_stopped();
}

static void *stopper(void *arg)
{
    int status = stop_within_ms(PATIENCE_MS);
    CHECK(status == WHARF_OK || status == WHARF_STOPPED);
    if (status == WHARF_OK)
        add(arg);
    return NULL;
}

static void two_stop(void)
{
    int stopped = 0;
    CHECK_EQ(pthread_barrier_init(&turn, NULL, 2), 0);
    CHECK_EQ(W->start(NULL), WHARF_OK);
    pthread_t thread = spawn(0, staying_thread, NULL), stoppers[THREADS];
    pthread_barrier_wait(&turn);
    for (int i = 0; i < THREADS; i++)
        stoppers[i] = spawn(0, stopper, &stopped);
    usleep(20000);
    let_go = 1;
    for (int i = 0; i < THREADS; i++)
        join(stoppers[i]);
    join(thread);
    CHECK_EQ(stopped, 1);
    check_stopped();
}

/* Threads call all the while; each call has run, or was turned away. */
static void *calling_thread(UNUSED void *arg)
{
    long ok = 0;
    while (!let_go) {
        int count = 0, status = W->call(add, &count);
        CHECK(status == WHARF_OK || status == WHARF_STOPPED);
        CHECK_EQ(count, status == WHARF_OK);
        ok += count;
    }
    CHECK(ok > 0);
    return NULL;
}

static void callers(void)
{
    pthread_t threads[THREADS];
    CHECK_EQ(W->start(NULL), WHARF_OK);
    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(0, calling_thread, NULL);
    for (int round = 0; round < 200; round++) {
        usleep(1000);
        CHECK_EQ(stop_within_ms(PATIENCE_MS), WHARF_OK);
        CHECK_EQ(W->running(), 0);
        CHECK_EQ(W->start(NULL), WHARF_OK);
    }
    usleep(50000);
    let_go = 1;
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
}

int main(UNUSED int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"counts", counts}, {"idle", idle}, {"lazy", lazily_started}, {"lazy_counted", lazily_counted},
        {"threads_left", threads_left}, {"threads_live", threads_live}, {"from_callback", from_callback},
        {"deadline", deadline}, {"waits", waits}, {"two_stop", two_stop}, {"callers", callers},
    };
    load_wharf();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (is_case(argv, cases[i].name)) {
            cases[i].run();
            puts("OK");
        }
    }
    return 0;
}
