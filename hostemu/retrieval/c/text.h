/* A growing text, and failures, which are texts of the form of hostemu/base/errors.py. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* All zero at first; on the heap.  What finds no memory is left out, and is_cut says so until text_clear. */
struct text {
    char *data;
    size_t size, room;
    bool is_cut;
};

void text_put(struct text *text, const char *data, size_t size);
void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_free(struct text *text);

/* Room for a text of `size` bytes, so that it needs no memory later; false when there is none. */
bool text_reserve(struct text *text, size_t size);

/* Empties a text.  It keeps room for `size` bytes, if it has that much. */
void text_clear(struct text *text, size_t size);

/* As a JSON string, quotes included; other than ASCII as \uXXXX, as json.dumps does. */
void text_put_json(struct text *text, const char *data, size_t size);

/* As Python's repr of a string; characters beyond ASCII as they are, be they printable or not. */
void text_put_repr(struct text *text, const char *data, size_t size);

/* The bytes of a UTF-8 character, 0 when there is none at `at`; code: which it is. */
size_t utf8_character(const char *at, const char *end, unsigned *code);

/* The kinds are exit codes. */
enum failure_kind { RUN_ERROR = 1, INPUT_ERROR = 2, HOST_ERROR = 3 };

struct failure {
    enum failure_kind kind; /* 0: none yet */
    struct text text;
};

const char *failure_name(enum failure_kind kind);

/* Notes what went wrong; then, each on a line of its own, what was "expected", "found", and is "to do". */
void fail(struct failure *failure, enum failure_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void fail_more(struct failure *failure, const char *label, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
