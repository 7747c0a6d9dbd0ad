/* How long a process takes to end by a panic in a thread's first call, beside a bare abort(): from the moment before it to
 * the return of waitpid, in µs. With stderr to /dev/null and to a pipe; without debug information, with the host's, with
 * wharf's own; through many libraries, and through one with much of it.
 *
 *     bench_death              figures
 *     bench_death FD panic     dies, after writing the moment to FD; so do abort, deep, large
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "bench.h"

enum { DEATHS = 15, LIBRARIES = 32 };

static int moment_fd;

static void moment(void)
{
    double now = now_ns();
    CHECK_EQ(write(moment_fd, &now, sizeof now), sizeof now);
}

static void panics(UNUSED void *arg)
{
    moment();
    W->panic("the end");
}

static void *dies_by_panic(UNUSED void *arg)
{
    call(panics, NULL);
    return NULL;
}

typedef void (*caller)(void (*f)(void *), void *arg);
static caller libraries[LIBRARIES];
static int opened;

static void goes_deeper(void *arg)
{
    int depth = *(int *)arg + 1;
    if (depth > opened)
        panics(NULL);
    else
        libraries[depth - 1](goes_deeper, &depth);
}

static void open_library(const char *name, const char *function)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("SCENARIO_DIR"), name);
    void *library = dlopen(path, RTLD_NOW);
    CHECK(library != NULL);
    libraries[opened++] = (caller)dlsym(library, function);
    CHECK(libraries[opened - 1] != NULL);
}

static void *dies_deep(UNUSED void *arg)
{
    int depth = 0;
    call(goes_deeper, &depth);
    return NULL;
}

static void *dies_by_abort(UNUSED void *arg)
{
    moment();
    abort();
}

/* Starts a program anew, to die; returns how long that took. */
static double death_us(const char *self, const char *how, int error_fd)
{
    int moments[2];
    CHECK_EQ(pipe(moments), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char fd[16];
        snprintf(fd, sizeof fd, "%d", moments[1]);
        dup2(error_fd, STDERR_FILENO);
        execl(self, self, fd, how, (char *)NULL);
        _exit(127);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    double end = now_ns(), begin;
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_EQ(read(moments[0], &begin, sizeof begin), sizeof begin);
    close(moments[0]);
    close(moments[1]);
    return (end - begin) / 1e3;
}

/* The report came, and all of it. */
static void drain(int fd, int reports)
{
    static char text[65536];
    ssize_t bytes = read(fd, text, sizeof text - 1);
    CHECK(bytes > 0);
    text[bytes] = '\0';
    int count = 0;
    for (const char *at = text; (at = strstr(at, "panic: the end\n\ngoroutine ")) != NULL; at++)
        count++;
    CHECK_EQ(count, reports);
}

/* Runs a command of the shell in the directory of the built hosts. */
static void shell(const char *self, const char *command)
{
    setenv("SELF", self, 1);
    CHECK_EQ(system(command), 0);
}

static int die(const char *how)
{
    char name[32];
    load_wharf();
    if (strcmp(how, "large") == 0)
        open_library("large.so", "large");
    for (int i = 0; strcmp(how, "deep") == 0 && i < LIBRARIES; i++) {
        snprintf(name, sizeof name, "deep/%d.so", i);
        open_library(name, "deep");
    }
    on_thread(strcmp(how, "abort") == 0 ? dies_by_abort : opened > 0 ? dies_deep : dies_by_panic, NULL);
    return 1;
}

static double median_us(const char *self, const char *how, int error_fd)
{
    double all[DEATHS];
    for (int i = 0; i < DEATHS; i++)
        all[i] = death_us(self, how, error_fd);
    return median(all, DEATHS);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        moment_fd = atoi(argv[1]);
        return die(argv[2]);
    }
    CHECK_EQ(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}), 0);
    /* Without the debug information that this machine may have of the system's libraries, where that can be. */
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        mount("none", "/usr/lib/debug", "tmpfs", 0, NULL);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC), reports[2];
    CHECK(nowhere >= 0);
    CHECK_EQ(pipe2(reports, O_CLOEXEC), 0);
    shell(argv[0], "cd $SCENARIO_DIR && mkdir -p plain deep && cp $WHARF_LIB plain/libwharf.so.0 && strip -g -o plain/host $SELF"
                   " && for i in $(seq 0 31); do cp deep.so deep/$i.so; done");
    say("panic.own", median_us(argv[0], "panic", nowhere));
    char plain[2][4096];
    snprintf(plain[0], sizeof plain[0], "%s/plain/host", getenv("SCENARIO_DIR"));
    snprintf(plain[1], sizeof plain[1], "%s/plain/libwharf.so.0", getenv("SCENARIO_DIR"));
    CHECK_EQ(setenv("WHARF_LIB", plain[1], 1), 0);
    double bare = median_us(plain[0], "abort", nowhere), panicked = median_us(plain[0], "panic", nowhere);
    say("abort", bare);
    say("panic.null", panicked);
    say("panic.over", panicked / bare);
    double piped[DEATHS];
    for (int i = 0; i < DEATHS; i++) {
        piped[i] = death_us(plain[0], "panic", reports[1]);
        drain(reports[0], 1);
    }
    say("panic.pipe", median(piped, DEATHS));
    say("panic.lines", median_us(argv[0], "panic", nowhere));
    say("panic.deep", median_us(argv[0], "deep", nowhere));
    say("panic.large", median_us(argv[0], "large", nowhere));
    return 0;
}
