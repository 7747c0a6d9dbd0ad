/* Fault: a fault in a callback is reported with the frame that it hit on top, and the process dies of the very signal;
 * a fault anywhere else, and all without an explicit start, is as if the library were not there.
 * source: Go TestSegv, TestAbortInCgo, TestCgoExternalThreadSignal; SCENARIOS O7; ours
 * status: signal SIGSEGV
 * case segv
 * args: segv
 * stderr~ ^SIGSEGV: segmentation violation\nPC=0x[0-9a-f]+ m=[0-9]+ sigcode=1 addr=0x10\n\ngoroutine [1-9][0-9]* \[running, locked to thread\]:\npcs: [^\n]+\nsegv\+0x
 * frames: segv callback wharf_call host_thread <libc>
 * symbols: yes
 * case segv_main
 * args: segv main
 * stderr~ ^SIGSEGV: segmentation violation\n
 * frames: segv callback wharf_call main <libc>
 * case segv_small
 * args: segv small
 * stderr~ ^SIGSEGV: segmentation violation\n
 * frames: segv callback wharf_call host_thread <libc>
 * case segv_nested
 * args: segv nested
 * frames: segv callback wharf_call callback_nested wharf_call host_thread <libc>
 * case segv_from_out
 * args: segv from_out
 * frames: segv callback wharf_call out_calls wharf_on_host callback_out wharf_call host_thread <libc>
 * case segv_out
 * args: segv out
 * stderr~ ^SIGSEGV: segmentation violation\nPC=0x[0-9a-f]+ m=[0-9]+ sigcode=1 addr=0x10\nsignal arrived during wharf_on_host\n\ngoroutine
 * frames: segv callback wharf_on_host callback_out_fault wharf_call host_thread <libc>
 * case segv_blocked
 * args: segv blocked
 * stderr~ ^SIGSEGV: segmentation violation\n
 * case segv_altstack
 * args: segv altstack
 * frames: segv callback wharf_call host_thread <libc>
 * case segv_detached
 * args: segv detached
 * frames: segv callback wharf_call host_thread <libc>
 * case wild_jump
 * args: wild_jump
 * stderr~ ^SIGSEGV: segmentation violation\nPC=0x10 m=[0-9]+ sigcode=1 addr=0x10\n\ngoroutine .*\npcs: 0x10 [^\n]+\n0x10\n\t\?\nwild_jump\+0x(.|\n)*\nwharf_call\+0x(.|\n)*\nhost_thread\+0x
 * case non_canonical
 * args: non_canonical
 * arch: x86_64
 * stderr~ ^SIGSEGV: segmentation violation\nPC=0x[0-9a-f]+ m=[0-9]+ sigcode=128 addr=0x0\n
 * frames: non_canonical callback wharf_call host_thread
 * case adrift
 * args: adrift
 * arch: x86_64
 * stderr~ ^SIGSEGV: segmentation violation\nPC=0x[0-9a-f]+ m=[0-9]+ sigcode=1 addr=0x0\n\ngoroutine
 * frames: adrift callback wharf_call host_thread
 * case adrift_out
 * args: adrift out
 * arch: x86_64
 * stderr~ \nsignal arrived during wharf_on_host\n\ngoroutine
 * frames: adrift callback wharf_on_host callback_out_fault wharf_call host_thread
 * case enormous_frame
 * args: enormous_frame
 * arch: x86_64 aarch64 riscv64
 * stderr~ ^SIGSEGV: segmentation violation\n
 * frames: enormous_frame callback wharf_call host_thread
 * case forked
 * args: segv forked
 * stderr~ ^SIGSEGV: segmentation violation\n
 * frames: segv callback wharf_call host_thread <libc>
 * case valgrind
 * needs: valgrind
 * wrap: valgrind -q
 * args: segv
 * timeout: 60
 * stderr~ \nSIGSEGV: segmentation violation\n(.*\n)*segv\+0x(.*\n)*host_thread\+0x
 * stderr!~ INTERNAL ERROR|rt_sigprocmask
 * case bus
 * args: bus
 * status: signal SIGBUS
 * stderr~ ^SIGBUS: bus error\nPC=0x[0-9a-f]+ m=[0-9]+ sigcode=2 addr=0x[0-9a-f]+\n
 * frames: bus callback wharf_call host_thread
 * case fpe
 * args: fpe
 * status: signal SIGFPE
 * arch: x86_64
 * stderr~ ^SIGFPE: floating-point exception\nPC=0x[0-9a-f]+ m=[0-9]+ sigcode=1 addr=0x[0-9a-f]+\ninstruction bytes: 0xf7( 0x[0-9a-f]+)+\n
 * frames: fpe callback wharf_call host_thread
 * case ill
 * args: ill
 * status: signal SIGILL
 * stderr~ ^SIGILL: illegal instruction\nPC=0x[0-9a-f]+ m=[0-9]+ sigcode=[0-9]+ addr=0x[0-9a-f]+\ninstruction bytes: (0xf 0xb|0x0 0x0 0x0 0x0|0xff 0xde)( 0x[0-9a-f]+)+\n
 * frames: ill callback wharf_call host_thread
 * case tgkill
 * args: tgkill
 * stderr~ ^SIGSEGV: segmentation violation\nPC=0x[0-9a-f]+ m=[0-9]+ sigcode=-6\n\ngoroutine
 * frames: tgkill_self callback wharf_call host_thread
 * case tgkill_out
 * args: tgkill out
 * stderr~ sigcode=-6\nsignal arrived during wharf_on_host\n
 * case abort
 * args: abort
 * status: signal SIGABRT
 * stderr~ ^SIGABRT: abort\nPC=0x[0-9a-f]+ m=[0-9]+ sigcode=-6\n\ngoroutine
 * frames: <libc> aborts callback wharf_call host_thread
 * case panic
 * args: panic
 * status: signal SIGABRT
 * stderr~ ^panic: BOOM\n\ngoroutine
 * stderr!~ SIGABRT
 * case host
 * args: segv host
 * case host_unattached
 * args: segv unattached
 * case host_abort
 * args: abort host
 * status: signal SIGABRT
 * case host_after_jump
 * args: segv jumped
 * case lazy
 * args: segv lazy
 * case none
 * args: segv none
 * case stopped
 * args: segv stopped
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "scenario.h"

static char **options;

static int with(const char *option)
{
    for (char **at = options; *at != NULL; at++) {
        if (strcmp(*at, option) == 0)
            return 1;
    }
    return 0;
}

/* ---- what happens ---- */

static NOINLINE void segv(void)
{
    int *volatile nowhere = (int *)16;
    *nowhere = 1;
}

static NOINLINE void wild_jump(void)
{
    void (*volatile nowhere)(void) = (void (*)(void))16;
    nowhere();
    __asm__ volatile("");
}

static NOINLINE void non_canonical(void)
{
    int *volatile nowhere = (int *)((uintptr_t)1 << (sizeof(void *) * 8 - 2));
    *nowhere = 1;
}

/* Its stack pointer points nowhere. */
static NOINLINE void adrift(void)
{
#ifdef __x86_64__
    __asm__ volatile("movl $8, %esp; pushq %rax");
#endif
}

/* Beyond its stack, its guard, and whatever lies behind them. */
static NOINLINE void enormous_frame(void)
{
    volatile char *volatile frame = (volatile char *)__builtin_alloca((size_t)1 << (sizeof(size_t) * 8 - 24));
    *frame = 1;
}

static NOINLINE void bus(void)
{
    int fd = memfd_create("empty", 0);
    volatile char *page = (volatile char *)mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(page != MAP_FAILED);
    CHECK(page[0] == 0);
}

static NOINLINE void fpe(void)
{
    volatile int ten = 10, zero = 0;
    volatile int result = ten / zero;
    CHECK(result == 0);
}

static NOINLINE void ill(void)
{
    illegal_instruction();
}

static NOINLINE void tgkill_self(void)
{
    syscall(SYS_tgkill, getpid(), gettid(), SIGSEGV);
    CHECK(!"it came back");
}

static NOINLINE void aborts(void)
{
    abort();
}

/* The parent ends as its child did, without a word. */
static void let_a_child_do_it(void)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        return;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(WTERMSIG(status), SIGSEGV);
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

static NOINLINE void happen(void)
{
    if (with("forked"))
        let_a_child_do_it();
    if (with("adrift"))
        adrift();
    if (with("enormous_frame"))
        enormous_frame();
    if (with("segv"))
        segv();
    if (with("wild_jump"))
        wild_jump();
    if (with("non_canonical"))
        non_canonical();
    if (with("bus"))
        bus();
    if (with("fpe"))
        fpe();
    if (with("ill"))
        ill();
    if (with("tgkill"))
        tgkill_self();
    if (with("abort"))
        aborts();
    if (with("panic"))
        W->panic("BOOM");
    CHECK(!"it happened");
}

/* ---- where ---- */

static NOINLINE void callback(UNUSED void *arg)
{
    happen();
    CHECK(W != NULL);
}

static NOINLINE void callback_nested(UNUSED void *arg)
{
    call(callback, NULL);
    CHECK(W != NULL);
}

static NOINLINE void out_calls(UNUSED void *arg)
{
    call(callback, NULL);
    CHECK(W != NULL);
}

static NOINLINE void callback_out(UNUSED void *arg)
{
    on_host(out_calls, NULL);
    CHECK(W != NULL);
}

static NOINLINE void callback_out_fault(UNUSED void *arg)
{
    on_host(callback, NULL);
    CHECK(W != NULL);
}

static jmp_buf out;

static void jumps(UNUSED void *arg)
{
    longjmp(out, 1);
}

static void nothing(UNUSED void *arg) {}

static NOINLINE void *host_thread(UNUSED void *arg)
{
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    if (with("blocked"))
        CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
    static char memory[16 << 10];
    stack_t altstack = {.ss_sp = memory, .ss_size = sizeof memory};
    if (with("altstack"))
        CHECK_EQ(sigaltstack(&altstack, NULL), 0);
    if (with("unattached"))
        happen();
    if (with("jumped")) {
        if (setjmp(out) == 0)
            call(jumps, NULL);
        happen();
    }
    if (with("detached")) {
        call(nothing, NULL);
        CHECK_EQ(W->detach(), WHARF_OK);
    }
    if (with("stopped")) {
        call(nothing, NULL);
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
        happen();
    }
    if (with("host")) {
        call(nothing, NULL);
        happen();
    }
    call(with("nested") ? callback_nested : with("from_out") ? callback_out : with("out") ? callback_out_fault : callback,
         NULL);
    CHECK(!"the call came back");
    return NULL;
}

int main(UNUSED int argc, char **argv)
{
    options = argv;
    load_wharf();
    wharf_config config = WHARF_CONFIG_INIT;
    if (with("none"))
        config.signals = WHARF_SIGNALS_NONE;
    if (!with("lazy"))
        CHECK_EQ(W->start(&config), WHARF_OK);
    if (with("main"))
        host_thread(NULL);
    join(spawn(with("small") ? 16 << 10 : 0, host_thread, NULL));
    return 1;
}
