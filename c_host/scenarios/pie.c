/* PIE: the library needs no text relocation, no executable stack, and no more than the C library and its unwinder; it can be
 * unloaded, and says its name.
 * source: Go TestPIE
 * needs: readelf
 * stdout: OK
 */
#include "scenario.h"

static int seen_soname, seen_stack, seen_relro;

static void look_at(const char *line)
{
    CHECK(strstr(line, "TEXTREL") == NULL);
    CHECK(strstr(line, "NODELETE") == NULL);
#ifndef __riscv /* which has no TLS descriptors */
    CHECK(strstr(line, "STATIC_TLS") == NULL);
#endif
    if (strstr(line, "(RPATH)") != NULL || strstr(line, "(RUNPATH)") != NULL)
        CHECK(!"the library has a search path");
    if (strstr(line, "(NEEDED)") != NULL) {
        int known = strstr(line, "[libc.") != NULL || strstr(line, "[libgcc_s.so") != NULL ||
                    strstr(line, "[ld-linux") != NULL || strstr(line, "[libdl.so") != NULL ||
                    strstr(line, "[libpthread.so") != NULL;
        if (!known)
            fputs(line, stderr);
        CHECK(known);
    }
    seen_soname += strstr(line, "(SONAME)") != NULL && strstr(line, "[libwharf.so.0]") != NULL;
    seen_relro += strstr(line, "GNU_RELRO") != NULL;
    if (strstr(line, "GNU_STACK") != NULL) {
        seen_stack++;
        CHECK(strstr(line, "RWE") == NULL);
    }
    if (strstr(line, " LOAD ") != NULL)
        CHECK(strstr(line, "RWE") == NULL);
}

int main(void)
{
    char command[4096], line[1024];
    snprintf(command, sizeof command, "readelf -W -d -l '%s'", getenv("WHARF_LIB"));
    FILE *facts = popen(command, "r");
    CHECK(facts != NULL);
    while (fgets(line, sizeof line, facts) != NULL)
        look_at(line);
    CHECK_EQ(pclose(facts), 0);
    CHECK_EQ(seen_soname, 1);
    CHECK_EQ(seen_stack, 1);
    CHECK_EQ(seen_relro, 1);
    puts("OK");
    return 0;
}
