/* What the scenario hosts share: the library's table, checks that say where, threads, looks at the process. */
#ifndef WHARF_SCENARIO_H
#define WHARF_SCENARIO_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wharf_dl.h"

#define UNUSED __attribute__((unused))
#define NOINLINE __attribute__((noinline))

/* The table of the library under test, after load_wharf. */
static const wharf_api *W UNUSED;

/* Ends the host with status 1 and says where, when `cond` does not hold. */
#define CHECK(cond) ((cond) ? (void)0 : fail(__FILE__, __LINE__, #cond))

/* Like CHECK, for two integers, which are shown. */
#define CHECK_EQ(left, right) check_eq(__FILE__, __LINE__, #left " == " #right, (long long)(left), (long long)(right))

static inline void fail(const char *file, int line, const char *what)
{
    fflush(stdout);
    fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
    _exit(1);
}

static inline void check_eq(const char *file, int line, const char *what, long long left, long long right)
{
    if (left == right)
        return;
    fprintf(stderr, "%s:%d: %lld != %lld\n", file, line, left, right);
    fail(file, line, what);
}

/* ---- the library ---- */

/* Opens a file in a namespace of its own; `needs: dlmopen()`. */
static inline UNUSED void *open_apart(const char *file)
{
#ifdef LM_ID_NEWLM
    return dlmopen(LM_ID_NEWLM, file, RTLD_NOW);
#else
    fprintf(stderr, "%s: this libc has one namespace\n", file);
    return NULL;
#endif
}

/* Opens the library, RTLD_LOCAL; returns its handle. */
static inline void *load_wharf(void)
{
    wharf_dl opened;
    if (wharf_dl_open(getenv("WHARF_LIB"), &opened) != WHARF_OK)
        fprintf(stderr, "%s\n", opened.error);
    W = opened.api;
    CHECK(W != NULL);
    return opened.handle;
}

/* wharf_call that must work. */
static inline void call(wharf_fn fn, void *arg)
{
    CHECK_EQ(W->call(fn, arg), WHARF_OK);
}

/* wharf_on_host that must work. */
static inline void on_host(wharf_fn fn, void *arg)
{
    CHECK_EQ(W->on_host(fn, arg), WHARF_OK);
}

static inline wharf_stats stats(void)
{
    wharf_stats now = WHARF_STATS_INIT;
    CHECK_EQ(W->stats_read(&now), WHARF_OK);
    return now;
}

/* ---- threads ---- */

typedef void *(*thread_fn)(void *arg);

/* The least stack that this CPU's libc makes threads with, if it is more than `bytes`. */
static inline size_t at_least(size_t bytes)
{
#ifdef __aarch64__
    return bytes < 128 << 10 ? 128 << 10 : bytes;
#else
    return bytes;
#endif
}

/* What an emulator writes behind the last words of a host that dies. */
static inline UNUSED void cut_emulator(char *text)
{
    char *more = strstr(text, "qemu: uncaught target signal");
    if (more != NULL)
        *more = '\0';
}

/* Older headers have no name for the thread that a timer's signal goes to. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* SIGILL. */
static inline void illegal_instruction(void)
{
#ifdef __aarch64__
    __asm__ volatile(".inst 0"); /* the compiler's trap is a breakpoint */
#elif defined(__riscv)
    __asm__ volatile(".word 0"); /* here too */
#else
    __builtin_trap();
#endif
}

/* Starts a thread with a stack of so many bytes, 0 for the usual. */
static inline pthread_t spawn(size_t stack_bytes, thread_fn fn, void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    CHECK_EQ(pthread_attr_init(&attr), 0);
    if (stack_bytes != 0)
        CHECK_EQ(pthread_attr_setstacksize(&attr, at_least(stack_bytes)), 0);
    CHECK_EQ(pthread_create(&thread, &attr, fn, arg), 0);
    CHECK_EQ(pthread_attr_destroy(&attr), 0);
    return thread;
}

static inline void join(pthread_t thread)
{
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* Runs fn on a thread of its own, to its end. */
static inline void on_thread(thread_fn fn, void *arg)
{
    join(spawn(0, fn, arg));
}

/* ---- stacks ---- */

/* Of a callback's stack on this CPU as much as so many bytes are of one on a 64-bit machine: 256 KiB there, 8 MiB here. */
#define SCALED(bytes) ((size_t)(bytes) / (sizeof(void *) == 8 ? 1 : 32))

/* Where the caller's frame lies. */
#define HERE() ((uintptr_t)__builtin_frame_address(0))

typedef struct bounds {
    uintptr_t low, high;
} bounds;

/* The stack that the thread was made with. */
static inline bounds thread_stack(void)
{
    pthread_attr_t attr;
    void *low;
    size_t bytes;
    CHECK_EQ(pthread_getattr_np(pthread_self(), &attr), 0);
    CHECK_EQ(pthread_attr_getstack(&attr, &low, &bytes), 0);
    CHECK_EQ(pthread_attr_destroy(&attr), 0);
    bounds stack = {(uintptr_t)low, (uintptr_t)low + bytes};
#ifndef __GLIBC__
    /* Of the main thread's, musl tells what is mapped so far. */
    if (gettid() == getpid())
        stack.low -= 1 << 20;
#endif
    return stack;
}

static inline int inside(bounds stack, uintptr_t address)
{
    return stack.low <= address && address < stack.high;
}

/* Uses so many bytes of the stack, then runs fn on top of them; the bytes must be the same afterwards. */
static NOINLINE UNUSED void deeper(size_t bytes, wharf_fn fn, void *arg)
{
    if (bytes <= 4096) {
        fn(arg);
        return;
    }
    volatile unsigned char used[4096];
    unsigned char mark = (unsigned char)(bytes >> 12);
    for (size_t i = 0; i < sizeof used; i++)
        used[i] = (unsigned char)(mark + i);
    deeper(bytes - 4096, fn, arg);
    for (size_t i = 0; i < sizeof used; i++)
        CHECK(used[i] == (unsigned char)(mark + i));
}

/* ---- the process ---- */

/* Lines of a file. */
static inline long lines_of(const char *path)
{
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    long lines = 0;
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    return lines;
}

/* Mappings of the process. */
static inline long map_count(void)
{
    return lines_of("/proc/self/maps");
}

/* A figure of a file in /proc, as "Threads" in /proc/self/status. Takes nothing from the heap, which may be at a limit. */
static inline long figure(const char *path, const char *name)
{
    char text[8192];
    size_t length = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    for (ssize_t more; (more = read(file, text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)more;
    close(file);
    text[length] = '\0';
    long value = -1;
    size_t name_length = strlen(name);
    for (char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, name_length) == 0 && line[name_length] == ':')
            value = atol(line + name_length + 1);
    }
    CHECK(value >= 0);
    return value;
}

/* An emulator takes ten times as long, and keeps 200 KiB of each thread that has ended: what /proc says of memory is its
 * own, and a storm is a tenth of what it is elsewhere. */
#ifndef EMULATED
#define EMULATED 0
#endif

static inline UNUSED int share(int count)
{
    return EMULATED ? count / 10 : count;
}

/* Memory in use, in KiB, to the page; other files of /proc are some hundred KiB off. */
static inline long rss_kb(void)
{
    return figure("/proc/self/smaps_rollup", "Rss");
}

/* An emulator has one of its own. */
static inline long thread_count(void)
{
    return figure("/proc/self/status", "Threads") - EMULATED;
}

/* A joined thread is still an emulator's for a moment, whose kernel knows no list of a thread's locks by which its end is
 * seen before. */
static inline UNUSED void check_bound(uint32_t left)
{
    for (int i = 0; i < 20000 && EMULATED && stats().threads_bound > left; i++)
        usleep(100);
    CHECK_EQ(stats().threads_bound, left);
}

/* A joined thread is still the kernel's for a moment: what it was lent stays until it is not. */
static inline void wait_until_threads(long left)
{
    for (int i = 0; i < 200000 && thread_count() > left; i++)
        usleep(100);
}

/* Runs fn, which ends its thread by a system call of its own, on a thread. */
static inline UNUSED void on_raw_thread(thread_fn fn, void *arg)
{
    long before = thread_count();
    pthread_t thread = spawn(0, fn, arg);
#ifdef __GLIBC__
    (void)before;
    join(thread);
#else
    /* What others join by is written by their own end of a thread alone. */
    (void)thread;
    wait_until_threads(before);
#endif
}

/* Whether the host's first argument is this one: a case's name. */
static inline int is_case(char **argv, const char *name)
{
    return argv[1] != NULL && strcmp(argv[1], name) == 0;
}

#endif
