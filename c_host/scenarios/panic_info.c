/* PanicInfo: what a panic that has ended says: its message, its trace, those before it; that it lives until it is freed,
 * over wharf_stop, on other threads; the text in any room; the trace's bound in the configuration. The frames in the text
 * are those from the panic to where it was caught, and no others.
 * source: Go TestCallbackCallers, TestPanicTraceback; ours
 * cflags: -fno-optimize-sibling-calls -fno-inline -Wno-infinite-recursion
 * stdout: OK
 * case all
 * args: all
 * case depth
 * args: depth
 * case dropped
 * args: dropped
 * needs: valgrind
 * wrap: valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect,possible
 * stderr!~ ==[0-9]+==
 * timeout: 60
 */
#include "scenario.h"

static void boom(UNUSED void *arg)
{
    W->panic("BOOM");
}

static void middle(UNUSED void *arg)
{
    boom(NULL);
    puts("boom came back");
}

static void outer_host(UNUSED void *arg)
{
    call(middle, NULL);
}

static void outer(UNUSED void *arg)
{
    on_host(outer_host, NULL);
}

static wharf_panic_info *caught(wharf_fn fn, void *arg)
{
    wharf_panic_info *info = NULL;
    CHECK_EQ(W->try_(fn, arg, &info), WHARF_PANICKED);
    CHECK(info != NULL);
    return info;
}

static const char *formatted(const wharf_panic_info *info)
{
    static char text[32768];
    size_t length = W->panic_info_format(info, text, sizeof text);
    CHECK(length < sizeof text);
    CHECK_EQ(strlen(text), length);
    return text;
}

/* The names in a text's trace, each followed by a blank; those without a symbol and wharf's own are left out. */
static const char *names(const char *text)
{
    static char list[4096];
    list[0] = '\0';
    const char *line = strstr(text, "\n\n");
    CHECK(line != NULL);
    for (line += 2; *line != '\0'; line = strchr(line, '\n') + 1) {
        size_t length = strcspn(line, "+\n");
        if (line[0] != '\t' && line[length] == '+')
            strcat(strncat(list, line, length), " ");
    }
    return list;
}

static void check_names(wharf_panic_info *info, const char *expected)
{
    const char *list = names(formatted(info));
    if (strcmp(list, expected) != 0) {
        fprintf(stderr, "%s\nexpected %s\n", list, expected);
        fail(__FILE__, __LINE__, "names");
    }
    W->panic_info_free(info);
}

/* ---- the trace ---- */

static void recover_into(void *at)
{
    *(wharf_panic_info **)at = W->recover();
}

static wharf_panic_info *recovered;

static void recovers(UNUSED void *arg)
{
    CHECK_EQ(W->defer(recover_into, &recovered), WHARF_OK);
    outer(NULL);
}

static void note(void *at)
{
    ++*(int *)at;
}

/* Unwound in three steps, with a deferred call between them. */
static int noted;

static void deferring_host(UNUSED void *arg)
{
    call(middle, NULL);
}

static void deferring(UNUSED void *arg)
{
    CHECK_EQ(W->defer(note, &noted), WHARF_OK);
    on_host(deferring_host, NULL);
}

static void deferring_twice(UNUSED void *arg)
{
    CHECK_EQ(W->defer(note, &noted), WHARF_OK);
    call(deferring, NULL);
}

static void traces(void)
{
    check_names(caught(boom, NULL), "boom ");
    check_names(caught(outer, NULL),
                "boom middle wharf_call call outer_host wharf_on_host on_host outer ");
    noted = 0;
    check_names(caught(deferring_twice, NULL),
                "boom middle wharf_call call deferring_host wharf_on_host on_host deferring wharf_call call deferring_twice ");
    CHECK_EQ(noted, 2);
    /* Recovered by a deferred call: the frames stood, and all are known, as in a report. */
    CHECK_EQ(W->call(recovers, NULL), WHARF_RECOVERED);
    const char *list = names(formatted(recovered));
    const char *first = "boom middle wharf_call call outer_host wharf_on_host on_host outer recovers wharf_call traces all main ";
    if (strncmp(list, first, strlen(first)) != 0)
        fprintf(stderr, "%s\n", list);
    CHECK(strncmp(list, first, strlen(first)) == 0);
    W->panic_info_free(recovered);
}

static void from_elsewhere(UNUSED void *arg)
{
    const void *trace[] = {(const void *)((uintptr_t)middle + 1), (const void *)((uintptr_t)outer + 1)};
    W->panic_from("elsewhere", trace, 2);
}

static void from_nowhere(UNUSED void *arg)
{
    W->panic_from(NULL, NULL, 0);
}

static void froms(void)
{
    wharf_panic_info *info = caught(from_elsewhere, NULL);
    CHECK_EQ(info->trace_count, 2);
    CHECK((uintptr_t)info->trace[0] == (uintptr_t)middle + 1);
    check_names(info, "middle outer ");
    info = caught(from_nowhere, NULL);
    CHECK(strstr(info->message, "NULL") != NULL);
    check_names(info, "from_nowhere ");
}

/* ---- those before ---- */

static void raise_it(void *text)
{
    W->panic((const char *)text);
}

static char one[] = "one", two[] = "two", three[] = "three";

static void thrice(UNUSED void *arg)
{
    CHECK_EQ(W->defer(raise_it, three), WHARF_OK);
    CHECK_EQ(W->defer(raise_it, two), WHARF_OK);
    W->panic(one);
}

static void earlier(void)
{
    wharf_panic_info *info = caught(thrice, NULL);
    CHECK(strcmp(info->message, three) == 0);
    CHECK(strcmp(info->earlier->message, two) == 0);
    CHECK(strcmp(info->earlier->earlier->message, one) == 0);
    CHECK(info->earlier->earlier->earlier == NULL);
    CHECK(strncmp(formatted(info), "panic: one\n\tpanic: two\n\tpanic: three\n\n", 38) == 0);
    W->panic_info_free(info);
}

/* ---- the text in any room ---- */

/* Lines are looked for one second at most, which passes where there is much else to do: not each time. */
static int fills(wharf_panic_info *info, char *part, size_t room, size_t length)
{
    for (int i = 0; i < 50; i++) {
        memset(part, '~', length + 4);
        if (W->panic_info_format(info, room > 0 ? part : NULL, room) == length)
            return 1;
    }
    return 0;
}

static void rooms(void)
{
    static char whole[16384], part[16384];
    wharf_panic_info *info = caught(outer, NULL);
    strcpy(whole, formatted(info));
    size_t length = strlen(whole);
    for (size_t room = 0; room <= length + 3; room++) {
        if (room > 40 && room < length - 40 && room % 61 != 0)
            continue;
        CHECK(fills(info, part, room, length));
        size_t kept = room == 0 ? 0 : room - 1 < length ? room - 1 : length;
        CHECK(memcmp(part, whole, kept) == 0);
        if (room > 0)
            CHECK_EQ(part[kept], '\0');
        CHECK_EQ(part[room > 0 ? kept + 1 : 0], '~');
    }
    W->panic_info_free(info);
    W->panic_info_free(NULL);
}

/* ---- its life ---- */

static void *look_at_it(void *info)
{
    CHECK(strncmp(formatted((wharf_panic_info *)info), "panic: BOOM\n\nwharf_panic+0x", 12) == 0);
    W->panic_info_free((wharf_panic_info *)info);
    return NULL;
}

static void *caught_elsewhere(void *at)
{
    *(wharf_panic_info **)at = caught(outer, NULL);
    return NULL;
}

static void lives(void)
{
    wharf_panic_info *info = NULL, *own = caught(boom, NULL);
    on_thread(look_at_it, caught(outer, NULL));
    on_thread(caught_elsewhere, &info);
    look_at_it(info);
    on_thread(caught_elsewhere, &info);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    look_at_it(info);
    CHECK_EQ(W->start(NULL), WHARF_OK);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    CHECK_EQ(W->call(boom, NULL), WHARF_STOPPED);
    CHECK_EQ(W->try_(boom, NULL, &info), WHARF_STOPPED);
    look_at_it(own);
}

static void all(void)
{
    for (int i = 0; i < 3; i++) {
        traces();
        froms();
        earlier();
        rooms();
    }
    lives();
}

/* ---- the bound ---- */

static void down(void *depth)
{
    if ((intptr_t)depth == 0)
        boom(NULL);
    down((void *)((intptr_t)depth - 1));
    puts("came back");
}

static int start_with(int64_t trace_depth)
{
    wharf_config config = WHARF_CONFIG_INIT;
    config.trace_depth = trace_depth;
    return W->start(&config);
}

static void bound(int64_t trace_depth, uint32_t expected)
{
    CHECK_EQ(start_with(trace_depth), WHARF_OK);
    wharf_panic_info *info = caught(down, (void *)(intptr_t)200);
    CHECK_EQ(info->trace_count, expected);
    CHECK(strncmp(formatted(info), "panic: BOOM\n", 12) == 0);
    CHECK_EQ(strstr(formatted(info), "boom+0x") != NULL, expected > 0);
    W->panic_info_free(info);
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
}

static void depth(void)
{
    CHECK_EQ(start_with(65537), WHARF_EINVAL);
    CHECK_EQ(start_with(INT64_MAX), WHARF_EINVAL);
    bound(0, 32);
    bound(1, 1);
    bound(2, 2);
    bound(-1, 0);
    bound(INT64_MIN, 0);
    bound(150, 150);
    bound(65536, 203); /* boom, 201 of down, the switch */
    CHECK_EQ(start_with(5), WHARF_OK);
    CHECK_EQ(start_with(5), WHARF_OK);
    CHECK_EQ(start_with(6), WHARF_ESTATE);
    CHECK_EQ(start_with(0), WHARF_OK);
    CHECK_EQ(start_with(-1), WHARF_ESTATE);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
    bound(0, 32); /* the default again */
}

/* ---- nobody wants it ---- */

static void recover_unseen(UNUSED void *arg)
{
    W->panic_info_free(W->recover());
}

static void recovers_unseen(UNUSED void *arg)
{
    CHECK_EQ(W->defer(recover_unseen, NULL), WHARF_OK);
    thrice(NULL);
}

static void leave(UNUSED void *arg)
{
    W->goexit();
}

static void leaves(UNUSED void *arg)
{
    CHECK_EQ(W->defer(leave, NULL), WHARF_OK);
    thrice(NULL);
}

static void dropped(void)
{
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(W->try_(boom, NULL, NULL), WHARF_PANICKED);
        CHECK_EQ(W->try_(thrice, NULL, NULL), WHARF_PANICKED);
        CHECK_EQ(W->call(recovers_unseen, NULL), WHARF_RECOVERED);
        CHECK_EQ(W->call(leaves, NULL), WHARF_CANCELED);
        CHECK_EQ(W->try_(leaves, NULL, NULL), WHARF_CANCELED);
        earlier();
    }
    CHECK_EQ(W->stop(WHARF_NEVER), WHARF_OK);
}

int main(UNUSED int argc, char **argv)
{
    load_wharf();
    if (is_case(argv, "all"))
        all();
    else if (is_case(argv, "depth"))
        depth();
    else
        dropped();
    puts("OK");
    return 0;
}
