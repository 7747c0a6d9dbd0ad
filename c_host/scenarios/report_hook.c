/* ReportHook: what wharf_on_fatal's function gets, and that nothing it does keeps the process alive. A child dies,
 * this host looks at its end.
 * source: ours
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * stdout: OK
 * case same
 * args: same
 * case all
 * args: all
 * case long
 * args: long
 * case replaced
 * args: replaced
 * case removed
 * args: removed
 * case stopped
 * args: stopped
 * case handler
 * args: handler
 * case calls
 * args: calls
 * case panics
 * args: panics
 * case panics_in_call
 * args: panics_in_call
 * case goexits
 * args: goexits
 * case faults
 * args: faults
 * case exits
 * args: exits
 * case hangs
 * args: hangs
 * case hangs_handled
 * args: hangs_handled
 * case jumps
 * args: jumps
 * case ends_thread
 * args: ends_thread
 * case raises
 * args: raises
 * case raises_handled
 * args: raises_handled
 * case raises_start
 * args: raises_start
 * case raises_fault
 * args: raises_fault
 * case raises_fault_handled
 * args: raises_fault_handled
 * case raises_abort
 * args: raises_abort
 * case slow_reader
 * args: slow_reader
 * case eight
 * args: eight
 */
#include "scenario.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

static const char *name;
/* Shared with the child: what the hook got, and how often it was called. */
static struct shared {
    int calls, handled;
    size_t bytes, bytes_to_nul;
    char text[1 << 17];
} *seen;
static int report, pipes[2];
/* What the hook sends, one number below and one above SIGABRT's. */
static const int sent[] = {SIGHUP, SIGTERM};
static jmp_buf away;

static int is(const char *other)
{
    return strcmp(name, other) == 0;
}

static int begins(const char *other)
{
    return strncmp(name, other, strlen(other)) == 0;
}

/* ---- the hook ---- */

static void nothing(void *count)
{
    ++*(int *)count;
}

static void out_and_in(void *count)
{
    on_host(nothing, count);
    call(nothing, count);
}

static void panic_again(UNUSED void *arg)
{
    W->panic("AGAIN");
}

static void on_fatal(const char *text, size_t bytes, void *arg)
{
    seen->calls++;
    seen->bytes = bytes;
    seen->bytes_to_nul = strlen(text);
    memcpy(seen->text, text, bytes < sizeof seen->text ? bytes : sizeof seen->text);
    CHECK(arg == &seen);
    if (is("calls")) {
        int count = 0;
        call(out_and_in, &count);
        on_host(nothing, &count);
        CHECK_EQ(count, 3);
        CHECK_EQ(W->recoverable(), 0);
        CHECK(W->recover() == NULL);
        CHECK_EQ(W->dump(open("/dev/null", O_WRONLY)), WHARF_OK);
    }
    if (is("panics"))
        W->panic("AGAIN");
    if (is("panics_in_call"))
        W->try_(panic_again, NULL, NULL);
    if (is("goexits"))
        W->goexit();
    if (is("faults"))
        *(volatile int *)8 = 1;
    if (is("exits"))
        _exit(3);
    for (int i = 0; begins("raises") && i < 2; i++) {
        raise(sent[i]);
        kill(getpid(), sent[i]);
    }
    while (is("hangs") || is("hangs_handled")) {}
    if (is("jumps"))
        longjmp(away, 1);
    if (is("ends_thread"))
        pthread_exit(NULL);
}

static void other_hook(UNUSED const char *text, UNUSED size_t bytes, UNUSED void *arg)
{
    seen->calls += 100;
}

/* ---- the child ---- */

static pthread_barrier_t there;

static const char *message(void)
{
    static char text[100001] = "BOOM";
    if (is("long"))
        memset(text, 'x', sizeof text - 1);
    return text;
}

static void boom(UNUSED void *arg)
{
    if (is("eight"))
        pthread_barrier_wait(&there);
    if (begins("raises_fault"))
        *(volatile int *)8 = 1;
    if (is("raises_abort"))
        abort();
    W->panic(message());
}

static void *host_thread(UNUSED void *arg)
{
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, sent[0]);
    sigaddset(&both, sent[1]);
    CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &both, NULL), 0);
    if (setjmp(away) == 0)
        W->call(boom, NULL);
    for (;;)
        pause();
    return NULL;
}

static void in_handler(UNUSED int signal)
{
    CHECK_EQ(W->on_fatal(on_fatal, &seen), WHARF_OK);
}

static void on_abort(UNUSED int signal)
{
    seen->handled++;
    if (!begins("raises"))
        return;
    /* What the hook has sent is held back, and nothing else. */
    sigset_t mask;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    for (int one = 1; one < 32; one++)
        CHECK_EQ(sigismember(&mask, one), one == sent[0] || one == sent[1] || one == signal || one == SIGUSR2);
}

static void on_fault(int signal)
{
    on_abort(signal);
    _exit(3);
}

static void child(void)
{
    dup2(is("slow_reader") ? pipes[1] : report, 2);
    close(pipes[0]);
    close(pipes[1]);
    load_wharf();
    wharf_config config = WHARF_CONFIG_INIT;
    config.traceback = is("all") ? WHARF_TRACEBACK_ALL : WHARF_TRACEBACK_DEFAULT;
    if (is("stopped"))
        CHECK_EQ(W->on_fatal(on_fatal, &seen), WHARF_OK);
    if (is("raises_fault_handled"))
        signal(SIGSEGV, on_fault);
    if (!is("faults") && !is("raises") && !is("raises_handled"))
        CHECK_EQ(W->start(&config), WHARF_OK);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &one, NULL), 0);
    /* Others do not take what is sent to the process. */
    sigaddset(&one, sent[0]);
    sigaddset(&one, sent[1]);
    if (begins("raises"))
        CHECK_EQ(pthread_sigmask(SIG_BLOCK, &one, NULL), 0);
    if (is("replaced"))
        CHECK_EQ(W->on_fatal(other_hook, NULL), WHARF_OK);
    if (is("handler")) {
        signal(SIGUSR1, in_handler);
        raise(SIGUSR1);
    } else {
        CHECK_EQ(W->on_fatal(on_fatal, &seen), WHARF_OK);
    }
    if (is("removed"))
        CHECK_EQ(W->on_fatal(NULL, NULL), WHARF_OK);
    if (is("hangs_handled") || is("raises_handled"))
        signal(SIGABRT, on_abort);
    if (is("stopped")) {
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
        boom(NULL);
    }
    if (is("eight")) {
        CHECK_EQ(pthread_barrier_init(&there, NULL, 8), 0);
        for (int i = 0; i < 7; i++)
            spawn(0, host_thread, NULL);
    }
    join(spawn(0, host_thread, NULL));
    while (is("ends_thread"))
        pause();
    _exit(0);
}

/* ---- the parent ---- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static ssize_t read_report(char *text, size_t bytes)
{
    if (!is("slow_reader"))
        return pread(report, text, bytes, 0);
    size_t length = 0;
    ssize_t got;
    usleep(1000000);
    while ((got = read(pipes[0], text + length, bytes - length)) > 0)
        length += (size_t)got;
    return (ssize_t)length;
}

static void check_text(const char *text, size_t length)
{
    static const char cut[] = "\n...cut...\n";
    CHECK_EQ(seen->calls, is("removed") ? 0 : 1);
    if (is("removed"))
        return;
    CHECK_EQ(seen->bytes, seen->bytes_to_nul);
    if (is("long")) {
        size_t kept = seen->bytes - strlen(cut);
        CHECK_EQ(kept, 65536);
        CHECK(length > 100000);
        CHECK(memcmp(seen->text, text, kept) == 0 && strcmp(seen->text + kept, cut) == 0);
        return;
    }
    CHECK(seen->bytes <= length);
    CHECK(memcmp(seen->text, text, seen->bytes) == 0);
    if (!begins("raises_"))
        CHECK(strncmp(text, "panic: BOOM\n\n", 13) == 0);
    const char *rest = text + seen->bytes;
    int again = is("panics") || is("panics_in_call");
    const char *more = again ? "panic during panic\n\tpanic: AGAIN\n" : is("goexits") ? "panic during panic\n\tpanic: wharf_goexit " : "";
    CHECK(is("goexits") ? strncmp(rest, more, strlen(more)) == 0 : strcmp(rest, more) == 0);
}

int main(UNUSED int argc, char **argv)
{
    static char text[1 << 18];
    name = argv[1] != NULL ? argv[1] : "same";
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    CHECK_EQ(pipe(pipes), 0);
    report = memfd_create("stderr", 0);
    if (is("slow_reader")) {
        CHECK_EQ(fcntl(pipes[1], F_SETPIPE_SZ, 4096), 4096);
        while (fcntl(pipes[1], F_SETFL, O_NONBLOCK) == 0 && write(pipes[1], " ", 1) == 1) {}
        CHECK_EQ(fcntl(pipes[1], F_SETFL, 0), 0);
    }
    double begun = seconds();
    pid_t pid = fork();
    if (pid == 0)
        child();
    close(pipes[1]);
    ssize_t length = 0;
    int status;
    if (is("slow_reader"))
        length = read_report(text, sizeof text - 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    double took = seconds() - begun;
    if (!is("slow_reader"))
        length = read_report(text, sizeof text - 1);
    CHECK(length > 0);
    if (is("exits") || is("raises_fault_handled"))
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    else
        CHECK_EQ(WTERMSIG(status), is("faults") || is("raises_fault") ? SIGSEGV : is("hangs_handled") ? SIGKILL : SIGABRT);
    CHECK_EQ(seen->handled, strstr(name, "handled") != NULL);
    int waits = is("hangs") || is("jumps") ? 5 : is("hangs_handled") ? 10 : 0;
    if (!is("slow_reader") && (took < waits || took > waits + 2))
        fprintf(stderr, "%.3f s\n", took);
    cut_emulator(text);
    length = (ssize_t)strlen(text);
    char *from = is("slow_reader") ? strstr(text, "panic: ") : text;
    CHECK(from != NULL);
    check_text(from, (size_t)(length - (from - text)));
    puts("OK");
    return 0;
}
