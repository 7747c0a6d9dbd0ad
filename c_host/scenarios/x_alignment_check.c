/* AlignmentCheck: a callback that has the processor fault on misaligned accesses (RFLAGS.AC) dies with a report like any
 * other, and a try gets what it does: wharf and the C library make such accesses themselves.
 * source: ours
 * arch: x86_64 x86
 * case misaligned
 * args: misaligned
 * status: signal SIGBUS
 * stderr~ ^SIGBUS: bus error\nPC=
 * frames: misaligned in_callback wharf_call host_thread
 * case nil
 * args: nil
 * status: signal SIGSEGV
 * stderr~ ^SIGSEGV: segmentation violation\nPC=
 * frames: nil in_callback wharf_call host_thread
 * case overflow
 * args: overflow
 * status: signal SIGABRT
 * stderr~ \nfatal error: stack overflow\n
 * case panic
 * args: panic
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine
 * frames: boom in_callback wharf_call host_thread
 * case panic_lazy
 * args: panic lazy
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine
 * frames: boom in_callback wharf_call host_thread
 * case goexit_host
 * args: goexit lazy
 * status: signal SIGABRT
 * stderr~ ^panic: wharf_goexit outside a callback\n
 * case try
 * args: try
 * stdout: OK
 */
#include "scenario.h"

static char **options;
static const char *what;
static volatile int never;

static int with(const char *option)
{
    for (char **at = options; *at != NULL; at++) {
        if (strcmp(*at, option) == 0)
            return 1;
    }
    return 0;
}

/* Inline, so that no call follows which is the library's or libc's. */
static inline __attribute__((always_inline)) void check_alignment(void)
{
#ifdef __x86_64__
    __asm__ volatile("sub $128, %%rsp\n\tpushfq\n\torl $0x40000, (%%rsp)\n\tpopfq\n\tadd $128, %%rsp" ::: "memory", "cc");
#else
    __asm__ volatile("pushfl\n\torl $0x40000, (%%esp)\n\tpopfl" ::: "memory", "cc");
#endif
}

static int is_checked(void)
{
    unsigned long flags;
#ifdef __x86_64__
    __asm__ volatile("sub $128, %%rsp\n\tpushfq\n\tpop %0\n\tadd $128, %%rsp" : "=r"(flags)::"memory", "cc");
#else
    __asm__ volatile("pushfl\n\tpop %0" : "=r"(flags)::"memory", "cc");
#endif
    return (flags & 0x40000) != 0;
}

static NOINLINE void misaligned(void)
{
    static char bytes[16] __attribute__((aligned(8)));
    check_alignment();
    *(volatile int *)(bytes + 1) = 1;
    CHECK(never);
}

static NOINLINE void nil(void)
{
    check_alignment();
    *(volatile int *volatile)16 = 1;
    CHECK(never);
}

static NOINLINE int recurse(int depth)
{
    volatile char frame[200];
    frame[0] = (char)depth;
    return never ? 0 : recurse(depth + 1) + frame[0];
}

static NOINLINE void overflow(void)
{
    check_alignment();
    never = recurse(0);
}

static NOINLINE void boom(void)
{
    check_alignment();
    W->panic("BOOM");
    CHECK(never);
}

static void in_callback(UNUSED void *arg)
{
    if (strcmp(what, "misaligned") == 0)
        misaligned();
    if (strcmp(what, "nil") == 0)
        nil();
    if (strcmp(what, "overflow") == 0)
        overflow();
    boom();
}

static void gets(const char *name, uint32_t kind)
{
    what = name;
    for (int i = 0; i < 10; i++) {
        wharf_panic_info *info = NULL;
        CHECK_EQ(W->try_(in_callback, NULL, &info), WHARF_PANICKED);
        CHECK_EQ(is_checked(), 0);
        CHECK_EQ(info->kind, kind);
        W->panic_info_free(info);
    }
}

static void *host_thread(UNUSED void *arg)
{
    what = options[1];
    if (with("goexit")) {
        check_alignment();
        W->goexit();
    }
    if (with("try")) {
        gets("misaligned", WHARF_PANIC_FAULT);
        gets("nil", WHARF_PANIC_FAULT);
        gets("overflow", WHARF_PANIC_OVERFLOW);
        gets("boom", WHARF_PANIC_MESSAGE);
        puts("OK");
        return NULL;
    }
    W->call(in_callback, NULL);
    puts("wharf_call came back");
    return NULL;
}

int main(UNUSED int argc, char **argv)
{
    options = argv;
    load_wharf();
    wharf_config config = WHARF_CONFIG_INIT;
    if (with("try"))
        config.fault_policy = WHARF_FAULTS_PANIC;
    if (!with("lazy"))
        CHECK_EQ(W->start(&config), WHARF_OK);
    join(spawn(0, host_thread, NULL));
    return 0;
}
