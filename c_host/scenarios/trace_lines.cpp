/* TraceLines: a trace has the lines of the sources: of the host, of a library of the host's, of what was inlined; and C++
 * names as people write them. In the report, in JSON, in what a try got, and of a fault.
 * source: ours
 * library: trace_lines_library.c
 * cflags: -fno-optimize-sibling-calls
 * case panic
 * args: panic
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine [0-9]+ \[running, locked to thread\]:\npcs: [^\n]* trace_lines\+0x[0-9a-f]+ [^\n]*trace_lines_library\.so\+0x[^\n]*\n
 * stderr~ \nshapes::raise\(char const\*\)\+0x[0-9a-f]+\n\thost\.cpp:103 /[^\n ]+/trace_lines\+0x[0-9a-f]+\narea<shapes::circle>\(\.\.\.\)\n\tinlined\.h:202\n
 * stderr~ \nshapes::Deep<int, char>::operator\(\)\(int\) const\+0x[0-9a-f]+\n\thost\.cpp:115 /
 * stderr~ \nvisit\(void\*\)::\{lambda\(int\)#1\}::operator\(\)\(int\) const\+0x[0-9a-f]+\n\thost\.cpp:123 /
 * stderr~ \nlibrary_inlined\(\.\.\.\)\n\tlibrary\.c:12\nlibrary_calls\+0x[0-9a-f]+\n\tlibrary\.c:18 /[^\n ]+/trace_lines_library\.so\+0x[0-9a-f]+\n
 * stderr~ \nwharf_call\+0x[0-9a-f]+\n\tsrc/ffi/callbacks\.rs:[0-9]+ /[^\n ]+/libwharf\.so\.0\+0x[0-9a-f]+\n
 * stderr~ \nthread\(void\*\)\+0x[0-9a-f]+\n\thost\.cpp:143 /
 * case fault
 * args: start fault
 * status: signal SIGSEGV
 * stderr~ \nshapes::fault\(int\)\+0x[0-9a-f]+\n\thost\.cpp:107 /[^\n ]+/trace_lines\+0x[0-9a-f]+\n
 * case json
 * args: json panic
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n
 * json: yes
 * stdout~ "function":"shapes::raise\(char const\*\)","function_offset":"0x[0-9a-f]+","module":"/[^" ]+/trace_lines","offset":"0x[0-9a-f]+","file":"host\.cpp","line":103\},
 * stdout~ "function":"area<shapes::circle>","file":"inlined\.h","line":202,"inlined":true\}
 * case try
 * args: try panic
 * stdout~ ^panic: BOOM\n\nshapes::raise\(char const\*\)\+0x[0-9a-f]+\n\thost\.cpp:103 /[^\n ]+/trace_lines\+0x[0-9a-f]+\narea<shapes::circle>\(\.\.\.\)\n\tinlined\.h:202\n
 * stdout!~ ^pcs:
 */
#include "scenario.h"

extern "C" void library_calls(void (*f)(void *), void *arg);
static void (*calls)(void (*f)(void *), void *arg);
static bool faults;

namespace shapes {
struct circle {
    int r;
};
static volatile int sink;

#line 101 "host.cpp"
NOINLINE void raise(const char *why)
{ sink = 1;
    W->panic(why); }

NOINLINE int fault(int n)
{ sink = n;
    return *(volatile int *)16; }

#line 201 "inlined.h"
template <class T> static inline __attribute__((always_inline)) int area(const T &of)
{ raise("BOOM");
    return of.r; }

#line 111 "host.cpp"
template <class A, class B> struct Deep {
    NOINLINE int operator()(A a) const
    {
        circle c = {a};
        int found = area(c); return found + sizeof(B) + sink; } };
} // namespace shapes

#line 120 "host.cpp"
static NOINLINE void visit(void *arg)
{
    auto inner = [arg](int n) __attribute__((noinline)) {
        int found = faults ? shapes::fault(n) : shapes::Deep<int, char>()(n); return found + (arg != NULL); };
    shapes::sink = inner(shapes::sink) + inner(1);
}

#line 130 "host.cpp"
static void callback(void *arg)
{
    calls(visit, arg);
    shapes::sink = 2;
}

#line 140 "host.cpp"
static void *thread(void *arg)
{
    (void)arg;
    call(callback, NULL); shapes::sink = 3; return NULL; }

static void try_it()
{
    static char text[32768];
    wharf_panic_info *info;
    CHECK_EQ(W->try_(callback, NULL, &info), WHARF_PANICKED);
    CHECK(W->panic_info_format(info, text, sizeof text) < sizeof text);
    fputs(text, stdout);
    W->panic_info_free(info);
}

int main(int argc, char **argv)
{
    load_wharf();
    char path[4096];
    snprintf(path, sizeof path, "%s/trace_lines_library.so", getenv("SCENARIO_DIR"));
    void *library = dlopen(path, RTLD_NOW);
    CHECK(library != NULL);
    calls = (void (*)(void (*)(void *), void *))dlsym(library, "library_calls");
    CHECK(calls != NULL);
    if (getenv("BEFORE") != NULL)
        CHECK_EQ(system(getenv("BEFORE")), 0);
    bool tries = false;
    for (int i = 1; i < argc; i++) {
        faults |= strcmp(argv[i], "fault") == 0;
        tries |= strcmp(argv[i], "try") == 0;
        if (strcmp(argv[i], "start") == 0)
            CHECK_EQ(W->start(NULL), WHARF_OK);
        if (strcmp(argv[i], "json") == 0) {
            wharf_config config = WHARF_CONFIG_INIT;
            config.report_fd = 1;
            CHECK_EQ(W->start(&config), WHARF_OK);
        }
    }
    if (tries)
        try_it();
    else
        on_thread(thread, NULL);
    return 0;
}
