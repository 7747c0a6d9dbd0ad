/* Memory: what an idle attached thread costs beyond a thread that never called, averaged over 500: less than 6.5 KiB,
 * with huge pages forced, too; with an alternate stack that is lent a page more; less than 16 KiB when all
 * memory is locked; and after deep use, once trimmed.
 * source: DESIGN 1.8 and section 2
 * stdout~ ^OK$
 * serial: yes
 * case idle
 * args: idle
 * case idle_started
 * args: idle_started
 * case idle_started_faults
 * args: idle_started_faults
 * case deep_trimmed
 * args: deep_trimmed
 * case locked
 * args: locked
 * case locked_onfault
 * args: locked_onfault
 * case locked_deep_trimmed
 * args: locked_deep_trimmed
 * case huge
 * args: huge
 * case huge_deep_trimmed
 * args: huge_deep_trimmed
 * case runtime
 * args: runtime
 * case runtime_huge
 * args: runtime_huge
 */
#include "scenario.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { THREADS = 500, HOST_STACK = 32 << 10, DEEP_BYTES = 150 << 10 };

/* Bytes per thread. */
enum { IDLE_MOST = 6656, LOCKED_MOST = 16384, TRIMMED_MOST = 16384, FAULTS_MOST = IDLE_MOST + 4096 };

static const char *name;
static pthread_barrier_t turn;
static int with_calls;

static int named(const char *part)
{
    return strstr(name, part) != NULL;
}

/* As much of the host's stack as a call may use, so that the threads without a call have touched it, too. */
static NOINLINE void touch(UNUSED void *arg)
{
    volatile char bytes[1024];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
}

static void nothing(UNUSED void *arg) {}

static void go_deep(UNUSED void *arg)
{
    deeper(DEEP_BYTES, nothing, NULL);
}

static void *thread(UNUSED void *arg)
{
    touch(NULL);
    if (with_calls)
        call(named("deep") ? go_deep : touch, NULL);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* measured here */
    return NULL;
}

static long page_tables_kb(void)
{
    return figure("/proc/self/status", "VmPTE");
}

/* KiB in memory while so many threads stand there, having called or not. */
static long crowd_kb(int calls, long *tables)
{
    static pthread_t threads[THREADS];
    with_calls = calls;
    CHECK_EQ(pthread_barrier_init(&turn, NULL, THREADS + 1), 0);
    for (int i = 0; i < THREADS; i++)
        threads[i] = spawn(HOST_STACK, thread, NULL);
    pthread_barrier_wait(&turn);
    if (calls)
        CHECK_EQ(stats().threads_bound, THREADS);
    if (calls && named("trimmed"))
        CHECK_EQ(W->trim(), WHARF_OK);
    long kb = rss_kb();
    *tables = page_tables_kb();
    pthread_barrier_wait(&turn);
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    return kb;
}

static void measure_threads(void)
{
    long tables_without, tables_with;
    crowd_kb(0, &tables_without); /* brings in what the libc keeps */
    long without = crowd_kb(0, &tables_without);
    long with = crowd_kb(1, &tables_with);
    long each = (with - without) * 1024 / THREADS;
    long most = named("locked") ? LOCKED_MOST : named("trimmed") ? TRIMMED_MOST : named("faults") ? FAULTS_MOST : IDLE_MOST;
    printf("%ld bytes each, and %ld of page tables\n", each, (tables_with - tables_without) * 1024 / THREADS);
    CHECK(each > 0);
    if (each >= most)
        fprintf(stderr, "%ld bytes each, %ld are allowed\n", each, most);
    CHECK(each < most);
}

/* The runtime itself, with one attached thread: less than 1 MiB in memory, less than 64 MiB of addresses. */
static void measure_runtime(void)
{
    long rss = rss_kb(), size = figure("/proc/self/status", "VmSize");
    call(touch, NULL);
    long rss_more = rss_kb() - rss, size_more = figure("/proc/self/status", "VmSize") - size;
    wharf_stats now = stats();
    printf("%ld KiB in memory, %ld KiB of addresses; by stats %llu and %llu bytes\n", rss_more, size_more,
           (unsigned long long)now.bytes_committed, (unsigned long long)now.bytes_reserved);
    CHECK(rss_more < 1024);
    CHECK(size_more < 64 << 10);
    CHECK(now.bytes_reserved <= ((uint64_t)size_more + 64) << 10);
    CHECK(now.bytes_committed <= ((uint64_t)rss_more + 64) << 10);
}

static void start(void)
{
    wharf_config config = WHARF_CONFIG_INIT;
    config.signals = named("faults") ? WHARF_SIGNALS_FAULTS : WHARF_SIGNALS_NONE;
    CHECK_EQ(W->start(&config), WHARF_OK);
}

static void measure(void)
{
    load_wharf();
    if (named("onfault"))
        CHECK_EQ(mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT), 0);
    else if (named("locked"))
        CHECK_EQ(mlockall(MCL_CURRENT | MCL_FUTURE), 0);
    if (named("started"))
        start();
    if (named("runtime"))
        measure_runtime();
    else
        measure_threads();
}

/* ---- huge pages, for the whole machine and not longer than needed ---- */

static const char *const huge_file = "/sys/kernel/mm/transparent_hugepage/enabled";

static int set_huge(const char *word)
{
    int file = open(huge_file, O_WRONLY);
    if (file < 0)
        return 0;
    ssize_t written = write(file, word, strlen(word));
    close(file);
    return written > 0;
}

/* The word in brackets. */
static void read_huge(char *word, size_t bytes)
{
    char line[128] = "";
    FILE *file = fopen(huge_file, "r");
    CHECK(file != NULL);
    CHECK(fgets(line, sizeof line, file) != NULL);
    fclose(file);
    char *start = strchr(line, '['), *end = strchr(line, ']');
    CHECK(start != NULL && end != NULL);
    *end = '\0';
    snprintf(word, bytes, "%s", start + 1);
}

/* A huge page comes where 2 MiB are touched, or else the case tests nothing. */
static int huge_pages_come(void)
{
    size_t bytes = 8 << 20;
    char *at = (char *)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    long before = rss_kb();
    *(volatile char *)(at + (4 << 20)) = 1;
    long more = rss_kb() - before;
    munmap(at, bytes);
    return more >= 1024;
}

static void measure_huge(void)
{
    char before[32];
    read_huge(before, sizeof before);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
        if (!set_huge("always"))
            printf("not forced, it is \"%s\": the file cannot be written\n", before);
        printf("huge pages come: %s\n", huge_pages_come() ? "yes" : "no");
        measure();
        fflush(stdout);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    set_huge(before);
    CHECK_EQ(status, 0);
}

int main(UNUSED int argc, char **argv)
{
    name = argv[1] != NULL ? argv[1] : "idle";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (named("locked") && geteuid() != 0)
        puts("not tested: needs root");
    else if (named("huge"))
        measure_huge();
    else
        measure();
    puts("OK");
    return 0;
}
