/* Names that the server chooses. */
#include "sluice/base/clock.h"
#include "sluice/upload/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define IDS 1000

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void id_is_26_letters_of_base32_and_never_twice_the_same(void **state)
{
    static char ids[IDS][SL_UPLOAD_ID_BYTES];
    unsigned seen[256] = {0}, letters = 0;
    for (size_t i = 0; i < IDS; i++) {
        sl_upload_id(ids[i]);
        assert_int_equal(strlen(ids[i]), SL_UPLOAD_ID_BYTES - 1);
        assert_int_equal(strspn(ids[i], "abcdefghijklmnopqrstuvwxyz234567"), SL_UPLOAD_ID_BYTES - 1);
        for (const char *at = ids[i]; *at != '\0'; at++)
            seen[(unsigned char)*at]++;
    }
    qsort(ids, IDS, sizeof ids[0], compare_ids);
    for (size_t i = 1; i < IDS; i++)
        assert_string_not_equal(ids[i - 1], ids[i]);
    for (size_t i = 0; i < 256; i++) {
        letters += seen[i] > 0;
        assert_true(seen[i] == 0 || (seen[i] > IDS * 26 / 32 / 2 && seen[i] < IDS * 26 / 32 * 2));
    }
    assert_int_equal(letters, 32);
}

#define ID "abcdefghijklmnopqrstuvwxyz"

static sl_err name_by(const char *template, struct sl_bytes filename, struct sl_session *session)
{
    struct sl_intake intake = {.name_template = template};
    *session = (struct sl_session){.id = ID, .created_ns = UINT64_C(1077926399) * SL_SEC};
    return sl_session_name(session, &intake, filename);
}

static void name_follows_the_template(void **state)
{
    static const struct {
        const char *template, *filename, *path;
    } rows[] = {
        {"{yyyy}/{mm}/{dd}/{id}-{filename}", "a.jpg", "2004/02/27/" ID "-a.jpg"}, /* the day is UTC's */
        {"{filename}", "a b.txt", "a b.txt"},
        {"in/{id}", "ignored", "in/" ID},
        {"fixed", "ignored", "fixed"},
        {"{filename}{filename}", "x", "xx"},
        {"{unknown}-{filename}", "x", "{unknown}-x"},
        {"{filename", "x", "{filename"},
        {"{{id}}", "x", "{" ID "}"},
        {"{}{id}", "x", "{}" ID},
        {"{ID}", "x", "{ID}"},
        {"{filename}", "{id}", "{id}"}, /* what somebody sent is no template */
        {"{filename}", "../../etc/passwd", "passwd"},
        {"{filename}", "C:\\dir\\x.txt", "x.txt"},
        {"{filename}", "..", "file"},
        {"{filename}", "", "file"},
        {"{filename}", "a\r\nb", "a__b"},
        {"d/{filename}", ".htaccess", "d/htaccess"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sl_session session;
        assert_int_equal(name_by(rows[i].template, sl_bytes_of(rows[i].filename), &session), SL_OK);
        assert_string_equal(session.path.text, rows[i].path);
        assert_int_equal(session.path.len, strlen(rows[i].path));
    }
}

static void name_that_makes_no_valid_path_is_refused(void **state)
{
    char too_long[2000];
    memset(too_long, 'x', sizeof too_long - 1);
    for (size_t i = 200; i < sizeof too_long - 1; i += 200)
        too_long[i] = '/';
    too_long[sizeof too_long - 1] = '\0';
    const char *const templates[] = {"",   "/{filename}", "a//{filename}", "../{filename}",
                                     "a/", "a/./b",       "a\\{filename}", too_long};
    for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++) {
        struct sl_session session;
        assert_int_equal(name_by(templates[i], SL_BYTES("x"), &session), SL_BAD_PATH);
    }
}

/* Whatever was sent, the default template gives a name: the longest is cut, its extension kept. */
static void name_too_long_is_cut_and_keeps_its_extension(void **state)
{
    char sent[5000];
    memset(sent, 'n', sizeof sent);
    memcpy(sent + sizeof sent - 4, ".jpg", 4);
    struct sl_session session;
    assert_int_equal(name_by("{yyyy}/{id}-{filename}", (struct sl_bytes){sent, sizeof sent}, &session), SL_OK);
    const char *leaf = strrchr(session.path.text, '/') + 1;
    assert_in_range(strlen(leaf), 200, SL_SEGMENT_BYTES_MAX);
    assert_string_equal(leaf + strlen(leaf) - 4, ".jpg");
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(id_is_26_letters_of_base32_and_never_twice_the_same),
        cmocka_unit_test(name_follows_the_template),
        cmocka_unit_test(name_that_makes_no_valid_path_is_refused),
        cmocka_unit_test(name_too_long_is_cut_and_keeps_its_extension),
    };
    return cmocka_run_group_tests(cases, NULL, NULL);
}
