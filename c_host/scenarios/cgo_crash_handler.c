/* CgoCrashHandler: a callback follows NULL; the host's own SIGSEGV handler leaves by siglongjmp, on the main thread, on
 * two new threads and on the main thread again. Inside the callback it goes on as if nothing had been; across the
 * callback the next call puts in order what was left behind.
 * source: Go TestCgoCrashHandler, with the host's recovery in place of recover
 * stdout: main: recovered done
 * stdout: new-thread: recovered done
 * stdout: new-thread: recovered done
 * stdout: main: recovered done
 * case inside
 * args: inside
 * case across
 * args: across
 */
#include <setjmp.h>
#include <signal.h>

#include "scenario.h"

enum { ROUNDS = 300 };

static __thread sigjmp_buf recovery;
static __thread uintptr_t fault_address;
static int across;

static void on_segv(UNUSED int signal, siginfo_t *info, UNUSED void *context)
{
    fault_address = (uintptr_t)info->si_addr;
    siglongjmp(recovery, 1);
}

static NOINLINE void follow_null(void)
{
    int *volatile null = (int *)16;
    *null = 1;
    CHECK(!"the store came back");
}

static void callback(void *arg)
{
    CHECK_EQ(stats().stacks_used, 1);
    fault_address = 0;
    if (across)
        follow_null();
    if (sigsetjmp(recovery, 1) == 0)
        follow_null();
    CHECK_EQ(fault_address, 16);
    ++*(int *)arg;
}

static void below(UNUSED void *arg) {}

static void look(void *arg)
{
    CHECK_EQ(stats().stacks_used, 1);
    on_host(below, NULL);
    ++*(int *)arg;
}

/* Each round uses a little more of the host's stack, so that a record left behind would be seen above and below. */
static NOINLINE void one_round(void *arg)
{
    int done = 0;
    if (across) {
        if (sigsetjmp(recovery, 1) == 0)
            call(callback, &done);
        CHECK_EQ(fault_address, 16);
        CHECK_EQ(done, 0);
        call(look, &done);
    } else {
        call(callback, &done);
    }
    CHECK_EQ(done, 1);
    ++*(int *)arg;
}

static void crash(const char *who)
{
    int rounds = 0;
    for (int i = 0; i < ROUNDS; i++)
        deeper((size_t)(i % 7) * 4096, one_round, &rounds);
    CHECK_EQ(rounds, ROUNDS);
    CHECK_EQ(stats().stacks_used, 0);
    printf("%s: recovered done\n", who);
}

static void *new_thread(UNUSED void *arg)
{
    crash("new-thread");
    return NULL;
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    across = is_case(argv, "across");
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_segv;
    action.sa_flags = SA_SIGINFO;
    CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
    crash("main");
    on_thread(new_thread, NULL);
    on_thread(new_thread, NULL);
    crash("main");
    CHECK_EQ(stats().threads_made <= 3, 1);
    return 0;
}
