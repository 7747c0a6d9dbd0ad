/* Face: plugins written in Rust, two copies of one beside each other, each with a std of its own. Their panics
 * are wharf's: they end in whatever try there is, in C, in either plugin, with destructors run, or in the report.
 * source: DESIGN.md section 3, the Rust face
 * arch: x86_64
 * timeout: 60
 * case selftest
 * args: selftest
 * stdout: OK
 * case caught
 * args: caught
 * stdout: OK
 * case two_plugins
 * args: two_plugins
 * stdout: OK
 * case c_panic
 * args: c_panic
 * stdout: OK
 * case tables
 * args: tables
 * stdout: OK
 * case no_tables
 * args: no_tables
 * stdout: OK
 * case deferred
 * args: deferred
 * stdout: OK
 * case eight
 * args: eight
 * stdout: OK
 * case thread_exit
 * args: thread_exit
 * stdout: OK
 * case unload
 * args: unload
 * stdout: OK
 * case handed_over
 * args: handed_over
 * stdout: OK
 * case uncaught
 * args: uncaught
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM 7 \(src/lib.rs:[0-9]+:[0-9]+\)\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\n
 * stderr!~ panicked at
 * frames: plugin::boom wharf_call main <libc> _start <end>
 * case uncaught_two
 * args: uncaught_two
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM 7 \(src/lib.rs:
 * frames: plugin::boom plugin_panic relay plugin_pass wharf_call main <libc> _start <end>
 * case uncaught_host
 * args: uncaught_host
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM 7 \(src/lib.rs:[0-9]+:[0-9]+\)\n\nhost thread [0-9]+ \[running\]:\n
 * stderr~ \n(.*boom.*|plugin_panic)\+0x[0-9a-f]+\n(.*\n)*main\+0x
 * case uncaught_deferred
 * args: uncaught_deferred
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM 1 \(src/lib.rs:[0-9]+:[0-9]+\)\n\tpanic: BOOM 2 \(src/lib.rs:
 * frames: plugin::boom wharf::face::defer::deferred plugin::boom plugin_panic_deferred wharf_call main <libc> _start <end>
 * case in_destructor
 * args: in_destructor
 * status: signal SIGABRT
 * stderr~ ^panic: out of a destructor \(src/lib.rs:[0-9]+:[0-9]+\)\npanic: panic in a destructor during cleanup\n
 * case caught_by_rust
 * args: caught_by_rust
 * status: signal SIGABRT
 * stderr~ ^panic: from C \[swallowed by catch
 * case past_c
 * args: past_c
 * status: signal SIGABRT
 * stderr~ failed to initiate panic
 * case no_library
 * args: no_library
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM 7 \(src/lib.rs:[0-9]+:[0-9]+\)\nwharf: libwharf.so.0 is not loaded in this process
 */
#include "scenarios/scenario.h"

#include <sys/mman.h>

typedef struct task {
    wharf_fn f;
    void *arg;
} task;

/* A plugin, and what is in it. */
typedef struct plugin {
    void *handle;
    wharf_fn panic, boom, catch, catch_of, pass, panic_deferred, recover, panic_in_drop, panic_through;
    void (*try)(const task *task, char *out, size_t bytes);
    int (*selftest)(void);
    int (*init)(const wharf_api *api);
    int (*dropped)(void);
    int (*is_panicking)(void);
} plugin;

static plugin a, b;

static void *symbol(void *handle, const char *name)
{
    void *found = dlsym(handle, name);
    if (found == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(found != NULL);
    return found;
}

#define GET(plugin, name) (*(void **)&(plugin)->name = symbol((plugin)->handle, "plugin_" #name))

static void load(plugin *plugin, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("SCENARIO_DIR"), name);
    plugin->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin->handle == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(plugin->handle != NULL);
    GET(plugin, panic);
    GET(plugin, boom);
    GET(plugin, catch);
    GET(plugin, catch_of);
    GET(plugin, pass);
    GET(plugin, panic_deferred);
    GET(plugin, recover);
    GET(plugin, panic_in_drop);
    GET(plugin, panic_through);
    GET(plugin, try);
    GET(plugin, selftest);
    GET(plugin, init);
    GET(plugin, dropped);
    GET(plugin, is_panicking);
}

/* ---- C between ---- */

/* With unwind tables, as every C function on this machine. */
static NOINLINE void relay(void *arg)
{
    const task *next = arg;
    next->f(next->arg);
    __asm__ volatile("");
}

static wharf_fn bare_relay;

/* `relay` without tables, as a JIT makes it. */
static void make_bare_relay(void)
{
    static const unsigned char code[] = {
        0x48, 0x83, 0xec, 0x08,       /* sub rsp, 8 */
        0x48, 0x8b, 0x07,             /* mov rax, [rdi] */
        0x48, 0x8b, 0x7f, 0x08,       /* mov rdi, [rdi + 8] */
        0xff, 0xd0,                   /* call rax */
        0x48, 0x83, 0xc4, 0x08, 0xc3, /* add rsp, 8; ret */
    };
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    memcpy(page, code, sizeof code);
    CHECK_EQ(mprotect(page, 4096, PROT_READ | PROT_EXEC), 0);
    *(void **)&bare_relay = page;
}

static void c_panic(UNUSED void *arg)
{
    W->panic("from C");
}

/* ---- what must come out ---- */

static void fails(wharf_fn f, void *arg, const char *message, unsigned cut)
{
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(f, arg, &info), WHARF_PANICKED);
    if (strncmp(info->message, message, strlen(message)) != 0)
        fprintf(stderr, "%s\n", info->message);
    CHECK(strncmp(info->message, message, strlen(message)) == 0);
    CHECK_EQ(info->cut, cut);
    CHECK(info->trace_count > 0);
    W->panic_info_free(info);
    CHECK_EQ(a.is_panicking(), 0);
    if (b.handle != NULL)
        CHECK_EQ(b.is_panicking(), 0);
}

/* What the plugin's own try tells of it. */
static void tells(const plugin *plugin, task task, const char *wanted)
{
    char text[256];
    plugin->try(&task, text, sizeof text);
    if (strncmp(text, wanted, strlen(wanted)) != 0)
        fprintf(stderr, "%s\n", text);
    CHECK(strncmp(text, wanted, strlen(wanted)) == 0);
}

/* So many held things of each were dropped; in the hundreds' place, those that saw no panic of Rust's count too. */
static void dropped(int by_a, int by_b)
{
    CHECK_EQ(a.dropped(), by_a);
    CHECK_EQ(b.dropped(), by_b);
}

static void caught(void)
{
    for (long number = 0; number < 100; number++) {
        char message[32];
        snprintf(message, sizeof message, "BOOM %ld (src/lib.rs:", number);
        fails(a.panic, (void *)number, message, 0);
    }
    CHECK_EQ(a.dropped(), 100 * 100 + 100);
    fails(a.boom, NULL, "BOOM (src/lib.rs:", 0);
    call(a.catch, NULL);
    CHECK_EQ(W->call(a.recover, NULL), WHARF_RECOVERED);
    CHECK_EQ(W->try_(a.recover, NULL, NULL), WHARF_RECOVERED);
    CHECK_EQ(a.dropped(), 202);
    CHECK_EQ(a.is_panicking(), 0);
}

static void two_plugins(void)
{
    task inner = {b.panic, (void *)7};
    task middle = {relay, &inner};
    task outer = {b.pass, &middle};
    /* C, A, C, B, C: all are unwound. */
    fails(a.pass, &inner, "BOOM 7 (", 0);
    dropped(100, 101);
    fails(a.pass, &outer, "BOOM 7 (", 0);
    dropped(100, 201);
    /* A's try gets B's panic, and the other way round. */
    tells(&a, inner, "panicked: BOOM 7 (src/lib.rs:");
    tells(&a, outer, "panicked: BOOM 7 (src/lib.rs:");
    dropped(0, 302);
    task other = {a.panic, (void *)8};
    tells(&b, other, "panicked: BOOM 8 (src/lib.rs:");
    dropped(101, 0);
    CHECK_EQ(W->call(b.recover, NULL), WHARF_RECOVERED);
    dropped(0, 101);
}

static void panics_of_c(void)
{
    task inner = {c_panic, NULL};
    task outer = {b.pass, &inner};
    fails(a.pass, &outer, "from C", 0);
    dropped(100, 100);
    tells(&a, outer, "panicked: from C");
    tells(&b, inner, "panicked: from C");
    dropped(0, 100);
    /* And Rust works as before. */
    fails(a.panic, (void *)1, "BOOM 1 (", 0);
    dropped(101, 0);
}

static void tables(void)
{
    task inner = {a.panic, (void *)7};
    task middle = {relay, &inner};
    fails(a.pass, &middle, "BOOM 7 (", 0);
    dropped(201, 0);
}

static void no_tables(void)
{
    make_bare_relay();
    task inner = {a.panic, (void *)7};
    task middle = {bare_relay, &inner};
    for (int round = 0; round < 3; round++) {
        /* What is further out is left where it is. */
        fails(a.pass, &middle, "BOOM 7 (", 1);
        dropped(101, 0);
        tells(&b, middle, "panicked, cut: BOOM 7 (");
        dropped(101, 0);
    }
    task from_c = {c_panic, NULL};
    task cut = {bare_relay, &from_c};
    fails(a.pass, &cut, "from C", 1);
    tells(&a, cut, "panicked, cut: from C");
    dropped(0, 0);
    CHECK_EQ(a.selftest(), 6);
}

static void deferred(void)
{
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(a.panic_deferred, (void *)1, &info), WHARF_PANICKED);
    CHECK(strncmp(info->message, "BOOM 2 (", 8) == 0);
    CHECK(info->earlier != NULL && strncmp(info->earlier->message, "BOOM 1 (", 8) == 0);
    W->panic_info_free(info);
    CHECK_EQ(a.is_panicking(), 0);
}

/* Panics in deferred calls of two plugins, which one of them recovers. */
static void deferring(UNUSED void *arg)
{
    CHECK_EQ(W->defer(b.recover, NULL), WHARF_OK);
    CHECK_EQ(W->defer(a.panic, (void *)3), WHARF_OK);
    b.panic((void *)4);
}

static void *panicking_thread(UNUSED void *arg)
{
    char text[256];
    task outer = {b.panic, (void *)7};
    for (int round = 0; round < 500; round++) {
        wharf_panic_info *info = NULL;
        CHECK_EQ(W->try_(a.panic, (void *)7, &info), WHARF_PANICKED);
        CHECK(strncmp(info->message, "BOOM 7 (", 8) == 0);
        W->panic_info_free(info);
        CHECK_EQ(W->call(b.recover, NULL), WHARF_RECOVERED);
        a.try(&outer, text, sizeof text);
        CHECK(strncmp(text, "panicked: BOOM 7 (", 18) == 0);
    }
    CHECK_EQ(a.is_panicking() + b.is_panicking(), 0);
    return NULL;
}

static void ends(UNUSED void *arg)
{
    pthread_exit(NULL);
}

static void *ending_thread(UNUSED void *arg)
{
    task inner = {ends, NULL};
    task outer = {b.pass, &inner};
    W->call(a.pass, &outer);
    return NULL;
}

/* ---- unloading ---- */

static pthread_barrier_t turn;

static void *living_thread(UNUSED void *arg)
{
    pthread_barrier_wait(&turn);
    fails(a.panic, (void *)7, "BOOM 7 (", 0);
    call(a.catch, NULL);
    CHECK_EQ(a.selftest(), 6);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    return NULL;
}

static int is_mapped(const char *name)
{
    char line[4096];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        found |= strstr(line, name) != NULL;
    fclose(maps);
    return found;
}

static void unload(void)
{
    CHECK_EQ(dlclose(b.handle), 0);
    b.handle = NULL;
    CHECK_EQ(pthread_barrier_init(&turn, NULL, 2), 0);
    for (int round = 0; round < 20; round++) {
        pthread_t thread = spawn(0, living_thread, NULL);
        pthread_barrier_wait(&turn);
        pthread_barrier_wait(&turn);
        CHECK(is_mapped("face_a.so"));
        CHECK_EQ(dlclose(a.handle), 0);
        CHECK(!is_mapped("face_a.so"));
        load(&a, "face_a.so");
        call(a.catch, NULL);
        pthread_barrier_wait(&turn);
        join(thread);
    }
}

/* The plugin does not keep the library: it goes, and comes back elsewhere. */
static void handed_over(void *library)
{
    fails(a.panic, (void *)7, "BOOM 7 (", 0);
    CHECK_EQ(a.init(NULL), -1);
    CHECK_EQ(dlclose(library), 0);
    CHECK(!is_mapped("libwharf"));
    load_wharf();
    CHECK_EQ(a.init(W), 0);
    fails(a.panic, (void *)7, "BOOM 7 (", 0);
}

static void uncaught(char **argv)
{
    task inner = {b.panic, (void *)7};
    task middle = {relay, &inner};
    if (is_case(argv, "uncaught"))
        W->call(a.panic, (void *)7);
    if (is_case(argv, "uncaught_two"))
        W->call(a.pass, &middle);
    if (is_case(argv, "uncaught_host"))
        a.panic((void *)7);
    if (is_case(argv, "uncaught_deferred"))
        W->call(a.panic_deferred, (void *)1);
    task of_c = {c_panic, NULL};
    if (is_case(argv, "caught_by_rust"))
        W->try_(a.catch_of, &of_c, NULL);
    if (is_case(argv, "in_destructor"))
        W->try_(a.panic_in_drop, NULL, NULL);
    if (is_case(argv, "no_library"))
        a.panic((void *)7);
}

/* Calls a function that is no export from where nothing unwinds. */
static void past_c(wharf_fn f, void *arg)
{
    task bare = {f, arg};
    bare_relay(&bare);
}

int main(int argc, char **argv)
{
    void *library = argc > 1 && is_case(argv, "no_library") ? NULL : load_wharf();
    load(&a, "face_a.so");
    load(&b, "face_b.so");
    uncaught(argv);
    if (is_case(argv, "past_c")) {
        make_bare_relay();
        W->try_(a.panic_through, (void *)(uintptr_t)past_c, NULL);
    }
    if (is_case(argv, "selftest"))
        CHECK_EQ(a.selftest() + b.selftest(), 12);
    if (is_case(argv, "caught"))
        caught();
    if (is_case(argv, "two_plugins"))
        two_plugins();
    if (is_case(argv, "c_panic"))
        panics_of_c();
    if (is_case(argv, "tables"))
        tables();
    if (is_case(argv, "no_tables"))
        no_tables();
    if (is_case(argv, "deferred")) {
        deferred();
        CHECK_EQ(W->call(deferring, NULL), WHARF_RECOVERED);
    }
    if (is_case(argv, "eight")) {
        pthread_t threads[8];
        for (int i = 0; i < 8; i++)
            threads[i] = spawn(0, panicking_thread, NULL);
        for (int i = 0; i < 8; i++)
            join(threads[i]);
        dropped(400000 + 4000, 800000 + 8000);
    }
    if (is_case(argv, "thread_exit")) {
        on_thread(ending_thread, NULL);
        dropped(100, 100);
    }
    if (is_case(argv, "unload"))
        unload();
    if (is_case(argv, "handed_over"))
        handed_over(library);
    puts("OK");
    return 0;
}
