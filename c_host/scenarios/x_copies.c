/* Copies: several wharfs in one process: by two names for one file, a renamed copy, two namespaces, two plugins that are
 * linked with it, one that has it inside. Each has its own threads and stacks; they are at work at the same time, on the
 * same thread, inside each other, and panic through each other.
 * source: issue 5 (Go: two c-shared libraries in one process crash; Go testplugin)
 * plugin: x_copies_plugin.c
 * static: x_copies_plugin.c
 * stdout: OK
 * timeout: 60
 * needs: dlmopen()
 * case which
 * args: which
 * case apart
 * args: apart
 * case nested
 * args: nested
 * case threads
 * args: threads
 * case panics
 * args: panics
 * case restarts
 * args: restarts
 * case reload
 * args: reload
 */
#include "scenario.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { COPIES = 5, THREADS = 8, ROUNDS = 200, DEEP = 3 * COPIES };

/* The file itself, a copy of it, two namespaces, inside a plugin. */
static const wharf_api *apis[COPIES];
static void *handles[COPIES];
static char copied[4096], linked[4096], second_plugin[4096];

static const wharf_api *api_of(void *handle, const char *symbol)
{
    const wharf_api *(*get)(uint32_t);
    if (handle == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(handle != NULL);
    void *found = dlsym(handle, symbol);
    CHECK(found != NULL);
    memcpy(&get, &found, sizeof get);
    return get(WHARF_ABI); /* plugin_api looks at no argument */
}

static void copy_file(const char *from, const char *to)
{
    char bytes[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    CHECK(in >= 0 && out >= 0);
    for (ssize_t n; (n = read(in, bytes, sizeof bytes)) > 0;)
        CHECK_EQ(write(out, bytes, (size_t)n), n);
    close(in);
    close(out);
}

static void name_files(void)
{
    const char *dir = getenv("SCENARIO_DIR");
    snprintf(copied, sizeof copied, "%s/copied-%d.so", dir, getpid());
    snprintf(linked, sizeof linked, "%s/linked-%d.so", dir, getpid());
    snprintf(second_plugin, sizeof second_plugin, "%s/plugin-%d.so", dir, getpid());
}

static void open_copy(int i, void *handle, const char *symbol)
{
    handles[i] = handle;
    apis[i] = api_of(handle, symbol);
    CHECK(apis[i] != NULL);
}

static void open_all(void)
{
    char inside[4096];
    const char *file = getenv("WHARF_LIB");
    snprintf(inside, sizeof inside, "%s/x_copies_plugin_static.so", getenv("SCENARIO_DIR"));
    copy_file(file, copied);
    open_copy(0, dlopen(file, RTLD_NOW | RTLD_LOCAL), "wharf_get_api");
    open_copy(1, dlopen(copied, RTLD_NOW | RTLD_LOCAL), "wharf_get_api");
    if (handles[2] == NULL) {
        open_copy(2, open_apart(file), "wharf_get_api");
        open_copy(3, open_apart(file), "wharf_get_api");
    }
    open_copy(4, dlopen(inside, RTLD_NOW | RTLD_LOCAL), "plugin_api");
    CHECK_EQ(unlink(copied), 0);
}

static wharf_stats stats_of(int i)
{
    wharf_stats now = WHARF_STATS_INIT;
    CHECK_EQ(apis[i]->stats_read(&now), WHARF_OK);
    return now;
}

/* ---- which of them are one ---- */

static void which(void)
{
    char plugin[4096];
    const char *file = getenv("WHARF_LIB");
    for (int i = 0; i < COPIES; i++)
        for (int j = 0; j < i; j++)
            CHECK(apis[i] != apis[j]);
    snprintf(plugin, sizeof plugin, "%s/x_copies_plugin.so", getenv("SCENARIO_DIR"));
    copy_file(plugin, second_plugin);
    CHECK_EQ(symlink(file, linked), 0);
    void *more[] = {dlopen(plugin, RTLD_NOW | RTLD_LOCAL), dlopen(second_plugin, RTLD_NOW | RTLD_LOCAL)};
    CHECK(api_of(more[0], "plugin_api") == apis[0]);
    CHECK(api_of(more[1], "plugin_api") == apis[0]);
    void *same = dlopen(linked, RTLD_NOW | RTLD_LOCAL); /* another name of the same file */
    CHECK(api_of(same, "wharf_get_api") == apis[0]);
    unlink(linked);
    unlink(second_plugin);
    CHECK_EQ(apis[0]->start(NULL), WHARF_OK); /* as one plugin does, */
    CHECK_EQ(apis[0]->start(NULL), WHARF_OK); /* and the other */
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(apis[0]->running(), 1);
        CHECK_EQ(apis[0]->stop(WHARF_NEVER), WHARF_OK);
        CHECK_EQ(dlclose(more[i]), 0);
    }
    CHECK_EQ(apis[0]->running(), 0);
    CHECK_EQ(dlclose(same), 0);
}

/* ---- each for itself ---- */

static void count(void *arg)
{
    ++*(int *)arg;
}

static void *call_even(void *arg)
{
    for (int i = 0; i < COPIES; i += 2)
        CHECK_EQ(apis[i]->call(count, arg), WHARF_OK);
    return NULL;
}

static void apart(void)
{
    int calls = 0;
    for (int i = 0; i < COPIES; i++) {
        wharf_config config = WHARF_CONFIG_INIT;
        config.max_threads = (uint32_t)i + 1;
        config.callback_stack_bytes = (uint64_t)(i + 1) << 16;
        CHECK_EQ(apis[i]->start(&config), WHARF_OK);
        CHECK_EQ(stats_of(i).threads_bound, 0);
    }
    on_thread(call_even, &calls);
    CHECK_EQ(calls, 3);
    for (int i = 0; i < COPIES; i++)
        CHECK_EQ(stats_of(i).calls, 1 - i % 2);
    for (int i = 0; i < COPIES; i++) {
        CHECK_EQ(apis[i]->call(count, &calls), WHARF_OK);
        CHECK_EQ(apis[i]->stop(WHARF_NEVER), WHARF_OK);
        for (int j = 0; j < COPIES; j++)
            CHECK_EQ(apis[j]->call(count, &calls), j <= i ? WHARF_STOPPED : WHARF_OK);
    }
    for (int i = 0; i < COPIES; i++)
        CHECK_EQ(apis[i]->detach(), WHARF_OK);
}

/* ---- inside each other ---- */

typedef struct trip {
    int depth, step; /* how deep, and how far apart the copies are that follow each other */
} trip;

static void go(void *arg)
{
    trip *at = (trip *)arg;
    if (at->depth == DEEP)
        return;
    const wharf_api *api = apis[at->depth * at->step % COPIES];
    at->depth++;
    if (at->depth % 4 == 0)
        CHECK_EQ(api->on_host(go, at), WHARF_OK);
    else
        CHECK_EQ(api->call(go, at), WHARF_OK);
}

static void go_with(int step)
{
    trip at = {0, step};
    go(&at);
    CHECK_EQ(at.depth, DEEP);
}

static void *go_everywhere(UNUSED void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        go_with(i % COPIES);
    return NULL;
}

static void check_nobody(void)
{
    for (int i = 0; i < COPIES; i++) {
        CHECK_EQ(apis[i]->detach(), WHARF_OK);
        for (int n = 0; n < 1000 && stats_of(i).threads_bound > 0; n++)
            usleep(1000);
        CHECK_EQ(stats_of(i).threads_bound, 0);
        CHECK_EQ(stats_of(i).stacks_used, 0);
        CHECK_EQ(apis[i]->stop(0), WHARF_OK);
    }
}

static void nested(void)
{
    go_everywhere(NULL);
    check_nobody();
}

static void threads(void)
{
    pthread_t running[THREADS];
    for (int i = 0; i < THREADS; i++)
        running[i] = spawn(0, go_everywhere, NULL);
    go_everywhere(NULL);
    for (int i = 0; i < THREADS; i++)
        join(running[i]);
    check_nobody();
}

/* ---- through each other ---- */

typedef struct pair {
    const wharf_api *outer, *inner, *panicking;
    int inner_is_try, deferred, came_back;
} pair;

static void panic_here(void *arg)
{
    ((pair *)arg)->panicking->panic("from the inside");
}

static void call_inner(void *arg)
{
    pair *two = (pair *)arg;
    CHECK_EQ(two->outer->defer(count, &two->deferred), WHARF_OK);
    if (two->inner_is_try) {
        wharf_panic_info *info = NULL;
        CHECK_EQ(two->inner->try_(panic_here, two, &info), WHARF_PANICKED);
        two->inner->panic_info_free(info);
    } else {
        two->inner->call(panic_here, two);
    }
    two->came_back = 1;
}

/* A panic goes to the innermost try of its own copy. */
static void panic_with(int outer, int inner, int panicking, int inner_is_try)
{
    wharf_panic_info *info = NULL;
    pair two = {apis[outer], apis[inner], apis[panicking], inner_is_try, 0, 0};
    int status = two.outer->try_(call_inner, &two, &info);
    if (panicking == outer) {
        CHECK_EQ(status, WHARF_PANICKED);
        CHECK(strcmp(info->message, "from the inside") == 0);
        CHECK_EQ(info->cut, 0);
        two.outer->panic_info_free(info);
    } else {
        CHECK_EQ(status, WHARF_OK);
    }
    CHECK_EQ(two.came_back, panicking != outer);
    CHECK_EQ(two.deferred, 1);
    CHECK_EQ(stats_of(inner).stacks_used, 0);
    CHECK_EQ(stats_of(outer).stacks_used, 0);
}

static void recover_it(void *arg)
{
    pair *two = (pair *)arg;
    CHECK(two->inner->recover() == NULL);
    wharf_panic_info *info = two->outer->recover();
    CHECK(info != NULL && strcmp(info->message, "from the inside") == 0);
    two->outer->panic_info_free(info);
}

static void recovers(void *arg)
{
    pair *two = (pair *)arg;
    CHECK_EQ(two->outer->defer(recover_it, two), WHARF_OK);
    two->inner->call(panic_here, two);
    two->came_back = 1;
}

static void exit_outer(void *arg)
{
    ((pair *)arg)->outer->goexit();
}

static void exits(void *arg)
{
    pair *two = (pair *)arg;
    two->inner->call(exit_outer, two);
    two->came_back = 1;
}

/* The other copy's frames lead to the callback: it may recover, and be ended from within. */
static void end_without_try(int outer, int inner)
{
    pair two = {apis[outer], apis[inner], apis[outer], 0, 0, 0};
    CHECK_EQ(two.outer->call(recovers, &two), WHARF_RECOVERED);
    CHECK_EQ(two.outer->call(exits, &two), WHARF_CANCELED);
    CHECK_EQ(two.came_back, 0);
    CHECK_EQ(stats_of(inner).stacks_used, 0);
    CHECK_EQ(stats_of(outer).stacks_used, 0);
}

/* Nobody waits for it in its own copy: the process ends with a report. */
static void die_with(int outer, int inner)
{
    int status, pipes[2];
    char report[64] = "";
    CHECK_EQ(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        pair two = {apis[outer], apis[inner], apis[inner], 0, 0, 0};
        dup2(pipes[1], 2);
        two.outer->try_(call_inner, &two, NULL);
        _exit(1);
    }
    close(pipes[1]);
    size_t length = 0;
    for (ssize_t n; length < sizeof report - 1; length += (size_t)n) {
        n = read(pipes[0], report + length, sizeof report - 1 - length);
        if (n <= 0)
            break;
    }
    close(pipes[0]);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    if (strncmp(report, "panic: from the inside\n\ngoroutine ", 34) != 0)
        fprintf(stderr, "copy %d in copy %d:\n%s\n", inner, outer, report);
    CHECK(strncmp(report, "panic: from the inside\n\ngoroutine ", 34) == 0);
}

static void panics(void)
{
    for (int i = 0; i < COPIES; i++) {
        for (int j = 0; j < COPIES; j++) {
            if (i == j)
                continue;
            panic_with(i, j, i, 0);
            panic_with(i, j, j, 1);
            end_without_try(i, j);
            panic_with(i, j, i, 1); /* the other copy's try is none of its */
            die_with(i, j);
        }
    }
    nested();
}

/* ---- they start and stop at the same time ---- */

static void *restart(void *copy)
{
    const wharf_api *api = (const wharf_api *)copy;
    wharf_config config = WHARF_CONFIG_INIT;
    config.signals = WHARF_SIGNALS_NONE;
    for (int i = 0; i < 4000; i++) {
        CHECK_EQ(api->start(&config), WHARF_OK);
        CHECK_EQ(api->stop(WHARF_NEVER), WHARF_OK);
    }
    return NULL;
}

static void restarts(void)
{
    pthread_t running[COPIES];
    for (int i = 0; i < COPIES; i++)
        running[i] = spawn(0, restart, (void *)(uintptr_t)apis[i]);
    for (int i = 0; i < COPIES; i++)
        join(running[i]);
}

/* ---- each comes and goes while the others work ---- */

static volatile int leave;

static void *call_first(UNUSED void *arg)
{
    int calls = 0;
    while (!leave)
        CHECK_EQ(apis[0]->call(count, &calls), WHARF_OK);
    return NULL;
}

static int was_running(int i)
{
    return stats_of(i).calls > 0 ? WHARF_OK : WHARF_ESTATE;
}

static void reload(void)
{
    pthread_t thread = spawn(0, call_first, NULL);
    long mappings = 0;
    for (int round = 0; round < 60; round++) {
        go_with(round % COPIES);
        void *first = handles[0];
        for (int i = 1; i < COPIES; i++) {
            if (i == 2 || i == 3)
                continue; /* glibc does not get a namespace's static TLS back */
            int expected = was_running(i);
            if (round % 2 == 0)
                CHECK_EQ(apis[i]->stop(0), expected);
            CHECK_EQ(dlclose(handles[i]), 0);
        }
        open_all();
        CHECK_EQ(dlclose(first), 0);
        if (round == 20)
            mappings = map_count();
    }
    if (map_count() > mappings + 4)
        fprintf(stderr, "mappings %ld -> %ld\n", mappings, map_count());
    CHECK(map_count() <= mappings + 4);
    leave = 1;
    join(thread);
}

int main(UNUSED int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"which", which},   {"apart", apart},       {"nested", nested}, {"threads", threads},
        {"panics", panics}, {"restarts", restarts}, {"reload", reload},
    };
    name_files();
    open_all();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (is_case(argv, cases[i].name)) {
            cases[i].run();
            puts("OK");
        }
    }
    return 0;
}
