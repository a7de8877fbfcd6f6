#include "fields.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "sha256.h"

/* The key's value is wrong, or the key itself.  What is expected and found is to be added. */
static bool wrong_key(const struct reading *reading, const char *key, size_t size)
{
    struct text whole = {0};
    text_put(&whole, reading->prefix, strlen(reading->prefix));
    text_put(&whole, key, size);
    fail(reading->failure, INPUT_ERROR, "%s: ", reading->file);
    if (whole.size > 0) {
        text_add(&reading->failure->text, "key ");
        text_put_repr(&reading->failure->text, whole.data, whole.size);
        text_add(&reading->failure->text, " is wrong");
    } else {
        text_add(&reading->failure->text, "the whole is wrong");
    }
    text_free(&whole);
    return false;
}

bool field_wrong(const struct reading *reading, const char *key)
{
    return wrong_key(reading, key, strlen(key));
}

static void expect_one_of(struct failure *failure, const char *const *words)
{
    fail_more(failure, "expected", "one of ");
    for (int i = 0; words[i] != NULL; i++)
        text_add(&failure->text, "%s%s", i > 0 ? ", " : "", words[i]);
}

static void expect_kind(struct failure *failure, const struct field *field)
{
    static const char *const NAMES[] = {
        [FIELD_INTEGER] = "an integer",
        [FIELD_BOOLEAN] = "true or false",
        [FIELD_STRING] = "a string",
        [FIELD_SECRET] = "bytes in hexadecimal",
        [FIELD_OBJECT] = "an object",
    };
    if (field->kind == FIELD_WORD)
        expect_one_of(failure, field->words);
    else
        fail_more(failure, "expected", "%s", NAMES[field->kind]);
}

void field_found(const struct reading *reading, struct json value)
{
    fail_more(reading->failure, "found", "%s", "");
    json_repr(value, &reading->failure->text);
}

static bool read_word(struct json value, const char *const *words, int *index)
{
    if (json_kind(value) != JSON_STRING)
        return false;
    for (*index = 0; words[*index] != NULL; ++*index)
        if (json_equals(value, words[*index]))
            return true;
    return false;
}

static int hex_digit(char letter)
{
    return isdigit((unsigned char)letter) ? letter - '0' : tolower((unsigned char)letter) - 'a' + 10;
}

/* Hexadecimal, in place; white space between the bytes is as good as none.  SIZE_MAX when it is something else. */
static size_t from_hex(char *text, size_t size)
{
    size_t count = 0;
    for (size_t at = 0; at < size; at++) {
        if (isspace((unsigned char)text[at]))
            continue;
        if (at + 1 == size || !isxdigit((unsigned char)text[at]) || !isxdigit((unsigned char)text[at + 1]))
            return SIZE_MAX;
        text[count++] = hex_digit(text[at]) << 4 | hex_digit(text[at + 1]);
        at++;
    }
    return count;
}

static bool read_secret(struct json value, struct hmac_key *key)
{
    char *content = json_kind(value) == JSON_STRING ? malloc(value.end - value.at) : NULL;
    if (content == NULL)
        return false;
    size_t size = from_hex(content, json_content(value, content));
    if (size != SIZE_MAX)
        hmac_key_set(key, content, size);
    free(content);
    return size != SIZE_MAX;
}

static bool read_object(const struct reading *reading, const struct field *field, struct json value)
{
    bool *is_there = (bool *)((char *)reading->raw + field->offset);
    if (field->may_be_null) {
        *is_there = json_kind(value) != JSON_NULL;
        if (!*is_there)
            return true;
    }
    struct reading inside = {reading->raw, reading->file, field->prefix, reading->failure};
    return fields_read(&inside, field->members, value, field->name) &&
           (field->check == NULL || field->check(&inside));
}

static bool read_value(const struct reading *reading, const struct field *field, struct json value)
{
    void *to = (char *)reading->raw + field->offset;
    enum json_kind kind = json_kind(value);
    bool is_right = false;
    switch (field->kind) {
    case FIELD_INTEGER:
        is_right = kind == JSON_INTEGER;
        if (is_right)
            *(wide *)to = json_integer(value);
        break;
    case FIELD_BOOLEAN:
        is_right = kind == JSON_TRUE || kind == JSON_FALSE;
        *(bool *)to = kind == JSON_TRUE;
        break;
    case FIELD_STRING:
        is_right = kind == JSON_STRING;
        *(struct json *)to = value;
        break;
    case FIELD_SECRET:
        is_right = read_secret(value, to);
        break;
    case FIELD_WORD:
        is_right = read_word(value, field->words, to);
        break;
    case FIELD_OBJECT:
        return read_object(reading, field, value);
    }
    if (!is_right) {
        field_wrong(reading, field->name);
        expect_kind(reading->failure, field);
        field_found(reading, value);
    }
    return is_right;
}

static bool is_known(const struct field *fields, struct json name)
{
    for (; fields->name != NULL; fields++)
        if (json_equals(name, fields->name))
            return true;
    return false;
}

static bool unknown_key(const struct reading *reading, const struct field *fields, struct json name)
{
    struct failure *failure = reading->failure;
    char *key = malloc(name.end - name.at);
    if (key != NULL)
        wrong_key(reading, key, json_content(name, key));
    free(key);
    fail_more(failure, "expected", "one of ");
    for (const struct field *field = fields; field->name != NULL; field++)
        text_add(&failure->text, "%s%s", field > fields ? ", " : "", field->name);
    fail_more(failure, "found", "an unknown key");
    return false;
}

bool fields_read(const struct reading *reading, const struct field *fields, struct json value, const char *key)
{
    if (json_kind(value) != JSON_OBJECT) {
        field_wrong(&(struct reading){reading->raw, reading->file, "", reading->failure}, key);
        fail_more(reading->failure, "expected", "an object");
        field_found(reading, value);
        return false;
    }
    struct json left = value, name, member;
    while (json_member(&left, &name, &member))
        if (!is_known(fields, name))
            return unknown_key(reading, fields, name);
    for (const struct field *field = fields; field->name != NULL; field++) {
        if (json_find(value, field->name, &member)) {
            if (!read_value(reading, field, member))
                return false;
        } else if (!field->is_optional) {
            field_wrong(reading, field->name);
            expect_kind(reading->failure, field);
            fail_more(reading->failure, "found", "nothing: the key is missing");
            return false;
        }
    }
    return true;
}

static bool read_address(struct json value, wide count, struct address *address)
{
    char *text = calloc(value.end - value.at, 1);
    if (text == NULL)
        return false;
    size_t size = json_content(value, text);
    struct address last;
    bool is_good = strlen(text) == size && address_read(address, text);
    last = *address;
    free(text);
    return is_good && address_plus(&last, count - 1);
}

static void put_wide(struct text *text, wide value)
{
    char digits[48], *at = digits + sizeof digits;
    unsigned __int128 left = value < 0 ? -value : value;
    *--at = 0;
    do
        *--at = '0' + (int)(left % 10);
    while ((left /= 10) > 0);
    text_add(text, "%s%s", value < 0 ? "-" : "", at);
}

bool field_within(const struct reading *reading, const char *key, const char *what, wide value, wide low, wide high)
{
    if (low <= value && value <= high)
        return true;
    struct failure *failure = reading->failure;
    field_wrong(reading, key);
    fail_more(failure, "expected", "%s", what);
    put_wide(&failure->text, low);
    text_add(&failure->text, " to ");
    put_wide(&failure->text, high);
    fail_more(failure, "found", "%s", "");
    put_wide(&failure->text, value);
    return false;
}

bool field_address(const struct reading *reading, const char *key, struct json value, wide count,
                   struct address *address)
{
    if (read_address(value, count, address))
        return true;
    field_wrong(reading, key);
    fail_more(reading->failure, "expected", "an IPv4 or IPv6 address with ");
    put_wide(&reading->failure->text, count - 1);
    text_add(&reading->failure->text, " more after it");
    field_found(reading, value);
    return false;
}
