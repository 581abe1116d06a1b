/* Reads the YAML file of the configuration: a map of known keys, each with a scalar or, for lists, a list of scalars.
 * The rest of YAML (anchors, tags, nested maps, several documents) is refused: what cannot be written cannot be
 * misread. Scalars are taken as they are written, so `off` and `0` are text until their option reads them.
 * Nothing else sees libyaml. */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* A configuration that is larger is something else, e.g. a disk image named by mistake. */
#define FILE_BYTES_MAX ((size_t)1 << 20)

struct reading {
    struct sl_config_load *load;
    const char *path;
    struct sl_bytes text;
    yaml_parser_t parser;
    yaml_event_t event;
    size_t line_of[SL_OPTIONS]; /* where the key was met; 0: not yet */
};

/* The whole file, to be freed; NULL: the message is written. */
static char *read_whole(struct sl_config_load *load, const char *path, size_t *len_out)
{
    const char *cause = NULL;
    char *base = malloc(FILE_BYTES_MAX + 1);
    if (base == NULL)
        abort();
    FILE *file = fopen(path, "re");
    *len_out = file != NULL ? fread(base, 1, FILE_BYTES_MAX + 1, file) : 0;
    if (file == NULL || ferror(file))
        cause = strerror(errno);
    else if (*len_out > FILE_BYTES_MAX)
        cause = "larger than 1 MiB";
    if (file != NULL)
        (void)fclose(file);
    if (cause == NULL)
        return base;
    free(base);
    sl_text_printf(&load->message, "sluice: config: cannot read \"");
    sl_config_put_quoted(&load->message, sl_bytes_of(path));
    sl_text_printf(&load->message, "\": %s; name a readable YAML file with -c or SLUICE_CONFIG, or neither", cause);
    return NULL;
}

/* Writes "sluice: FILE:LINE: "; the caller adds what is wrong and the cure. */
static struct sl_text *begin_message(struct reading *reading, size_t line)
{
    struct sl_text *message = &reading->load->message;
    sl_text_printf(message, "sluice: ");
    sl_config_put_quoted(message, sl_bytes_of(reading->path));
    sl_text_printf(message, ":%zu: ", line);
    return message;
}

/* libyaml knows no line for bytes it cannot decode. */
static size_t line_of_offset(struct sl_bytes text, size_t offset)
{
    size_t line = 1;
    for (size_t i = 0; i < offset && i < text.len; i++)
        line += text.base[i] == '\n';
    return line;
}

static bool refuse_syntax(struct reading *reading)
{
    const yaml_parser_t *parser = &reading->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        abort();
    bool is_undecodable = parser->error == YAML_READER_ERROR;
    size_t line =
        is_undecodable ? line_of_offset(reading->text, parser->problem_offset) : parser->problem_mark.line + 1;
    struct sl_text *message = begin_message(reading, line);
    if (is_undecodable)
        sl_text_printf(message, "is not UTF-8 text (%s); write it as UTF-8 without control bytes", parser->problem);
    else
        sl_text_printf(message,
                       "is not YAML (%s); write KEY: VALUE, indent with spaces, and quote values with [ { * & or #",
                       parser->problem);
    return false;
}

static size_t event_line(const struct reading *reading)
{
    return reading->event.start_mark.line + 1;
}

static struct sl_bytes scalar(const struct reading *reading)
{
    assert(reading->event.type == YAML_SCALAR_EVENT);
    return (struct sl_bytes){(const char *)reading->event.data.scalar.value, reading->event.data.scalar.length};
}

/* What an event carries beside its content: "&name", "!type" or "*name"; all refused. */
static const char *ornament_of(const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT: return "an alias (*)";
    case YAML_SCALAR_EVENT: anchor = event->data.scalar.anchor, tag = event->data.scalar.tag; break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor, tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
        break;
    default: break;
    }
    return anchor != NULL ? "an anchor (&)" : tag != NULL ? "a tag (!)" : NULL;
}

/* Replaces reading->event by the next one. */
static bool next_event(struct reading *reading)
{
    yaml_event_delete(&reading->event);
    if (!yaml_parser_parse(&reading->parser, &reading->event))
        return refuse_syntax(reading);
    const char *ornament = ornament_of(&reading->event);
    if (ornament == NULL)
        return true;
    sl_text_printf(begin_message(reading, event_line(reading)),
                   "%s is not allowed here; write the value out, in quotes if it begins so", ornament);
    return false;
}

/* Hands the current scalar to the option. */
static bool set_scalar(struct reading *reading, const struct sl_option *option)
{
    struct sl_setting setting = {option, scalar(reading), {SL_SOURCE_FILE, reading->path, event_line(reading)}};
    return sl_config_set(reading->load, &setting);
}

static bool refuse_shape(struct reading *reading, const struct sl_option *option, const char *what)
{
    sl_text_printf(begin_message(reading, event_line(reading)), "%s is %s; write %s: VALUE (%s)%s", option->name,
                   what, option->name, option->form,
                   sl_option_is_list(option) ? " or a list of such values" : ", in quotes if it begins with { or [");
    return false;
}

static bool read_list(struct reading *reading, const struct sl_option *option)
{
    for (size_t count = 0;; count++) {
        if (!next_event(reading))
            return false;
        if (reading->event.type == YAML_SEQUENCE_END_EVENT)
            return count > 0 || refuse_shape(reading, option, "an empty list");
        if (reading->event.type != YAML_SCALAR_EVENT)
            return refuse_shape(reading, option, "a list of lists or maps");
        if (!set_scalar(reading, option))
            return false;
    }
}

static bool read_value(struct reading *reading, const struct sl_option *option)
{
    if (!next_event(reading))
        return false;
    if (reading->event.type == YAML_SCALAR_EVENT)
        return set_scalar(reading, option);
    if (reading->event.type == YAML_MAPPING_START_EVENT)
        return refuse_shape(reading, option, "a map");
    return sl_option_is_list(option) ? read_list(reading, option) : refuse_shape(reading, option, "a list");
}

static bool refuse_key(struct reading *reading)
{
    struct sl_text *message = &reading->load->message;
    sl_text_printf(message, "sluice: ");
    sl_config_put_quoted(message, scalar(reading));
    sl_text_printf(message, ": unknown key (from ");
    sl_config_put_quoted(message, sl_bytes_of(reading->path));
    sl_text_printf(message, ":%zu)", event_line(reading));
    sl_option_put_nearest(message, SL_SOURCE_FILE, scalar(reading));
    return false;
}

static bool read_keys(struct reading *reading)
{
    for (;;) {
        if (!next_event(reading))
            return false;
        if (reading->event.type == YAML_MAPPING_END_EVENT)
            return true;
        if (reading->event.type != YAML_SCALAR_EVENT) {
            sl_text_printf(begin_message(reading, event_line(reading)), "a key is a list or a map; write KEY: VALUE");
            return false;
        }
        const struct sl_option *option = sl_option_find(scalar(reading));
        if (option == NULL)
            return refuse_key(reading);
        size_t *line_of = &reading->line_of[option - sl_options];
        if (*line_of != 0) {
            sl_text_printf(begin_message(reading, event_line(reading)),
                           "%s is there already, in line %zu; remove one", option->name, *line_of);
            return false;
        }
        *line_of = event_line(reading);
        if (!read_value(reading, option))
            return false;
    }
}

/* A document that says nothing is an empty scalar. */
static bool read_document(struct reading *reading)
{
    if (!next_event(reading))
        return false;
    if (reading->event.type == YAML_MAPPING_START_EVENT)
        return read_keys(reading) && next_event(reading);
    if (reading->event.type == YAML_SCALAR_EVENT && scalar(reading).len == 0)
        return next_event(reading);
    sl_text_printf(begin_message(reading, event_line(reading)), "is not a map of keys; write lines of KEY: VALUE");
    return false;
}

static bool read_stream(struct reading *reading)
{
    if (!next_event(reading))
        return false;
    assert(reading->event.type == YAML_STREAM_START_EVENT);
    if (!next_event(reading))
        return false;
    if (reading->event.type == YAML_STREAM_END_EVENT)
        return true;
    if (!read_document(reading))
        return false;
    assert(reading->event.type == YAML_DOCUMENT_END_EVENT);
    if (!next_event(reading))
        return false;
    if (reading->event.type == YAML_STREAM_END_EVENT)
        return true;
    sl_text_printf(begin_message(reading, event_line(reading)), "a second document begins; remove the ---");
    return false;
}

bool sl_config_read_yaml(struct sl_config_load *load, const char *path)
{
    struct reading reading = {.load = load, .path = path};
    char *base = read_whole(load, path, &reading.text.len);
    if (base == NULL)
        return false;
    reading.text.base = base;
    if (!yaml_parser_initialize(&reading.parser))
        abort();
    yaml_parser_set_input_string(&reading.parser, (const unsigned char *)base, reading.text.len);
    yaml_parser_set_encoding(&reading.parser, YAML_UTF8_ENCODING);
    bool is_good = read_stream(&reading);
    yaml_event_delete(&reading.event);
    yaml_parser_delete(&reading.parser);
    free(base);
    return is_good;
}
