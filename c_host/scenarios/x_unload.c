/* Unload: after a stop, plain dlclose unmaps the library, although threads that once called in live on; without a stop it
 * stays. A new dlopen starts afresh, as often as wanted, and threads may end at any moment of it.
 * source: DESIGN.md decision 2; SCENARIOS O1
 * stdout: OK
 * timeout: 60
 * needs: dlclose()
 * case never_used
 * args: never_used
 * case stopped
 * args: stopped
 * case main_called
 * args: main_called
 * case thread_lives
 * args: thread_lives
 * case lazily_started
 * args: lazily_started
 * case left_by_longjmp
 * args: left_by_longjmp
 * case without_stop
 * args: without_stop
 * case closed_first
 * args: closed_first
 * case opened_twice
 * args: opened_twice
 * case reload
 * args: reload
 * case reload_thread_lives
 * args: reload_thread_lives
 * case end_during_stop
 * args: end_during_stop
 * case ended_unseen
 * args: ended_unseen
 */
#include "scenario.h"

#include <setjmp.h>

enum { RELOADS = 200, THREADS = 4, MAX_GROWTH_KB = 1024 };

static const char *name;
static void *handle;
static pthread_barrier_t turn;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

static int mapped(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    char line[512];
    int found = 0;
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL)
        found |= strstr(line, "libwharf") != NULL;
    fclose(file);
    return found;
}

static void add(void *arg)
{
    ++*(int *)arg;
}

static void call_ok(void)
{
    int count = 0;
    call(add, &count);
    CHECK_EQ(count, 1);
}

static void *one_call(UNUSED void *arg)
{
    call_ok();
    return NULL;
}

static void start(void)
{
    CHECK_EQ(W->start(NULL), WHARF_OK);
    on_thread(one_call, NULL);
}

static void stop(void)
{
    CHECK_EQ(W->stop(W->after(INT64_C(2000000000))), WHARF_OK);
}

static void close_it(void)
{
    CHECK_EQ(dlclose(handle), 0);
}

static void check_unmapped(void)
{
    close_it();
    CHECK(!mapped());
}

/* ---- once ---- */

static void never_used(void)
{
    CHECK(mapped());
    CHECK_EQ(W->running(), 0);
    check_unmapped();
}

static void stopped(void)
{
    start();
    if (named("main"))
        call_ok();
    stop();
    check_unmapped();
}

static void lazily_started(void)
{
    on_thread(one_call, NULL);
    stop();
    check_unmapped();
}

static void *lives_on(UNUSED void *arg)
{
    call_ok();
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* unloaded by now: its own end must need nothing of the library's */
    return NULL;
}

static void thread_lives(void)
{
    pthread_t threads[THREADS];
    CHECK_EQ(pthread_barrier_init(&turn, NULL, THREADS + 1), 0);
    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(0, lives_on, NULL);
    pthread_barrier_wait(&turn);
    stop();
    check_unmapped();
    pthread_barrier_wait(&turn);
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
}

static jmp_buf out;

static void leave(UNUSED void *arg)
{
    longjmp(out, 1);
}

static void left_by_longjmp(void)
{
    start();
    if (setjmp(out) == 0)
        call(leave, NULL);
    call_ok(); /* the thread calls in again: what it left counts no more */
    stop();
    check_unmapped();
}

static void without_stop(void)
{
    const wharf_api *before = W;
    start();
    close_it();
    CHECK(mapped());
    call_ok(); /* the table is still good */
    on_thread(one_call, NULL);
    handle = load_wharf();
    CHECK(W == before); /* the same library, which runs on */
    CHECK_EQ(W->running(), 1);
    stop();
    check_unmapped();
}

/* stop then returns into a library that nobody holds any more. */
static void closed_first(void)
{
    start();
    close_it();
    CHECK(mapped());
    stop();
    CHECK(!mapped());
}

static void opened_twice(void)
{
    void *first = handle;
    handle = load_wharf();
    start();
    stop();
    close_it();
    CHECK(mapped());
    CHECK_EQ(W->running(), 0);
    handle = first;
    check_unmapped();
}

/* ---- again and again ---- */

static volatile int ending;

static void *stays(UNUSED void *arg)
{
    for (;;) {
        pthread_barrier_wait(&turn); /* loaded */
        if (ending)
            return NULL;
        call_ok();
        pthread_barrier_wait(&turn);
    }
}

static void reload(void)
{
    pthread_t threads[THREADS];
    int living = named("lives") ? THREADS : 0;
    long maps = 0, kb = 0;
    CHECK_EQ(pthread_barrier_init(&turn, NULL, (unsigned)living + 1), 0);
    for (int i = 0; i < living; i++)
        threads[i] = spawn(0, stays, NULL);
    for (int round = 0; round < RELOADS; round++) {
        if (round > 0)
            handle = load_wharf();
        start();
        call_ok();
        pthread_barrier_wait(&turn);
        pthread_barrier_wait(&turn);
        stop();
        check_unmapped();
        if (round == RELOADS / 2) {
            maps = map_count();
            kb = rss_kb();
        }
    }
    if (map_count() > maps + 2 || rss_kb() > kb + MAX_GROWTH_KB)
        fprintf(stderr, "mappings %ld -> %ld, RSS %ld -> %ld KiB\n", maps, map_count(), kb, rss_kb());
    CHECK(map_count() <= maps + 2);
    CHECK(rss_kb() <= kb + MAX_GROWTH_KB);
    ending = 1;
    pthread_barrier_wait(&turn);
    for (int i = 0; i < living; i++)
        join(threads[i]);
}

/* Threads end while the library stops and goes: between their last call and their end lies a random moment. */
static void *ends_soon(void *arg)
{
    call_ok();
    pthread_barrier_wait(&turn);
    for (volatile long i = 0; i < (long)(intptr_t)arg; i++) {}
    return NULL;
}

static void end_during_stop(void)
{
    CHECK_EQ(pthread_barrier_init(&turn, NULL, THREADS + 1), 0);
    for (int round = 0; round < RELOADS; round++) {
        pthread_t threads[THREADS];
        if (round > 0)
            handle = load_wharf();
        for (int i = 0; i < THREADS; i++)
            threads[i] = spawn(0, ends_soon, (void *)(intptr_t)(i * (round % 50) * 1000));
        pthread_barrier_wait(&turn);
        stop();
        close_it();
        for (int i = 0; i < THREADS; i++)
            join(threads[i]);
        CHECK(!mapped());
    }
}

/* A stop finds the threads that have ended itself: nothing of theirs keeps address space. */
static void ended_unseen(void)
{
    long first_kb = 0;
    for (int round = 0; round < 20; round++) {
        if (round > 0)
            handle = load_wharf();
        start();
        stop();
        check_unmapped();
        if (round == 1)
            first_kb = figure("/proc/self/status", "VmSize");
    }
    CHECK(figure("/proc/self/status", "VmSize") <= first_kb + MAX_GROWTH_KB);
}

int main(UNUSED int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"never_used", never_used}, {"stopped", stopped}, {"main_called", stopped}, {"thread_lives", thread_lives},
        {"lazily_started", lazily_started}, {"left_by_longjmp", left_by_longjmp}, {"without_stop", without_stop},
        {"closed_first", closed_first}, {"opened_twice", opened_twice}, {"reload", reload},
        {"reload_thread_lives", reload}, {"end_during_stop", end_during_stop},
        {"ended_unseen", ended_unseen},
    };
    handle = load_wharf();
    name = argv[1] != NULL ? argv[1] : "";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (is_case(argv, cases[i].name)) {
            cases[i].run();
            puts("OK");
        }
    }
    return 0;
}
