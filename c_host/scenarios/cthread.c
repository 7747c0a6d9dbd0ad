/* Cthread: many threads call in at once, new ones all the time; every callback runs once, on its own thread's own stack.
 * source: Go TestCthread
 * stdout: OK
 */
#include "scenario.h"

enum { ROUNDS = 10, THREADS = 40, CALLS = 500 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long total, sum;

typedef struct work {
    int number;
    long mine;
} work;

static void add_on_host(void *arg)
{
    work *now = (work *)arg;
    now->mine++;
}

static void add(void *arg)
{
    work *now = (work *)arg;
    volatile int local = now->number;
    on_host(add_on_host, now);
    CHECK_EQ(pthread_mutex_lock(&lock), 0);
    total++;
    sum += now->number;
    CHECK_EQ(pthread_mutex_unlock(&lock), 0);
    CHECK_EQ(local, now->number);
}

static void *host_thread(void *arg)
{
    work *now = (work *)arg;
    for (int i = 0; i < CALLS; i++)
        call(add, now);
    CHECK_EQ(now->mine, CALLS);
    return NULL;
}

int main(void)
{
    load_wharf();
    static work all[THREADS];
    pthread_t threads[THREADS];
    uint64_t calls = stats().calls;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < THREADS; i++) {
            all[i].number = i;
            all[i].mine = 0;
            threads[i] = spawn(64 << 10, host_thread, &all[i]);
        }
        for (int i = 0; i < THREADS; i++)
            join(threads[i]);
    }
    CHECK_EQ(total, (long)ROUNDS * THREADS * CALLS);
    CHECK_EQ(sum, (long)ROUNDS * CALLS * (THREADS * (THREADS - 1) / 2));
    CHECK_EQ(stats().calls - calls, total);
    CHECK_EQ(stats().threads_bound, 0);
    CHECK_EQ(stats().stacks_used, 0);
    CHECK(stats().threads_made <= 2 * THREADS + 8); /* and not ROUNDS * THREADS */
    puts("OK");
    return 0;
}
