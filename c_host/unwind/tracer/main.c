/* Runs a host, and from one of its marks (int3) to the next it lets the thread go one instruction at a time. Before each
 * instruction it walks over the thread's frames from outside. The host hits the first mark below `host_thread`.
 *
 *     tracer host arg...
 *
 * What must hold at every instruction, of whatever file:
 *   - the walk ends where the thread began, by call frame information alone;
 *   - the frames outside of host_thread are those of the first mark, callee-saved registers included;
 *   - a frame's place (its CFA) stays as long as the frame lives: from one instruction to the next the list of
 *     places changes by one at its inner end at most, for a call or a return.
 * And in the end: the switch, wharf_call and wharf_on_host were gone through, the switch to its last instruction.
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

/* A function of the library that must be gone through. */
typedef struct function {
    const char *name;
    uintptr_t low, high;
    int entered, left; /* at its first instruction; at its last byte, which is a `ret` in assembly */
} function;

static function switch_ = {.name = "__morestack"}, call = {.name = "wharf_call"}, on_host = {.name = "wharf_on_host"};
static function *const functions[] = {&switch_, &call, &on_host};
static char **host_argv;
static pid_t host;
static mapping *text; /* the library's */
static walk first, before, now;
static int outer; /* frames outside of host_thread */
static long steps, in_text, problems;

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
        fprintf(stderr, "  #%d %#lx, text of %s + %#lx, CFA %#lx\n", i, pc, in ? in->file : "?", in ? pc - in->low : 0, now.frames[i].cfa);
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

static void count(uintptr_t pc)
{
    steps++;
    in_text += text->low <= pc && pc < text->high;
    for (int i = 0; i < 3; i++) {
        functions[i]->entered += pc == functions[i]->low;
        functions[i]->left += pc == functions[i]->high - 1;
    }
}

static void look(void)
{
    walk_frames(&now);
    count(now.frames[0].pc);
    if (now.problem[0] != 0)
        tell(now.problem);
    else if (!same_outside())
        tell("the host's thread function is not reached, or not as it was left");
    else if (!same_places())
        tell("frames are not where they were an instruction ago");
    else
        before = now;
}

/* ---- the marks ---- */

static void begin(pid_t thread)
{
    function thread_function = {.name = "host_thread"};
    process_open(host);
    walk_open(thread);
    for (int i = 0; i < 3; i++) {
        if (!process_function(getenv("WHARF_LIB"), functions[i]->name, &functions[i]->low, &functions[i]->high))
            die(functions[i]->name);
    }
    if (!process_function(host_argv[0], thread_function.name, &thread_function.low, &thread_function.high))
        die(thread_function.name);
    text = mapping_at(call.low);
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
    for (int i = 0; i < 3; i++) {
        if (functions[i]->entered == 0)
            tell(functions[i]->name);
    }
    if (switch_.left != switch_.entered)
        tell("the switch does not return by its last instruction");
    printf("%ld steps, %ld in the library, %d switches, %ld problems\n", steps, in_text, switch_.entered, problems);
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

/* Handles one stop; returns how the thread goes on. */
static int stopped(pid_t thread, int status, int *signal)
{
    static int stepping;
    siginfo_t info;
    *signal = WSTOPSIG(status);
    if (*signal == SIGSTOP || status >> 16 != 0) {
        *signal = 0; /* a thread begins */
        return PTRACE_CONT;
    }
    if (*signal == SIGTRAP) {
        *signal = 0;
        if (ptrace(PTRACE_GETSIGINFO, thread, NULL, &info) != 0)
            die("PTRACE_GETSIGINFO");
        int mark = info.si_code == SI_KERNEL;
        if (mark)
            stepping = !stepping;
        if (!mark)
            look();
        else if (stepping)
            begin(thread);
        else
            end();
    }
    return stepping ? PTRACE_SINGLESTEP : PTRACE_CONT;
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
        int status, signal;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0)
            die("waitpid");
        if (WIFSTOPPED(status)) {
            int how = stopped(thread, status, &signal);
            ptrace(how, thread, NULL, (void *)(long)signal);
        } else if (thread == host) {
            return problems != 0 ? 1 : WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        }
    }
}
