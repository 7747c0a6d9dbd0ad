/* SigabrtHandler: the host's SIGABRT handler runs on the panicking thread after the whole report is written; it
 * may end the process its own way. Where it returns, or SIGABRT is blocked or ignored, the process dies of it.
 * source: Go TestCatchPanic, ours
 * stderr~ ^panic: BOOM\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\n
 * status: signal SIGABRT
 * case exit_before
 * args: exit_before
 * status: 0
 * stdout: HANDLED
 * case exit_after
 * args: exit_after
 * status: 0
 * stdout: HANDLED
 * case exit_called
 * args: exit_called
 * status: 0
 * stdout: HANDLED
 * case exit_onstack
 * args: exit_onstack
 * status: 0
 * stdout: HANDLED
 * case exit_eight
 * args: exit_eight
 * stderr!~ panic: (.|\n)*panic:
 * status: 0
 * stdout: HANDLED
 * case exit_small
 * args: exit_small
 * status: 0
 * stdout: HANDLED
 * case exit_longjmp
 * args: exit_longjmp
 * status: 0
 * stdout: HANDLED
 * case return
 * args: return
 * stdout: HANDLED
 * case return_blocked
 * args: return_blocked
 * stdout: HANDLED
 * case return_oneshot
 * args: return_oneshot
 * stdout: HANDLED
 * case blocked
 * args: blocked
 * case blocked_all
 * args: blocked_all
 * case ignored
 * args: ignored
 * case ignored_blocked
 * args: ignored_blocked
 * case call_again
 * args: call_again
 * stdout: HANDLED
 * case exit_slow
 * args: exit_slow
 * status: 0
 * stdout: HANDLED
 * case panic_again
 * args: panic_again
 * stdout: HANDLED
 * stderr~ \npanic during panic\n
 * stderr!~ BOOM(.|\n)*BOOM(.|\n)*BOOM
 */
#include "scenario.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static const char *name;
static int report_fd, real_stderr;
static pid_t panicked;
static sigjmp_buf out;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

static void boom(UNUSED void *arg)
{
    panicked = gettid();
    W->panic("BOOM");
    puts("wharf_panic came back");
}

static void nothing(UNUSED void *arg) {}

/* stderr is a memory file, so that the handler can see what was written before it ran. */
static void check_report(void)
{
    static char text[1 << 18];
    ssize_t length = pread(report_fd, text, sizeof text - 1, 0);
    CHECK(length > 0);
    CHECK(strncmp(text, "panic: BOOM\n\ngoroutine ", 23) == 0);
    CHECK(strstr(text, "\nboom+0x") != NULL);
    CHECK(strstr(text, "\nwharf_call+0x") != NULL);
    CHECK(text[length - 1] == '\n');
    CHECK_EQ(write(real_stderr, text, (size_t)length), length);
}

static void handler(UNUSED int signal)
{
    dup2(real_stderr, 2);
    check_report();
    if (!named("eight")) /* there, the one reported is not the last that set it */
        CHECK_EQ(gettid(), panicked);
    CHECK_EQ(write(1, "HANDLED\n", 8), 8);
    if (named("called"))
        W->call(nothing, NULL); /* whatever it answers, it comes back */
    if (named("call_again"))
        W->call(nothing, NULL);
    if (named("panic_again"))
        W->call(boom, NULL);
    if (named("slow"))
        sleep(4); /* the bound is the report's, not the host's: a crash dumper may take its time */
    if (named("longjmp"))
        siglongjmp(out, 1);
    if (named("exit"))
        _exit(0);
}

static void install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    if (named("onstack"))
        action.sa_flags |= SA_ONSTACK;
    if (named("oneshot"))
        action.sa_flags |= (int)SA_RESETHAND | SA_NODEFER;
    if (named("ignored"))
        action.sa_handler = SIG_IGN;
    CHECK_EQ(sigaction(SIGABRT, &action, NULL), 0);
}

static void set_mask(void)
{
    sigset_t set;
    if (named("blocked_all"))
        sigfillset(&set);
    else
        sigemptyset(&set);
    if (named("blocked"))
        sigaddset(&set, SIGABRT);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

static void *host_thread(void *arg)
{
    stack_t altstack = {.ss_size = 64 << 10};
    if (named("onstack"))
        altstack.ss_sp = malloc(altstack.ss_size);
    if (named("onstack"))
        CHECK_EQ(sigaltstack(&altstack, NULL), 0);
    /* The handler may leave by a jump: then this thread, and its next call, must still work. */
    if (named("longjmp") && sigsetjmp(out, 1) != 0)
        _exit(0);
    W->call(boom, arg);
    puts("wharf_call came back");
    return NULL;
}

int main(UNUSED int argc, char **argv)
{
    name = argv[1] != NULL ? argv[1] : "exit_before";
    int handled = named("exit") || named("return") || named("again") || named("ignored");
    setvbuf(stdout, NULL, _IONBF, 0);
    if (handled && !named("after"))
        install();
    load_wharf();
    if (named("after"))
        install();
    set_mask();
    if (handled && !named("ignored")) {
        report_fd = memfd_create("stderr", 0);
        real_stderr = dup(2);
        dup2(report_fd, 2);
    }
    int threads = named("eight") ? 8 : 1;
    pthread_t all[8];
    for (int i = 0; i < threads; i++)
        all[i] = spawn(named("small") ? 32 << 10 : 0, host_thread, NULL);
    for (int i = 0; i < threads; i++)
        join(all[i]);
    return 0;
}
