/* SanitizedAddress: Sanitized, with a host that is built with AddressSanitizer; also where that keeps variables beside the stack
 * to find those that are used after their function has returned.
 * source: ours (Go TestASAN)
 * also: x_sanitized_bare.c
 * cflags: -fsanitize=address -w
 * needs: -fsanitize=address
 * timeout: 60
 * case clean
 * args: clean
 * env: ASAN_OPTIONS=detect_stack_use_after_return=0
 * stdout: OK
 * case clean_beside
 * args: clean
 * env: ASAN_OPTIONS=detect_stack_use_after_return=1
 * stdout: OK
 * case stack
 * args: stack
 * status: 1
 * stderr~ ERROR: AddressSanitizer: stack-buffer-overflow
 * stderr~ in overruns
 * case heap
 * args: heap
 * status: 1
 * stderr~ ERROR: AddressSanitizer: heap-use-after-free
 * stderr~ in reads_freed.*\n(.*\n)+.*wharf_call
 * case returned
 * args: returned
 * env: ASAN_OPTIONS=detect_stack_use_after_return=1
 * status: 1
 * stderr~ ERROR: AddressSanitizer: stack-use-after-return
 * case leak
 * args: leak
 * status: 1
 * stderr~ ERROR: LeakSanitizer: detected memory leaks
 * stderr~ in leaks
 */
#include "x_sanitized.cpp"
