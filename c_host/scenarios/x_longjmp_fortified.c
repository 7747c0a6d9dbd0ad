/* LongjmpFortified: longjmp in a host compiled with _FORTIFY_SOURCE, as distributions compile: glibc ends the process when
 * the jump seems to go deeper into the stack, so from a managed stack to the host's only where that lies higher.
 * Out of a callback it must work on every thread; from wharf_on_host back to the callback is the other direction.
 * source: ours; glibc's ____longjmp_chk
 * cflags: -O2 -D_FORTIFY_SOURCE=2
 * stdout: OK
 * case main
 * args: main
 * case first_thread
 * args: first_thread
 * case later_threads
 * args: later_threads
 * case altstack
 * args: altstack
 */
#include "scenario.h"

#include <setjmp.h>
#include <signal.h>

enum { THREADS = 30, JUMPS = 100 };

static __thread jmp_buf out;
static __thread int jumps;

static void leave(UNUSED void *arg)
{
    longjmp(out, 1);
}

static void leave_nested(UNUSED void *arg)
{
    call(leave, NULL);
}

static void leave_by_host(UNUSED void *arg)
{
    on_host(leave_nested, NULL);
}

static NOINLINE void jump_once(wharf_fn fn)
{
    if (setjmp(out) == 0)
        call(fn, NULL);
    jumps++;
}

static void *thread(UNUSED void *arg)
{
    for (int i = 0; i < JUMPS; i++) {
        jump_once(leave);
        jump_once(leave_by_host);
    }
    CHECK_EQ(jumps, 2 * JUMPS);
    return NULL;
}

/* All alive at once, so that their stacks lie on both sides of whatever was mapped meanwhile. */
static pthread_barrier_t turn;

static void *later_thread(void *arg)
{
    thread(arg);
    pthread_barrier_wait(&turn);
    return NULL;
}

static void later_threads(void)
{
    CHECK_EQ(pthread_barrier_init(&turn, NULL, THREADS + 1), 0);
    for (int i = 0; i < THREADS; i++) {
        spawn(0, later_thread, NULL);
        usleep(2000); /* one after another makes its first call */
    }
    pthread_barrier_wait(&turn);
}

static void handler(UNUSED int signal)
{
    call(leave, NULL);
}

/* Out of a callback of a handler that runs on an alternate stack. */
static void *altstack_thread(UNUSED void *arg)
{
    stack_t altstack = {.ss_sp = malloc(64 << 10), .ss_size = 64 << 10};
    CHECK_EQ(sigaltstack(&altstack, NULL), 0);
    for (int i = 0; i < JUMPS; i++) {
        if (setjmp(out) == 0)
            raise(SIGUSR1);
        jumps++;
    }
    CHECK_EQ(jumps, JUMPS);
    return NULL;
}

int main(UNUSED int argc, char **argv)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    load_wharf();
    if (is_case(argv, "main"))
        thread(NULL);
    if (is_case(argv, "first_thread"))
        on_thread(thread, NULL);
    if (is_case(argv, "later_threads"))
        later_threads();
    if (is_case(argv, "altstack"))
        on_thread(altstack_thread, NULL);
    puts("OK");
    return 0;
}
