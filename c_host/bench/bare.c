/* The least that a library can do for a callback: calls it, where the caller is. What is left of wharf's figure over this
 * one is wharf's own; the rest is the way to a shared library and back. */
int bare_call(void (*fn)(void *), void *arg);

int bare_call(void (*fn)(void *), void *arg)
{
    fn(arg);
    return 0;
}
