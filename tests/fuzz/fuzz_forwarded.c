/* Any values of Forwarded and X-Forwarded-For, -Proto and -Host, one a line, as told by a proxy that is trusted. What
 * is told of the client is sound; and whatever a client writes, what a trusted proxy adds behind it is what counts. */
#include "sluice/decode/forwarded.h"
#include "sluice/decode/target.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_kept)
{
    if (!is_kept)
        abort();
}

static const struct sl_trusted *ours(void)
{
    static struct sl_trusted trusted;
    if (trusted.count == 0) {
        require(sl_network_read(SL_BYTES("10.0.0.0/8"), &trusted.at[0]));
        require(sl_network_read(SL_BYTES("fd00::/8"), &trusted.at[1]));
        trusted.count = 2;
    }
    return &trusted;
}

/* In memory that ends where it must. */
static struct sl_bytes take_line(struct sl_bytes *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->base, '\n', rest->len) : NULL;
    size_t len = end != NULL ? (size_t)(end - rest->base) : rest->len;
    size_t used = end != NULL ? len + 1 : len;
    char *copy = malloc(len + (len == 0));
    memcpy(copy, rest->base, len);
    *rest = (struct sl_bytes){rest->base + used, rest->len - used};
    return (struct sl_bytes){copy, len};
}

static void require_sound(const struct sl_client *client)
{
    char text[SL_ADDRESS_TEXT_BYTES];
    struct sl_address again;
    require(client->host.len == 0 || sl_host_is_valid(client->host));
    if (!client->has_address)
        return;
    sl_address_write(&client->address, text);
    require(sl_address_read(sl_bytes_of(text), &again));
    require(memcmp(&again, &client->address, sizeof again) == 0);
}

static struct sl_bytes with(struct sl_bytes value, const char *more)
{
    size_t room = value.len + strlen(more) + 1;
    struct sl_text text;
    sl_text_init(&text, malloc(room), room);
    sl_text_put(&text, value);
    sl_text_put(&text, sl_bytes_of(more));
    return (struct sl_bytes){text.base, text.len};
}

/* As a proxy adds to it that tells of 192.0.2.77; by the other field, too, or without it. */
static void require_not_forged(struct sl_bytes value, bool is_forwarded)
{
    struct sl_bytes longer = with(value, is_forwarded ? ", for=\"192.0.2.77:1\";proto=https;host=h" : ", 192.0.2.77");
    struct sl_forwarded fields = {.x_for = longer};
    if (is_forwarded)
        fields = (struct sl_forwarded){.forwarded = longer};
    struct sl_client client;
    struct sl_address told;
    sl_forwarded_read(&fields, ours(), &client);
    require(sl_address_read(SL_BYTES("192.0.2.77"), &told));
    require(client.has_address && memcmp(&client.address, &told, sizeof told) == 0);
    require(!is_forwarded || (client.is_secure && sl_bytes_equal(client.host, SL_BYTES("h"))));
    free((char *)longer.base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_bytes rest = {(const char *)data, size};
    struct sl_forwarded fields = {.forwarded = take_line(&rest)};
    fields.x_for = take_line(&rest);
    fields.x_proto = take_line(&rest);
    fields.x_host = take_line(&rest);
    struct sl_client client;
    sl_forwarded_read(&fields, ours(), &client);
    require_sound(&client);
    require_not_forged(fields.forwarded, true);
    require_not_forged(fields.x_for, false);
    free((char *)fields.forwarded.base);
    free((char *)fields.x_for.base);
    free((char *)fields.x_proto.base);
    free((char *)fields.x_host.base);
    return 0;
}
