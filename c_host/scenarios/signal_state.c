/* SignalState: with every signal masked, with and without an alternate stack, calls leave mask and alternate stack as they
 * were, and the callback sees them so; what a callback changes itself stays changed.
 * source: ours (O5); Go TestSigprocmask
 * stdout: OK
 */
#include <signal.h>

#include "scenario.h"

static __thread sigset_t mask;
static __thread stack_t altstack;

static void same(UNUSED void *arg)
{
    sigset_t now;
    stack_t stack;
    memset(&now, 0, sizeof now);
    memset(&stack, 0, sizeof stack);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &now), 0);
    for (int signal = 1; signal < 65; signal++)
        CHECK_EQ(sigismember(&now, signal), sigismember(&mask, signal));
    CHECK_EQ(sigaltstack(NULL, &stack), 0);
    CHECK(stack.ss_sp == altstack.ss_sp);
    CHECK_EQ(stack.ss_size, altstack.ss_size);
    CHECK_EQ(stack.ss_flags, altstack.ss_flags);
}

static void callback(UNUSED void *arg)
{
    same(NULL);
    on_host(same, NULL);
    call(same, NULL);
}

static void block_one(void *arg)
{
    sigset_t one;
    CHECK_EQ(sigemptyset(&one), 0);
    CHECK_EQ(sigaddset(&one, *(int *)arg), 0);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &one, &mask), 0);
    CHECK_EQ(sigaddset(&mask, *(int *)arg), 0);
}

static void all_ways(void)
{
    for (int i = 0; i < 3; i++) {
        call(callback, NULL);
        same(NULL);
    }
    CHECK_EQ(W->attach(NULL), WHARF_OK);
    same(NULL);
    call(callback, NULL);
    CHECK_EQ(W->detach(), WHARF_OK);
    same(NULL);
    call(callback, NULL);
    same(NULL);
}

/* Nothing, or an alternate stack and everything masked. */
static void *host_thread(void *arg)
{
    static char memory[64 << 10];
    if (arg != NULL) {
        sigset_t all;
        CHECK_EQ(sigfillset(&all), 0);
        CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
        stack_t stack;
        memset(&stack, 0, sizeof stack);
        stack.ss_sp = memory;
        stack.ss_size = sizeof memory;
        CHECK_EQ(sigaltstack(&stack, NULL), 0);
    }
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    CHECK_EQ(sigaltstack(NULL, &altstack), 0);
    CHECK_EQ(sigismember(&mask, SIGUSR1), arg != NULL);
    all_ways();

    int signal = SIGUSR2;
    CHECK_EQ(sigdelset(&mask, SIGUSR2), 0);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
    call(block_one, &signal);
    CHECK_EQ(sigismember(&mask, SIGUSR2), 1);
    same(NULL);
    return NULL;
}

int main(void)
{
    load_wharf();
    on_thread(host_thread, NULL);
    on_thread(host_thread, &W);
    host_thread(&W);
    CHECK_EQ(W->start(NULL), WHARF_OK);
    same(NULL);
    CHECK_EQ(W->stop(W->after(INT64_C(5000000000))), WHARF_OK);
    same(NULL);
    puts("OK");
    return 0;
}
