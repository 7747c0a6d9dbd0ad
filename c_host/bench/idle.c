/* What lies idle takes.
 *
 *     bench_idle threads COUNT call|plain   so many threads that have called once and sleep; per thread, in KiB
 *     bench_idle runtime                    a runtime that was started and called once, and how long that took
 */
#include <malloc.h>

#include "bench.h"

/* ---- threads ---- */

static pthread_barrier_t step;
static int calling;

static void *sleeps(UNUSED void *arg)
{
    pthread_barrier_wait(&step); /* all threads are there */
    pthread_barrier_wait(&step);
    if (calling)
        call(empty, NULL);
    else
        plain(NULL);
    pthread_barrier_wait(&step); /* all have called */
    pthread_barrier_wait(&step);
    return NULL;
}

/* Lets all threads reach the next barrier and fall asleep there. */
static void settle(void)
{
    pthread_barrier_wait(&step);
    usleep(100000);
}

/* Arenas that the allocator of the C library has open; glibc alone tells. */
static int arenas(void)
{
#ifndef __GLIBC__
    return 0;
#else
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    CHECK(out != NULL);
    CHECK_EQ(malloc_info(0, out), 0);
    fclose(out);
    int count = 0;
    for (const char *at = text; (at = strstr(at, "<heap nr=")) != NULL; at++)
        count++;
    free(text);
    return count;
#endif
}

static void idle_threads(int count)
{
    double tables[3], rss[3];
    pthread_t *threads = calloc((size_t)count, sizeof *threads);
    barrier_for(&step, count + 1);
    call(empty, NULL);
    for (int i = 0; i < count; i++)
        threads[i] = spawn(65536, sleeps, NULL);
    settle();
    rss[0] = memory_kb(&tables[0]);
    settle();
    settle();
    rss[1] = memory_kb(&tables[1]);
    int arenas_open = arenas();
    pthread_barrier_wait(&step);
    for (int i = 0; i < count; i++)
        join(threads[i]);
    CHECK_EQ(W->trim(), WHARF_OK);
    rss[2] = memory_kb(&tables[2]);
    say("idle.rss", (rss[1] - rss[0]) / count);
    say("idle.with_tables", (rss[1] - rss[0] + tables[1] - tables[0]) / count);
    say("idle.arenas", arenas_open);
    say("trimmed.rss", (rss[2] - rss[0]) / count);
    say("trimmed.with_tables", (rss[2] - rss[0] + tables[2] - tables[0]) / count);
}

/* ---- the runtime ---- */

static void idle_runtime(void)
{
    long size_kb = figure("/proc/self/status", "VmSize");
    long rss = rss_kb();
    long threads = thread_count();
    double start = now_ns();
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK);
    call(empty, NULL);
    say("load.us", (now_ns() - start) / 1e3);
    say("load.threads", (double)(thread_count() - threads));
    say("load.rss", (double)(rss_kb() - rss));
    say("load.space_mb", (double)(figure("/proc/self/status", "VmSize") - size_kb) / 1024);
}

int main(UNUSED int argc, char **argv)
{
    if (is_case(argv, "runtime")) {
        idle_runtime();
        return 0;
    }
    load_wharf();
    calling = strcmp(argv[3], "call") == 0;
    idle_threads(atoi(argv[2]));
    return 0;
}
