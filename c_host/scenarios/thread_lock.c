/* ThreadLock: a callback stays on the thread that called, through everything that it does: same pthread and kernel thread, same
 * thread-local variables at the same place; a mutex taken in a callback may be given back outside it.
 * source: Go TestThreadLock
 * stdout: OK
 */
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>

#include "scenario.h"

enum { THREADS = 16, ROUNDS = 20 };

static __thread int own;
static pthread_mutex_t mutex;

typedef struct identity {
    pthread_t thread;
    long tid;
    int *own;
} identity;

static NOINLINE identity me(void)
{
    identity now = {pthread_self(), syscall(SYS_gettid), &own};
    return now;
}

static NOINLINE void still(const identity *before)
{
    identity now = me();
    CHECK(pthread_equal(now.thread, before->thread));
    CHECK_EQ(now.tid, before->tid);
    CHECK(now.own == before->own);
    CHECK_EQ(own, before->tid);
}

static void look(void *arg)
{
    still((const identity *)arg);
}

static void callback(void *arg)
{
    const struct timespec moment = {0, 200000};
    still((const identity *)arg);
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    sched_yield();
    still((const identity *)arg);
    nanosleep(&moment, NULL);
    on_host(look, arg);
    call(look, arg);
    still((const identity *)arg);
}

static void *host_thread(UNUSED void *arg)
{
    identity before = me();
    own = (int)before.tid;
    for (int i = 0; i < ROUNDS; i++) {
        call(callback, &before);
        still(&before);
        CHECK_EQ(pthread_mutex_unlock(&mutex), 0); /* fails on any other thread */
    }
    return NULL;
}

int main(void)
{
    load_wharf();
    pthread_mutexattr_t checking;
    CHECK_EQ(pthread_mutexattr_init(&checking), 0);
    CHECK_EQ(pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK), 0);
    CHECK_EQ(pthread_mutex_init(&mutex, &checking), 0);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(0, host_thread, NULL);
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    puts("OK");
    return 0;
}
