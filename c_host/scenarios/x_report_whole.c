/* WholeReport: the report is whole whatever state the process is in: another thread holds malloc's lock, the loader's or stderr's
 * for ever; the heap is destroyed; memory has run out, as far as the soft limits go, or descriptors; the files that the code came from are deleted or others by now.
 * By a panic and by a fault.
 * source: ours (DESIGN decision 6)
 * library: x_report_whole_plugin.c
 * cflags: -fno-optimize-sibling-calls -fno-inline -rdynamic
 * case panic_malloc_lock
 * args: panic malloc_lock
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\n
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case fault_malloc_lock
 * args: fault malloc_lock
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: 
 * stderr~ \nboom.*\n(.*\n)*host_thread
 * case panic_loader_lock
 * args: panic loader_lock
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\n
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case fault_loader_lock
 * args: fault loader_lock
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: 
 * stderr~ \nboom.*\n(.*\n)*host_thread
 * case panic_loader_write_lock
 * args: panic loader_write_lock
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\n
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case fault_loader_write_lock
 * args: fault loader_write_lock
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: 
 * stderr~ \nboom.*\n(.*\n)*host_thread
 * case panic_stdio_lock
 * args: panic stdio_lock
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\n
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case fault_stdio_lock
 * args: fault stdio_lock
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: 
 * stderr~ \nboom.*\n(.*\n)*host_thread
 * case panic_heap
 * args: panic heap
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\n
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case fault_heap
 * args: fault heap
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: 
 * stderr~ \nboom.*\n(.*\n)*host_thread
 * case panic_no_memory
 * args: panic no_memory
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\n
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case fault_no_memory
 * args: fault no_memory
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: 
 * stderr~ \nboom.*\n(.*\n)*host_thread
 * case panic_no_files
 * args: panic no_files
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\n
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case fault_no_files
 * args: fault no_files
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: 
 * stderr~ \nboom.*\n(.*\n)*host_thread
 * case panic_no_files_ever
 * args: panic no_files_ever
 * needs: _dl_find_object()
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\npcs: .* x_report_whole\+0x.* libc.so.6\+0x
 * stderr~ \nwharf_panic\+0x.*\n.*libwharf.*\n0x.*\n.*[/]x_report_whole\+0x.*\nwharf_call\+0x.*\n(.*\n)*0x.*\n.*libc.so.6\+0x.* \(BuildId.*\n$
 * stderr!~ no unwind
 * case fault_no_files_ever
 * args: fault no_files_ever
 * needs: _dl_find_object()
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: (.*\n)*pcs: x_report_whole\+0x.*libc.so.6\+0x.*\n0x.*\n.*[/]x_report_whole\+0x.*\nwharf_call\+0x
 * stderr!~ no unwind
 * case panic_deleted
 * args: panic deleted
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\n
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case fault_deleted
 * args: fault deleted
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: 
 * stderr~ \nboom.*\n(.*\n)*host_thread
 * case panic_replaced
 * args: panic replaced
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\n
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 * case fault_replaced
 * args: fault replaced
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: 
 * stderr~ \nboom.*\n(.*\n)*host_thread
 * case panic_library_deleted
 * args: panic library_deleted
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\n
 * frames: boom passes wharf_call host_thread <libc> <libc> <end>
 * case fault_library_deleted
 * args: fault library_deleted
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: 
 * stderr~ \nboom.*\n(.*\n)*host_thread
 * case panic_library_replaced
 * args: panic library_replaced
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\n
 * frames: boom passes wharf_call host_thread <libc> <libc> <end>
 * case fault_library_replaced
 * args: fault library_replaced
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: 
 * stderr~ \nboom.*\n(.*\n)*host_thread
 * case panic_path
 * args: panic path
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\npcs: .* whole(\?|\\012)\?\[31m\?\.[0-9]+\+0x
 * frames: boom wharf_call host_thread <libc> <libc> <end>
 */
#include "libc_heap.h"
#include "scenario.h"

#include <stdbool.h>
#include <fcntl.h>
#include <link.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *state, *plugin_path;
static void (*passes)(wharf_fn, void *);
static int faults;

static int is(const char *name)
{
    return strcmp(state, name) == 0;
}

static void boom(UNUSED void *arg)
{
    if (faults)
        *(volatile int *)8 = 1;
    W->panic("BOOM");
    puts("came back");
}

static void through(UNUSED void *arg)
{
    passes(boom, NULL);
}

static void *host_thread(UNUSED void *arg)
{
    W->call(passes != NULL ? through : boom, NULL);
    puts("came back");
    return NULL;
}

/* ---- locks that are never let go ---- */

static pthread_barrier_t held;

static void holds(void)
{
    pthread_barrier_wait(&held);
    for (;;)
        pause();
}

/* The host's own allocator, as jemalloc would be: one lock. */
static pthread_mutex_t heap_lock = PTHREAD_MUTEX_INITIALIZER;

#define LOCKED(type, value)                                                                                            \
    pthread_mutex_lock(&heap_lock);                                                                                    \
    type result = value;                                                                                               \
    pthread_mutex_unlock(&heap_lock);                                                                                  \
    return result

void *malloc(size_t bytes)
{
    LOCKED(void *, __libc_malloc(bytes));
}

void *calloc(size_t count, size_t bytes)
{
    LOCKED(void *, __libc_calloc(count, bytes));
}

void *realloc(void *block, size_t bytes)
{
    LOCKED(void *, __libc_realloc(block, bytes));
}

void free(void *block)
{
    pthread_mutex_lock(&heap_lock);
    __libc_free(block);
    pthread_mutex_unlock(&heap_lock);
}

static void *holds_heap(UNUSED void *arg)
{
    pthread_mutex_lock(&heap_lock);
    holds();
    return NULL;
}

/* Called by the loader under its write lock. */
static int sees_module(UNUSED struct dl_phdr_info *info, UNUSED size_t size, UNUSED void *arg)
{
    holds();
    return 0;
}

static void *holds_loader_write_lock(UNUSED void *arg)
{
    dl_iterate_phdr(sees_module, NULL);
    return NULL;
}

/* The plugin's constructor calls what this says: the loader loads it meanwhile. */
void (*in_constructor)(void);

static void *holds_loader_lock(UNUSED void *arg)
{
    in_constructor = holds;
    dlopen(plugin_path, RTLD_NOW);
    return NULL;
}

static void *holds_stdio(UNUSED void *arg)
{
    flockfile(stderr);
    flockfile(stdout);
    holds();
    return NULL;
}

static void hold(thread_fn by)
{
    pthread_barrier_init(&held, NULL, 2);
    spawn(0, by, NULL);
    pthread_barrier_wait(&held);
}

/* ---- what is broken, or has run out ---- */

static void destroy_heap(void)
{
    /* Each block's size, and what free blocks are chained by; the last one's end is where more would come from. */
    enum { BLOCKS = 255 };
    char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = malloc(16 * (i + 1));
    for (size_t i = 0; i < BLOCKS; i++)
        memset(blocks[i] - 8, 0x5a, 16 * (i + 1) + 16);
}

static void use_up_memory(void)
{
    struct rlimit none = {0, RLIM_INFINITY};
    CHECK_EQ(setrlimit(RLIMIT_AS, &none), 0);
    while (malloc(1) != NULL)
        ;
}

static void use_up_files(bool for_ever)
{
    struct rlimit few;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &few), 0);
    few.rlim_cur = 64;
    if (for_ever) /* As without /proc: no file can be opened. */
        few.rlim_max = 64;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (dup(0) >= 0)
        ;
}

/* ---- files ---- */

static void copy(const char *from, const char *to, mode_t mode)
{
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, mode);
    CHECK(in >= 0 && out >= 0);
    static char bytes[65536];
    for (ssize_t got; (got = read(in, bytes, sizeof bytes)) > 0;)
        CHECK_EQ(write(out, bytes, (size_t)got), got);
    close(in);
    close(out);
}

static char spare_path[4096];

/* Another file in the same place, of another kind. */
static void replace(const char *path)
{
    CHECK_EQ(unlink(path), 0);
    copy("/etc/passwd", path, 0755);
}

static void open_plugin(const char *path)
{
    void *plugin = dlopen(path, RTLD_NOW);
    CHECK(plugin != NULL);
    *(void **)&passes = dlsym(plugin, "passes");
    CHECK(passes != NULL);
}

/* Runs `lives` in a child with a copy of a file for it to do away with, and ends as that did. */
static void with_copy(const char *of, void (*lives)(const char *path))
{
    snprintf(spare_path, sizeof spare_path, "%s/whole%s.%d", getenv("SCENARIO_DIR"), is("path") ? "\n\033[31m\t" : "", getpid());
    copy(of, spare_path, 0755);
    pid_t child = fork();
    if (child == 0)
        lives(spare_path);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    unlink(spare_path);
    CHECK(WIFSIGNALED(status));
    raise(WTERMSIG(status));
}

static void dies(void)
{
    on_thread(host_thread, NULL);
    exit(1);
}

static void run_copy(const char *path)
{
    setenv("WHOLE_COPY", path, 1);
    execl(path, path, faults ? "fault" : "panic", state, (char *)NULL);
    _exit(1);
}

static void start(void)
{
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK);
}

static void with_plugin(const char *path)
{
    start();
    open_plugin(path);
    if (is("library_deleted"))
        CHECK_EQ(unlink(path), 0);
    else
        replace(path);
    dies();
}

static void in_state(void)
{
    const char *copied = getenv("WHOLE_COPY");
    if (is("malloc_lock"))
        hold(holds_heap);
    else if (is("loader_lock"))
        hold(holds_loader_lock);
    else if (is("loader_write_lock"))
        hold(holds_loader_write_lock);
    else if (is("stdio_lock"))
        hold(holds_stdio);
    else if (is("heap"))
        destroy_heap();
    else if (is("no_memory"))
        use_up_memory();
    else if (is("no_files"))
        use_up_files(false);
    else if (is("no_files_ever"))
        use_up_files(true);
    else if (is("deleted"))
        CHECK_EQ(unlink(copied), 0);
    else if (is("replaced"))
        replace(copied);
}

static pthread_barrier_t begun;

static void nothing(UNUSED void *arg)
{
}

/* The thread is there before and has a stack: that takes memory. */
static void *early_thread(UNUSED void *arg)
{
    call(nothing, NULL);
    pthread_barrier_wait(&begun);
    pthread_barrier_wait(&begun);
    return host_thread(NULL);
}

int main(UNUSED int argc, char **argv)
{
    static char path[4096];
    faults = is_case(argv, "fault");
    state = argv[2];
    snprintf(path, sizeof path, "%s/x_report_whole_plugin.so", getenv("SCENARIO_DIR"));
    plugin_path = path;
    if (strncmp(state, "library", 7) == 0)
        with_copy(path, with_plugin);
    if ((is("deleted") || is("replaced") || is("path")) && getenv("WHOLE_COPY") == NULL)
        with_copy("/proc/self/exe", run_copy);
    start();
    pthread_barrier_init(&begun, NULL, 2);
    pthread_t thread = spawn(0, early_thread, NULL);
    pthread_barrier_wait(&begun);
    in_state();
    pthread_barrier_wait(&begun);
    join(thread);
    return 0;
}
