/* Trim: wharf_trim gives back what ended threads left, stacks of nested calls, what idle threads used deep down, and long
 * lists of deferred calls; a real-time thread's stack stays. All of it works on afterwards.
 * source: issue 5
 * stdout: OK
 * case ended
 * args: ended
 * case idle
 * args: idle
 * case realtime
 * args: realtime
 * case nested
 * args: nested
 * case inside
 * args: inside
 * case deferred
 * args: deferred
 */
#include "scenario.h"

enum { THREADS = 32, DEEP_BYTES = 128 << 10, NESTED = 16, DEFERRED = 200000, KEPT_PER_THREAD = 16 << 10, HEADS = 256 << 10 };

static const char *name;
static pthread_barrier_t turn;
static long ran;

static int named(const char *part)
{
    return strcmp(name, part) == 0;
}

static void count(UNUSED void *arg)
{
    __atomic_fetch_add(&ran, 1, __ATOMIC_RELAXED);
}

static void go_deep(UNUSED void *arg)
{
    deeper(DEEP_BYTES, count, NULL);
}

static void nest(void *arg)
{
    intptr_t left = (intptr_t)arg;
    if (left == 0)
        go_deep(NULL);
    else if (left % 2 == 0)
        on_host(nest, (void *)(left - 1)); /* the next call takes another stack */
    else
        call(nest, (void *)(left - 1));
}

static void defer_much(UNUSED void *arg)
{
    for (int i = 0; i < DEFERRED; i++)
        CHECK_EQ(W->defer(count, NULL), WHARF_OK);
}

static void use_much(void)
{
    call(go_deep, NULL);
    if (named("nested"))
        call(nest, (void *)(intptr_t)(2 * NESTED));
    if (named("deferred"))
        call(defer_much, NULL);
}

static void *thread(UNUSED void *arg)
{
    wharf_attach_options options = WHARF_ATTACH_OPTIONS_INIT;
    options.flags = named("realtime") ? WHARF_ATTACH_REALTIME : 0;
    CHECK_EQ(W->attach(&options), WHARF_OK);
    for (int round = 0; round < 2; round++) {
        use_much();
        if (named("ended"))
            return NULL;
        pthread_barrier_wait(&turn); /* idle */
        pthread_barrier_wait(&turn); /* trimmed */
    }
    call(count, NULL);
    return NULL;
}

static uint64_t trimmed(void)
{
    CHECK_EQ(W->trim(), WHARF_OK);
    return stats().bytes_committed;
}

static void trim_inside(void *arg)
{
    *(uint64_t *)arg = trimmed();
}

static uint64_t trim_somewhere(void)
{
    uint64_t left = 0;
    if (!named("inside"))
        return trimmed();
    call(trim_inside, &left);
    return left;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    CHECK(argc == 2);
    name = argv[1];
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK);
    CHECK_EQ(pthread_barrier_init(&turn, NULL, THREADS + 1), 0);
    uint64_t most = named("ended") ? HEADS : HEADS + (uint64_t)THREADS * KEPT_PER_THREAD;
    long mappings = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < THREADS; i++)
            threads[i] = spawn(64 << 10, thread, NULL);
        for (int i = 0; i < 2 && !named("ended"); i++) {
            pthread_barrier_wait(&turn);
            uint64_t used = stats().bytes_committed, left = trim_somewhere();
            CHECK(used >= (uint64_t)THREADS * DEEP_BYTES);
            if (named("realtime"))
                CHECK(left >= (uint64_t)THREADS * DEEP_BYTES);
            else if (left > most)
                check_eq(__FILE__, __LINE__, "bytes left", (long long)left, (long long)most);
            pthread_barrier_wait(&turn);
        }
        for (int i = 0; i < THREADS; i++)
            join(threads[i]);
        wait_until_threads(1);
        uint64_t left = trim_somewhere();
        if (left > HEADS)
            check_eq(__FILE__, __LINE__, "bytes left", (long long)left, HEADS);
        CHECK_EQ(stats().threads_bound, named("inside"));
        CHECK_EQ(stats().stacks_used, 0);
        if (round == 1)
            mappings = map_count();
    }
    /* Threads that nothing holds may be more at once than ever before: each has a stack, and what it was lent. */
    long more = named("ended") ? 4 * THREADS : 2;
    if (map_count() > mappings + more)
        check_eq(__FILE__, __LINE__, "mappings", map_count(), mappings + more);
    CHECK(ran > 0);
    puts("OK");
    return 0;
}
