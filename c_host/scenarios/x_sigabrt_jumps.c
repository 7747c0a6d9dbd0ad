/* SigabrtJumps: the host's SIGABRT handler jumps out of a death. The next panic, whoever's, is a death of its own,
 * with its report, hook and signal. While the handler is at work nothing cuts it short, however long it takes.
 * source: ours
 * timeout: 30
 * case other
 * args: other
 * stdout: HOOK
 * stdout: JUMPS
 * stdout: HOOK
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine (.|\n)*\npanic: TWO\n\ngoroutine (.|\n)*\nboom\+0x(.|\n)*\nwharf_call\+0x(.|\n)*\nsecond\+0x
 * stderr!~ panic during
 * case other_dies
 * args: other_dies
 * stdout: HOOK
 * stdout: JUMPS
 * stdout: HOOK
 * status: signal SIGABRT
 * stderr~ ^panic: ONE\n\ngoroutine (.|\n)*\npanic: TWO\n\ngoroutine (.|\n)*\nboom\+0x(.|\n)*\nwharf_call\+0x(.|\n)*\nsecond\+0x
 * case other_start
 * args: other_start
 * stdout: HOOK
 * stdout: JUMPS
 * stdout: HOOK
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine (.|\n)*\npanic: TWO\n\ngoroutine (.|\n)*\nsecond\+0x
 * case other_onstack
 * args: other_onstack
 * stdout: HOOK
 * stdout: JUMPS
 * stdout: HOOK
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine (.|\n)*\npanic: TWO\n\ngoroutine (.|\n)*\nsecond\+0x
 * case other_gone
 * args: other_gone plain nodefer
 * stdout: HOOK
 * stdout: JUMPS
 * stdout: HOOK
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine (.|\n)*\npanic: TWO\n\ngoroutine (.|\n)*\nsecond\+0x
 * case other_waits
 * args: other_waits slow
 * stdout: HOOK
 * stdout: WAITS
 * stdout: JUMPS
 * stdout: HOOK
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine (.|\n)*\npanic: TWO\n\ngoroutine (.|\n)*\nsecond\+0x
 * case same
 * args: same
 * stdout: HOOK
 * stdout: JUMPS
 * stdout: HOOK
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine (.|\n)*\npanic: TWO\n\ngoroutine (.|\n)*\nboom\+0x(.|\n)*\nwharf_call\+0x(.|\n)*\nfirst\+0x
 * stderr!~ panic during
 * case same_plain
 * args: same plain
 * stdout: HOOK
 * stdout: JUMPS
 * stdout: HOOK
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine (.|\n)*\npanic: TWO\n\ngoroutine (.|\n)*\nfirst\+0x
 * case same_nodefer
 * args: same nodefer onstack
 * stdout: HOOK
 * stdout: JUMPS
 * stdout: HOOK
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine (.|\n)*\npanic: TWO\n\ngoroutine (.|\n)*\nfirst\+0x
 * case slow
 * args: slow
 * stdout: HOOK
 * stdout: WAITS
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine
 * stderr!~ TWO
 * case slow_nodefer
 * args: slow nodefer
 * stdout: HOOK
 * stdout: WAITS
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine
 * stderr!~ TWO
 * case slow_nodefer_start
 * args: slow nodefer start
 * stdout: HOOK
 * stdout: WAITS
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine
 * stderr!~ TWO
 * case slow_fault
 * args: slow start fault
 * stdout: HOOK
 * stdout: WAITS
 * stdout: ENDS
 * stderr~ ^panic: ONE\n\ngoroutine
 * stderr!~ SIGSEGV
 * case overflow
 * args: overflow start fault other
 * stdout: HOOK
 * stdout: JUMPS
 * status: signal SIGSEGV
 * stderr~ ^wharf: goroutine stack exceeds (.|\n)*\nfatal error: stack overflow\n
 * case eight
 * args: eight
 * stdout: OK
 * stderr!~ panic during
 */
#include "scenario.h"

#include <setjmp.h>
#include <signal.h>

static char **options;

/* An option that begins so. */
static int with(const char *option)
{
    for (char **at = options + 1; *at != NULL; at++) {
        if (strncmp(*at, option, strlen(option)) == 0)
            return 1;
    }
    return 0;
}

static int onstack(void)
{
    return with("onstack") || with("other_onstack");
}

static __thread sigjmp_buf out;
static volatile int handled, hooked;
static pthread_barrier_t all_here;

static void say(const char *line)
{
    CHECK_EQ(write(1, line, strlen(line)), (ssize_t)strlen(line));
}

static void on_fatal(const char *text, size_t bytes, UNUSED void *arg)
{
    CHECK_EQ(strlen(text), bytes);
    const char *what = strstr(text, with("eight") ? "panic: EIGHT\n\ngoroutine " : hooked == 0 ? "ONE\n\ngoroutine " : "TWO\n\ngoroutine ");
    CHECK(with("overflow") || (what != NULL && what - text <= 7));
    hooked++;
    if (!with("eight"))
        say("HOOK\n");
}

static void handler(UNUSED int signal)
{
    handled++;
    CHECK_EQ(handled, hooked);
    if (with("eight")) {
        usleep(50000);
        siglongjmp(out, 1);
    }
    if (handled == 1 && with("slow"))
        sleep(6); /* longer than a report may take */
    if (handled == 1 && (with("other") || with("same"))) {
        say("JUMPS\n");
        siglongjmp(out, 1);
    }
    if (with("other_dies"))
        return;
    say("ENDS\n");
    _exit(0);
}

static NOINLINE void boom(void *arg)
{
    W->panic((const char *)arg);
    puts("wharf_panic came back");
}

static NOINLINE int recurse(int depth)
{
    volatile char frame[200];
    frame[0] = (char)depth;
    return handled > 1 << 20 ? 0 : recurse(depth + 1) + frame[0];
}

static void overflow(UNUSED void *arg)
{
    recurse(0);
}

static void *first(UNUSED void *arg)
{
    static char memory[64 << 10];
    stack_t altstack = {.ss_sp = memory, .ss_size = sizeof memory};
    if (onstack())
        CHECK_EQ(sigaltstack(&altstack, NULL), 0);
    if (sigsetjmp(out, !with("plain")) == 0)
        W->call(with("overflow") ? overflow : boom, (void *)(uintptr_t)"ONE");
    if (with("same"))
        W->call(boom, (void *)(uintptr_t)"TWO");
    while (!with("other_gone"))
        pause();
    return NULL;
}

static void *second(UNUSED void *arg)
{
    if (with("fault"))
        *(volatile int *volatile)16 = 1;
    W->call(boom, (void *)(uintptr_t)"TWO");
    puts("wharf_call came back");
    return NULL;
}

static void *one_of_eight(UNUSED void *arg)
{
    pthread_barrier_wait(&all_here);
    if (sigsetjmp(out, 1) == 0)
        W->call(boom, (void *)(uintptr_t)"EIGHT");
    return NULL;
}

static void eight(void)
{
    pthread_t all[8];
    CHECK_EQ(pthread_barrier_init(&all_here, NULL, 8), 0);
    for (int i = 0; i < 8; i++)
        all[i] = spawn(0, one_of_eight, NULL);
    for (int i = 0; i < 8; i++)
        join(all[i]);
    CHECK_EQ(hooked, 8);
    CHECK_EQ(handled, 8);
    puts("OK");
}

int main(UNUSED int argc, char **argv)
{
    options = argv;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = (onstack() ? SA_ONSTACK : 0) | (with("nodefer") ? SA_NODEFER : 0);
    CHECK_EQ(sigaction(SIGABRT, &action, NULL), 0);
    load_wharf();
    if (with("start") || with("other_start"))
        CHECK_EQ(W->start(NULL), WHARF_OK);
    CHECK_EQ(W->on_fatal(on_fatal, NULL), WHARF_OK);
    if (with("eight")) {
        eight();
        return 0;
    }
    pthread_t one = spawn(0, first, NULL);
    while (!with("same") && handled == 0)
        usleep(1000);
    if (with("other_gone"))
        join(one);
    if (with("slow"))
        say("WAITS\n");
    if (!with("same"))
        spawn(0, second, NULL);
    alarm(15);
    for (;;)
        pause();
}
