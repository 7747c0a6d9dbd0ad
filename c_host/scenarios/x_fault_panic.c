/* FaultPanic: with WHARF_FAULTS_PANIC a try gets a fault in a callback, or its overflow, as a panic, over and over, and the
 * thread goes on as if nothing had been; outside a try, and on the host's stack, it is fatal as ever.
 * source: Go TestCgoCrashHandler, TestCgoSigfwd, TestCgoSignalDeadlock; DESIGN.md part Faults of crash fidelity
 * case kinds
 * args: kinds
 * stdout: OK
 * case many
 * args: many
 * stdout: OK
 * case overflow
 * args: overflow
 * stdout: OK
 * case overflow_valgrind
 * needs: valgrind
 * wrap: valgrind -q
 * args: overflow
 * timeout: 60
 * stdout: OK
 * stderr!~ rt_sigprocmask
 * case scopes
 * args: scopes
 * stdout: OK
 * case text
 * args: text
 * stdout: OK
 * case state
 * args: state
 * stdout: OK
 * case masks
 * args: masks
 * stdout: OK
 * case lazy_first
 * args: lazy_first
 * stdout: OK
 * case locked_heap
 * args: locked_heap
 * stdout: OK
 * case threads
 * args: threads
 * stdout: OK
 * case restarts
 * args: restarts
 * stdout: OK
 * case forward
 * args: forward
 * stdout: OK
 * env: EARLY=1
 * case no_try
 * args: no_try
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: segmentation violation\n
 * frames: nil inner wharf_call
 * case out
 * args: out
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: segmentation violation\nPC=.*\nsignal arrived during wharf_on_host\n
 * frames: nil inner wharf_on_host goes_out wharf_try
 * case sent
 * args: sent
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: segmentation violation\nPC=.* sigcode=-6\n
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "libc_heap.h"
#include "scenario.h"

static volatile int never;

/* ---- what happens ---- */

static NOINLINE void nil(void)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
    __asm__ volatile(""); /* no step of the function's end before this: ARM's tables tell nothing of those */
}

static NOINLINE void inner(UNUSED void *arg)
{
    nil();
    CHECK(!"it came back");
}

static void far(UNUSED void *arg)
{
    volatile int *volatile nowhere = (volatile int *)0xdead0000;
    *nowhere = 1;
}

static void bus(UNUSED void *arg)
{
    static char *page;
    if (page == NULL)
        page = (char *)mmap(NULL, 4096, PROT_READ, MAP_SHARED, memfd_create("empty", 0), 0);
    CHECK(*(volatile char *)page == 1);
}

static void fpe(UNUSED void *arg)
{
    volatile int ten = 10, zero = 0;
    ten = ten / zero;
}

static void ill(UNUSED void *arg)
{
    illegal_instruction();
}

static NOINLINE int recurse(int depth)
{
    volatile char frame[200];
    frame[0] = (char)depth;
    return never ? 0 : recurse(depth + 1) + frame[0];
}

static void overflow(UNUSED void *arg)
{
    never = recurse(0);
}

static void nothing(UNUSED void *arg) {}

/* ---- what comes of it ---- */

static wharf_panic_info *caught(wharf_fn fn, uint32_t kind, const char *message)
{
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(fn, NULL, &info), WHARF_PANICKED);
    CHECK_EQ(info->kind, kind);
    CHECK_EQ(info->cut, 1);
    if (strncmp(info->message, message, strlen(message)) != 0)
        fprintf(stderr, "%s\n", info->message);
    CHECK(strncmp(info->message, message, strlen(message)) == 0);
    CHECK_EQ(stats().stacks_used, 0);
    return info;
}

static void gets(wharf_fn fn, uint32_t kind, const char *message, uintptr_t address)
{
    wharf_panic_info *info = caught(fn, kind, message);
    if (address != 1)
        CHECK_EQ((uintptr_t)info->address, address);
    W->panic_info_free(info);
    call(nothing, NULL);
}

static void kinds(void)
{
    for (int i = 0; i < 3; i++) {
        gets(inner, WHARF_PANIC_FAULT, "SIGSEGV: segmentation violation addr=0x0", 0);
        gets(far, WHARF_PANIC_FAULT, "SIGSEGV: segmentation violation addr=0xdead0000", 0xdead0000);
        gets(bus, WHARF_PANIC_FAULT, "SIGBUS: bus error addr=", 1);
        gets(ill, WHARF_PANIC_FAULT, "SIGILL: illegal instruction addr=", 1);
#ifdef __x86_64__
        gets(fpe, WHARF_PANIC_FAULT, "SIGFPE: floating-point exception addr=", 1);
#endif
        char text[100];
        snprintf(text, sizeof text, "stack overflow: goroutine stack exceeds %zu-byte limit", SCALED(8 << 20));
        gets(overflow, WHARF_PANIC_OVERFLOW, text, 1);
    }
    CHECK(fpe != NULL);
}

static void times(int count, wharf_fn fn, uint32_t kind)
{
    for (int i = 0; i < count; i++)
        gets(fn, kind, "", 1);
}

static void *many(UNUSED void *arg)
{
    times(20, inner, WHARF_PANIC_FAULT);
    long maps = map_count();
    times(2000, inner, WHARF_PANIC_FAULT);
    CHECK(map_count() <= maps + 2);
    return NULL;
}

/* ---- scopes ---- */

static char log_text[64];

static void note(void *arg)
{
    strcat(log_text, (const char *)arg);
}

static void recovers(UNUSED void *arg)
{
    wharf_panic_info *info = W->recover();
    CHECK(info != NULL);
    CHECK_EQ(info->kind, WHARF_PANIC_FAULT);
    W->panic_info_free(info);
    strcat(log_text, "R");
}

static void defers_and_faults(UNUSED void *arg)
{
    CHECK_EQ(W->defer((wharf_fn)note, (void *)"i"), WHARF_OK);
    nil();
}

static void in_scopes(void *arg)
{
    CHECK_EQ(W->defer((wharf_fn)note, (void *)"o"), WHARF_OK);
    if (arg != NULL)
        CHECK_EQ(W->defer(recovers, NULL), WHARF_OK);
    call(defers_and_faults, NULL);
}

static void inner_try(UNUSED void *arg)
{
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(in_scopes, NULL, &info), WHARF_PANICKED);
    W->panic_info_free(info);
    strcat(log_text, "t");
    CHECK_EQ(W->try_(in_scopes, (void *)"recovers", &info), WHARF_RECOVERED);
    strcat(log_text, "u");
}

static void faults_in_deferred(UNUSED void *arg)
{
    CHECK_EQ(W->defer(inner, NULL), WHARF_OK);
    W->panic("FIRST");
}

static void check_log(const char *wanted)
{
    if (strcmp(log_text, wanted) != 0)
        fprintf(stderr, "%s\n", log_text);
    CHECK(strcmp(log_text, wanted) == 0);
    log_text[0] = 0;
}

static void scopes(void)
{
    for (int i = 0; i < 3; i++) {
        W->panic_info_free(caught(in_scopes, WHARF_PANIC_FAULT, "SIGSEGV"));
        check_log("o");
        call(inner_try, NULL);
        check_log("otRou");
        wharf_panic_info *info = caught(faults_in_deferred, WHARF_PANIC_FAULT, "SIGSEGV");
        CHECK(info->earlier != NULL && strcmp(info->earlier->message, "FIRST") == 0);
        W->panic_info_free(info);
    }
}

/* ---- text, state ---- */

/* A libc that has no tables ends every trace where the thread begins. */
static int is_whole(const char *out)
{
#ifdef __GLIBC__
    return strstr(out, "unwind information") == NULL;
#else
    return strstr(out, "unwind information") != NULL;
#endif
}

static void text(void)
{
    char out[4096];
    wharf_panic_info *info = caught(inner, WHARF_PANIC_FAULT, "SIGSEGV");
    CHECK(W->panic_info_format(info, out, sizeof out) < sizeof out);
    const char *first = "panic: SIGSEGV: segmentation violation addr=0x0\n\nnil+0x";
    if (strncmp(out, first, strlen(first)) != 0 || strstr(out, "\ninner+0x") == NULL)
        fprintf(stderr, "%s\n", out);
    CHECK(strncmp(out, first, strlen(first)) == 0);
    CHECK(strstr(out, "\ninner+0x") != NULL);
    CHECK(is_whole(out));
    W->panic_info_free(info);
}

static NOINLINE void calls_nothing(UNUSED void *arg)
{
    void (*volatile nowhere)(void) = NULL;
    nowhere();
    CHECK(!"it came back");
}

static void text_of_null_call(void)
{
    char out[4096];
    wharf_panic_info *info = caught(calls_nothing, WHARF_PANIC_FAULT, "SIGSEGV");
    CHECK(W->panic_info_format(info, out, sizeof out) < sizeof out);
    const char *first = "panic: SIGSEGV: segmentation violation addr=0x0\n\n0x0\n\t?\ncalls_nothing+0x";
    if (strncmp(out, first, strlen(first)) != 0)
        fprintf(stderr, "%s\n", out);
    CHECK(strncmp(out, first, strlen(first)) == 0);
    CHECK(is_whole(out));
    W->panic_info_free(info);
}

static void faults_with_state(UNUSED void *arg)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &one, NULL), 0);
#ifdef __x86_64__
    __asm__ volatile("fld1; fld1; fld1; std; movl $1, 0" : : : "memory");
#else
    nil();
#endif
}

static void *state(UNUSED void *arg)
{
    for (int i = 0; i < 10; i++) {
        sigset_t set;
        stack_t before, after;
        call(nothing, NULL);
        CHECK_EQ(sigaltstack(NULL, &before), 0);
        gets(faults_with_state, WHARF_PANIC_FAULT, "SIGSEGV", 0);
        CHECK_EQ(sigaltstack(NULL, &after), 0);
        CHECK(before.ss_sp == after.ss_sp && before.ss_flags == after.ss_flags);
        CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
        for (int signal = 1; signal < 65; signal++)
            CHECK_EQ(sigismember(&set, signal) == 1, signal == SIGUSR2);
        volatile long double one = 1; /* eight of them fit, if nothing was left there */
        CHECK((one + (one + (one + (one + (one + (one + one)))))) == 7);
        char copy[64];
        memset(copy, 7, sizeof copy);
        CHECK(copy[63] == 7);
    }
    return NULL;
}

/* ---- faults in the host's own signal handlers ---- */

static int is_deep;

static NOINLINE void falls(int depth)
{
    volatile char frame[100];
    frame[0] = (char)depth;
    if (depth == 0)
        nil();
    else
        falls(depth - 1);
    CHECK_EQ(frame[0], (char)depth);
}

static void on_usr1(UNUSED int signal)
{
    raise(SIGUSR2);
}

static void on_usr2(UNUSED int signal)
{
    falls(is_deep ? 1000 : 0);
}

static void check_mask(int usr1, int usr2, int hup)
{
    sigset_t set;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
    for (int signal = 1; signal < 65; signal++) {
        int held = signal == SIGUSR1 ? usr1 : signal == SIGUSR2 ? usr2 : signal == SIGHUP ? hup : signal == SIGWINCH;
        CHECK_EQ(sigismember(&set, signal) == 1, held);
    }
}

static void raises(UNUSED void *arg)
{
    raise(SIGUSR1);
    CHECK(!"it came back");
}

static void on_usr1_trying(UNUSED int signal)
{
    wharf_panic_info *info = NULL;
    check_mask(1, 0, 1);
    CHECK_EQ(W->try_(inner, NULL, &info), WHARF_PANICKED);
    W->panic_info_free(info);
    check_mask(1, 0, 1);
}

static void tries_in_handler(UNUSED void *arg)
{
    signal(SIGUSR1, on_usr1_trying);
    struct sigaction action;
    CHECK_EQ(sigaction(SIGUSR1, NULL, &action), 0);
    sigaddset(&action.sa_mask, SIGHUP);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    raise(SIGUSR1);
    check_mask(0, 0, 0);
}

static void *falls_in_handlers(UNUSED void *arg)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGWINCH);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &one, NULL), 0);
    for (int i = 0; i < 100; i++) {
        wharf_panic_info *info = NULL;
        CHECK_EQ(W->try_(raises, NULL, &info), WHARF_PANICKED);
        W->panic_info_free(info);
        check_mask(0, 0, 0);
    }
    return NULL;
}

static void masks(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigaddset(&action.sa_mask, SIGHUP);
    action.sa_flags = SA_SIGINFO; /* on i386 the system's frame is another without */
    action.sa_handler = on_usr1;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    action.sa_handler = on_usr2;
    CHECK_EQ(sigaction(SIGUSR2, &action, NULL), 0);
    for (is_deep = 0; is_deep < 2; is_deep++) {
        pthread_t all[4];
        for (int i = 0; i < 4; i++)
            all[i] = spawn(0, falls_in_handlers, NULL);
        for (int i = 0; i < 4; i++)
            join(all[i]);
    }
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGWINCH);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &one, NULL), 0);
    call(tries_in_handler, NULL);
}

/* A fault inside malloc's lock: what the panic needs is not from there. */
static volatile int heap_is_locked;

void *malloc(size_t bytes)
{
    CHECK(!heap_is_locked);
    return __libc_malloc(bytes);
}

static void faults_in_malloc(UNUSED void *arg)
{
    heap_is_locked = 1;
    nil();
}

static void locked_heap(void)
{
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(faults_in_malloc, NULL, &info), WHARF_PANICKED);
    heap_is_locked = 0;
    W->panic_info_free(info);
}

/* ---- threads ---- */

static volatile int done;

static void *keeps_faulting(UNUSED void *arg)
{
    while (!done) {
        wharf_panic_info *info = NULL;
        CHECK_EQ(W->try_(inner, NULL, &info), WHARF_PANICKED);
        W->panic_info_free(info);
    }
    return NULL;
}

static void *once(UNUSED void *arg)
{
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(inner, NULL, &info), WHARF_PANICKED);
    W->panic_info_free(info);
    return NULL;
}

static void threads(void)
{
    pthread_t all[128], faulty = spawn(0, keeps_faulting, NULL);
    for (int i = 0; i < 128; i++)
        all[i] = spawn(64 << 10, once, NULL);
    for (int i = 0; i < 128; i++)
        join(all[i]);
    done = 1;
    join(faulty);
}

/* ---- what is fatal ---- */

static void goes_out(UNUSED void *arg)
{
    on_host(inner, NULL);
}

static void sends(UNUSED void *arg)
{
    syscall(SYS_tgkill, getpid(), gettid(), SIGSEGV);
    CHECK(!"it came back");
}

static void on_segv(UNUSED int signal)
{
    CHECK_EQ(write(1, "OK\n", 3), 3);
    _exit(0);
}

__attribute__((constructor)) static void early(void)
{
    if (getenv("EARLY") != NULL)
        signal(SIGSEGV, on_segv);
}

/* ---- from the first callback after a start on ---- */

static int restarting = 1;

static void *overflows_always(UNUSED void *arg)
{
    while (__atomic_load_n(&restarting, __ATOMIC_SEQ_CST)) {
        int status = W->try_(overflow, NULL, NULL);
        CHECK(status == WHARF_PANICKED || status == WHARF_STOPPED);
    }
    return NULL;
}

static void restarts(const wharf_config *config)
{
    pthread_t thread = spawn(0, overflows_always, NULL);
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
        CHECK_EQ(W->start(config), WHARF_OK);
    }
    __atomic_store_n(&restarting, 0, __ATOMIC_SEQ_CST);
    join(thread);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    wharf_config config = WHARF_CONFIG_INIT;
    config.fault_policy = WHARF_FAULTS_PANIC;
    if (is_case(argv, "lazy_first"))
        call(nothing, NULL);
    CHECK_EQ(W->start(&config), WHARF_OK);
    if (is_case(argv, "kinds"))
        kinds();
    if (is_case(argv, "many"))
        on_thread(many, NULL);
    if (is_case(argv, "overflow"))
        times(100, overflow, WHARF_PANIC_OVERFLOW);
    if (is_case(argv, "scopes"))
        scopes();
    if (is_case(argv, "text"))
        text();
    if (is_case(argv, "text"))
        text_of_null_call();
    if (is_case(argv, "state"))
        on_thread(state, NULL);
    if (is_case(argv, "masks"))
        masks();
    if (is_case(argv, "lazy_first"))
        times(10, inner, WHARF_PANIC_FAULT);
    if (is_case(argv, "locked_heap"))
        locked_heap();
    if (is_case(argv, "threads"))
        threads();
    if (is_case(argv, "restarts")) {
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
        config.callback_stack_bytes = 64 << 10;
        CHECK_EQ(W->start(&config), WHARF_OK);
        restarts(&config);
    }
    if (is_case(argv, "forward")) {
        times(10, inner, WHARF_PANIC_FAULT);
        nil(); /* in C: the host's own handler prints OK */
    }
    if (is_case(argv, "no_try"))
        call(inner, NULL);
    if (is_case(argv, "out"))
        W->try_(goes_out, NULL, NULL);
    if (is_case(argv, "sent"))
        W->try_(sends, NULL, NULL);
    puts("OK");
    return 0;
}
