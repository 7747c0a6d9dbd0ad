/* CgoPprofCallback: a profiler's signal comes to threads that call in and back out all the time; at each the
 * handler unwinds with the C library's backtrace, and each trace reaches the start of its thread, wherever it was hit.
 * source: Go TestCgoPprofCallback, TestCgoPprofThread, TestCgoCallbackPprof, TestCgoCCodeSIGPROF
 * cflags: -fno-pie -no-pie
 * stdout: OK
 * needs: backtrace()
 */
#include <execinfo.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

#include "scenario.h"

enum { THREADS = 2, MOST_FRAMES = 64, WANTED = 150 };

static atomic_int samples, whole, in_callback;
static __thread void *volatile thread_start; /* where the thread's function returns to */
static __thread volatile sig_atomic_t inside_it;

static void on_prof(UNUSED int signal)
{
    int error = errno;
    if (thread_start != NULL) {
        void *frames[MOST_FRAMES];
        int count = backtrace(frames, MOST_FRAMES), found = 0;
        for (int i = 0; i < count; i++)
            found |= frames[i] == thread_start;
        atomic_fetch_add(&samples, 1);
        atomic_fetch_add(&whole, found);
        atomic_fetch_add(&in_callback, inside_it != 0);
    }
    errno = error;
}

static void nothing(UNUSED void *arg) {}

static void nested(UNUSED void *arg)
{
    call(nothing, NULL);
}

static void callback(UNUSED void *arg)
{
    inside_it = 1;
    on_host(nested, NULL);
    call(nothing, NULL);
    inside_it = 0;
}

static NOINLINE void *host_thread(UNUSED void *arg)
{
    thread_start = __builtin_return_address(0);
    while (atomic_load(&samples) < WANTED) {
        call(callback, NULL);
        call(nothing, NULL);
    }
    thread_start = NULL;
    return NULL;
}

int main(void)
{
    load_wharf();
    void *first[1];
    CHECK(backtrace(first, 1) == 1); /* loads the unwinder, outside the handler */
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_prof;
    action.sa_flags = SA_RESTART;
    CHECK_EQ(sigaction(SIGPROF, &action, NULL), 0);
    const struct itimerval period = {{0, 500}, {0, 500}}, off = {{0, 0}, {0, 0}};
    CHECK_EQ(setitimer(ITIMER_PROF, &period, NULL), 0);

    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(0, host_thread, NULL);
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    CHECK_EQ(setitimer(ITIMER_PROF, &off, NULL), 0);
    CHECK_EQ(atomic_load(&whole), atomic_load(&samples));
    CHECK(atomic_load(&in_callback) > 0);
    CHECK_EQ(stats().stacks_used, 0);
    puts("OK");
    return 0;
}
