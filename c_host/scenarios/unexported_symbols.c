/* UnexportedSymbols: the library gives the process its wharf_* names and no other.
 * source: Go TestUnexportedSymbols
 * needs: nm
 * stdout: OK
 */
#include "scenario.h"

static const char *const wanted[] = {
    "wharf_version", "wharf_version_string", "wharf_strerror", "wharf_status_name", "wharf_get_api", "wharf_start",
    "wharf_stop",    "wharf_running",        "wharf_trim",     "wharf_call",        "wharf_on_host", "wharf_attach",
    "wharf_detach",  "wharf_panic",          "wharf_now",      "wharf_after",       "wharf_stats_read", "wharf_dump",
};
enum { WANTED = sizeof wanted / sizeof wanted[0] };

int main(void)
{
    char command[4096], name[512];
    int found = 0;
    snprintf(command, sizeof command, "nm -D --defined-only --format=posix '%s'", getenv("WHARF_LIB"));
    FILE *names = popen(command, "r");
    CHECK(names != NULL);
    while (fscanf(names, "%511s %c %*[^\n]", name, &(char){0}) == 2) {
        name[strcspn(name, "@")] = '\0';
        if (strncmp(name, "WHARF_", 6) == 0) /* the name of a version */
            continue;
        if (strncmp(name, "wharf_", 6) != 0)
            fprintf(stderr, "%s\n", name);
        CHECK(strncmp(name, "wharf_", 6) == 0);
        for (int i = 0; i < WANTED; i++)
            found += strcmp(name, wanted[i]) == 0;
    }
    CHECK_EQ(pclose(names), 0);
    CHECK_EQ(found, WANTED);
    puts("OK");
    return 0;
}
