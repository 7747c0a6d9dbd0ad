/* Errno: what fails or is tried on the way leaves the host's errno alone.
 * source: ours
 * stdout: OK
 * case start
 * args: start
 * case attach
 * args: attach
 * case detach
 * args: detach
 */
#include "scenario.h"

#include <setjmp.h>
#include <sys/resource.h>

enum { MARK = 77 };

/* Without address space for the table. */
static void start(void)
{
    struct rlimit limit, none = {0, 0};
    CHECK_EQ(getrlimit(RLIMIT_AS, &limit), 0);
    none.rlim_max = limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_AS, &none), 0);
    errno = MARK;
    int status = W->start(NULL), after = errno;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    CHECK_EQ(status, WHARF_ENOMEM);
    CHECK_EQ(after, MARK);
}

static jmp_buf out;

static void leave(UNUSED void *arg)
{
    longjmp(out, 1);
}

/* What was jumped out of is looked at by asking the kernel, which says EINVAL. */
static void left(int (*enter)(void))
{
    if (setjmp(out) == 0)
        call(leave, NULL);
    errno = MARK;
    CHECK_EQ(enter(), WHARF_OK);
    CHECK_EQ(errno, MARK);
}

static int attach(void)
{
    return W->attach(NULL);
}

static int detach(void)
{
    return W->detach();
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "start"))
        start();
    else
        left(is_case(argv, "attach") ? attach : detach);
    puts("OK");
    return 0;
}
