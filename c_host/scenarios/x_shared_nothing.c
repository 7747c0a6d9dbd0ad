/* SharedNothing: loading, a first call, a thousand calls on several threads and idling leave the process as it was: threads,
 * all signal handlers, masks, alternate stack, timers, open files, floating point, limits; and no function through which
 * a library would touch them, or read the environment, is called.
 * source: DESIGN.md decision 1
 * cflags: -rdynamic
 * stdout: OK
 * case load
 * args: load
 * case calls
 * args: calls
 * case idle
 * args: idle
 * case fork
 * args: fork
 */
#include "scenario.h"

#include <dirent.h>
#include <fenv.h>
#include <locale.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- the host's own versions of what nobody should call: the loader binds the library to them ---- */

static const char *touched;
static volatile int watching;

static void note(const char *what)
{
    if (watching)
        touched = what;
}

#define REAL(type, fn_name)                                             \
    static type *real;                                                  \
    note(#fn_name);                                                     \
    if (real == NULL) {                                                 \
        void *symbol = dlsym(RTLD_NEXT, #fn_name);                      \
        memcpy(&real, &symbol, sizeof real);                            \
    }

char *getenv(const char *variable)
{
    typedef char *fn(const char *);
    REAL(fn, getenv)
    return real(variable);
}

char *secure_getenv(const char *variable)
{
    typedef char *fn(const char *);
    REAL(fn, secure_getenv)
    return real(variable);
}

int sigaction(int number, const struct sigaction *action, struct sigaction *before)
{
    typedef int fn(int, const struct sigaction *, struct sigaction *);
    REAL(fn, sigaction)
    return real(number, action, before);
}

int sigaltstack(const stack_t *stack, stack_t *before)
{
    typedef int fn(const stack_t *, stack_t *);
    REAL(fn, sigaltstack)
    return real(stack, before);
}

int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    typedef int fn(int, const sigset_t *, sigset_t *);
    REAL(fn, pthread_sigmask)
    return real(how, set, before);
}

int sigprocmask(int how, const sigset_t *set, sigset_t *before)
{
    typedef int fn(int, const sigset_t *, sigset_t *);
    REAL(fn, sigprocmask)
    return real(how, set, before);
}

int pthread_create(pthread_t *out, const pthread_attr_t *attr, thread_fn body, void *arg)
{
    typedef int fn(pthread_t *, const pthread_attr_t *, thread_fn, void *);
    REAL(fn, pthread_create)
    return real(out, attr, body, arg);
}

int timer_create(clockid_t clock, struct sigevent *event, timer_t *out)
{
    typedef int fn(clockid_t, struct sigevent *, timer_t *);
    REAL(fn, timer_create)
    return real(clock, event, out);
}

/* ---- what the process is like ---- */

typedef struct properties {
    struct sigaction handlers[65];
    sigset_t mask;
    stack_t altstack;
    struct rlimit limits[RLIM_NLIMITS];
    fenv_t floating;
    long threads, files, timers, sigcgt;
    mode_t umask;
    char **environment, *first_variable;
    char locale[64], thread_name[32], directory[256];
} properties;

extern char **environ;

static long count_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    long files = 0;
    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        files++;
    closedir(dir);
    return files;
}

/* Also of what the libc does not know: handlers as the kernel counts them. */
static unsigned long caught_signals(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long caught = 0;
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "SigCgt:", 7) == 0)
            caught = strtoul(line + 7, NULL, 16);
    }
    fclose(file);
    return caught;
}

/* Of the mask, the libc copies more than the kernel filled. */
static void take_handler(int number, struct sigaction *out)
{
    struct sigaction found;
    memset(&found, 0, sizeof found);
    if (sigaction(number, NULL, &found) != 0)
        return;
    out->sa_handler = found.sa_handler;
    out->sa_flags = found.sa_flags;
    memcpy(&out->sa_mask, &found.sa_mask, 8);
}

/* Padding would differ, so all is zeroed first. */
static void take(properties *now)
{
    int was_watching = watching;
    watching = 0;
    memset(now, 0, sizeof *now);
    for (int number = 1; number < 65; number++)
        take_handler(number, &now->handlers[number]);
    pthread_sigmask(SIG_BLOCK, NULL, &now->mask);
    sigaltstack(NULL, &now->altstack);
    for (int i = 0; i < (int)RLIM_NLIMITS; i++)
        getrlimit(i, &now->limits[i]);
    fegetenv(&now->floating);
    now->threads = thread_count();
    now->files = count_files();
    now->timers = access("/proc/self/timers", R_OK) == 0 ? lines_of("/proc/self/timers") : 0;
    now->sigcgt = (long)caught_signals();
    now->umask = umask(0);
    umask(now->umask);
    now->environment = environ;
    now->first_variable = environ[0];
    snprintf(now->locale, sizeof now->locale, "%s", setlocale(LC_ALL, NULL));
    CHECK_EQ(pthread_getname_np(pthread_self(), now->thread_name, sizeof now->thread_name), 0);
    CHECK(getcwd(now->directory, sizeof now->directory) != NULL);
    watching = was_watching;
}

static properties before;

#define SAME(field)                                                             \
    if (memcmp(&before.field, &now.field, sizeof now.field) != 0)               \
        fprintf(stderr, "%s changed: " #field "\n", when)

static void check_same(const char *when)
{
    properties now;
    take(&now);
    SAME(handlers);
    SAME(mask);
    SAME(altstack);
    SAME(limits);
    SAME(floating);
    SAME(threads);
    SAME(files);
    SAME(timers);
    SAME(sigcgt);
    SAME(umask);
    if (touched != NULL)
        fprintf(stderr, "%s: %s was called\n", when, touched);
    CHECK(memcmp(&before, &now, sizeof now) == 0);
    CHECK(touched == NULL);
}

/* ---- what is done meanwhile ---- */

static void add(void *arg)
{
    ++*(int *)arg;
}

static void add_everywhere(void *arg)
{
    on_host(add, arg);
    call(add, arg);
}

static void *calls_thread(UNUSED void *arg)
{
    int count = 0;
    for (int i = 0; i < 1000; i++)
        call(add_everywhere, &count);
    CHECK_EQ(count, 2000);
    return NULL;
}

static void calls(void)
{
    calls_thread(NULL);
    check_same("after calls on the main thread");
    for (int i = 0; i < 20; i++) {
        watching = 0;
        pthread_t thread = spawn(0, calls_thread, NULL);
        watching = 1;
        join(thread);
    }
    for (int i = 0; i < 1000 && thread_count() != before.threads; i++)
        usleep(1000); /* a joined thread is still seen for a moment */
    check_same("after threads have come and gone");
}

/* A child of fork is a process like any other, and calls work in it. */
static void forked(void)
{
    int status;
    calls_thread(NULL);
    pid_t child = fork();
    if (child == 0) {
        check_same("in the child of fork");
        calls_thread(NULL);
        check_same("after calls in the child");
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

/* The libc sets handlers of its own when a program makes its first thread. */
static void *no_thread(void *arg)
{
    return arg;
}

int main(UNUSED int argc, char **argv)
{
    feraiseexcept(FE_INEXACT);
    char *path = getenv("WHARF_LIB");
    wharf_dl opened;
    on_thread(no_thread, NULL);
    take(&before);
    watching = 1;
    CHECK_EQ(wharf_dl_open(path, &opened), WHARF_OK);
    W = opened.api;
    check_same("after loading");
    if (is_case(argv, "calls"))
        calls();
    if (is_case(argv, "fork"))
        forked();
    if (is_case(argv, "idle")) {
        calls_thread(NULL);
        for (int i = 0; i < 20; i++) {
            usleep(100000);
            check_same("while idle");
        }
    }
    check_same("at the end");
    puts("OK");
    return 0;
}
