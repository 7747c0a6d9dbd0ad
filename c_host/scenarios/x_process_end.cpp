/* ProcessEnd: the process ends, from wherever, while callbacks run on other threads, and calls come from exit handlers,
 * static destructors and other libraries' destructors: each handler runs once, each call works, nothing crashes or
 * hangs. A plugin that calls from its constructor and destructor comes and goes.
 * source: Go #59711 (TestDestructorCallback); issue 5
 * library: x_process_end_plugin.c
 * timeout: 60
 * case return
 * args: return
 * stdout: atexit after: WHARF_OK 3
 * stdout: static object: WHARF_OK 3
 * stdout: atexit before: WHARF_OK 3
 * stdout: plugin's destructor: WHARF_OK 1
 * case return_busy
 * args: return_busy
 * env: PLUGIN_THREAD=1
 * stdout: atexit after: WHARF_OK 3
 * stdout: static object: WHARF_OK 3
 * stdout: atexit before: WHARF_OK 3
 * stdout: plugin's destructor: WHARF_OK 2
 * case exit
 * args: exit
 * env: PLUGIN_STARTS=1
 * stdout: atexit after: WHARF_OK 3
 * stdout: static object: WHARF_OK 3
 * stdout: atexit before: WHARF_OK 3
 * stdout: plugin's destructor: WHARF_OK 1
 * case exit_in_callback_busy
 * args: exit_in_callback_busy
 * stdout: atexit after: WHARF_OK 3
 * stdout: static object: WHARF_OK 3
 * stdout: atexit before: WHARF_OK 3
 * stdout: plugin's destructor: WHARF_OK 1
 * case exit_on_host_busy
 * args: exit_on_host_busy
 * env: PLUGIN_STARTS=1
 * stdout: atexit after: WHARF_OK 3
 * stdout: static object: WHARF_OK 3
 * stdout: atexit before: WHARF_OK 3
 * stdout: plugin's destructor: WHARF_OK 1
 * case exit_on_thread_busy
 * args: exit_on_thread_busy
 * stdout: atexit after: WHARF_OK 3
 * stdout: static object: WHARF_OK 3
 * stdout: atexit before: WHARF_OK 3
 * stdout: plugin's destructor: WHARF_OK 1
 * case quick_exit_busy
 * args: quick_exit_busy
 * stdout: at_quick_exit: WHARF_OK 3
 * case stopped
 * args: stopped
 * env: PLUGIN_STARTS=1
 * stdout: atexit after: WHARF_STOPPED 0
 * stdout: static object: WHARF_STOPPED 0
 * stdout: atexit before: WHARF_STOPPED 0
 * stdout: plugin's destructor: WHARF_STOPPED 0
 * case never_started
 * args: never_started
 * stdout: atexit after: WHARF_OK 3
 * stdout: static object: WHARF_OK 3
 * stdout: atexit before: WHARF_OK 3
 * case plugin_goes
 * args: plugin_goes
 * env: PLUGIN_THREAD=1
 * stdout: plugin's destructor: WHARF_OK 2
 * stdout: atexit after: WHARF_OK 3
 * stdout: static object: WHARF_OK 3
 * stdout: atexit before: WHARF_OK 3
 * case many
 * args: many
 * stdout: OK
 */
#include "scenario.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { BUSY = 8, PROCESSES = 150 };

static const char *name;
static int quiet; /* only counts */
static int *handled;
static void *plugin;

static int named(const char *part)
{
    return strstr(name, part) != nullptr;
}

static void count(void *arg)
{
    ++*static_cast<int *>(arg);
}

static void call_deeper(void *arg)
{
    count(arg);
    call(count, arg);
    on_host(count, arg);
}

static void call_in(const char *who)
{
    int calls = 0, status = W->call(call_deeper, &calls);
    __atomic_fetch_add(handled, 1, __ATOMIC_SEQ_CST);
    if (quiet)
        return;
    printf("%s: %s %d\n", who, W->status_name(status), calls);
    fflush(stdout);
}

static void before() { call_in("atexit before"); }
static void after() { call_in("atexit after"); }
static void quickly() { call_in("at_quick_exit"); }

struct object {
    ~object() { call_in("static object"); }
};

static void make_object()
{
    static object one;
}

/* ---- what the other threads do meanwhile ---- */

static int ready;

static void sit(void *)
{
    __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause();
}

static void sit_out(void *)
{
    on_host(sit, nullptr);
}

static void *busy(void *arg)
{
    intptr_t kind = reinterpret_cast<intptr_t>(arg) % 4;
    int calls = 0;
    if (kind == 0)
        W->call(sit, nullptr);
    if (kind == 1)
        W->call(sit_out, nullptr);
    __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        W->call(count, &calls);
        if (kind == 3)
            W->detach();
    }
}

static void begin_busy()
{
    for (intptr_t i = 0; i < BUSY; i++)
        spawn(64 << 10, busy, reinterpret_cast<void *>(i));
    while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < BUSY)
        usleep(100);
}

/* ---- how it ends ---- */

static void end_now(void *)
{
    if (named("quick_exit"))
        quick_exit(0);
    exit(0);
}

static void end_on_host(void *)
{
    on_host(end_now, nullptr);
}

static void *end_on_thread(void *)
{
    W->call(end_now, nullptr);
    return nullptr;
}

static void open_plugin()
{
    char path[4096];
    snprintf(path, sizeof path, "%s/x_process_end_plugin.so", getenv("SCENARIO_DIR"));
    plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(plugin != nullptr);
}

static void register_all()
{
    CHECK_EQ(atexit(before), 0);
    if (!named("never_started"))
        open_plugin();
    load_wharf();
    make_object();
    CHECK_EQ(atexit(after), 0);
    CHECK_EQ(at_quick_exit(quickly), 0);
}

static void end_how()
{
    if (named("on_thread"))
        on_thread(end_on_thread, nullptr);
    else if (named("callback") || named("quick"))
        W->call(end_now, nullptr);
    else if (named("on_host"))
        W->call(end_on_host, nullptr);
    if (named("exit")) /* also if it was stopped */
        end_now(nullptr);
}

static void end()
{
    if (named("plugin_goes"))
        CHECK_EQ(dlclose(plugin), 0);
    if (named("stopped"))
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    if (named("busy"))
        begin_busy();
    end_how();
}

/* Others start and stop, too, and the moment is a random one. */
static void *start_and_stop(void *)
{
    for (;;) {
        W->start(nullptr);
        usleep(50);
        W->stop(W->after(300000));
    }
}

static void *start_busy(void *)
{
    begin_busy();
    return nullptr;
}

static void one_of_many(int number)
{
    static const char *const ends[] = {"exit_in_callback", "exit_on_host", "exit_on_thread", "exit"};
    alarm(20);
    quiet = 1;
    name = ends[number % 4];
    CHECK_EQ(atexit(before), 0);
    load_wharf();
    make_object();
    CHECK_EQ(atexit(after), 0);
    if (number % 3 != 0)
        spawn(0, start_and_stop, nullptr);
    spawn(0, start_busy, nullptr);
    usleep(static_cast<unsigned>(number * 37 % 3000));
    end_how();
}

static void many()
{
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        *handled = 0;
        pid_t child = fork();
        if (child == 0)
            one_of_many(i);
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
        CHECK_EQ(*handled, 3);
    }
    puts("OK");
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    name = argv[1];
    void *shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    handled = static_cast<int *>(shared);
    if (named("many")) {
        many();
        return 0;
    }
    register_all();
    end();
    return 0;
}
