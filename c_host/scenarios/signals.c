/* Signals: what the system and other threads send goes its way while callbacks run, with handlers for faults installed: in a
 * thread that never called, in the middle of a thread's first calls, into system calls, over exec; and a panic in a handler on
 * an alternate stack is reported whole.
 * source: Go TestCgoExternalThreadSIGPROF (9456), TestNeedmDeadlock (42207), TestCgoExecSignalMask (13164), TestEINTR (20400)
 * case external_thread_sigprof
 * args: external_thread_sigprof
 * env: EARLY=1
 * stdout: OK
 * case needm_deadlock
 * args: needm_deadlock
 * stdout: OK
 * case exec_signal_mask
 * args: exec_signal_mask
 * stdout: OK
 * case eintr
 * args: eintr
 * stdout: OK
 * case panic_in_handler
 * args: panic_in_handler
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine
 * frames: boom wharf_call panics_handler spin callback wharf_call host_thread
 * case panic_in_handler_lent
 * args: panic_in_handler lent
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine
 * frames: boom wharf_call panics_handler spin callback wharf_call host_thread
 * case fault_in_handler
 * args: fault_in_handler
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: segmentation violation\n
 * stderr~ \ngoroutine 2 \[running, locked to thread\]:\npcs: [^\n]+\nfault\+0x
 */
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "scenario.h"

static char **options;
static volatile sig_atomic_t handled;

static void nothing(UNUSED void *arg) {}

static void on_signal(int number, void (*f)(int), int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = f;
    action.sa_flags = flags;
    CHECK_EQ(sigaction(number, &action, NULL), 0);
}

static void counts(UNUSED int signal)
{
    handled++;
}

static void calls_in(UNUSED int signal)
{
    handled++;
    CHECK_EQ(W->call(nothing, NULL), WHARF_OK);
}

/* ---- a thread that was there before the library, and never calls ---- */

static pthread_t external;

static void *raises(UNUSED void *arg)
{
    for (int i = 0; i < 100; i++) {
        raise(SIGPROF);
        usleep(1000);
    }
    return NULL;
}

__attribute__((constructor)) static void early(void)
{
    if (getenv("EARLY") != NULL) {
        on_signal(SIGPROF, counts, SA_ONSTACK);
        external = spawn(0, raises, NULL);
    }
}

static void external_thread_sigprof(void)
{
    for (int i = 0; i < 1000; i++)
        call(nothing, NULL);
    join(external);
    CHECK_EQ(handled, 100);
}

/* ---- signals at first calls ---- */

static volatile int done;
static pthread_barrier_t step;

static void *first_calls(UNUSED void *arg)
{
    pthread_barrier_wait(&step);
    for (int i = 0; i < 10; i++)
        call(nothing, NULL);
    pthread_barrier_wait(&step);
    return NULL;
}

static void *signals(void *target)
{
    pthread_barrier_wait(&step);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(pthread_kill(*(pthread_t *)target, SIGCHLD), 0);
    pthread_barrier_wait(&step);
    return NULL;
}

static void needm_deadlock(void)
{
    on_signal(SIGCHLD, calls_in, SA_ONSTACK | SA_RESTART);
    call(nothing, NULL);
    for (int round = 0; round < 20; round++) {
        pthread_t target, all[10];
        CHECK_EQ(pthread_barrier_init(&step, NULL, 11), 0);
        target = spawn(0, first_calls, NULL);
        for (int i = 0; i < 10; i++)
            all[i] = spawn(0, signals, &target);
        for (int i = 0; i < 10; i++)
            join(all[i]);
        join(target);
    }
    CHECK(handled > 0);
}

/* ---- exec ---- */

static void execs(UNUSED void *arg)
{
    execl("/proc/self/exe", "host", "check_mask", (char *)NULL);
    _exit(9);
}

static void exec_signal_mask(void)
{
    for (int i = 0; i < 10; i++) {
        call(nothing, NULL);
        pid_t child = fork();
        if (child == 0)
            execs(NULL);
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
}

static int check_mask(void)
{
    sigset_t set;
    struct sigaction now;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
    for (int number = 1; number < 65; number++) {
        CHECK(sigismember(&set, number) != 1);
        if (sigaction(number, NULL, &now) == 0)
            CHECK(now.sa_handler == SIG_DFL);
    }
    return 0;
}

/* ---- system calls that are interrupted ---- */

/* What wharf does in system calls is done whatever comes between; what the callback does in them is its own. */
static void reads(void *arg)
{
    char byte;
    ssize_t got;
    do
        got = read(*(int *)arg, &byte, 1);
    while (got == -1 && errno == EINTR);
    CHECK_EQ(got, 1);
}

static void *calls_and_leaves(void *arg)
{
    CHECK_EQ(W->attach(NULL), WHARF_OK);
    call(reads, arg);
    CHECK_EQ(W->trim(), WHARF_OK);
    (void)stats();
    CHECK_EQ(W->detach(), WHARF_OK);
    call(nothing, NULL);
    return NULL;
}

static void eintr(void)
{
    on_signal(SIGALRM, counts, 0);
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (int i = 0; i < 200; i++) {
        int ends[2];
        CHECK_EQ(pipe(ends), 0);
        pthread_t thread = spawn(0, calls_and_leaves, &ends[0]);
        if (i % 20 == 0)
            usleep(2000);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        join(thread);
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
        CHECK_EQ(W->start(NULL), WHARF_OK);
        close(ends[0]);
        close(ends[1]);
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
    CHECK(handled > 10);
}

/* ---- deaths in a handler ---- */

static NOINLINE void boom(UNUSED void *arg)
{
    W->panic("BOOM");
    CHECK(!"it came back");
}

static NOINLINE void fault(UNUSED void *arg)
{
    volatile int *volatile nowhere = (volatile int *)16;
    *nowhere = 1;
}

static NOINLINE void panics_handler(UNUSED int signal)
{
    call(boom, NULL);
    CHECK(W != NULL);
}

static NOINLINE void faults_handler(UNUSED int signal)
{
    call(fault, NULL);
    CHECK(W != NULL);
}

static NOINLINE void spin(void)
{
    alarm(1);
    while (!done)
        ;
}

static NOINLINE void callback(UNUSED void *arg)
{
    spin();
    CHECK(W != NULL);
}

static NOINLINE void *host_thread(UNUSED void *arg)
{
    static char memory[16 << 10];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    if (options[2] == NULL)
        CHECK_EQ(sigaltstack(&stack, NULL), 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    call(callback, NULL);
    return NULL;
}

static void die(void (*f)(int))
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    on_signal(SIGALRM, f, SA_ONSTACK);
    on_thread(host_thread, NULL);
}

int main(UNUSED int argc, char **argv)
{
    options = argv;
    if (is_case(argv, "check_mask"))
        return check_mask();
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK);
    if (is_case(argv, "external_thread_sigprof"))
        external_thread_sigprof();
    if (is_case(argv, "needm_deadlock"))
        needm_deadlock();
    if (is_case(argv, "exec_signal_mask"))
        exec_signal_mask();
    if (is_case(argv, "eintr"))
        eintr();
    if (is_case(argv, "panic_in_handler"))
        die(panics_handler);
    if (is_case(argv, "fault_in_handler"))
        die(faults_handler);
    puts("OK");
    return 0;
}
