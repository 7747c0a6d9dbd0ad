/* What a call does besides calling, counted exactly.
 *
 *     bench_border steps         instructions, locked ones and full fences of one warm call: single-stepped
 *     bench_border syscalls      system calls of many warm calls
 *     bench_border allocations   allocations of many warm calls
 *     bench_border stack         bytes of the host's stack that a call uses
 *     bench_border lines         for a tool that records memory accesses: see tests/figures
 *
 * Each count is also made of a callback that does what is counted ("....control"): a counter that sees nothing would tell.
 */
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "bench.h"

enum { WARM_UP = 10, CALLS = 100000 };

static void warm_up(void)
{
    for (int i = 0; i < WARM_UP; i++)
        call(empty, NULL);
}

/* Starts a child that is traced, and does `work`. */
static pid_t traced(void (*work)(void))
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_EQ(ptrace(PTRACE_TRACEME, 0, NULL, NULL), 0);
        raise(SIGSTOP);
        warm_up();
        work();
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
    return child;
}

/* Lets the child go on until it stops again; why it stopped. */
static int next_stop(pid_t child, int request)
{
    int status;
    CHECK_EQ(ptrace(request, child, NULL, NULL), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFSTOPPED(status) ? WSTOPSIG(status) : -1;
}

static void reap(pid_t child)
{
    CHECK_EQ(next_stop(child, PTRACE_CONT), -1);
}

/* ---- steps ---- */

static const unsigned char BREAK = 0xcc;

/* What stands between two breakpoints is stepped through. */
#define STEPPED(statement) \
    do { \
        __asm__ volatile("int3" ::: "memory"); \
        statement; \
        __asm__ volatile("int3" ::: "memory"); \
    } while (0)

static void steps_plain(void)
{
    STEPPED(plain(NULL));
}

static void steps_call(void)
{
    STEPPED(W->call(empty, NULL));
}

static void steps_on_host(void)
{
    STEPPED(W->on_host(empty, NULL));
}

static void on_g(void *work)
{
    ((void (*)(void))work)();
}

static void steps_nested(void)
{
    call(on_g, (void *)steps_call);
}

static void steps_out(void)
{
    call(on_g, (void *)steps_on_host);
}

static void steps_locked(void)
{
    static int count;
    STEPPED(__atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST); __atomic_exchange_n(&count, 1, __ATOMIC_SEQ_CST);
            __asm__ volatile("mfence" ::: "memory"));
}

/* Whether an instruction locks a line or empties the store buffer: a lock prefix, an exchange with memory, mfence. */
static int is_atomic(const unsigned char *code)
{
    while (strchr("\x66\xf2\xf3\x2e\x36\x3e\x26\x64\x65", *code) != NULL && *code != 0)
        code++;
    if (*code == 0xf0)
        return 1;
    if ((*code & 0xf0) == 0x40) /* REX */
        code++;
    if ((*code & 0xfe) == 0x86)
        return code[1] < 0xc0;
    return code[0] == 0x0f && code[1] == 0xae && (code[2] & 0xf8) == 0xf0;
}

static void count_steps(const char *name, void (*work)(void))
{
    long steps = 0, atomics = 0;
    pid_t child = traced(work);
    CHECK_EQ(next_stop(child, PTRACE_CONT), SIGTRAP);
    for (;; steps++) {
        struct user_regs_struct regs;
        CHECK_EQ(ptrace(PTRACE_GETREGS, child, NULL, &regs), 0);
        union {
            long words[2];
            unsigned char code[16];
        } at = {{ptrace(PTRACE_PEEKTEXT, child, regs.rip, NULL), ptrace(PTRACE_PEEKTEXT, child, regs.rip + 8, NULL)}};
        if (at.code[0] == BREAK)
            break;
        atomics += is_atomic(at.code);
        CHECK_EQ(next_stop(child, PTRACE_SINGLESTEP), SIGTRAP);
    }
    CHECK_EQ(next_stop(child, PTRACE_CONT), SIGTRAP);
    reap(child);
    char full[64];
    snprintf(full, sizeof full, "steps.%s", name);
    say(full, (double)steps);
    snprintf(full, sizeof full, "atomics.%s", name);
    say(full, (double)atomics);
}

static void steps(void)
{
    count_steps("plain", steps_plain);
    count_steps("call", steps_call);
    count_steps("nested", steps_nested);
    count_steps("on_host", steps_out);
    count_steps("control", steps_locked);
}

/* ---- system calls ---- */

static volatile long answer;

static void asks_kernel(UNUSED void *arg)
{
    answer = syscall(SYS_getuid);
}

static void many(wharf_fn fn)
{
    syscall(SYS_getppid);
    for (int i = 0; i < CALLS; i++)
        W->call(fn, NULL);
    syscall(SYS_getppid);
}

static void many_empty(void)
{
    many(empty);
}

static void one_asking(void)
{
    syscall(SYS_getppid);
    W->call(asks_kernel, NULL);
    syscall(SYS_getppid);
}

/* System calls between one getppid and the next. */
static long system_calls(void (*work)(void))
{
    pid_t child = traced(work);
    long count = 0, marks = 0;
    for (int entry = 1; marks < 2; entry = !entry) {
        struct user_regs_struct regs;
        CHECK_EQ(next_stop(child, PTRACE_SYSCALL), SIGTRAP | 0x80);
        CHECK_EQ(ptrace(PTRACE_GETREGS, child, NULL, &regs), 0);
        if (entry && regs.orig_rax == SYS_getppid)
            marks++;
        else if (entry && marks == 1)
            count++;
    }
    reap(child);
    return count;
}

static void syscalls(void)
{
    say("syscalls", (double)system_calls(many_empty));
    say("syscalls.control", (double)system_calls(one_asking));
}

/* ---- allocations: the host's allocator, which the library uses too, counts ---- */

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t align, size_t bytes);
static __thread long asked;

void *malloc(size_t bytes)
{
    asked++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    asked++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    asked++;
    return __libc_realloc(old, bytes);
}

int posix_memalign(void **out, size_t align, size_t bytes)
{
    asked++;
    *out = __libc_memalign(align, bytes);
    return *out == NULL ? ENOMEM : 0;
}

static void allocates(UNUSED void *arg)
{
    void *volatile memory = malloc(1);
    free(memory);
}

static void allocations(void)
{
    warm_up();
    asked = 0;
    for (int i = 0; i < CALLS; i++)
        W->call(empty, NULL);
    say("allocations", (double)asked);
    asked = 0;
    call(allocates, NULL);
    say("allocations.control", (double)asked);
}

/* ---- the host's stack ---- */

enum { PAINTED = 32768, COLOUR = 0x5a };

/* Paints what lies below, calls, and looks how far down the paint is gone. */
static NOINLINE double stack_used(int (*move)(wharf_fn fn, void *arg), wharf_fn fn)
{
    volatile unsigned char *sp;
    __asm__ volatile("mov %%rsp, %0" : "=r"(sp));
    for (int i = 1; i <= PAINTED; i++)
        sp[-i] = COLOUR;
    int status = move(fn, NULL);
    int used = PAINTED;
    while (used > 0 && sp[-used] == COLOUR)
        used--;
    CHECK_EQ(status, WHARF_OK);
    return used;
}

static int calls_plainly(wharf_fn fn, void *arg)
{
    fn(arg);
    return WHARF_OK;
}

static void *stack_of_thread(void *out)
{
    *(double *)out = stack_used(W->call, empty);
    return NULL;
}

static void uses_512(UNUSED void *arg)
{
    char used[512];
    memset(used, 1, sizeof used);
    __asm__ volatile("" : : "r"(used) : "memory");
}

static void stack(void)
{
    double starting = stack_used(W->call, empty), fresh, pooled;
    on_thread(stack_of_thread, &fresh);
    on_thread(stack_of_thread, &pooled);
    say("stack.starting", starting);
    say("stack.fresh", fresh);
    say("stack.pooled", pooled);
    warm_up();
    say("stack.warm", stack_used(W->call, empty));
    say("stack.control", stack_used(calls_plainly, uses_512));
}

/* ---- the lines that two threads touch ---- */

static pthread_barrier_t turn;
static long *marks; /* its stores stand in the record, at an address that the reader knows */
static const uintptr_t MARKS = UINT64_C(0x57a700000000);
static long shared_count;

static void counts(UNUSED void *arg)
{
    shared_count++;
}

static NOINLINE void marked(wharf_fn fn)
{
    __atomic_store_n(marks, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < WARM_UP; i++)
        W->call(fn, NULL);
    __atomic_store_n(marks, 2, __ATOMIC_RELEASE);
}

/* Both threads in turn, first with a callback that touches nothing, then with one that shares a line. */
static void *touches(void *arg)
{
    warm_up();
    for (long i = 0; i < 4; i++) {
        pthread_barrier_wait(&turn);
        if (i % 2 == (long)arg)
            marked(i < 2 ? empty : counts);
    }
    return NULL;
}

static void lines(void)
{
    marks = mmap((void *)MARKS, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(marks == (void *)MARKS);
    barrier_for(&turn, 2);
    pthread_t other = spawn(0, touches, (void *)1);
    touches((void *)0);
    join(other);
}

int main(UNUSED int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } counted[] = {{"steps", steps}, {"syscalls", syscalls}, {"allocations", allocations}, {"stack", stack}, {"lines", lines}};
    load_wharf();
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
        if (is_case(argv, counted[i].name))
            counted[i].run();
    }
    return 0;
}
