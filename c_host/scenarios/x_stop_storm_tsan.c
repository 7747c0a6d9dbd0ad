/* StopStormTsan: StopStorm, with a host that is built with ThreadSanitizer.
 * source: ours
 * cflags: -fsanitize=thread
 * needs: -fsanitize=thread
 * stdout~ ^OK$
 * timeout: 60
 * case all
 * args: 1000 all
 * case calls
 * args: 500 calls
 */
#include "x_stop_storm.c"
