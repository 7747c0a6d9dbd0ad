/* Runs a host, and from one of its marks, raise(SIGTRAP), to the next it lets the thread go one instruction at a time.
 * Before each instruction it walks over the thread's frames from outside. The first mark comes from `host_thread`.
 *
 *     tracer host arg...
 *
 * What must hold at every instruction, of whatever file:
 *   - the walk ends where the thread began, by call frame information alone;
 *   - the frames outside of host_thread are those of the first mark, callee-saved registers included;
 *   - a frame's place (its CFA) stays as long as the frame lives: from one instruction to the next the list of
 *     places changes by one at its inner end at most, for a call or a return; a signal alone brings more.
 * Only in the kernel's own page, [vdso], it does not look: libunwind finds no file there. At the second mark it prints
 * how much it has seen.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "walk.h"

enum { MAX_TOLD = 5 };

typedef struct function {
    const char *name;
    uintptr_t low, high;
    int entered; /* how often the thread was at its first instruction */
    int left;    /* at a `ret` of its own */
} function;

/* Of the library. */
static function functions[] = {{.name = "__morestack"}, {.name = "wharf_call"}, {.name = "wharf_on_host"}};
enum { SWITCH, CALL, ON_HOST, FUNCTIONS };

static char **host_argv;
static pid_t host, stepped;
static mapping *text; /* the library's */
static walk first, before, now;
static int outer; /* frames outside of host_thread */
static long steps, in_text, problems;
static int signalled; /* a signal was sent on its way since the last look */

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* ---- what must hold ---- */

static void tell(const char *what)
{
    if (problems++ >= MAX_TOLD)
        return;
    fprintf(stderr, "step %ld: %s\n", steps, what);
    for (int i = 0; i < now.count; i++) {
        uintptr_t pc = now.frames[i].pc;
        mapping *in = mapping_at(pc);
        const char *file = in != NULL ? in->file : "?";
        fprintf(stderr, "  #%d %s+%#lx, CFA %#lx\n", i, file, pc - process_base(file), now.frames[i].cfa);
    }
}

/* The outermost frames are those of the first mark. */
static int same_outside(void)
{
    if (now.count < outer)
        return 0;
    for (int i = 1; i <= outer; i++) {
        if (memcmp(&now.frames[now.count - i], &first.frames[first.count - i], sizeof(frame)) != 0)
            return 0;
    }
    return 1;
}

/* The frames lie where they lay, but for at most one at the inner end. */
static int same_places(void)
{
    int common = now.count < before.count ? now.count : before.count;
    if (now.count > common + 1 || before.count > common + 1)
        return 0;
    for (int i = 1; i <= common; i++) {
        if (now.frames[now.count - i].cfa != before.frames[before.count - i].cfa)
            return 0;
    }
    return 1;
}

static int is_ret(uintptr_t pc)
{
    return (ptrace(PTRACE_PEEKTEXT, stepped, (void *)pc, NULL) & 0xff) == 0xc3;
}

static void count(uintptr_t pc)
{
    steps++;
    in_text += text->low <= pc && pc < text->high;
    for (int i = 0; i < FUNCTIONS; i++) {
        functions[i].entered += pc == functions[i].low;
        functions[i].left += functions[i].low <= pc && pc < functions[i].high && is_ret(pc);
    }
}

static void look(void)
{
    uintptr_t pc = walk_pc();
    mapping *in = mapping_at(pc);
    count(pc);
    if (in != NULL && strcmp(in->file, "[vdso]") == 0)
        return;
    walk_frames(&now);
    if (now.problem[0] != 0)
        tell(now.problem);
    else if (!same_outside())
        tell("the host's thread function is not reached, or not as it was left");
    else if (!same_places() && !signalled)
        tell("frames are not where they were an instruction ago");
    else
        before = now;
    signalled = 0;
}

/* ---- the marks ---- */

static void find(const char *file, function *wanted)
{
    if (!process_function(file, wanted->name, &wanted->low, &wanted->high)) {
        fprintf(stderr, "%s names no %s\n", file, wanted->name);
        exit(2);
    }
}

static void begin(pid_t thread)
{
    function thread_function = {.name = "host_thread"};
    process_open(host);
    walk_open(thread);
    stepped = thread;
    find(host_argv[0], &thread_function);
    for (int i = 0; i < FUNCTIONS; i++)
        find(getenv("WHARF_LIB"), &functions[i]);
    text = mapping_at(functions[CALL].low);
    walk_pc();
    walk_frames(&first);
    before = now = first;
    for (outer = 0; outer < first.count; outer++) {
        uintptr_t pc = first.frames[first.count - 1 - outer].pc;
        if (thread_function.low < pc && pc <= thread_function.high)
            break;
    }
    if (first.problem[0] != 0 || outer == 0 || outer == first.count)
        tell("no good walk at the first mark");
}

static void end(void)
{
    printf("%ld steps, %ld in the library; switch %d times, %d back, ", steps, in_text, functions[SWITCH].entered,
           functions[SWITCH].left);
    printf("wharf_call %d, wharf_on_host %d; %ld problems\n", functions[CALL].entered, functions[ON_HOST].entered,
           problems);
    fflush(stdout);
}

/* ---- the host ---- */

static void start(void)
{
    host = fork();
    if (host < 0)
        die("fork");
    if (host == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execv(host_argv[0], host_argv);
        die(host_argv[0]);
    }
    int status;
    if (waitpid(host, &status, 0) != host || !WIFSTOPPED(status))
        die("the host does not start");
    if (ptrace(PTRACE_SETOPTIONS, host, NULL, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) != 0)
        die("ptrace");
    ptrace(PTRACE_CONT, host, NULL, NULL);
}

/* Handles a SIGTRAP; returns whether the thread goes on step by step. */
static int trapped(pid_t thread, int stepping)
{
    siginfo_t info;
    if (ptrace(PTRACE_GETSIGINFO, thread, NULL, &info) != 0)
        die("PTRACE_GETSIGINFO");
    if (info.si_code != SI_TKILL) {
        look();
        return stepping;
    }
    if (stepping)
        end();
    else
        begin(thread);
    return !stepping;
}

/* Handles one stop, and lets the thread go on. */
static void stopped(pid_t thread, int status)
{
    static pid_t stepping; /* the thread that is traced so */
    int signal = WSTOPSIG(status);
    if (status >> 16 != 0 || signal == SIGSTOP) {
        signal = 0; /* a thread begins */
    } else if (signal == SIGTRAP) {
        signal = 0;
        stepping = trapped(thread, stepping == thread) ? thread : 0;
    } else {
        signalled = 1;
    }
    ptrace(stepping == thread ? PTRACE_SINGLESTEP : PTRACE_CONT, thread, NULL, (void *)(long)signal);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: tracer host arg...\n");
        return 2;
    }
    host_argv = argv + 1;
    start();
    for (;;) {
        int status;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0)
            die("waitpid");
        if (WIFSTOPPED(status))
            stopped(thread, status);
        else if (thread == host)
            return problems == 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    }
}
