#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool resize(struct text *text, size_t room)
{
    char *data = realloc(text->data, room);
    if (data == NULL)
        return false;
    text->data = data;
    text->room = room;
    return true;
}

bool text_reserve(struct text *text, size_t size)
{
    return size < text->room || resize(text, size + 1);
}

/* Makes room for `more` bytes and a final zero. */
static bool reserve(struct text *text, size_t more)
{
    size_t needed = text->size + more;
    if (needed < text->room || resize(text, 2 * needed + 1) || resize(text, needed + 1))
        return true;
    text->is_cut = true;
    return false;
}

void text_clear(struct text *text, size_t size)
{
    text->size = 0;
    text->is_cut = false;
    if (text->room > size + 1)
        resize(text, size + 1);
}

void text_put(struct text *text, const char *data, size_t size)
{
    if (!reserve(text, size))
        return;
    memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = 0;
}

static void add(struct text *text, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    if (size >= 0 && reserve(text, size))
        text->size += vsnprintf(text->data + text->size, size + 1, format, again);
    va_end(again);
}

void text_add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(text, format, arguments);
    va_end(arguments);
}

void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

size_t utf8_character(const char *at, const char *end, unsigned *code)
{
    static const unsigned LEAST[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = at < end ? *at : 0xff;
    size_t size = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    if (size == 0 || (size_t)(end - at) < size)
        return 0;
    *code = size == 1 ? first : first & (0x7f >> size);
    for (size_t i = 1; i < size; i++) {
        if (((unsigned char)at[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | ((unsigned char)at[i] & 0x3f);
    }
    bool is_surrogate = *code >> 11 == 0x1b;
    return *code >= LEAST[size] && *code <= 0x10ffff && !is_surrogate ? size : 0;
}

static void put_json_character(struct text *text, unsigned code)
{
    static const char ESCAPED[] = "\"\\\b\f\n\r\t", AS[] = "\"\\bfnrt";
    const char *found = code != 0 && code < 0x80 ? strchr(ESCAPED, (int)code) : NULL;
    if (found != NULL)
        text_add(text, "\\%c", AS[found - ESCAPED]);
    else if (code >= 0x20 && code < 0x7f)
        text_add(text, "%c", (char)code);
    else if (code < 0x10000)
        text_add(text, "\\u%04x", code);
    else
        text_add(text, "\\u%04x\\u%04x", 0xd800 + ((code - 0x10000) >> 10), 0xdc00 + (code & 0x3ff));
}

void text_put_json(struct text *text, const char *data, size_t size)
{
    const char *end = data + size;
    text_add(text, "\"");
    while (data < end) {
        unsigned code = 0xfffd;
        size_t step = utf8_character(data, end, &code);
        put_json_character(text, code);
        data += step > 0 ? step : 1;
    }
    text_add(text, "\"");
}

static void put_repr_byte(struct text *text, unsigned char byte, char quote)
{
    static const char ESCAPED[] = "\n\r\t", AS[] = "nrt";
    const char *found = byte != 0 ? strchr(ESCAPED, byte) : NULL;
    if (byte == quote || byte == '\\')
        text_add(text, "\\%c", byte);
    else if (found != NULL)
        text_add(text, "\\%c", AS[found - ESCAPED]);
    else if (byte < 0x20 || byte == 0x7f)
        text_add(text, "\\x%02x", byte);
    else
        text_add(text, "%c", byte);
}

void text_put_repr(struct text *text, const char *data, size_t size)
{
    bool prefers_double = memchr(data, '\'', size) != NULL && memchr(data, '"', size) == NULL;
    char quote = prefers_double ? '"' : '\'';
    text_add(text, "%c", quote);
    for (size_t i = 0; i < size; i++)
        put_repr_byte(text, data[i], quote);
    text_add(text, "%c", quote);
}

const char *failure_name(enum failure_kind kind)
{
    switch (kind) {
    case INPUT_ERROR:
        return "InputError";
    case HOST_ERROR:
        return "HostError";
    case RUN_ERROR:
        break;
    }
    return "RunError";
}

void fail(struct failure *failure, enum failure_kind kind, const char *format, ...)
{
    va_list arguments;
    failure->kind = kind;
    failure->text.size = 0;
    va_start(arguments, format);
    add(&failure->text, format, arguments);
    va_end(arguments);
}

void fail_more(struct failure *failure, const char *label, const char *format, ...)
{
    va_list arguments;
    text_add(&failure->text, "\n  %s: ", label);
    va_start(arguments, format);
    add(&failure->text, format, arguments);
    va_end(arguments);
}
