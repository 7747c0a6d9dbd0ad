/* How long a process takes to end by a panic in a thread's first call, beside a bare abort(): from the moment before it to
 * the return of waitpid, in µs. With stderr to /dev/null and to a pipe.
 *
 *     bench_death              figures
 *     bench_death FD panic     dies, after writing the moment to FD; so does abort
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "bench.h"

enum { DEATHS = 15 };

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

static void *dies_by_abort(UNUSED void *arg)
{
    moment();
    abort();
}

/* Starts this program anew, to die; returns how long that took. */
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

int main(int argc, char **argv)
{
    if (argc == 3) {
        moment_fd = atoi(argv[1]);
        load_wharf();
        on_thread(strcmp(argv[2], "panic") == 0 ? dies_by_panic : dies_by_abort, NULL);
        return 1;
    }
    CHECK_EQ(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}), 0);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC), reports[2];
    CHECK(nowhere >= 0);
    CHECK_EQ(pipe2(reports, O_CLOEXEC), 0);
    double bare[DEATHS], silent[DEATHS], piped[DEATHS];
    for (int i = 0; i < DEATHS; i++) {
        bare[i] = death_us(argv[0], "abort", nowhere);
        silent[i] = death_us(argv[0], "panic", nowhere);
        piped[i] = death_us(argv[0], "panic", reports[1]);
        drain(reports[0], 1);
    }
    say("abort", median(bare, DEATHS));
    say("panic.null", median(silent, DEATHS));
    say("panic.pipe", median(piped, DEATHS));
    return 0;
}
