#include "json.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 32
#define LIMIT ((wide)1 << 100)

static const char *space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* Every pass_… function moves *at behind what it is named for; on false, *at is where that stops. */

static bool pass_character(const char **at, const char *end, char wanted)
{
    if (*at == end || **at != wanted)
        return false;
    ++*at;
    return true;
}

static bool pass_word(const char **at, const char *end, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(end - *at) < size || memcmp(*at, word, size) != 0)
        return false;
    *at += size;
    return true;
}

static bool pass_digits(const char **at, const char *end)
{
    const char *first = *at;
    while (*at < end && isdigit((unsigned char)**at))
        ++*at;
    return *at > first;
}

static bool pass_number(const char **at, const char *end)
{
    pass_character(at, end, '-');
    if (!pass_character(at, end, '0') && !pass_digits(at, end))
        return false;
    if (pass_character(at, end, '.') && !pass_digits(at, end))
        return false;
    if (pass_character(at, end, 'e') || pass_character(at, end, 'E')) {
        if (!pass_character(at, end, '-'))
            pass_character(at, end, '+');
        return pass_digits(at, end);
    }
    return true;
}

static bool pass_escape(const char **at, const char *end)
{
    if (*at == end || strchr("\"\\/bfnrtu", **at) == NULL || **at == 0)
        return false;
    if (*(*at)++ != 'u')
        return true;
    for (int i = 0; i < 4; i++, ++*at)
        if (*at == end || !isxdigit((unsigned char)**at))
            return false;
    return true;
}

static bool pass_string(const char **at, const char *end)
{
    if (!pass_character(at, end, '"'))
        return false;
    while (*at < end && (unsigned char)**at >= 0x20) {
        if (pass_character(at, end, '"'))
            return true;
        if (pass_character(at, end, '\\')) {
            if (!pass_escape(at, end))
                return false;
        } else {
            unsigned code;
            size_t size = utf8_character(*at, end, &code);
            if (size == 0)
                return false;
            *at += size;
        }
    }
    return false;
}

static bool pass_value(const char **at, const char *end, int depth);

/* A list, or an object, whose items are preceded by a name and a colon. */
static bool pass_items(const char **at, const char *end, bool are_named, int depth)
{
    char closing = are_named ? '}' : ']';
    ++*at;
    *at = space(*at, end);
    if (pass_character(at, end, closing))
        return true;
    do {
        *at = space(*at, end);
        if (are_named) {
            if (!pass_string(at, end))
                return false;
            *at = space(*at, end);
            if (!pass_character(at, end, ':'))
                return false;
        }
        if (!pass_value(at, end, depth + 1))
            return false;
        *at = space(*at, end);
    } while (pass_character(at, end, ','));
    return pass_character(at, end, closing);
}

static bool pass_value(const char **at, const char *end, int depth)
{
    *at = space(*at, end);
    if (*at == end || depth > MAX_DEPTH)
        return false;
    switch (**at) {
    case '{':
    case '[':
        return pass_items(at, end, **at == '{', depth);
    case '"':
        return pass_string(at, end);
    case 't':
        return pass_word(at, end, "true");
    case 'f':
        return pass_word(at, end, "false");
    case 'n':
        return pass_word(at, end, "null");
    default:
        return pass_number(at, end);
    }
}

bool json_check(const char *text, size_t size, struct json *whole)
{
    const char *end = text + size, *at = text;
    bool is_good = pass_value(&at, end, 0);
    whole->at = is_good ? space(text, end) : at;
    whole->end = at;
    if (is_good && space(at, end) != end) {
        whole->at = space(at, end);
        return false;
    }
    return is_good;
}

enum json_kind json_kind(struct json value)
{
    switch (*value.at) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_LIST;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        for (const char *at = value.at; at < value.end; at++)
            if (*at == '.' || *at == 'e' || *at == 'E')
                return JSON_FLOAT;
        return JSON_INTEGER;
    }
}

/* The next value of what is left of a list or object; false at its end. */
static bool next_value(struct json *left, struct json *value)
{
    const char *at = space(left->at, left->end);
    if (at < left->end && strchr("{[,:", *at) != NULL)
        at = space(at + 1, left->end);
    if (at >= left->end || *at == '}' || *at == ']')
        return false;
    value->at = value->end = at;
    pass_value(&value->end, left->end, 0);
    left->at = value->end;
    return true;
}

bool json_member(struct json *left, struct json *name, struct json *value)
{
    return next_value(left, name) && next_value(left, value);
}

bool json_find(struct json object, const char *name, struct json *value)
{
    struct json key, member;
    bool is_found = false;
    while (json_member(&object, &key, &member)) {
        if (json_equals(key, name)) {
            *value = member;
            is_found = true;
        }
    }
    return is_found;
}

wide json_integer(struct json integer)
{
    const char *at = integer.at;
    bool is_negative = *at == '-';
    wide value = 0;
    for (at += is_negative; at < integer.end; at++)
        if (value < LIMIT)
            value = 10 * value + (*at - '0');
    value = value < LIMIT ? value : LIMIT;
    return is_negative ? -value : value;
}

static unsigned four_digits(const char *at)
{
    char digits[5] = {at[0], at[1], at[2], at[3], 0};
    return strtoul(digits, NULL, 16);
}

static size_t put_utf8(char out[4], unsigned code)
{
    if (code < 0x80) {
        *out = code;
        return 1;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    out[0] = 0xff00 >> (more + 1) | code >> 6 * more;
    for (int i = 1; i <= more; i++)
        out[i] = 0x80 | (code >> 6 * (more - i) & 0x3f);
    return more + 1;
}

/* The character of an escape behind its backslash; moves *at behind it. */
static unsigned escaped(const char **at)
{
    static const char WRITTEN[] = "bfnrt", MEANT[] = "\b\f\n\r\t";
    char letter = *(*at)++;
    if (letter != 'u') {
        const char *found = strchr(WRITTEN, letter);
        return found != NULL ? MEANT[found - WRITTEN] : letter;
    }
    unsigned code = four_digits(*at);
    *at += 4;
    if (code >> 10 == 0x36 && (*at)[0] == '\\' && (*at)[1] == 'u') { // half of a pair
        unsigned low = four_digits(*at + 2);
        if (low >> 10 == 0x37) {
            *at += 6;
            return 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
        }
    }
    return code;
}

/* The next byte of a string's content, or the bytes of what an escape stands for; moves *at behind it. */
static size_t next_piece(const char **at, char piece[4])
{
    if (**at == '\\') {
        ++*at;
        return put_utf8(piece, escaped(at));
    }
    *piece = *(*at)++;
    return 1;
}

size_t json_content(struct json string, char *out)
{
    char *first = out, piece[4];
    for (const char *at = string.at + 1; at < string.end - 1;) {
        size_t size = next_piece(&at, piece);
        memcpy(out, piece, size);
        out += size;
    }
    return out - first;
}

bool json_equals(struct json string, const char *text)
{
    char piece[4];
    for (const char *at = string.at + 1; at < string.end - 1;) {
        size_t size = next_piece(&at, piece);
        for (size_t i = 0; i < size; i++)
            if (*text == 0 || *text++ != piece[i])
                return false;
    }
    return *text == 0;
}

static void repr_string(struct json value, struct text *text)
{
    char *content = malloc(value.end - value.at);
    if (content != NULL)
        text_put_repr(text, content, json_content(value, content));
    free(content);
}

static void repr_items(struct json value, struct text *text)
{
    bool is_object = *value.at == '{';
    struct json name, item;
    text_add(text, "%c", *value.at);
    for (int count = 0; is_object ? json_member(&value, &name, &item) : next_value(&value, &item); count++) {
        if (count > 0)
            text_add(text, ", ");
        if (is_object) {
            repr_string(name, text);
            text_add(text, ": ");
        }
        json_repr(item, text);
    }
    text_add(text, "%c", is_object ? '}' : ']');
}

void json_repr(struct json value, struct text *text)
{
    switch (json_kind(value)) {
    case JSON_NULL:
        text_add(text, "None");
        break;
    case JSON_FALSE:
        text_add(text, "False");
        break;
    case JSON_TRUE:
        text_add(text, "True");
        break;
    case JSON_STRING:
        repr_string(value, text);
        break;
    case JSON_LIST:
    case JSON_OBJECT:
        repr_items(value, text);
        break;
    case JSON_INTEGER:
        value.at += json_integer(value) == 0 && *value.at == '-'; // there is no integer -0
        // fall through
    case JSON_FLOAT:
        text_put(text, value.at, value.end - value.at);
    }
}
