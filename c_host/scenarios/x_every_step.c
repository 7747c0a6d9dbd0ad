/* EveryStep: a signal handler calls in after every single instruction of a call of the same thread, or after one of them,
 * another one each time: of a call that works, is turned away or waits, of attaching and detaching, of a stop or a trim.
 * Each handler's call runs, or is turned away where the interrupted one would be; nothing is lost.
 * source: ours
 * arch: x86_64
 * stdout: OK
 * timeout: 60
 * case nested_stacks
 * args: nested_stacks
 */
#include "scenario.h"

#include <signal.h>
#include <ucontext.h>

static volatile long step, only;     /* only: the step whose handler calls in, the last one then; 0: all of them */
static volatile int ran, answers[3]; /* OK, STOPPED, anything else */

static void run(UNUSED void *arg)
{
    ran++;
}

static void call_here(void)
{
    int before = ran, status = W->call(run, NULL);
    CHECK_EQ(ran - before, status == WHARF_OK);
    answers[status == WHARF_OK ? 0 : status == WHARF_STOPPED ? 1 : 2]++;
}

enum { TRAP_FLAG = 0x100 };

static void handler(UNUSED int signal, UNUSED siginfo_t *info, void *context)
{
    step++;
    if (only == 0 || step == only)
        call_here();
    if (step == only)
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

/* Does `work` in single steps. */
static void stepped(void (*work)(void))
{
    step = 0;
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
    work();
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

/* Does `work`, which steps, with a handler's call at one step, for each step. `again` makes things as they were. */
static void one_by_one(void (*work)(void), void (*again)(void))
{
    only = 0;
    do {
        only++;
        again();
        work();
    } while (step == only);
    only = 0;
}

/* ---- nested calls: of two that need one more stack at the same moment, each gets one, and both are kept ---- */

static void works(void)
{
    call(run, NULL);
}

static void detach(void)
{
    CHECK_EQ(W->detach(), WHARF_OK);
    call(run, NULL);
}

static void step_out(UNUSED void *arg)
{
    stepped(works);
}

static void step_nested(UNUSED void *arg)
{
    on_host(step_out, NULL);
}

static void nested(void)
{
    call(step_nested, NULL);
}

static void nested_stacks(void)
{
    wharf_stats before = {0};
    for (int round = 0; round < 10; round++) {
        one_by_one(nested, detach); /* the next call's M has one stack */
        if (round == 0)
            before = stats();
    }
    CHECK(answers[0] > 100);
    CHECK_EQ(answers[1] + answers[2], 0);
    wharf_stats after = stats();
    CHECK_EQ(after.stacks_used, 0);
    CHECK_EQ(after.stacks_made, before.stacks_made);
}

int main(UNUSED int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"nested_stacks", nested_stacks},
    };
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    CHECK_EQ(sigaction(SIGTRAP, &action, NULL), 0);
    load_wharf();
    CHECK_EQ(W->start(NULL), WHARF_OK);
    call(run, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (is_case(argv, cases[i].name)) {
            cases[i].run();
            puts("OK");
        }
    }
    return 0;
}
