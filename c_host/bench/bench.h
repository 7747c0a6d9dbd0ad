/* What the bench hosts share beside the scenarios' header: the clock, batches, figures. A figure is a line "name value" on
 * stdout; tests/figures reads them. */
#ifndef WHARF_BENCH_H
#define WHARF_BENCH_H

#include <sys/mman.h>
#include <time.h>

#include "scenarios/scenario.h"

/* Nanoseconds since some moment. */
static inline double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline void say(const char *name, double value)
{
    printf("%s %.3f\n", name, value);
}

static inline int by_size(const void *left, const void *right)
{
    double l = *(const double *)left, r = *(const double *)right;
    return (l > r) - (l < r);
}

/* Sorts the values. */
static inline double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[count / 2];
}

static inline double least(const double *values, int count)
{
    double found = values[0];
    for (int i = 1; i < count; i++)
        found = values[i] < found ? values[i] : found;
    return found;
}

/* The callback of all calls, and the plain call that they are compared with. Behind volatile pointers, so that no
 * compiler sees through. */
static NOINLINE UNUSED void empty(UNUSED void *arg)
{
    __asm__ volatile("" ::: "memory");
}

static wharf_fn volatile plain UNUSED = empty;

static inline pthread_barrier_t *barrier_for(pthread_barrier_t *barrier, int threads)
{
    CHECK_EQ(pthread_barrier_init(barrier, NULL, (unsigned)threads), 0);
    return barrier;
}

/* Memory in use and page tables, in KiB. */
static inline double memory_kb(double *page_tables)
{
    *page_tables = (double)figure("/proc/self/status", "VmPTE");
    return (double)rss_kb();
}

#endif
