/* A library with much debug information before the function that matters. */
#define F(n) \
    int f##n(int x); \
    int f##n(int x) \
    { \
        int y = x * n; \
        for (int i = 0; i < x; i++) \
            y ^= i + n; \
        return y; \
    }
#define TEN(n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7) F(n##8) F(n##9)
#define HUNDRED(n) \
    TEN(n##0) TEN(n##1) TEN(n##2) TEN(n##3) TEN(n##4) TEN(n##5) TEN(n##6) TEN(n##7) TEN(n##8) TEN(n##9)
#define THOUSAND(n) \
    HUNDRED(n##0) HUNDRED(n##1) HUNDRED(n##2) HUNDRED(n##3) HUNDRED(n##4) \
    HUNDRED(n##5) HUNDRED(n##6) HUNDRED(n##7) HUNDRED(n##8) HUNDRED(n##9)

THOUSAND(1)

void large(void (*f)(void *), void *arg);

void large(void (*f)(void *), void *arg)
{
    f(arg);
    __asm__ volatile("");
}
