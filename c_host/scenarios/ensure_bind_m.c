/* EnsureBindM: a thread keeps its own M from its first call to its end, and two threads never share one.
 * source: Go TestEnsureBindM
 * stdout: OK
 */
#include "scenario.h"

enum { THREADS = 2, CALLS = 100 };

static pthread_barrier_t turn;

typedef struct visits {
    uintptr_t stack[CALLS];
    int count;
    pthread_t self;
} visits;

static NOINLINE void look(void *arg)
{
    visits *mine = (visits *)arg;
    CHECK(pthread_equal(mine->self, pthread_self()));
    CHECK_EQ(stats().threads_bound, THREADS);
    mine->stack[mine->count++] = HERE();
}

static void nothing(UNUSED void *arg) {}

static void *host_thread(void *arg)
{
    visits *mine = (visits *)arg;
    mine->self = pthread_self();
    call(nothing, NULL);
    pthread_barrier_wait(&turn);
    for (int i = 0; i < CALLS; i++) {
        call(look, mine);
        if (i % 10 == 0)
            pthread_barrier_wait(&turn); /* keeps the two beside each other */
    }
    pthread_barrier_wait(&turn);
    return NULL;
}

int main(void)
{
    load_wharf();
    static visits all[THREADS];
    pthread_t threads[THREADS];
    CHECK_EQ(pthread_barrier_init(&turn, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(0, host_thread, &all[i]);
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(all[i].count, CALLS);
        for (int call_number = 1; call_number < CALLS; call_number++)
            CHECK(all[i].stack[call_number] == all[i].stack[0]);
    }
    CHECK(all[0].stack[0] != all[1].stack[0]);
    CHECK_EQ(stats().threads_bound, 0);
    puts("OK");
    return 0;
}
