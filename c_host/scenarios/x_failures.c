/* Failures: every call of the library's that takes memory or a resource fails once, and from some moment on for ever: each is
 * a status of the header, or a report where a panic has no memory; what was deferred runs, nothing hangs. Afterwards
 * the runtime does all of it, stops and is unloaded, and nothing is left.
 * source: ours (FEATURES.md 1.2)
 * cflags: -rdynamic
 * stdout~ ^OK$
 * stderr~ ^
 * timeout: 120
 * case once
 * args: once
 * case for_ever
 * args: for_ever
 * case for_ever_without_panics
 * args: for_ever_without_panics
 */
#include "libc_heap.h"
#include "scenario.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- the host's own versions of what may fail: the loader binds the library to them ---- */

enum { STATUSES = 32 };

static uintptr_t text_low, text_high; /* the library's code */
static int armed;
static long asked;    /* calls so far, while armed */
static long fails_at; /* the one that fails */
static int for_ever;  /* and all that follow */
static int with_panics = 1;
static int happened;

static struct {
    long outcomes[STATUSES];
    char failed[32];
} *seen; /* shared with the children: outcomes by status, and which function failed first */

static int fails(const char *what, const void *from, int error)
{
    uintptr_t at = (uintptr_t)from;
    if (!armed || at < text_low || at >= text_high)
        return 0;
    long number = __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);
    if (for_ever ? number < fails_at : number != fails_at)
        return 0;
    if (!happened)
        strcpy(seen->failed, what);
    happened = 1;
    errno = error;
    return 1;
}

#define FAILS(what, error) fails(what, __builtin_return_address(0), error)

/* The libc's function `fn_name`, as `real`. */
#define REAL(type, fn_name)                             \
    static type *real;                                  \
    if (real == NULL) {                                 \
        void *symbol = dlsym(RTLD_NEXT, fn_name);       \
        memcpy(&real, &symbol, sizeof real);            \
    }

void *malloc(size_t bytes)
{
    return FAILS("malloc", ENOMEM) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return FAILS("calloc", ENOMEM) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *block, size_t bytes)
{
    return FAILS("realloc", ENOMEM) ? NULL : __libc_realloc(block, bytes);
}

typedef void *map_fn(void *, size_t, int, int, int, off_t);

void *mmap(void *at, size_t bytes, int access, int flags, int fd, off_t offset)
{
    REAL(map_fn, "mmap")
    return FAILS("mmap", ENOMEM) ? MAP_FAILED : real(at, bytes, access, flags, fd, offset);
}

int mprotect(void *at, size_t bytes, int access)
{
    typedef int fn(void *, size_t, int);
    REAL(fn, "mprotect")
    return FAILS("mprotect", ENOMEM) ? -1 : real(at, bytes, access);
}

int madvise(void *at, size_t bytes, int advice)
{
    typedef int fn(void *, size_t, int);
    REAL(fn, "madvise")
    return FAILS("madvise", EINVAL) ? -1 : real(at, bytes, advice);
}

int munlock(const void *at, size_t bytes)
{
    typedef int fn(const void *, size_t);
    REAL(fn, "munlock")
    return FAILS("munlock", ENOMEM) ? -1 : real(at, bytes);
}

int mincore(void *at, size_t bytes, unsigned char *out)
{
    typedef int fn(void *, size_t, unsigned char *);
    REAL(fn, "mincore")
    return FAILS("mincore", ENOMEM) ? -1 : real(at, bytes, out);
}

int pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
    typedef int fn(pthread_key_t *, void (*)(void *));
    REAL(fn, "pthread_key_create")
    return FAILS("pthread_key_create", EAGAIN) ? EAGAIN : real(key, destructor);
}

int pthread_create(pthread_t *out, const pthread_attr_t *attr, thread_fn body, void *arg)
{
    typedef int fn(pthread_t *, const pthread_attr_t *, thread_fn, void *);
    REAL(fn, "pthread_create")
    return FAILS("pthread_create", EAGAIN) ? EAGAIN : real(out, attr, body, arg);
}

int pthread_getattr_np(pthread_t thread, pthread_attr_t *out)
{
    typedef int fn(pthread_t, pthread_attr_t *);
    REAL(fn, "pthread_getattr_np")
    return FAILS("pthread_getattr_np", ENOMEM) ? ENOMEM : real(thread, out);
}

int sigaction(int number, const struct sigaction *action, struct sigaction *before)
{
    typedef int fn(int, const struct sigaction *, struct sigaction *);
    REAL(fn, "sigaction")
    int may_fail = action != NULL && action->sa_handler != SIG_DFL; /* asking and giving back do not */
    return may_fail && FAILS("sigaction", EINVAL) ? -1 : real(number, action, before);
}

int sigaltstack(const stack_t *stack, stack_t *before)
{
    typedef int fn(const stack_t *, stack_t *);
    REAL(fn, "sigaltstack")
    return FAILS("sigaltstack", ENOMEM) ? -1 : real(stack, before);
}

void *dlopen(const char *path, int mode)
{
    typedef void *fn(const char *, int);
    REAL(fn, "dlopen")
    return FAILS("dlopen", ENOMEM) ? NULL : real(path, mode);
}

int __cxa_atexit(void (*fn)(void *), void *arg, void *object)
{
    typedef int real_fn(void (*)(void *), void *, void *);
    REAL(real_fn, "__cxa_atexit")
    return FAILS("__cxa_atexit", ENOMEM) ? -1 : real(fn, arg, object);
}

/* Of the raw calls, those that may be missing. */
long syscall(long number, ...)
{
    typedef long fn(long, long, long, long, long, long, long);
    REAL(fn, "syscall")
    va_list list;
    long arg[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arg[i] = va_arg(list, long);
    va_end(list);
    if ((number == SYS_membarrier || number == SYS_getrandom || number == SYS_openat) && FAILS("syscall", ENOSYS))
        return -1;
    return real(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

/* ---- what is done while they fail ---- */

enum { BESIDE = 3, DEFERRED = 1000, TOUCHED = 256 << 10 };

static int strict; /* nothing fails any more */

/* Counts a status, and ends the host if it is none of those that the header names for want of something. */
static int counted_at(int line, int status, int good)
{
    if (status != good && (strict || (status != WHARF_ENOMEM && status != WHARF_ELIMIT)))
        check_eq(__FILE__, line, "status", status, good);
    if (!strict)
        seen->outcomes[-status < STATUSES && status <= 0 ? -status : STATUSES - 1]++;
    return status == good;
}

#define COUNTED(status, good) counted_at(__LINE__, status, good)

static void count(void *arg)
{
    ++*(int *)arg;
}

/* A call whose function has run if it says so, and not otherwise. */
static void one_call(UNUSED void *arg)
{
    int runs = 0, ok = COUNTED(W->call(count, &runs), WHARF_OK);
    CHECK_EQ(runs, ok);
}

static void *one_call_of_thread(UNUSED void *arg)
{
    one_call(NULL);
    return NULL;
}

static void calls_within(UNUSED void *arg)
{
    one_call(NULL);
    on_host(one_call, NULL);
    on_host(one_call, NULL);
}

static void defers(void *arg)
{
    int *runs = (int *)arg, ok = 0;
    for (int i = 0; i < DEFERRED; i++)
        ok += COUNTED(W->defer(count, &runs[0]), WHARF_OK);
    runs[1] = ok;
}

static void deferred_calls(void)
{
    int runs[2] = {0, 0};
    COUNTED(W->call(defers, runs), WHARF_OK);
    CHECK_EQ(runs[0], runs[1]);
}

static void nest(void *arg)
{
    int *left = (int *)arg;
    if (--*left > 0)
        COUNTED(W->call(nest, left), WHARF_OK);
}

static void panics(UNUSED void *arg)
{
    W->panic("caught");
}

static void tries(void)
{
    wharf_panic_info *info = NULL;
    if (COUNTED(W->try_(panics, NULL, &info), WHARF_PANICKED)) {
        CHECK(strcmp(info->message, "caught") == 0);
        W->panic_info_free(info);
    }
}

static void *attaches(UNUSED void *arg)
{
    wharf_attach_options options = WHARF_ATTACH_OPTIONS_INIT;
    options.touch_bytes = TOUCHED;
    options.name = "attached";
    int attached = COUNTED(W->attach(&options), WHARF_OK);
    one_call(NULL);
    if (attached)
        CHECK_EQ(W->detach(), WHARF_OK);
    one_call(NULL);
    return NULL;
}

static void all_calls(void)
{
    int left = 200;
    one_call(NULL);
    COUNTED(W->call(calls_within, NULL), WHARF_OK);
    COUNTED(W->call(nest, &left), WHARF_OK);
    deferred_calls();
    if (with_panics)
        tries();
    pthread_t threads[BESIDE];
    for (int i = 0; i < BESIDE; i++)
        threads[i] = spawn(0, attaches, NULL);
    for (int i = 0; i < BESIDE; i++)
        join(threads[i]);
}

/* Whatever the runtime's state: it may not have been possible to start it. */
static void look_in(void)
{
    int nowhere = open("/dev/null", O_WRONLY), trimmed = W->trim();
    wharf_stats now = WHARF_STATS_INIT;
    CHECK_EQ(W->stats_read(&now), WHARF_OK);
    CHECK_EQ(W->dump(nowhere), WHARF_OK);
    CHECK_EQ(trimmed, W->running() ? WHARF_OK : WHARF_ESTATE);
    close(nowhere);
}

/* A start holds the library. */
static void close_and_open(void **library)
{
    CHECK_EQ(dlclose(*library), 0);
    on_thread(one_call_of_thread, NULL);
    *library = load_wharf();
}

static void everything(void **library)
{
    int started = COUNTED(W->start(NULL), WHARF_OK);
    if (started)
        close_and_open(library);
    all_calls();
    look_in();
    all_calls();
    CHECK(!started || W->running());
    wait_until_threads(1);
    int expected = W->running() ? WHARF_OK : WHARF_ESTATE;
    CHECK_EQ(W->stop(WHARF_NEVER), expected);
}

static void find_text(void)
{
    char line[4096];
    FILE *file = fopen("/proc/self/maps", "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strstr(line, "libwharf") != NULL && strstr(line, " r-xp ") != NULL)
            CHECK_EQ(sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &text_low, &text_high), 2);
    }
    fclose(file);
    CHECK(text_low != 0);
}

/* One load: with the failure, then without. Mappings that the library made are gone at its end. */
static void one_load(long number)
{
    void *library = load_wharf();
    find_text();
    strict = number == 0;
    fails_at = number;
    asked = 0;
    armed = number != 0;
    everything(&library);
    armed = 0;
    if (number != 0) {
        strict = 1;
        everything(&library);
    }
    text_low = text_high = 0;
    CHECK_EQ(dlclose(library), 0);
}

static pthread_barrier_t all_here;

static void *meet(UNUSED void *arg)
{
    pthread_barrier_wait(&all_here);
    return NULL;
}

/* The libc keeps so many stacks of ended threads as there were threads at a time, and heaps of theirs. */
static void settle_libc(void)
{
    pthread_t threads[BESIDE];
#ifdef M_ARENA_MAX
    CHECK_EQ(mallopt(M_ARENA_MAX, 1), 1);
#endif
    CHECK_EQ(pthread_barrier_init(&all_here, NULL, BESIDE), 0);
    for (int i = 0; i < BESIDE; i++)
        threads[i] = spawn(0, meet, NULL);
    for (int i = 0; i < BESIDE; i++)
        join(threads[i]);
}

static void child(long number)
{
    alarm(20);
    settle_libc();
    one_load(0);
    one_load(0); /* the libc's own memory is warm */
    long mappings = map_count(), kb = figure("/proc/self/status", "VmSize");
    one_load(number);
    if (map_count() > mappings + 1 || figure("/proc/self/status", "VmSize") > kb + 512)
        fprintf(stderr, "mappings %ld -> %ld, %ld -> %ld KiB\n", mappings, map_count(), kb, figure("/proc/self/status", "VmSize"));
    CHECK(map_count() <= mappings + 1);
    CHECK(figure("/proc/self/status", "VmSize") <= kb + 512);
}

/* Runs a child; whether anything failed in it. */
static int run(long number, long *reports)
{
    int status;
    seen->failed[0] = 0;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        child(number);
        _exit(happened ? 8 : 7);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 7)
        return 0;
    /* Without memory for it, a panic ends the process. */
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && (for_ever || strcmp(seen->failed, "malloc") == 0)) {
        ++*reports;
        return 1;
    }
    if (status != 8 << 8)
        fprintf(stderr, "call %ld (%s) fails: wait status %#x\n", number, seen->failed, (unsigned)status);
    CHECK_EQ(status, 8 << 8);
    return 1;
}

int main(UNUSED int argc, char **argv)
{
    long number = 1, reports = 0;
    for_ever = !is_case(argv, "once");
    with_panics = !is_case(argv, "for_ever_without_panics");
    seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    while (run(number, &reports))
        number++;
    CHECK(number > 20);
    printf("tally: failures=%ld ok=%ld panicked=%ld enomem=%ld elimit=%ld reports=%ld\n", number - 1, seen->outcomes[0],
           seen->outcomes[-WHARF_PANICKED], seen->outcomes[-WHARF_ENOMEM], seen->outcomes[-WHARF_ELIMIT], reports);
    puts("OK");
    return 0;
}
