/* FaultStorm: sixty-four threads fault at once: one report, whole, and the end by the signal, also where the others fault
 * outside callbacks; with a handler of the host's that
 * ends the process, one report, whole, before it; with one that lets every thread live, one report, and all live.
 * source: ours (one report per process)
 * stderr~ ^SIGSEGV: segmentation violation\nPC=0x[0-9a-f]+ m=[0-9]+ sigcode=1 addr=0x10\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\npcs: [^\n]+\nfault\+0x[0-9a-f]+\n(.*\n)*host_thread\+0x(.*\n)*$
 * stderr!~ SIGSEGV(.|\n)*SIGSEGV|goroutine(.|\n)*goroutine|panic
 * case default
 * args: default
 * status: signal SIGSEGV
 * case exits
 * args: exits
 * stdout: HANDLED
 * status: 3
 * case lives
 * args: lives
 * stdout: OK
 * case mixed
 * args: mixed
 * status: signal SIGSEGV
 * stderr!~ SIGBUS
 * case outside
 * args: outside
 * status: signal SIGSEGV
 * case panics
 * args: panics
 * status: signal SIGSEGV
 * stderr!~ panic
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "scenario.h"

enum { THREADS = 64 };

static char **options;
static pthread_barrier_t ready;
static __thread sigjmp_buf recovery;
static volatile int exited;

static NOINLINE void fault(void)
{
    volatile int *volatile nowhere = (volatile int *)16;
    *nowhere = 1;
}

static void nothing(UNUSED void *arg) {}

static NOINLINE void callback(UNUSED void *arg)
{
    int late = arg != NULL && *(int *)arg > 0;
    pthread_barrier_wait(&ready);
    struct stat written = {.st_size = 0};
    while (late && is_case(options, "default") == 0 && fstat(2, &written) == 0 && written.st_size == 0)
        usleep(10); /* until the first one reports */
    if (late && is_case(options, "mixed"))
        syscall(SYS_tgkill, getpid(), gettid(), SIGBUS);
    if (late && is_case(options, "panics"))
        W->panic("BOOM");
    fault();
}

/* Dies on the host's own stack, while the first one reports. */
static void die_outside(void)
{
    struct stat written = {.st_size = 0};
    call(nothing, NULL);
    pthread_barrier_wait(&ready);
    while (fstat(2, &written) == 0 && written.st_size == 0)
        usleep(10);
    illegal_instruction();
}

static NOINLINE void *host_thread(void *arg)
{
    if (is_case(options, "outside") && *(int *)arg > 0)
        die_outside();
    if (sigsetjmp(recovery, 1) == 0)
        call(callback, arg);
    return NULL;
}

static void handler(UNUSED int signal)
{
    if (is_case(options, "lives"))
        siglongjmp(recovery, 1);
    if (__atomic_exchange_n(&exited, 1, __ATOMIC_SEQ_CST) == 0) {
        CHECK_EQ(write(1, "HANDLED\n", 8), 8);
        usleep(10000); /* the others come too */
        _exit(3);
    }
    pause();
}

int main(UNUSED int argc, char **argv)
{
    options = argv;
    if (is_case(argv, "exits") || is_case(argv, "lives")) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = handler;
        action.sa_flags = SA_ONSTACK;
        CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
    }
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK);
    CHECK_EQ(pthread_barrier_init(&ready, NULL, THREADS), 0);
    int late[THREADS];
    pthread_t all[THREADS];
    for (int i = 0; i < THREADS; i++) {
        late[i] = i;
        all[i] = spawn(64 << 10, host_thread, &late[i]);
    }
    for (int i = 0; i < THREADS; i++)
        join(all[i]);
    puts("OK");
    return 0;
}
