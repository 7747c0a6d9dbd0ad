/* SmashedReturn: a return address is written over, then the callback faults or panics. The trace says where it has lost the
 * way, also where the stack itself leads on to the host's frames: what is missing is not passed over in silence.
 * source: ours
 * cflags: -fno-omit-frame-pointer -fno-optimize-sibling-calls
 * arch: x86_64
 * case garbage
 * args: garbage
 * status: signal SIGSEGV
 * stderr~ \nsmash\+0x.*\n.*\n0x4141414141414141\n\t\?\nno unwind information past 0x4141414141414141\nwharf_call\+0x(.|\n)*\nmain\+0x
 * stderr!~ unwind information(.|\n)*unwind information
 * case garbage_canonical
 * args: canonical
 * status: signal SIGSEGV
 * stderr~ \n0x12345\n\t\?\nno unwind information past 0x12345\nwharf_call\+0x(.|\n)*\nmain\+0x
 * case data
 * args: data
 * status: signal SIGSEGV
 * stderr~ \nsmash\+0x.*\n.*\n0x([0-9a-f]+)\n\t\?\nno unwind information past 0x[0-9a-f]+\nwharf_call\+0x(.|\n)*\nmain\+0x
 * case garbage_both
 * args: garbage both
 * status: signal SIGSEGV
 * stderr~ \nno unwind information past 0x4141414141414141\nwharf_call\+0x(.|\n)*\nmain\+0x
 * case zero
 * args: zero
 * status: signal SIGSEGV
 * stderr~ \nsmash\+0x.*\n.*\nno unwind information past 0x[0-9a-f]+\nwharf_call\+0x(.|\n)*\nmain\+0x
 * case zero_both
 * args: zero both
 * status: signal SIGSEGV
 * stderr~ \nsmash\+0x.*\n.*\nno unwind information past 0x[0-9a-f]+\nwharf_call\+0x(.|\n)*\nmain\+0x
 * case zero_panic
 * args: zero panic
 * status: signal SIGABRT
 * stderr~ \nsmash\+0x.*\n.*\nno unwind information past 0x[0-9a-f]+\nwharf_call\+0x(.|\n)*\nmain\+0x
 * case garbage_panic
 * args: garbage panic
 * status: signal SIGABRT
 * stderr~ \nno unwind information past 0x4141414141414141\nwharf_call\+0x(.|\n)*\nmain\+0x
 * case other_code
 * args: code
 * status: signal SIGSEGV
 * stderr~ \nsmash\+0x.*\n.*\nother\+0x8\n.*\n0x5151515151515151\n\t\?\nno unwind information past 0x5151515151515151\nwharf_call\+0x
 * case other_code_of_libc
 * args: libc
 * status: signal SIGSEGV
 * stderr~ \nsmash\+0x.*\n(.|\n)*\nno unwind information past 0x
 * case deep
 * args: garbage deep
 * status: signal SIGSEGV
 * stderr~ \n\.\.\.[0-9]+ frames elided\.\.\.\n(.|\n)*\n0x4141414141414141\n\t\?\nno unwind information past 0x4141414141414141\nwharf_call\+0x(.|\n)*\nmain\+0x
 * stderr!~ unwind information(.|\n)*unwind information
 * case json
 * args: garbage json
 * status: signal SIGSEGV
 * stdout~ "pc":"0x4141414141414141"\}.*"lost":true
 * stderr~ \nno unwind information past 0x4141414141414141\n
 * case try_garbage
 * args: garbage try
 * stdout~ \nsmash\+0x.*\n.*\n0x4141414141414141\n\t\?\nno unwind information past 0x4141414141414141\n
 * case try_zero
 * args: zero try
 * stdout~ \nsmash\+0x.*\n.*\nno unwind information past 0x[0-9a-f]+\n
 * case try_other_code
 * args: code try
 * stdout~ \nsmash\+0x.*\n.*\nother\+0x8\n.*\n0x5151515151515151\n\t\?\nno unwind information past 0x5151515151515151\n
 */
#include "scenario.h"

static char **options;
static volatile int never;
static uintptr_t value;

static int with(const char *option)
{
    for (char **at = options; *at != NULL; at++) {
        if (strcmp(*at, option) == 0)
            return 1;
    }
    return 0;
}

/* Has a frame of another size than whoever is left by a return to it. */
extern char other[];
__asm__(".text\n.type other, @function\nother:\n.cfi_startproc\n.fill 16, 1, 0x90\nret\n.cfi_endproc\n.size other, . - other");

static NOINLINE void smash(int both)
{
    volatile uintptr_t *frame = (volatile uintptr_t *)__builtin_frame_address(0);
    int panics = with("panic");
    frame[1] = value;
    if (both)
        frame[0] = value;
    if (panics)
        W->panic("BOOM");
    *(volatile int *volatile)16 = 1;
    frame[1] = 0;
}

static NOINLINE void in_callback(UNUSED void *arg)
{
    volatile uintptr_t words[8];
    for (int i = 0; i < 8; i++)
        words[i] = 0x5151515151515151;
    smash(with("both"));
    never += (int)words[never];
}

static NOINLINE int fault_at(int depth)
{
    volatile char frame[100];
    frame[0] = (char)depth;
    if (depth == 0)
        *(volatile int *volatile)16 = 1;
    else
        fault_at(depth - 1);
    return frame[0];
}

/* More frames than a report shows lie inward of what is written over. */
static NOINLINE int smashes_outside(void)
{
    volatile uintptr_t *frame = (volatile uintptr_t *)__builtin_frame_address(0);
    frame[1] = value;
    return fault_at(200) + 1;
}

static NOINLINE void in_deep_callback(UNUSED void *arg)
{
    never = smashes_outside();
}

int main(UNUSED int argc, char **argv)
{
    options = argv;
    value = with("garbage") ? 0x4141414141414141 : with("canonical") ? 0x12345 : with("data") ? (uintptr_t)&never : 0;
    if (with("code"))
        value = (uintptr_t)other + 8;
    if (with("libc"))
        value = (uintptr_t)dlsym(RTLD_DEFAULT, "qsort") + 40;
    load_wharf();
    wharf_config config = WHARF_CONFIG_INIT;
    if (with("json"))
        config.report_fd = 1;
    if (with("try"))
        config.fault_policy = WHARF_FAULTS_PANIC;
    CHECK_EQ(W->start(&config), WHARF_OK);
    if (with("try")) {
        static char text[1 << 16];
        wharf_panic_info *info = NULL;
        CHECK_EQ(W->try_(in_callback, NULL, &info), WHARF_PANICKED);
        W->panic_info_format(info, text, sizeof text);
        puts(text);
        return 0;
    }
    W->call(with("deep") ? in_deep_callback : in_callback, NULL);
    puts("wharf_call came back");
    return 0;
}
