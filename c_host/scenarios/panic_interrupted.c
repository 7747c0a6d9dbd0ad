/* PanicInterrupted: a handler calls in again and again while the thread that it interrupts gets panics from its tries. Each
 * try answers what it caught, also where the handler comes while a panic that has come back is seen to.
 * source: ARCHITECTURE.md [record]
 * stdout: OK
 * timeout: 120
 * case plain
 * args: plain
 * case deferred
 * args: deferred
 */
#include "scenario.h"

#include <signal.h>

static int ended, has_deferred;

static void nothing(UNUSED void *arg) {}

static void on_signal(UNUSED int sig)
{
    int before = errno;
    call(nothing, NULL);
    errno = before;
}

static void boom(UNUSED void *arg)
{
    if (has_deferred)
        CHECK_EQ(W->defer(nothing, NULL), WHARF_OK);
    W->panic("BOOM");
}

static void *try_all_the_time(UNUSED void *arg)
{
    while (!__atomic_load_n(&ended, __ATOMIC_SEQ_CST)) {
        wharf_panic_info *info = NULL;
        CHECK_EQ(W->try_(boom, NULL, &info), WHARF_PANICKED);
        CHECK(info != NULL);
        W->panic_info_free(info);
    }
    return NULL;
}

int main(UNUSED int argc, char **argv)
{
    has_deferred = is_case(argv, "deferred");
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK); /* a handler may not call in while its thread does that */
    struct sigaction action = {0};
    action.sa_handler = on_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    pthread_t thread = spawn(0, try_all_the_time, NULL);
    for (int i = 0; i < share(50000); i++) {
        CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
        usleep(20);
    }
    __atomic_store_n(&ended, 1, __ATOMIC_SEQ_CST);
    join(thread);
    CHECK_EQ(stats().stacks_used, 0);
    puts("OK");
    return 0;
}
