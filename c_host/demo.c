/* demo.c - wharf in one screen; `make demo` builds and runs it.
 *
 *   demo [library]
 *
 * It opens the library, calls in from threads of its own, shows on which stack what runs and what
 * it costs, catches a panic, and ends by one that nobody catches, in the very first call of a fresh
 * thread: status SIGABRT. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wharf_dl.h"

enum { THREADS = 4, FRESH = 101, BATCHES = 9, CALLS = 200000 };

static wharf_dl rt;

static void must(int status, const char *what)
{
    if (status != 0) {
        fprintf(stderr, "demo: %s: %s\n", what, rt.api->strerror(status));
        exit(1);
    }
}

static pthread_t start_thread(void *(*body)(void *), void *arg)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, body, arg) != 0) {
        fprintf(stderr, "demo: no thread could be made\n");
        exit(1);
    }
    return thread;
}

/* ---- On which stack: each step notes where a local variable of its own lies ------------------ */

typedef struct visit {
    uintptr_t host, callback, on_host, again;
} visit;

/* All threads are in their second callbacks at once. */
static pthread_barrier_t everyone;

static void note(uintptr_t *where)
{
    volatile char local = 0;

    *where = (uintptr_t)&local + (uintptr_t)local;
}

static void second_callback(void *arg)
{
    note(&((visit *)arg)->again);
    pthread_barrier_wait(&everyone);
}

static void host_function(void *arg)
{
    note(&((visit *)arg)->on_host);
    must(rt.api->call(second_callback, arg), "call from on_host");
}

static void callback(void *arg)
{
    note(&((visit *)arg)->callback);
    must(rt.api->on_host(host_function, arg), "on_host");
}

static void *visitor(void *arg)
{
    note(&((visit *)arg)->host);
    must(rt.api->call(callback, arg), "call");
    return NULL;
}

static void show_stacks(void)
{
    pthread_t threads[THREADS];
    visit visits[THREADS];
    int i;

    pthread_barrier_init(&everyone, NULL, THREADS);
    for (i = 0; i < THREADS; i++)
        threads[i] = start_thread(visitor, &visits[i]);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&everyone);

    printf("Each thread calls in; the callback goes out by on_host, and that calls in again.\n"
           "Where a local variable lies at each step\n\n");
    printf("  thread  before the call   in the callback   in on_host        in a callback called\n"
           "                                                                from on_host\n"
           "          thread's stack    managed stack     thread's stack    another managed stack\n");
    for (i = 0; i < THREADS; i++)
        printf("  %-6d  0x%-14" PRIxPTR "  0x%-14" PRIxPTR "  0x%-14" PRIxPTR "  0x%" PRIxPTR "\n",
               i + 1, visits[i].host, visits[i].callback, visits[i].on_host, visits[i].again);
    printf("\n");
}

/* ---- What it costs --------------------------------------------------------------------------- */

static void nothing(void *arg)
{
    (void)arg;
}

static int plain_call(wharf_fn fn, void *arg)
{
    fn(arg);
    return 0;
}

/* The best of some batches: what disturbs only adds. */
static double ns_per_call(int (*call)(wharf_fn fn, void *arg))
{
    int (*volatile through)(wharf_fn fn, void *arg) = call;
    double best = 0;
    int batch, i;

    for (batch = 0; batch < BATCHES; batch++) {
        int64_t start = rt.api->now();
        double ns;

        for (i = 0; i < CALLS; i++)
            through(nothing, NULL);
        ns = (double)(rt.api->now() - start) / CALLS;
        if (batch == 0 || ns < best)
            best = ns;
    }
    return best;
}

static void *first_call(void *arg)
{
    int64_t start = rt.api->now();

    must(rt.api->call(nothing, NULL), "first call");
    *(int64_t *)arg = rt.api->now() - start;
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void show_costs(int64_t very_first_ns)
{
    int64_t ns[FRESH];
    double plain, warm;
    int i;

    for (i = 0; i < FRESH; i++)
        pthread_join(start_thread(first_call, &ns[i]), NULL);
    qsort(ns, FRESH, sizeof ns[0], by_value);
    plain = ns_per_call(plain_call);
    warm = ns_per_call(rt.api->call);

    printf("What a call costs here, all of it\n\n");
    printf("  call                      time      note\n");
    printf("  first of the process  %8.1f us   starts wharf\n", (double)very_first_ns / 1000);
    printf("  first of a thread     %8.2f us   median of %d threads\n", (double)ns[FRESH / 2] / 1000,
           FRESH);
    printf("  every further one     %8.1f ns   best of %d rounds\n", warm, BATCHES);
    printf("  a plain C call        %8.1f ns   the same without wharf: what wharf adds is the\n"
           "                                      difference\n\n",
           plain);
}

/* ---- A panic that is caught ------------------------------------------------------------------ */

static int lines_read;

/* Not inlined, and not the last that its caller does: the trace has a frame of each. */
__attribute__((__noinline__)) static void parse(const char *line)
{
    if (strchr(line, '=') == NULL)
        rt.api->panic("a line without a =");
}

static void read_line(void *line)
{
    parse(line);
    lines_read++;
}

static void *reader(void *line)
{
    wharf_panic_info *info = NULL;
    char text[2048];
    int status = rt.api->try_(read_line, line, &info);

    if (status != WHARF_PANICKED) {
        fprintf(stderr, "demo: try: %s instead of a panic\n", rt.api->strerror(status));
        exit(1);
    }
    rt.api->panic_info_format(info, text, sizeof text);
    rt.api->panic_info_free(info);
    printf("A panic that try catches, and gives back as %s, with the trace of what was ended\n\n%s\n",
           rt.api->status_name(status), text);
    must(rt.api->try_(read_line, "x = 1", NULL), "try");
    printf("The thread goes on: its next line was read, %d in all.\n\n", lines_read);
    return NULL;
}

/* ---- The panic that is not ------------------------------------------------------------------- */

static void boom(void *arg)
{
    (void)arg;
    rt.api->panic("BOOM");
}

static void *doomed(void *arg)
{
    must(rt.api->call(boom, arg), "call");
    return NULL;
}

int main(int argc, char **argv)
{
    int64_t very_first_ns;

    if (wharf_dl_open(argc > 1 ? argv[1] : NULL, &rt) != WHARF_OK) {
        fprintf(stderr, "%s\n", rt.error);
        return 1;
    }
    printf("wharf %s, loaded by dlopen\n\n", rt.api->version_string());
    first_call(&very_first_ns);

    show_stacks();
    show_costs(very_first_ns);
    pthread_join(start_thread(reader, "x 1"), NULL);

    printf("A panic that nobody catches, in the very first call of a fresh thread\n\n");
    fflush(stdout);
    pthread_join(start_thread(doomed, NULL), NULL);
    return 0;
}
