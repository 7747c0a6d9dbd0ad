/* Contexts: every function, with good and bad arguments, called in every context; prints what it answers as a table:
 * a row for each function and argument, a column for each context. Each cell is a process of its own.
 * source: DESIGN.md section 3 (ARCHITECTURE.md's table function x context)
 * timeout: 120
 * table: x_contexts.txt
 */
#include "scenario.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define LONG INT64_C(1000000000)

/* ---- the rows ---- */

/* What a row answers; statuses by their names. */
static char answer[64];

static void say(const char *text)
{
    snprintf(answer, sizeof answer, "%s", text);
}

static void say_status(int status)
{
    const char *name = W->status_name(status);
    say(strncmp(name, "WHARF_", 6) == 0 ? name + 6 : name);
}

static void say_if(int good)
{
    say(good ? "good" : "BAD");
}

/* With WHARF_ESYS, errno belongs to the answer. */
static void say_errno(int status)
{
    int reason = errno;
    say_status(status);
    if (status == WHARF_ESYS && (reason == EBADF || reason == ENOSPC))
        say(reason == EBADF ? "ESYS EBADF" : "ESYS ENOSPC");
    else if (status == WHARF_ESYS)
        snprintf(answer, sizeof answer, "ESYS %d", reason);
}

static int ran;

static void run(UNUSED void *arg)
{
    ran++;
}

/* OK only counts with the function run once; anything else with the function not run. */
static void say_ran(int status)
{
    say_status(status);
    if (ran != (status == WHARF_OK))
        strcat(answer, status == WHARF_OK ? " NOT RUN" : " BUT RAN");
}

static void on_fatal(UNUSED const char *report, UNUSED size_t bytes, UNUSED void *arg) {}

#define ROW(row_name, ...) static void row_name(void) { __VA_ARGS__ }

ROW(version, say_if(W->version() != 0);)
ROW(version_string, say_if(strchr(W->version_string(), '.') != NULL);)
ROW(strerror_ok, say_if(strlen(W->strerror(0)) > 0);)
ROW(strerror_bad, say_if(strlen(W->strerror(-12345)) > 0);)
ROW(status_name_ok, say_if(strcmp(W->status_name(WHARF_ELIMIT), "WHARF_ELIMIT") == 0);)
ROW(status_name_bad, say(W->status_name(12345));)
ROW(running, snprintf(answer, sizeof answer, "%d", W->running());)
ROW(call_fn, say_ran(W->call(run, NULL));)
ROW(call_null, say_ran(W->call(NULL, NULL));)
ROW(on_host_fn, say_ran(W->on_host(run, NULL));)
ROW(on_host_null, say_ran(W->on_host(NULL, NULL));)
ROW(attach_null, say_status(W->attach(NULL));)
ROW(detach, say_status(W->detach());)
ROW(start_null, say_status(W->start(NULL));)
ROW(stop_past, say_status(W->stop(0));)
ROW(stop_soon, say_status(W->stop(W->after(LONG / 20)));)
ROW(stop_never, say_status(W->stop(WHARF_NEVER));)
ROW(trim, say_status(W->trim());)
ROW(now, say_if(W->now() > 0);)
ROW(after_zero, int64_t now = W->now(); int64_t then = W->after(0); say_if(then >= now && then < now + LONG);)
ROW(after_negative, say_if(W->after(-LONG) < W->now());)
ROW(after_most, say_if(W->after(INT64_MAX) == WHARF_NEVER);)
ROW(after_least, int64_t then = W->after(INT64_MIN); say(then == WHARF_NEVER ? "NEVER" : then < W->now() ? "past" : "BAD");)
ROW(stats_null, say_status(W->stats_read(NULL));)
ROW(dump_null_fd, say_status(W->dump(open("/dev/null", O_WRONLY)));)
ROW(dump_negative, say_errno(W->dump(-1));)
ROW(dump_closed, say_errno(W->dump(999));)
ROW(dump_full, say_errno(W->dump(open("/dev/full", O_WRONLY)));)
ROW(panic_text, W->panic("ROW");)
ROW(panic_null, W->panic(NULL);)
ROW(on_fatal_fn, say_status(W->on_fatal(on_fatal, NULL));)
ROW(on_fatal_null, say_status(W->on_fatal(NULL, NULL));)

static void boom(UNUSED void *arg)
{
    ran++;
    W->panic("BOOM");
}

static void leave(UNUSED void *arg)
{
    W->goexit();
}

/* A goexit in the middle of the cell: what is deferred tells that it began. */
static void tell(UNUSED void *arg);

ROW(try_fn, say_ran(W->try_(run, NULL, NULL));)
ROW(try_null, say_ran(W->try_(NULL, NULL, NULL));)
ROW(try_panic, wharf_panic_info *info = NULL; int status = W->try_(boom, NULL, &info); say_status(status);
    if ((info != NULL) != (status == WHARF_PANICKED) || ran != (info != NULL)) strcat(answer, " BAD"); W->panic_info_free(info);)
ROW(call_goexit, say_status(W->call(leave, NULL));)
ROW(panic_from, W->panic_from("ROW", NULL, 0);)
ROW(recoverable, snprintf(answer, sizeof answer, "%d", W->recoverable());)
ROW(recover, say(W->recover() == NULL ? "NULL" : "BAD");)
ROW(defer_fn, say_status(W->defer(run, NULL));)
ROW(defer_null, say_status(W->defer(NULL, NULL));)
ROW(goexit, W->defer(tell, NULL); W->goexit();)
ROW(info_null, W->panic_info_free(NULL); say_if(W->panic_info_format(NULL, NULL, 0) == 0);)

/* Structs of each size: 0, 4, one byte short, a byte over, longer with zeros, longer with something in it. */
static union {
    uint32_t size;
    wharf_config config;
    wharf_attach_options options;
    wharf_stats stats;
    unsigned char bytes[512];
} box;

static void sized(uint32_t size)
{
    memset(&box, 0, sizeof box);
    box.size = size;
}

#define SIZED(prefix, type, status)                                     \
    ROW(prefix##_size_0, sized(0); say_status(status);)                 \
    ROW(prefix##_size_4, sized(4); say_status(status);)                 \
    ROW(prefix##_size_8, sized(8); say_status(status);)                 \
    ROW(prefix##_short, sized(sizeof(type) - 8); say_status(status);)   \
    ROW(prefix##_odd, sized(sizeof(type) - 3); say_status(status);)     \
    ROW(prefix##_exact, sized(sizeof(type)); say_status(status);)       \
    ROW(prefix##_long, sized(sizeof(type) + 64); say_status(status);)   \
    ROW(prefix##_long_set, sized(sizeof(type) + 64); box.bytes[sizeof(type) + 9] = 1; say_status(status);)

SIZED(start, wharf_config, W->start(&box.config))
SIZED(attach, wharf_attach_options, W->attach(&box.options))
SIZED(stats, wharf_stats, W->stats_read(&box.stats))

#define START(field, value) sized(sizeof(wharf_config)); box.config.field = (value); say_status(W->start(&box.config));
#define ATTACH(field, value) sized(sizeof(wharf_attach_options)); box.options.field = (value); say_status(W->attach(&box.options));

ROW(start_reserved, START(reserved[3], 1))
ROW(start_threads_1, START(max_threads, 1))
ROW(start_threads_most, START(max_threads, UINT32_MAX))
ROW(start_stack_1, START(callback_stack_bytes, 1))
ROW(start_stack_16k, START(callback_stack_bytes, 16 << 10))
ROW(start_stack_odd, START(callback_stack_bytes, 100001))
ROW(start_stack_most, START(callback_stack_bytes, UINT64_MAX))
ROW(start_guard_1, START(guard_bytes, 1))
ROW(start_guard_most, START(guard_bytes, UINT64_MAX - 4095))
ROW(start_depth_1, START(trace_depth, 1))
ROW(start_depth_none, START(trace_depth, -1))
ROW(start_depth_32, START(trace_depth, 32))
ROW(start_depth_most, START(trace_depth, INT64_MAX))
ROW(start_trace_all, START(traceback, WHARF_TRACEBACK_ALL))
ROW(start_trace_5, START(traceback, 5))
ROW(start_fd_2, START(report_fd, 2))
ROW(start_fd_negative, START(report_fd, -2))
ROW(start_path, START(report_path, "/dev/null"))
ROW(start_path_empty, START(report_path, ""))
ROW(attach_reserved, ATTACH(reserved[3], 1))
ROW(attach_flag, ATTACH(flags, WHARF_ATTACH_REALTIME))
ROW(attach_flag_bad, ATTACH(flags, 0x80000000u))
ROW(attach_name, ATTACH(name, "a name of more than fifteen bytes"))
ROW(attach_touch, ATTACH(touch_bytes, 64 << 10))
ROW(attach_touch_odd, ATTACH(touch_bytes, 4097))
ROW(attach_touch_most, ATTACH(touch_bytes, UINT64_MAX))

typedef struct row {
    const char *name;
    void (*call)(void);
} row;

#define R(row_name) {#row_name, row_name}
#define SIZES(p) R(p##_size_0), R(p##_size_4), R(p##_size_8), R(p##_short), R(p##_odd), R(p##_exact), R(p##_long), R(p##_long_set)

static const row rows[] = {
    R(version), R(version_string), R(strerror_ok), R(strerror_bad), R(status_name_ok), R(status_name_bad),
    R(start_null), SIZES(start), R(start_reserved), R(start_threads_1), R(start_threads_most), R(start_stack_1),
    R(start_stack_16k), R(start_stack_odd), R(start_stack_most), R(start_guard_1), R(start_guard_most),
    R(start_depth_1), R(start_depth_none), R(start_depth_32), R(start_depth_most),
    R(start_trace_all), R(start_trace_5), R(start_fd_2), R(start_fd_negative), R(start_path), R(start_path_empty),
    R(stop_past), R(stop_soon), R(stop_never), R(running), R(trim), R(call_fn), R(call_null), R(on_host_fn), R(on_host_null),
    R(attach_null), SIZES(attach), R(attach_reserved), R(attach_flag), R(attach_flag_bad), R(attach_name),
    R(attach_touch), R(attach_touch_odd), R(attach_touch_most), R(detach), R(panic_text), R(panic_null), R(on_fatal_fn), R(on_fatal_null),
    R(try_fn), R(try_null), R(try_panic), R(call_goexit), R(panic_from), R(recoverable), R(recover), R(defer_fn), R(defer_null),
    R(goexit), R(info_null),
    R(now), R(after_zero), R(after_negative), R(after_most), R(after_least), R(stats_null), SIZES(stats),
    R(dump_null_fd), R(dump_negative), R(dump_closed), R(dump_full),
};

/* ---- the columns ---- */

static const row *probed;
static int answers;

/* The answer goes out at once: what comes after the probe is another matter. */
static void probe(UNUSED void *arg)
{
    ran = 0;
    probed->call();
    CHECK(write(answers, answer, strlen(answer)) > 0);
    _exit(0);
}

static void tell(UNUSED void *arg)
{
    CHECK(write(answers, "ended", 5) > 0);
    _exit(0);
}

static void handler(UNUSED int signal)
{
    probe(NULL);
}

static void interrupted(UNUSED void *arg)
{
    raise(SIGUSR1);
}

static void out_on_host(void *fn_at)
{
    on_host(*(wharf_fn *)fn_at, NULL);
}

static void inside_on_host(void)
{
    wharf_fn fn = probe;
    call(out_on_host, &fn);
}

static void lazy(void)
{
    call(run, NULL);
}

static void start(void)
{
    CHECK_EQ(W->start(NULL), WHARF_OK);
    lazy();
}

static void stop(void)
{
    start();
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
}

static void *probe_thread(UNUSED void *arg)
{
    probe(NULL);
    return NULL;
}

/* A stop that waits for a callback, longer than that takes. */
static void *stopper(UNUSED void *arg)
{
    W->stop(W->after(2 * LONG));
    return NULL;
}

static void await_stopping(UNUSED void *arg)
{
    spawn(0, stopper, NULL);
    while (W->running())
        usleep(100);
}

static void stopping_inside(UNUSED void *arg)
{
    await_stopping(NULL);
    probe(NULL);
}

static pthread_barrier_t inside_now;

static void wait_inside(UNUSED void *arg)
{
    pthread_barrier_wait(&inside_now);
    usleep(1500000);
}

static void *inside_thread(UNUSED void *arg)
{
    call(wait_inside, NULL);
    return NULL;
}

static void stopping_outside(void)
{
    CHECK_EQ(pthread_barrier_init(&inside_now, NULL, 2), 0);
    spawn(0, inside_thread, NULL);
    pthread_barrier_wait(&inside_now);
    await_stopping(NULL);
    usleep(100000); /* A moment later each gate is closed, this thread's too. */
    probe(NULL);
}

#define COLUMN(column_name, ...) static void column_name(void) { __VA_ARGS__ }

COLUMN(fresh, probe(NULL);)
COLUMN(fresh_sig, interrupted(NULL);)
COLUMN(lazy_host, lazy(); probe(NULL);)
COLUMN(lazy_new, lazy(); on_thread(probe_thread, NULL);)
COLUMN(lazy_cb, call(probe, NULL);)
COLUMN(lazy_out, inside_on_host();)
COLUMN(lazy_sig, lazy(); interrupted(NULL);)
COLUMN(lazy_cb_sig, call(interrupted, NULL);)
COLUMN(start_host, start(); probe(NULL);)
COLUMN(start_new, start(); on_thread(probe_thread, NULL);)
COLUMN(start_cb, start(); call(probe, NULL);)
COLUMN(start_out, start(); inside_on_host();)
COLUMN(twice_host, start(); start(); probe(NULL);)
COLUMN(stopping_cb, call(stopping_inside, NULL);)
COLUMN(stopping_host, lazy(); stopping_outside();)
COLUMN(stopped, stop(); probe(NULL);)
COLUMN(stopped_new, stop(); on_thread(probe_thread, NULL);)
COLUMN(stopped_sig, stop(); interrupted(NULL);)

static const row columns[] = {
    R(fresh), R(fresh_sig), R(lazy_host), R(lazy_new), R(lazy_cb), R(lazy_out), R(lazy_sig), R(lazy_cb_sig), R(start_host),
    R(start_new), R(start_cb), R(start_out), R(twice_host), R(stopping_cb), R(stopping_host), R(stopped), R(stopped_new), R(stopped_sig),
};

enum { ROWS = sizeof rows / sizeof *rows, COLUMNS = sizeof columns / sizeof *columns };

/* ---- a cell ---- */

static void cell(const row *line, const row *column, int report)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    dup2(report, 2);
    alarm(4);
    load_wharf();
    probed = line;
    column->call();
    _exit(9);
}

/* What a cell that answered nothing ended by. */
static void describe_end(int status, int report)
{
    static char text[4096];
    ssize_t length = pread(report, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strncmp(text, "panic: ", 7) == 0)
        say(strncmp(text, "panic: ROW\n", 11) == 0 ? "panic ROW" : strstr(text, "NULL\n") != NULL ? "panic NULL"
            : strstr(text, "wharf_goexit outside") != NULL ? "panic goexit" : "panic ?");
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        say("hang");
    else if (WIFSIGNALED(status))
        snprintf(answer, sizeof answer, "signal %d", WTERMSIG(status));
    else
        snprintf(answer, sizeof answer, "exit %d", WEXITSTATUS(status));
    if (WIFEXITED(status))
        fprintf(stderr, "%s", text);
}

static void run_cell(const row *line, const row *column)
{
    int pipes[2], status, report = memfd_create("stderr", 0);
    CHECK_EQ(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        answers = pipes[1];
        cell(line, column, report);
    }
    close(pipes[1]);
    memset(answer, 0, sizeof answer);
    ssize_t got = read(pipes[0], answer, sizeof answer - 1);
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (got <= 0)
        describe_end(status, report);
    close(pipes[0]);
    close(report);
}

int main(UNUSED int argc, char **argv)
{
    const char *only = argv[1];
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%-18s", "function");
    for (int c = 0; c < COLUMNS; c++)
        printf(" %-13s", columns[c].name);
    puts("");
    for (int r = 0; r < ROWS; r++) {
        if (only != NULL && strstr(rows[r].name, only) == NULL)
            continue;
        printf("%-18s", rows[r].name);
        for (int c = 0; c < COLUMNS; c++) {
            run_cell(&rows[r], &columns[c]);
            printf(" %-13s", answer);
        }
        puts("");
    }
    return 0;
}
