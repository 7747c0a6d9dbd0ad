/* FloatState: a callback computes in the host's floating-point environment (rounding, traps, DAZ/FTZ, x87 precision), errno and
 * locale; what it changes is the host's afterwards; the library itself changes none of it.
 * source: ours (O11)
 * arch: x86_64
 * cflags: -frounding-math
 * stdout: OK
 */
#include <fenv.h>
#include <locale.h>
#include <xmmintrin.h>

#include "scenario.h"

typedef struct state {
    int rounding, raised, error;
    unsigned mxcsr;
    unsigned short x87;
    locale_t locale;
} state;

static unsigned short x87_control(void)
{
    unsigned short word;
    __asm__ volatile("fnstcw %0" : "=m"(word));
    return word;
}

static void set_x87_control(unsigned short word)
{
    __asm__ volatile("fldcw %0" : : "m"(word));
}

static void take(state *now)
{
    int error = errno;
    now->rounding = fegetround();
    now->raised = fetestexcept(FE_ALL_EXCEPT);
    now->mxcsr = _mm_getcsr();
    now->x87 = x87_control();
    now->locale = uselocale((locale_t)0);
    now->error = error;
}

static void same(const state *left, const state *right)
{
    CHECK_EQ(left->rounding, right->rounding);
    CHECK_EQ(left->raised, right->raised);
    CHECK_EQ(left->mxcsr, right->mxcsr);
    CHECK_EQ(left->x87, right->x87);
    CHECK_EQ(left->error, right->error);
    CHECK(left->locale == right->locale);
}

static void look(void *arg)
{
    take((state *)arg);
}

static void look_on_host(void *arg)
{
    on_host(look, arg);
}

static void look_nested(void *arg)
{
    call(look, arg);
}

/* The state goes in, is seen, and is there afterwards, by every way. */
static void goes_through(void)
{
    static const wharf_fn ways[] = {look, look_on_host, look_nested};
    for (int way = 0; way < 3; way++) {
        state before, seen, after;
        take(&before);
        int status = W->call(ways[way], &seen);
        take(&after);
        CHECK_EQ(status, WHARF_OK);
        same(&before, &seen);
        same(&before, &after);
    }
}

static locale_t other_locale;

static void strange(UNUSED void *arg)
{
    CHECK_EQ(fesetround(FE_UPWARD), 0);
    set_x87_control((unsigned short)((x87_control() & ~0x300) | 0x0c00)); /* single precision, towards zero */
    _mm_setcsr(_mm_getcsr() | 0x8040);                                     /* flush to zero, denormals are zero */
    CHECK_EQ(feraiseexcept(FE_DIVBYZERO), 0);
    uselocale(other_locale);
    errno = 4711;
}

static void strange_on_host(UNUSED void *arg)
{
    on_host(strange, NULL);
}

static void usual(void)
{
    CHECK_EQ(fesetenv(FE_DFL_ENV), 0);
    uselocale(LC_GLOBAL_LOCALE);
    errno = 0;
}

/* What a callback changes is seen by the host. */
static void changes_stay(wharf_fn change)
{
    usual();
    int status = W->call(change, NULL);
    state after;
    take(&after);
    CHECK_EQ(status, WHARF_OK);
#ifdef __GLIBC__
    CHECK_EQ(after.rounding, FE_TOWARDZERO); /* fegetround asks the x87 word */
#else
    CHECK_EQ(after.rounding, FE_UPWARD); /* musl's asks MXCSR */
#endif
    CHECK_EQ(after.mxcsr & 0xe040, 0x8040 | 0x4000);
    CHECK_EQ(after.x87 & 0xf00, 0xc00);
    CHECK((after.raised & FE_DIVBYZERO) != 0);
    CHECK(after.locale == other_locale);
    CHECK_EQ(after.error, 4711);
    volatile double tiny = 1e-308;
    CHECK(tiny / 4 == 0);
}

static void *host_thread(UNUSED void *arg)
{
    strange(NULL);
    goes_through(); /* also by a thread's first call */
    state before, after;
    take(&before);
    int status = W->attach(NULL);
    take(&after);
    CHECK_EQ(status, WHARF_OK);
    same(&before, &after);
    status = W->detach();
    take(&after);
    CHECK_EQ(status, WHARF_OK);
    same(&before, &after);
    goes_through();
    changes_stay(strange);
    changes_stay(strange_on_host);
    usual();
    goes_through();
    return NULL;
}

int main(void)
{
    other_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    CHECK(other_locale != (locale_t)0);
    strange(NULL);
    state before, after;
    take(&before);
    load_wharf();
    take(&after);
    before.error = after.error; /* dlopen may set errno */
    same(&before, &after);
    errno = 4711;
    host_thread(NULL);
    on_thread(host_thread, NULL);
    puts("OK");
    return 0;
}
