/* Runs a host, and from one of its marks (int3) to the next it lets the thread go one instruction at a time. Before each
 * instruction it walks over the thread's frames from outside. The host hits the first mark in its thread function.
 *
 *     tracer host arg...
 *
 * What must hold at every instruction, of whatever library:
 *   - the walk ends where the thread began, by call frame information alone;
 *   - the frames outside of the host's thread function are those of the first mark, with the same callee-saved registers;
 *   - a frame's place (its CFA) stays as long as the frame lives: from one instruction to the next the list of
 *     places changes by one at its inner end at most, for a call or a return.
 * And at the end: the switch, wharf_call and wharf_on_host were gone through to their last instruction.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "walk.h"

enum { MAX_TOLD = 5, MAX_TEXT = 1 << 20 };

static pid_t host;
static uintptr_t text_low, text_high; /* the library's */
static unsigned char seen[MAX_TEXT];  /* which of its instructions were stepped on */
static walk first, before, now;
static int outer; /* frames outside of the thread function */
static long steps, in_text, problems;

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* ---- the library ---- */

/* Finds the executable mapping of the file that WHARF_LIB names. */
static void find_text(void)
{
    char path[64], line[512], want[512];
    unsigned long low, high;
    if (realpath(getenv("WHARF_LIB"), want) == NULL)
        die("WHARF_LIB");
    snprintf(path, sizeof path, "/proc/%d/maps", host);
    FILE *maps = fopen(path, "r");
    if (maps == NULL)
        die(path);
    while (fgets(line, sizeof line, maps) != NULL) {
        line[strcspn(line, "\n")] = 0;
        char *file = strchr(line, '/');
        if (file != NULL && strcmp(file, want) == 0 && sscanf(line, "%lx-%lx %*2cx", &low, &high) == 2 && strstr(line, " r-xp ")) {
            text_low = low;
            text_high = high;
        }
    }
    fclose(maps);
    if (text_high == 0 || text_high - text_low > MAX_TEXT) {
        fprintf(stderr, "the text of %s: %#lx-%#lx\n", want, text_low, text_high);
        exit(2);
    }
}

/* ---- what must hold ---- */

static void tell(const char *what)
{
    if (problems++ >= MAX_TOLD)
        return;
    fprintf(stderr, "step %ld: %s\n", steps, what);
    for (int i = 0; i < now.count; i++) {
        frame *at = &now.frames[i];
        uintptr_t pc = at->pc - (i > 0);
        fprintf(stderr, "  #%d %#lx %s", i, at->pc, walk_name(pc));
        if (text_low <= pc && pc < text_high)
            fprintf(stderr, " (library's text + %#lx)", at->pc - text_low);
        fprintf(stderr, ", CFA %#lx\n", at->cfa);
    }
}

/* The outermost frames are those of the first mark. */
static int same_outside(void)
{
    if (now.count < outer)
        return 0;
    for (int i = 1; i <= outer; i++) {
        frame *is = &now.frames[now.count - i], *was = &first.frames[first.count - i];
        if (is->pc != was->pc || is->cfa != was->cfa || memcmp(is->saved, was->saved, sizeof is->saved) != 0)
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

static void look(void)
{
    walk_frames(&now);
    steps++;
    uintptr_t pc = now.frames[0].pc;
    if (text_low <= pc && pc < text_high) {
        in_text++;
        seen[pc - text_low] = 1;
    }
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
    find_text();
    walk_open(thread);
    walk_frames(&first);
    before = now = first;
    outer = first.count - 1;
    while (outer > 0 && strcmp(walk_name(first.frames[first.count - 1 - outer].pc - 1), "host_thread") != 0)
        outer--;
    if (first.problem[0] != 0 || outer < 2)
        tell("no good walk at the first mark");
}

/* Whether the function `name` of the library was stepped through, from its first to its last instruction. */
static int went_through(const char *name)
{
    for (uintptr_t at = 0; at < text_high - text_low; at++) {
        if (seen[at] && strcmp(walk_name(text_low + at), name) == 0)
            return 1;
    }
    return 0;
}

static void end(void)
{
    static const char *const wanted[] = {"wharf_call", "wharf_on_host", "__morestack"};
    for (int i = 0; i < 3; i++) {
        if (!went_through(wanted[i]))
            tell(wanted[i]);
    }
    walk_close();
    fprintf(stderr, "steps %ld, in the library %ld, problems %ld\n", steps, in_text, problems);
}

/* ---- the host ---- */

static void start(char **argv)
{
    host = fork();
    if (host < 0)
        die("fork");
    if (host == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execv(argv[0], argv);
        die(argv[0]);
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
    *signal = 0;
    int stop = WSTOPSIG(status);
    if (stop == SIGSTOP || status >> 16 != 0)
        return PTRACE_CONT; /* a thread begins */
    if (stop != SIGTRAP) {
        *signal = stop;
        return stepping ? PTRACE_SINGLESTEP : PTRACE_CONT;
    }
    if (ptrace(PTRACE_GETSIGINFO, thread, NULL, &info) != 0)
        die("PTRACE_GETSIGINFO");
    if (info.si_code == SI_KERNEL) { /* a mark; a step over a system call is TRAP_BRKPT */
        stepping = !stepping;
        if (stepping)
            begin(thread);
        else
            end();
    } else {
        look();
    }
    return stepping ? PTRACE_SINGLESTEP : PTRACE_CONT;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: tracer host arg...\n");
        return 2;
    }
    start(argv + 1);
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
