#include "reasons.h"

#include <stddef.h>

static const char *const NAMES[REASONS] = {
    [REASON_NONE] = "NONE",
    [REASON_REFUSED] = "REFUSED",
    [REASON_SILENT] = "SILENT",
    [REASON_UNREACHABLE] = "UNREACHABLE",
    [REASON_RESET] = "RESET",
    [REASON_TIMEOUT] = "TIMEOUT",
    [REASON_LOCAL] = "LOCAL",
    [REASON_MALFORMED] = "MALFORMED",
    [REASON_OVERSIZED] = "OVERSIZED",
    [REASON_TRUNCATED] = "TRUNCATED",
    [REASON_UNEXPECTED] = "UNEXPECTED",
    [REASON_UNKNOWN_DEVICE] = "UNKNOWN_DEVICE",
    [REASON_WRONG_KEY] = "WRONG_KEY",
    [REASON_REPLAY] = "REPLAY",
    [23] = "BAD_SEAL",
    [30] = "DEADLINE",
    [31] = "PROGRAM_LOST",
};

const char *reason_name(unsigned value)
{
    return value < REASONS ? NAMES[value] : NULL;
}
