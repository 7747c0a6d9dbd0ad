/* FirstCalls: two threads make the first calls of a fresh process at the same instant; one of them starts the runtime, and both
 * get through. In 60 processes, one after another.
 * source: ours (O2)
 * stdout: OK
 */
#include <stdatomic.h>
#include <sys/wait.h>

#include "scenario.h"

enum { PROCESSES = 60, THREADS = 2 };

static atomic_int waiting, done;

static void callback(UNUSED void *arg)
{
    atomic_fetch_add(&done, 1);
}

static void *host_thread(void *arg)
{
    atomic_fetch_add(&waiting, 1);
    while (atomic_load(&waiting) < THREADS) {
    }
    for (volatile int i = 0; i < (int)(intptr_t)arg; i++) { /* not quite at once: somewhere in the start */
    }
    call(callback, NULL);
    return NULL;
}

static void process(int number)
{
    pthread_t threads[THREADS];
    load_wharf();
    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(0, host_thread, (void *)(intptr_t)(i * number * 200));
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    CHECK_EQ(atomic_load(&done), THREADS);
    CHECK_EQ(stats().threads_bound, 0);
}

int main(void)
{
    for (int i = 0; i < PROCESSES; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            process(i);
            _exit(0);
        }
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
    puts("OK");
    return 0;
}
