/* Stderr: a panic whose report cannot be written, or only slowly. Whatever file descriptor 2 is, the process
 * dies by SIGABRT within 6 s (the report may take 5), and where there is a reader it gets the whole report.
 * source: ours (DESIGN 1.6)
 * stdout: OK
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * case closed
 * args: closed
 * case file
 * args: file
 * case full_pipe
 * args: full_pipe
 * case full_pipe_nonblock
 * args: full_pipe_nonblock
 * case slow_reader
 * args: slow_reader
 * case slow_reader_nonblock
 * args: slow_reader_nonblock
 * case no_reader
 * args: no_reader
 * case no_reader_handled
 * args: no_reader_handled
 * case dev_full
 * args: dev_full
 * case file_limit
 * args: file_limit
 * case all_closed
 * args: all_closed
 * case read_only
 * args: read_only
 * case full_eight
 * args: full_eight
 */
#include "scenario.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static int pipes[2], file;
static int threads_wanted = 1;
static const char *name;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

static void boom(UNUSED void *arg)
{
    W->panic("BOOM");
    puts("wharf_panic came back");
}

static void *host_thread(UNUSED void *arg)
{
    W->call(boom, NULL);
    puts("wharf_call came back");
    return NULL;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Leaves no room in the pipe, whatever its size. */
static void fill_pipe(void)
{
    static char block[4096];
    int flags = fcntl(pipes[1], F_GETFL);
    CHECK_EQ(fcntl(pipes[1], F_SETFL, flags | O_NONBLOCK), 0);
    while (write(pipes[1], block, sizeof block) > 0) {}
    while (write(pipes[1], block, 1) > 0) {}
    CHECK_EQ(fcntl(pipes[1], F_SETFL, named("nonblock") ? flags | O_NONBLOCK : flags), 0);
}

/* In the child: makes descriptor 2 what the case wants. */
static void set_stderr(void)
{
    if (named("full_") || named("slow_")) {
        fill_pipe();
        dup2(pipes[1], 2);
        close(pipes[1]);
        if (!named("slow_"))
            return; /* the reading end stays open here: full, not broken */
        close(pipes[0]);
    } else if (named("no_reader")) {
        if (named("handled"))
            signal(SIGPIPE, SIG_IGN);
        dup2(pipes[1], 2);
        close(pipes[1]);
        close(pipes[0]);
    } else if (named("dev_full")) {
        dup2(open("/dev/full", O_WRONLY), 2);
    } else if (named("read_only")) {
        dup2(open("/dev/null", O_RDONLY), 2);
    } else if (named("file")) {
        struct rlimit limit = {16, 16}; /* the sixteenth byte raises SIGXFSZ */
        if (named("limit"))
            setrlimit(RLIMIT_FSIZE, &limit);
        dup2(file, 2);
    } else if (named("all_closed")) {
        for (int fd = 0; fd < 64; fd++)
            close(fd);
    } else {
        close(2);
    }
}

static void child(void)
{
    load_wharf();
    set_stderr();
    pthread_t threads[8];
    for (int i = 0; i < threads_wanted; i++)
        threads[i] = spawn(0, host_thread, NULL);
    for (int i = 0; i < threads_wanted; i++)
        pthread_join(threads[i], NULL);
    _exit(0);
}

/* Reads the pipe slowly, from half a second on, and keeps its end. */
static void read_slowly(char *text, size_t bytes)
{
    size_t length = 0;
    ssize_t got;
    usleep(500000);
    while ((got = read(pipes[0], text + length, bytes - 1 - length)) > 0) {
        length += (size_t)got;
        if (length > bytes / 2) { /* the filling is thrown away */
            memmove(text, text + length - 4096, 4096);
            length = 4096;
        }
        usleep(1000);
    }
    text[length] = 0;
    for (size_t i = 0; i < length; i++)
        text[i] = text[i] == 0 ? ' ' : text[i];
}

static void check_report(const char *text)
{
    const char *words[] = {"panic: BOOM\n\ngoroutine ", " [running, locked to thread]:\n", "\nboom+0x", "\nwharf_call+0x", "\nhost_thread+0x"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        text = strstr(text, words[i]);
        if (text == NULL)
            fprintf(stderr, "missing or not in order: %s\n", words[i]);
        CHECK(text != NULL);
    }
}

/* Waits for the child's end, not longer than the bound. */
static int wait_end(pid_t pid, int64_t start)
{
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_ms() - start > 6000) {
            kill(pid, SIGKILL);
            fail(__FILE__, __LINE__, "the process ends within 6 s");
        }
        usleep(2000);
    }
    return status;
}

int main(UNUSED int argc, char **argv)
{
    static char text[1 << 18];
    name = argv[1] != NULL ? argv[1] : "closed";
    threads_wanted = named("eight") ? 8 : 1;
    CHECK_EQ(pipe(pipes), 0);
    file = memfd_create("stderr", 0);
    int64_t start = now_ms();
    pid_t pid = fork();
    if (pid == 0)
        child();
    if (named("slow_")) {
        close(pipes[1]);
        read_slowly(text, sizeof text);
    }
    int status = wait_end(pid, start);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        fprintf(stderr, "wait status %#x\n", (unsigned)status);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    if (strcmp(name, "file") == 0)
        CHECK(pread(file, text, sizeof text - 1, 0) > 0);
    if (strcmp(name, "file") == 0 || strcmp(name, "slow_reader") == 0)
        check_report(text);
    puts("OK");
    return 0;
}
