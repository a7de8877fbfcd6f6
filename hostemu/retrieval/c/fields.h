/* Reads the members of a JSON object into a struct, as strictly as hostemu/retrieval/strict.py and in its words. */
#ifndef FIELDS_H
#define FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "address.h"
#include "json.h"
#include "text.h"

enum field_kind {
    FIELD_INTEGER, /* wide */
    FIELD_BOOLEAN, /* bool */
    FIELD_STRING,  /* struct json */
    FIELD_SECRET,  /* struct hmac_key */
    FIELD_WORD,    /* int: the index of one of `words` */
    FIELD_OBJECT,  /* `members`, in the same struct */
};

/* Where in the file the reader is, and where it complains. */
struct reading {
    void *raw; /* the struct that is being filled */
    const char *file;
    const char *prefix; /* of keys, such as "power." */
    struct failure *failure;
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;               /* in the struct; of an object that may be null: of a bool, whether it is there */
    const char *const *words;    /* of a word, up to NULL */
    const struct field *members; /* of an object, up to one without a name */
    const char *prefix;          /* of the members' keys */
    bool (*check)(const struct reading *reading); /* of an object, once its members are read; may be NULL */
    bool is_optional;
    bool may_be_null;
};

/* An object of known keys; `key` is its own, "" for the whole.  False with the failure. */
bool fields_read(const struct reading *reading, const struct field *fields, struct json value, const char *key);

/* For checks.  The key's value is wrong; what is expected and found is to be added.  Returns false. */
bool field_wrong(const struct reading *reading, const char *key);
void field_found(const struct reading *reading, struct json value);

/* low ≤ value ≤ high; what: of which these are the bounds. */
bool field_within(const struct reading *reading, const char *key, const char *what, wide value, wide low, wide high);

/* An address with count − 1 more after it. */
bool field_address(const struct reading *reading, const char *key, struct json value, wide count,
                   struct address *address);

#endif
