/* Why a message or a caller was refused: the values of hostemu/protocol/reasons.py. */
#ifndef REASONS_H
#define REASONS_H

enum reason {
    REASON_NONE = 0,
    REASON_REFUSED = 1,
    REASON_SILENT = 2,
    REASON_UNREACHABLE = 3,
    REASON_RESET = 4,
    REASON_TIMEOUT = 5,
    REASON_LOCAL = 6,
    REASON_MALFORMED = 10,
    REASON_OVERSIZED = 11,
    REASON_TRUNCATED = 12,
    REASON_UNEXPECTED = 13,
    REASON_UNKNOWN_DEVICE = 20,
    REASON_WRONG_KEY = 21,
    REASON_REPLAY = 22,
    REASONS = 32, /* greater than every reason */
};

/* The name of any reason of the protocol, NULL when `value` is none. */
const char *reason_name(unsigned value);

#endif
