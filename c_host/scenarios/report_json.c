/* ReportJson: the report as JSON, to a descriptor and to a file, whatever the message is and whatever became of
 * the descriptor, the file, and the process's right to open one. A child dies; its JSON is what this host prints.
 * source: ours; Go debug.SetCrashOutput
 * cflags: -fno-optimize-sibling-calls -fno-inline
 * json: yes
 * case fd
 * args: fd
 * stdout: \{"wharf":"panic","message":"BOOM","pid":[0-9]+,"tid":[0-9]+,"time_ns":1[0-9]{18},"version":"[0-9.]+","level":"single"\}
 * stdout: \{"goroutine":[1-9][0-9]*,"tid":[0-9]+,"state":"running","frames":\[(\{"pc":"0x[0-9a-f]+"[^}]*\},?)+\]\}
 * stdout: \{"wharf":"end"\}
 * stdout~ "function":"boom","function_offset":"0x[0-9a-f]+","module":"[^"]+/report_json","offset":"0x[0-9a-f]+"
 * stdout~ "boom".*"wharf_call".*"host_thread".*"module":"[^"]+/libc\.so
 * case fd_none
 * args: fd level=1
 * stdout: \{"wharf":"panic","message":"BOOM",.*"level":"none"\}
 * stdout: \{"wharf":"end"\}
 * case fd_all
 * args: fd level=3 other
 * stdout: \{"wharf":"panic".*
 * stdout: \{"goroutine":.*"boom".*
 * stdout: \{"goroutine":[0-9]+,"tid":[0-9]+,"state":"on the host's stack","frames":\[.*"wharf_on_host".*"other_thread".*
 * stdout: \{"wharf":"end"\}
 * case fd_system
 * args: fd level=4
 * stdout: \{"wharf":"panic".*
 * stdout: \{"goroutine":.*"boom".*"__morestack".*
 * stdout: \{"registers":\{"(rbx|ebx|r19|r4|sp)":"0x[0-9a-f]+".*"(rip|eip|pc)":"0x[0-9a-f]+"\},"library":"wharf .*, traceback system, report_fd [0-9]+"\}
 * stdout: \{"wharf":"end"\}
 * case outside
 * args: fd outside
 * stdout~ ^\{"goroutine":null,"tid":[0-9]+,"state":"running","frames":\[.*"main"
 * case quotes
 * args: fd message=quotes
 * stdout~ "message":"say \\"no\\" to C:\\\\path\\\\",
 * case newlines
 * args: fd message=newlines
 * stdout~ "message":"one[\\]ntwo[\\]n[\\]tthree[\\]r[\\]n",
 * case control
 * args: fd message=control
 * stdout~ "message":"\\u0001\\u001b\[31mred\\u0008[\\]t.",
 * case not_utf8
 * args: fd message=not_utf8
 * stdout~ "message":"\\ufffd\\ufffd a \\ufffd é \\ufffd",
 * case long
 * args: fd message=long
 * stdout~ "message":"(x\\"){64}
 * case longest
 * args: fd message=longest
 * stdout~ "message":"(x\\"){64}
 * case both
 * args: fd path
 * stdout~ before":true\}\n\{"wharf":"panic"
 * case fd_closed
 * args: fd closed
 * stdout!~ .
 * case fd_full_pipe
 * args: fd full
 * stdout!~ .
 * case path
 * args: path
 * stdout: \{"before":true\}
 * stdout: \{"wharf":"panic".*
 * stdout: \{"goroutine":.*"boom".*
 * stdout: \{"wharf":"end"\}
 * case path_new
 * args: path new
 * stdout: \{"wharf":"panic".*
 * stdout: \{"goroutine":.*"boom".*
 * stdout: \{"wharf":"end"\}
 * case path_no_directory
 * args: path new no_directory
 * stdout!~ .
 * case path_late_directory
 * args: path new late_directory
 * stdout~ ^\{"wharf":"end"\}$
 * case path_removed
 * args: path removed
 * stdout!~ before
 * stdout~ ^\{"wharf":"end"\}$
 * case path_reused
 * args: path reused
 * stdout~ ^\{"wharf":"end"\}$
 * case path_no_descriptors
 * args: path no_descriptors
 * stdout~ ^\{"wharf":"end"\}$
 * case path_chroot
 * args: path chroot
 * stdout~ ^(\{"wharf":"end"\}|\{"skipped":.*)$
 * case path_stopped
 * args: path stopped
 * stdout: \{"before":true\}
 * case path_limits
 * args: limits
 * stdout: \{"ok":true\}
 * case eight
 * args: fd path eight
 * stdout: \{"wharf":"panic".*
 * stdout: \{"goroutine":.*"boom".*
 * stdout: \{"wharf":"end"\}
 * stdout: \{"before":true\}
 * stdout: \{"wharf":"panic".*
 * stdout: \{"goroutine":.*"boom".*
 * stdout: \{"wharf":"end"\}
 */
#include "scenario.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { FD = 40, REUSED = 100 };

static char **args;
static char dir[64], path[128];

static int has(const char *name)
{
    for (char **arg = args + 1; *arg != NULL; arg++) {
        if (strcmp(*arg, name) == 0)
            return 1;
    }
    return 0;
}

static const char *message(void)
{
    static char text[70001] = "BOOM";
    size_t length = has("message=long") ? 4096 : has("message=longest") ? 70000 : 0;
    for (size_t i = 0; i < length; i++)
        text[i] = i % 2 == 0 ? 'x' : '"';
    if (has("message=quotes"))
        return "say \"no\" to C:\\path\\";
    if (has("message=newlines"))
        return "one\ntwo\n\tthree\r\n";
    if (has("message=control"))
        return "\001\033[31mred\b\t\177";
    if (has("message=not_utf8"))
        return "\xff\xfe a \xc3 \xc3\xa9 \xe2\x82";
    return text;
}

static pthread_barrier_t there;

static void wait_here(UNUSED void *arg)
{
    pthread_barrier_wait(&there);
    for (;;)
        pause();
}

static void go_out(UNUSED void *arg)
{
    on_host(wait_here, NULL);
}

static void *other_thread(UNUSED void *arg)
{
    call(go_out, NULL);
    return NULL;
}

static void boom(UNUSED void *arg)
{
    if (has("eight"))
        pthread_barrier_wait(&there);
    W->panic(message());
}

static void *host_thread(UNUSED void *arg)
{
    W->call(boom, NULL);
    return NULL;
}

/* ---- the child ---- */

static int descriptors(void)
{
    int count = 0;
    DIR *list = opendir("/proc/self/fd");
    CHECK(list != NULL);
    while (readdir(list) != NULL)
        count++;
    closedir(list);
    return count;
}

static void start(void)
{
    wharf_config config = WHARF_CONFIG_INIT;
    int before = descriptors();
    for (uint32_t level = 1; level <= 4; level++) {
        char name[16];
        snprintf(name, sizeof name, "level=%u", level);
        if (has(name))
            config.traceback = level;
    }
    if (has("fd"))
        config.report_fd = FD;
    char copied[sizeof path];
    strcpy(copied, path);
    if (has("path"))
        config.report_path = copied;
    CHECK_EQ(W->start(&config), WHARF_OK);
    memset(copied, 'x', sizeof copied);
    if (has("stopped")) {
        CHECK_EQ(descriptors(), before + 1);
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
        CHECK_EQ(descriptors(), before);
    }
}

static void change(void)
{
    if (has("closed"))
        CHECK_EQ(close(FD), 0);
    if (has("late_directory"))
        CHECK_EQ(mkdir(dir, 0700), 0);
    if (has("removed"))
        CHECK_EQ(unlink(path), 0);
    if (has("reused")) {
        /* Every number that the library could have got is now a file of the host's. */
        int mine = memfd_create("mine", 0);
        CHECK(mine >= 0);
        for (int fd = 3; fd < FD; fd++)
            CHECK(fd == mine || dup2(mine, fd) == fd);
        CHECK_EQ(dup2(mine, REUSED), REUSED);
    }
    if (has("no_descriptors")) {
        struct rlimit limit = {64, 64};
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
        while (open("/dev/null", O_RDONLY) >= 0) {}
        CHECK_EQ(errno, EMFILE);
    }
    if (has("chroot")) {
        char root[128];
        snprintf(root, sizeof root, "%s/root", dir);
        CHECK_EQ(mkdir(root, 0700), 0);
        int changed = chroot(root);
        CHECK_EQ(rmdir(changed == 0 ? "/" : root) == 0 || changed == 0, 1);
        if (changed != 0)
            _exit(77);
    }
}

static void child(int report)
{
    CHECK_EQ(dup2(report, 2), 2);
    load_wharf();
    start();
    change();
    if (has("other")) {
        CHECK_EQ(pthread_barrier_init(&there, NULL, 2), 0);
        spawn(0, other_thread, NULL);
        pthread_barrier_wait(&there);
    }
    if (has("eight")) {
        CHECK_EQ(pthread_barrier_init(&there, NULL, 8), 0);
        for (int i = 0; i < 7; i++)
            spawn(0, host_thread, NULL);
    }
    if (has("outside") || has("stopped"))
        boom(NULL);
    join(spawn(0, host_thread, NULL));
    _exit(0);
}

/* ---- the parent ---- */

static void limits(void)
{
    static char name[2000];
    memset(name, 'a', sizeof name - 1);
    load_wharf();
    wharf_config config = WHARF_CONFIG_INIT;
    config.report_fd = -2;
    CHECK_EQ(W->start(&config), WHARF_EINVAL);
    config.report_fd = -1;
    config.report_path = "";
    CHECK_EQ(W->start(&config), WHARF_EINVAL);
    config.report_path = name + sizeof name - 1 - 1024;
    CHECK_EQ(W->start(&config), WHARF_EINVAL);
    config.report_path = "/dev/null";
    CHECK_EQ(W->start(&config), WHARF_OK);
    CHECK_EQ(W->start(&config), WHARF_OK);
    CHECK_EQ(W->start(NULL), WHARF_OK);
    config.report_path = "/dev/zero";
    CHECK_EQ(W->start(&config), WHARF_ESTATE);
    config.report_path = NULL;
    config.report_fd = 1;
    CHECK_EQ(W->start(&config), WHARF_ESTATE);
    puts("{\"ok\":true}");
    exit(0);
}

static void print_file(int fd)
{
    static char text[1 << 18];
    ssize_t length = fd < 0 ? 0 : pread(fd, text, sizeof text, 0);
    fwrite(text, 1, length > 0 ? (size_t)length : 0, stdout);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int make_json(void)
{
    int pipes[2], json = memfd_create("json", 0);
    CHECK(json >= 0);
    if (!has("full")) {
        CHECK_EQ(dup2(json, FD), FD);
        return json;
    }
    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(fcntl(pipes[1], F_SETFL, O_NONBLOCK), 0);
    while (write(pipes[1], "x", 1) == 1) {}
    CHECK_EQ(fcntl(pipes[1], F_SETFL, 0), 0);
    CHECK_EQ(dup2(pipes[1], FD), FD);
    return -1;
}

static void make_path(void)
{
    strcpy(dir, "/tmp/wharf-json-XXXXXX");
    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/report", dir);
    if (has("no_directory") || has("late_directory"))
        CHECK_EQ(rmdir(dir), 0);
    if (has("new"))
        return;
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs("{\"before\":true}\n", file) >= 0 && fclose(file) == 0);
}

static void check_mode(int fd)
{
    struct stat stat;
    CHECK_EQ(fstat(fd, &stat), 0);
    CHECK_EQ(stat.st_mode & 0777, 0600);
}

int main(UNUSED int argc, char **argv)
{
    char text[256] = "";
    int status, report = memfd_create("stderr", 0);
    args = argv;
    if (has("limits"))
        limits();
    int json = has("fd") ? make_json() : -1;
    make_path();
    double begun = seconds();
    pid_t pid = fork();
    if (pid == 0)
        child(report);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    int file = open(path, O_RDONLY);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        puts("{\"skipped\":\"no right to chroot\"}");
    else {
        CHECK(pread(report, text, sizeof text - 1, 0) > 0);
        if (!WIFSIGNALED(status) || strncmp(text, "panic: ", 7) != 0)
            fputs(text, stderr);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK(strncmp(text, "panic: ", 7) == 0);
        CHECK(seconds() - begun < 4);
        print_file(json);
        if (has("path"))
            print_file(file);
        if (has("new") && file >= 0)
            check_mode(file);
    }
    unlink(path);
    char root[128];
    snprintf(root, sizeof root, "%s/root", dir);
    rmdir(root);
    rmdir(dir);
    return 0;
}
