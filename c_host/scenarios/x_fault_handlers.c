/* FaultHandlers: the host's own handlers for faults. From before the start: after the report for what a callback has earned,
 * at once for all else, with mask, stack, arguments and flags as if the library were not there. From after the start: as the
 * host likes. The stop puts back what was there, if ours is still in force.
 * source: Go SignalForwarding, TestCgoSigfwd; SCENARIOS O6; ours
 * case context
 * args: context
 * stdout: OK
 * case context_plain
 * args: context plain
 * stdout: OK
 * case context_plain_small
 * args: context plain small
 * stdout: OK
 * case context_nodefer
 * args: context nodefer
 * stdout: OK
 * case context_lent
 * args: context lent
 * stdout: OK
 * case callback
 * args: callback
 * stdout: OK
 * stderr~ ^SIGSEGV: segmentation violation\nPC=(.|\n)*\nfault\+0x(.|\n)*\nwharf_call\+0x
 * stderr!~ SIGSEGV(.|\n)*SIGSEGV
 * case callback_plain
 * args: callback plain
 * stdout: OK
 * stderr~ ^SIGSEGV: segmentation violation\n
 * stderr!~ SIGSEGV(.|\n)*SIGSEGV
 * case callback_then_panic
 * args: callback then_panic
 * status: signal SIGABRT
 * stderr~ ^SIGSEGV: segmentation violation\n(.|\n)*\npanic: BOOM\n\ngoroutine
 * case out
 * args: out
 * stdout: OK
 * case oneshot
 * args: oneshot
 * stdout: ONCE
 * status: signal SIGSEGV
 * case oneshot_callback
 * args: oneshot callback
 * stdout: ONCE
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: segmentation violation\n
 * case returns
 * args: returns
 * stdout: AGAIN
 * stdout: AGAIN
 * stdout: AGAIN
 * status: 3
 * stderr~ ^SIGSEGV: segmentation violation\n
 * stderr!~ SIGSEGV(.|\n)*SIGSEGV
 * case mends
 * args: mends
 * stdout: OK
 * stderr~ ^SIGSEGV: segmentation violation\n
 * case overflow_host
 * args: overflow_host plain
 * status: signal SIGSEGV
 * case ignored
 * args: ignored
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: segmentation violation\n
 * case ignored_host
 * args: ignored host
 * status: signal SIGSEGV
 * case ignored_sent
 * args: ignored sent
 * stdout: OK
 * case later
 * args: later
 * stdout: OK
 * case later_chains
 * args: later_chains
 * status: signal SIGSEGV
 * stdout: LATER
 * stderr~ ^SIGSEGV: segmentation violation\nPC=(.|\n)*\nfault\+0x
 * case stop
 * args: stop
 * stdout: OK
 * case stop_later
 * args: stop_later
 * stdout: OK
 * case restart
 * args: restart
 * stdout: OK
 * stderr~ ^SIGSEGV: segmentation violation\n(.|\n)*\nSIGSEGV: segmentation violation\n
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "scenario.h"

static char **options;

static int with(const char *option)
{
    for (char **at = options; *at != NULL; at++) {
        if (strcmp(*at, option) == 0)
            return 1;
    }
    return 0;
}

static __thread sigjmp_buf recovery;
static __thread bounds own, altstack;
static volatile sig_atomic_t handled, chained;
static struct sigaction before;
static char *page;

static NOINLINE void fault(void)
{
    volatile int *volatile nowhere = (volatile int *)(page != NULL ? page : (char *)16);
    *nowhere = 1;
}

/* ---- the host's handler ---- */

static int blocked(int signal)
{
    sigset_t set;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
    return sigismember(&set, signal);
}

/* As the system would have called it. */
static NOINLINE void check_context(int signal, siginfo_t *info, void *context)
{
    ucontext_t *was = (ucontext_t *)context;
    CHECK_EQ(signal, SIGSEGV);
    CHECK_EQ(info->si_signo, SIGSEGV);
    CHECK_EQ(info->si_code, SEGV_MAPERR);
    CHECK_EQ((uintptr_t)info->si_addr, 16);
    CHECK_EQ(blocked(SIGSEGV), !with("nodefer"));
    CHECK_EQ(blocked(SIGUSR1), 1); /* the action's */
    CHECK_EQ(blocked(SIGUSR2), 1); /* the thread's */
    CHECK_EQ(blocked(SIGTERM), 0);
    CHECK_EQ(sigismember(&was->uc_sigmask, SIGUSR1), 0);
    CHECK_EQ(sigismember(&was->uc_sigmask, SIGUSR2), 1);
    CHECK_EQ(inside(own, HERE()), with("plain"));
#ifdef __x86_64__
    uintptr_t pc = (uintptr_t)was->uc_mcontext.gregs[REG_RIP];
    CHECK(pc - (uintptr_t)fault < 64);
    CHECK_EQ(inside(own, (uintptr_t)was->uc_mcontext.gregs[REG_RSP]), 1);
    CHECK_EQ((uintptr_t)was->uc_mcontext.fpregs % 64, 0);
#endif
}

static void handler(int signal, siginfo_t *info, void *context)
{
    handled++;
    if (with("context"))
        check_context(signal, info, context);
    if (with("oneshot"))
        CHECK_EQ(write(1, "ONCE\n", 5), 5);
    if (with("oneshot"))
        return;
    if (with("returns")) {
        CHECK_EQ(write(1, "AGAIN\n", 6), 6);
        if (handled == 3)
            _exit(3);
        return;
    }
    if (with("mends")) {
        CHECK_EQ(mprotect(page, 4096, PROT_READ | PROT_WRITE), 0);
        return;
    }
    siglongjmp(recovery, 1);
}

static void later(int signal, siginfo_t *info, void *context)
{
    handled++;
    if (with("later_chains")) {
        CHECK_EQ(write(1, "LATER\n", 6), 6);
        before.sa_sigaction(signal, info, context);
        return;
    }
    siglongjmp(recovery, 1);
}

static void install(void (*f)(int, siginfo_t *, void *))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = f;
    action.sa_flags = SA_SIGINFO | (with("plain") ? 0 : SA_ONSTACK) | (with("nodefer") ? SA_NODEFER : 0) |
                      (with("oneshot") ? (int)SA_RESETHAND : 0);
    sigaddset(&action.sa_mask, SIGUSR1);
    if (with("ignored"))
        action.sa_handler = SIG_IGN;
    CHECK_EQ(sigaction(SIGSEGV, &action, &before), 0);
}

/* ---- what happens ---- */

static void faults(UNUSED void *arg)
{
    int sofar = handled;
    if (sigsetjmp(recovery, 1) == 0) {
        fault();
        CHECK(with("mends"));
    }
    CHECK_EQ(handled, sofar + 1);
    CHECK_EQ(blocked(SIGSEGV), 0);
}

static void faults_out(UNUSED void *arg)
{
    on_host(faults, NULL);
}

static void nothing(UNUSED void *arg) {}

static void boom(UNUSED void *arg)
{
    W->panic("BOOM");
}

static NOINLINE int recurse(int depth)
{
    volatile char frame[200];
    frame[0] = (char)depth;
    return handled > 1 << 20 ? 0 : recurse(depth + 1) + frame[0];
}

static void sent(UNUSED void *arg)
{
    syscall(SYS_tgkill, getpid(), gettid(), SIGSEGV);
}

static void *host_thread(UNUSED void *arg)
{
    static char memory[64 << 10];
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &one, NULL), 0);
    own = thread_stack();
    altstack.low = (uintptr_t)memory;
    altstack.high = altstack.low + sizeof memory;
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    if (!with("lent") && !with("overflow_host"))
        CHECK_EQ(sigaltstack(&stack, NULL), 0);
    call(nothing, NULL);
    if (with("overflow_host"))
        recurse(0);
    if (with("ignored")) {
        if (with("host"))
            fault();
        call(with("sent") ? sent : faults, NULL);
        return NULL;
    }
    if (with("oneshot") && !with("callback"))
        fault(); /* twice: the first time the handler returns */
    for (int i = 0; i < 100; i++) {
        if (with("callback") || with("later") || with("oneshot") || with("returns") || with("mends") || with("later_chains"))
            call(faults, NULL);
        if (with("mends"))
            return NULL;
        if (with("out"))
            call(faults_out, NULL);
        faults(NULL);
    }
    if (with("then_panic"))
        call(boom, NULL);
    return NULL;
}

/* ---- start and stop ---- */

static int is_in_force(void (*f)(int, siginfo_t *, void *))
{
    struct sigaction now;
    CHECK_EQ(sigaction(SIGSEGV, NULL, &now), 0);
    return now.sa_sigaction == f;
}

static void stop(void)
{
    CHECK(!is_in_force(handler));
    CHECK_EQ(W->start(NULL), WHARF_OK);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK); /* counts */
    CHECK(!is_in_force(handler));
    if (with("stop_later"))
        install(later);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    CHECK(is_in_force(with("stop_later") ? later : handler));
    struct sigaction now;
    CHECK_EQ(sigaction(SIGABRT, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
    faults(NULL);
}

static void restart(void)
{
    for (int i = 0; i < 2; i++) {
        if (i > 0)
            CHECK_EQ(W->start(NULL), WHARF_OK);
        call(faults, NULL);
        call(faults, NULL);
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
        CHECK(is_in_force(handler));
    }
}

int main(UNUSED int argc, char **argv)
{
    options = argv;
    if (with("mends")) {
        page = (char *)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(page != MAP_FAILED);
    }
    if (!with("later_chains"))
        install(handler);
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK);
    if (with("later") || with("later_chains"))
        install(later);
    if (with("stop") || with("stop_later"))
        stop();
    else if (with("restart"))
        restart();
    else
        join(spawn(with("small") ? 32 << 10 : 0, host_thread, NULL));
    puts("OK");
    return 0;
}
