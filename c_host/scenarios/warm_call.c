/* WarmCall: once its thread has called before, a call makes no system call (the kernel kills the process at the first one) and
 * allocates nothing; a first call allocates nothing on the host's thread either, once there is a spare M.
 * source: Go BenchmarkCgoCallbackMainThread (issue 68587); DESIGN.md decision 3
 * case main
 * args: main
 * stdout: OK
 * case thread
 * args: thread
 * stdout: OK
 * case allocations
 * args: allocations
 * stdout: OK
 */
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "libc_heap.h"
#include "scenario.h"

/* The host's own allocator, which the library uses, too: counts. */
static __thread volatile long allocations;

void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    allocations++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    allocations++;
    return __libc_realloc(old, bytes);
}

int posix_memalign(void **out, size_t align, size_t bytes)
{
    allocations++;
    *out = __libc_memalign(align, bytes);
    return *out == NULL ? ENOMEM : 0;
}

static void add(void *arg)
{
    ++*(int *)arg;
}

static void add_nested(void *arg)
{
    call(add, arg);
}

static void callback(void *arg)
{
    add(arg);
    on_host(add, arg);
    call(add, arg);
    on_host(add_nested, arg); /* another managed stack */
}

static void warm_up(void)
{
    int count = 0;
    for (int i = 0; i < 100; i++)
        call(callback, &count);
    CHECK_EQ(count, 400);
}

/* From here on only read, write and exit are allowed. */
static void *without_system_calls(UNUSED void *arg)
{
    warm_up();
    int count = 0;
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), 0);
    for (int i = 0; i < 10000; i++)
        call(callback, &count);
    CHECK_EQ(count, 40000);
    CHECK_EQ(write(STDOUT_FILENO, "OK\n", 3), 3);
    syscall(SYS_exit, 0);
    return NULL;
}

static void *first_call(UNUSED void *arg)
{
    int count = 0;
    allocations = 0;
    call(add, &count);
    CHECK_EQ(allocations, 0);
    for (int i = 0; i < 10000; i++)
        call(callback, &count);
    CHECK_EQ(allocations, 0);
    char *copy = strdup(getenv("WHARF_LIB"));
    CHECK_EQ(allocations, 1); /* what a library allocates is counted */
    free(copy);
    return NULL;
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "main"))
        without_system_calls(NULL);
    warm_up();
    if (is_case(argv, "thread"))
        on_raw_thread(without_system_calls, NULL);
    if (is_case(argv, "allocations")) {
        on_thread(first_call, NULL);
        puts("OK");
    }
    return 0;
}
