/* SanitizedThread: Sanitized, with a host that is built with ThreadSanitizer.
 * source: ours (Go TestTSAN)
 * also: x_sanitized_bare.c
 * cflags: -fsanitize=thread -w
 * needs: -fsanitize=thread
 * timeout: 60
 * case clean
 * args: clean
 * stdout: OK
 * case race
 * args: race
 * status: 66
 * stdout: OK
 * stderr~ WARNING: ThreadSanitizer: data race
 * stderr~ counts
 */
#include "x_sanitized.cpp"
