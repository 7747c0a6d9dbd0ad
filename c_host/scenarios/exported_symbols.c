/* ExportedSymbolsWithDynamicLoad: a host that opens the library reaches all of it through the table; opened RTLD_LOCAL,
 * it adds no name to the host's global ones, and opened RTLD_GLOBAL, wharf_* are found there.
 * source: Go TestExportedSymbolsWithDynamicLoad
 * stdout: PASS
 * case local
 * args: local
 * case global
 * args: global
 */
#include "scenario.h"

static void add(void *arg)
{
    ++*(int *)arg;
}

static void the_table(void)
{
    CHECK_EQ(W->abi, WHARF_ABI);
    CHECK_EQ(W->size, sizeof(wharf_api));
    /* The functions behind the two numbers: none is missing. */
    const char *bytes = (const char *)W;
    for (size_t at = 8; at < sizeof(wharf_api); at += sizeof(void *)) {
        void *function;
        memcpy(&function, bytes + at, sizeof function);
        CHECK(function != NULL);
    }
}

/* The table's function and the exported one are the same. */
static void same(void *handle, const char *name, size_t offset)
{
    void *function;
    memcpy(&function, (const char *)W + offset, sizeof function);
    CHECK(dlsym(handle, name) == function);
}

int main(UNUSED int argc, char **argv)
{
    int global = is_case(argv, "global");
    if (global)
        CHECK(dlopen(getenv("WHARF_LIB"), RTLD_NOW | RTLD_GLOBAL) != NULL);
    void *handle = load_wharf();
    the_table();
    same(handle, "wharf_version", offsetof(wharf_api, version));
    same(handle, "wharf_call", offsetof(wharf_api, call));
    same(handle, "wharf_on_host", offsetof(wharf_api, on_host));
    same(handle, "wharf_panic", offsetof(wharf_api, panic));
    same(handle, "wharf_dump", offsetof(wharf_api, dump));

    CHECK((dlsym(RTLD_DEFAULT, "wharf_call") != NULL) == global);
    const wharf_api *(*get_api)(uint32_t) = NULL;
    void *symbol = dlsym(handle, "wharf_get_api");
    memcpy(&get_api, &symbol, sizeof get_api);
    CHECK(get_api(0) == NULL);
    CHECK(get_api(WHARF_ABI + 1000) == NULL);
    CHECK(get_api(WHARF_ABI) == W);

    int count = 0;
    call(add, &count);
    CHECK_EQ(count, 1);
    puts("PASS");
    return 0;
}
