/* A library that calls back: one of many on the way. */
void deep(void (*f)(void *), void *arg);

void deep(void (*f)(void *), void *arg)
{
    f(arg);
    __asm__ volatile("");
}
