/* A strict reader of JSON (RFC 8259) that keeps no tree: a value is the piece of text that it is written in. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

/* A value's text, known to be well-formed, without space around it. */
struct json {
    const char *at, *end;
};

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_INTEGER, JSON_FLOAT, JSON_STRING, JSON_LIST, JSON_OBJECT };

/* An integer of any JSON text that matters here; what is beyond ±2^100 stands at that limit. */
typedef __int128 wide;

/* Checks a whole text.  On false, `whole->at` is where it stops being JSON (or is nested too deeply). */
bool json_check(const char *text, size_t size, struct json *whole);

enum json_kind json_kind(struct json value);

/* Goes through an object's members; `left` is the object at first.  Names are strings. */
bool json_member(struct json *left, struct json *name, struct json *value);

/* The last member of this name, as in Python; false when there is none. */
bool json_find(struct json object, const char *name, struct json *value);

/* Whether a string's content is `text`; takes no memory. */
bool json_equals(struct json string, const char *text);
wide json_integer(struct json integer);

/* A string's content.  out: room for as many bytes as its text has.  Returns the content's size. */
size_t json_content(struct json string, char *out);

/* As Python's repr of the value; a float as it was written. */
void json_repr(struct json value, struct text *text);

#endif
