/* Reload: the library is loaded, started, called from eight threads that live on over all rounds, stopped and unloaded, again
 * and again. After each round no mapping of it is left, no thread, no key, no handler; memory and address space stay
 * flat, also when the thread-local slot of a load is no longer in static memory.
 * source: DESIGN.md section 1, decision 2 (no runtime that a C program can load does it)
 * stdout: OK
 * timeout: 120
 * needs: dlclose()
 * case started
 * args: 300 start
 * case lazily
 * args: 300 lazily
 * case by_turns
 * args: 200 turns
 */
#include "scenario.h"

#include <signal.h>

enum { THREADS = 8, WARM_UP = 100 };

static pthread_barrier_t begin, end;
static int over;
static long calls;

static void count(UNUSED void *arg)
{
    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
}

static void *living(UNUSED void *arg)
{
    for (;;) {
        pthread_barrier_wait(&begin);
        if (over)
            return NULL;
        for (int i = 0; i < 10; i++)
            call(count, NULL);
        pthread_barrier_wait(&end);
    }
}

static pthread_key_t next_key(void)
{
    pthread_key_t key;
    CHECK_EQ(pthread_key_create(&key, NULL), 0);
    CHECK_EQ(pthread_key_delete(key), 0);
    return key;
}

static int maps_name(const char *part)
{
    char line[4096];
    int found = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL)
        found |= strstr(line, part) != NULL;
    fclose(file);
    return found;
}

static struct sigaction segv_action(void)
{
    struct sigaction action;
    CHECK_EQ(sigaction(SIGSEGV, NULL, &action), 0);
    return action;
}

static void one_round(int start)
{
    long before = calls;
    void *library = load_wharf();
    if (start)
        CHECK_EQ(W->start(NULL), WHARF_OK);
    pthread_barrier_wait(&begin);
    pthread_barrier_wait(&end);
    CHECK_EQ(calls, before + THREADS * 10);
    CHECK_EQ(stats().threads_bound, THREADS);
    CHECK(stats().threads_made <= 2 * THREADS + 2); /* an M that a thread had in the last round goes back when it has another */
    if (start)
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    CHECK_EQ(dlclose(library), 0);
    CHECK(!maps_name("libwharf"));
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    int rounds = atoi(argv[1]);
    CHECK_EQ(pthread_barrier_init(&begin, NULL, THREADS + 1), 0);
    CHECK_EQ(pthread_barrier_init(&end, NULL, THREADS + 1), 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(0, living, NULL);
    long space = 0, memory = 0, thread_number = thread_count();
    pthread_key_t key = next_key();
    struct sigaction segv = segv_action();
    for (int i = 0; i < rounds; i++) {
        one_round(argv[2][0] == 's' || (argv[2][0] == 't' && i % 2 == 0));
        CHECK_EQ(thread_count(), thread_number);
        CHECK_EQ(next_key(), key);
        CHECK(segv_action().sa_handler == segv.sa_handler);
        if (i == WARM_UP) {
            space = figure("/proc/self/status", "VmSize");
            memory = rss_kb();
        }
    }
    CHECK(figure("/proc/self/status", "VmSize") <= space + 1024);
    CHECK(rss_kb() <= memory + 1024);
    over = 1;
    pthread_barrier_wait(&begin);
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    puts("OK");
    return 0;
}
