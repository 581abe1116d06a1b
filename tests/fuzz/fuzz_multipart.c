/* A form fed whole and fed in pieces must tell the same: the same parts, data, end or error, and every byte accounted.
 * Input: one byte choosing the boundary, eight bytes with the sizes of the pieces in turn, then the body. */
#include <stdlib.h>
#include <string.h>

#include "sluice/decode/multipart.h"

#define PIECES     8
#define HEAD_BYTES (1 + PIECES)
#define STORY_MAX  (1 << 22)

static const char *const types[] = {
    "multipart/form-data; boundary=X7",
    "multipart/form-data; boundary=-",
    "multipart/form-data; boundary=\"------------------------d74496d66958873e\"",
    "multipart/form-data; boundary=\"0123456789abcdefghijklmnopqrstuvwxyz'()+_,-./:=?0123456789ABCDEFGHIJKL\"",
};

static const char *const kept_names[] = {"content-md5", "x-file-hash", "x", NULL};

/* What a form told: tags, names, data, one behind the other, so that data in pieces is data in one piece. */
struct story {
    size_t len;
    char text[STORY_MAX];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void put(struct story *story, const char *text, size_t len)
{
    must(len <= STORY_MAX - story->len);
    memcpy(story->text + story->len, text, len);
    story->len += len;
}

static void put_part(struct story *story, const struct sl_part *part)
{
    const struct sl_disposition *disposition = &part->disposition;
    must(disposition->has_name && strlen(disposition->name) == disposition->name_len);
    must(strlen(disposition->filename) == disposition->filename_len && strlen(part->type) == part->type_len);
    put(story, disposition->has_filename ? "[F" : "[f", 2);
    put(story, disposition->name, disposition->name_len + 1);
    put(story, disposition->filename, disposition->filename_len + 1);
    put(story, part->type, part->type_len + 1);
    must(part->kept_count <= SL_MULTIPART_KEPT_MAX && part->kept_bytes <= SL_MULTIPART_KEPT_BYTES);
    size_t kept_bytes = 0;
    for (size_t i = 0; i < part->kept_count; i++) {
        const struct sl_part_header *kept = &part->kept[i];
        must(kept->name < sizeof kept_names / sizeof kept_names[0] - 1 && kept->at == kept_bytes);
        kept_bytes += kept->len;
        put(story, kept_names[kept->name], strlen(kept_names[kept->name]) + 1);
        put(story, part->kept_text + kept->at, kept->len);
        put(story, "\n", 1);
    }
    must(kept_bytes == part->kept_bytes);
}

/* Takes what it can from the front of the window, *len bytes, and leaves in *len how many those were. false: over. */
static bool take(struct sl_multipart *multipart, struct story *story, const char *window, size_t *len)
{
    size_t used = 0;
    for (;;) {
        enum sl_multipart_event event;
        size_t bytes, left = *len - used;
        char *copy = malloc(left + (left == 0)); /* the sanitizer sees a look beyond it */
        must(copy != NULL);
        memcpy(copy, window + used, left);
        sl_err err = sl_multipart_next(multipart, copy, left, &event, &bytes);
        if (err == SL_OK && event == SL_MULTIPART_DATA)
            put(story, copy, bytes);
        free(copy);
        if (err != SL_OK) {
            must(err == SL_BAD_FORM || err == SL_FORM_LIMIT);
            put(story, err == SL_BAD_FORM ? "!B" : "!L", 2);
            *len = used;
            return false;
        }
        must(bytes <= left);
        used += bytes;
        if (event == SL_MULTIPART_PART)
            put_part(story, &multipart->part);
        if (event == SL_MULTIPART_PART_END)
            put(story, "];", 2);
        if (event == SL_MULTIPART_END)
            put(story, "].", 2);
        must((bytes > 0) == (event != SL_MULTIPART_MORE && event != SL_MULTIPART_PART_END));
        if (event == SL_MULTIPART_MORE || event == SL_MULTIPART_END) {
            *len = used;
            return event == SL_MULTIPART_MORE;
        }
    }
}

/* pieces: sizes in turn; NULL: whole. */
static void tell(const char *type, const char *body, size_t size, const uint8_t *pieces, struct story *story)
{
    struct sl_multipart multipart;
    must(sl_multipart_init(&multipart, sl_bytes_of(type), 10) == SL_OK);
    sl_multipart_keep(&multipart, kept_names);
    story->len = 0;
    size_t used = 0, arrived = 0;
    bool more = true;
    for (size_t turn = 0; more && arrived < size; turn++) {
        size_t piece = pieces == NULL ? size : (size_t)pieces[turn % PIECES] + 1;
        arrived += piece < size - arrived ? piece : size - arrived;
        size_t len = arrived - used;
        more = take(&multipart, story, body + used, &len);
        used += len;
        must(!more || arrived - used < SL_MULTIPART_HEAD_BYTES_MAX);
    }
    bool ended = story->len >= 2 && memcmp(story->text + story->len - 2, "].", 2) == 0 && !more;
    must((sl_multipart_finish(&multipart) == SL_OK) == ended);
    must(multipart.framing_bytes <= used);
}

/* The bytes of SKIP, PART and END and those of data are all that was taken. Counted apart from the story. */
static void check_sum(const char *type, const char *body, size_t size)
{
    struct sl_multipart multipart;
    must(sl_multipart_init(&multipart, sl_bytes_of(type), 10) == SL_OK);
    uint64_t data = 0;
    for (size_t used = 0;;) {
        enum sl_multipart_event event;
        size_t bytes;
        if (sl_multipart_next(&multipart, body + used, size - used, &event, &bytes) != SL_OK)
            return;
        used += bytes;
        data += event == SL_MULTIPART_DATA ? bytes : 0;
        must(multipart.framing_bytes + data == used);
        if (event == SL_MULTIPART_MORE || event == SL_MULTIPART_END)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct story whole, split;
    if (size < HEAD_BYTES)
        return 0;
    const char *type = types[data[0] % (sizeof types / sizeof types[0])];
    const char *body = (const char *)data + HEAD_BYTES;
    tell(type, body, size - HEAD_BYTES, NULL, &whole);
    tell(type, body, size - HEAD_BYTES, data + 1, &split);
    must(whole.len == split.len && memcmp(whole.text, split.text, whole.len) == 0);
    check_sum(type, body, size - HEAD_BYTES);
    return 0;
}
