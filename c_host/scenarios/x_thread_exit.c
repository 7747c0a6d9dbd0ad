/* ThreadExit: threads end in every way at once: detached ones that nobody joins, by pthread_exit in nested callbacks and out on
 * the host's stack, while destructors of theirs call in again, with no key left, where wharf has a libc of its own; and
 * the main thread, before the others. Nothing is left, and the host's values for its keys are its own.
 * source: issue 5; SCENARIOS O3, O4
 * stdout: OK
 * timeout: 60
 * case detached
 * args: detached
 * case joined
 * args: joined
 * case no_key
 * args: no_key
 * case namespace
 * needs: dlmopen()
 * args: namespace
 * case namespace_no_key
 * needs: dlmopen()
 * args: namespace_no_key
 * case main_first
 * args: main_first
 * case main_first_busy
 * args: main_first_busy
 */
#include "scenario.h"

#include <limits.h>

enum { THREADS = 400, KEYS = 40, ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS, CROWD = 8 };

static const char *name;
static pthread_key_t keys[KEYS];
static int key_count;
static pthread_t main_thread;
static long ended, calls, destroyed;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

static void add(void *arg)
{
    __atomic_fetch_add((long *)arg, 1, __ATOMIC_SEQ_CST);
}

/* A value is its key's index and how often it was destroyed before. */
static void destroy(void *value)
{
    intptr_t index = (intptr_t)value % 100, round = (intptr_t)value / 100;
    CHECK(index < key_count && round >= 1 && round <= ROUNDS);
    call(add, &calls);
    add(&destroyed);
    if (round < ROUNDS)
        CHECK_EQ(pthread_setspecific(keys[index], (void *)(value + 100)), 0);
}

static void check_values(void)
{
    for (intptr_t i = 0; i < key_count; i++)
        CHECK_EQ((intptr_t)pthread_getspecific(keys[i]), 100 + i);
}

static void leave(UNUSED void *arg)
{
    if (!pthread_equal(pthread_self(), main_thread))
        check_values();
    pthread_exit(NULL);
}

static void leave_from(void *arg)
{
    switch ((intptr_t)arg % 4) {
    case 0: call(leave, arg); break;
    case 1: on_host(leave, arg); break;
    default:
        on_host(leave_from, (void *)((intptr_t)arg - 2));
    }
}

static void *thread(void *arg)
{
    for (intptr_t i = 0; i < key_count; i++)
        CHECK_EQ(pthread_setspecific(keys[i], (void *)(100 + i)), 0);
    call(add, &calls);
    check_values();
    add(&ended);
    if ((intptr_t)arg % 3 != 0)
        call(leave_from, arg);
    return NULL;
}

static void load_apart(void)
{
    const wharf_api *(*get)(uint32_t);
    void *library = open_apart(getenv("WHARF_LIB"));
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    void *found = dlsym(library, "wharf_get_api");
    CHECK(found != NULL);
    memcpy(&get, &found, sizeof get);
    W = get(WHARF_ABI);
}

static void wait_until_alone(void)
{
    long left = named("main_first") ? 2 : 1; /* the main thread stays as a zombie */
    wait_until_threads(left);
    CHECK_EQ(thread_count(), left);
}

static void run_threads(void)
{
    pthread_attr_t attr;
    pthread_t thread_id[CROWD];
    CHECK_EQ(pthread_attr_init(&attr), 0);
    if (named("detached"))
        CHECK_EQ(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED), 0);
    for (intptr_t i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_create(&thread_id[i % CROWD], &attr, thread, (void *)i), 0);
        if (i % CROWD != CROWD - 1)
            continue;
        if (named("detached"))
            wait_until_alone();
        else
            for (int j = 0; j < CROWD; j++)
                join(thread_id[j]);
    }
    wait_until_alone();
    CHECK_EQ(ended, THREADS);
    CHECK_EQ(destroyed, (long)THREADS * key_count * ROUNDS);
    CHECK_EQ(stats().threads_bound, 0);
    CHECK_EQ(stats().stacks_used, 0);
    CHECK(stats().threads_made < 4 * CROWD);
    CHECK_EQ(W->trim(), WHARF_OK);
    CHECK_EQ(W->stop(0), WHARF_OK);
    CHECK_EQ(stats().bytes_reserved, 0);
}

/* ---- the main thread is the first to go ---- */

static void *after_main(UNUSED void *arg)
{
    join(main_thread);
    run_threads();
    puts("OK");
    exit(0);
}

static void end_main(void)
{
    spawn(0, after_main, NULL);
    if (named("busy"))
        call(leave_from, (void *)(intptr_t)(3 + 4 * 5));
    pthread_exit(NULL);
}

int main(int argc, char **argv)
{
    pthread_key_t spare;
    CHECK(argc == 2);
    name = argv[1];
    main_thread = pthread_self();
    if (named("namespace"))
        load_apart();
    else
        load_wharf();
    while (key_count < KEYS) /* some before wharf's own */
        CHECK_EQ(pthread_key_create(&keys[key_count++], destroy), 0);
    while (named("no_key") && pthread_key_create(&spare, NULL) == 0) {}
    CHECK_EQ(W->start(NULL), WHARF_OK);
    if (named("main_first"))
        end_main();
    run_threads();
    puts("OK");
    return 0;
}
