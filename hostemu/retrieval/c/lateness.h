/* How late timers were: the exact maximum, and a histogram whose buckets are 1/8 of an octave wide. */
#ifndef LATENESS_H
#define LATENESS_H

#include <stdint.h>

#define SUB_BUCKETS_LOG2 3

struct lateness {
    uint64_t count;
    int64_t max_ns;
    uint32_t buckets[64 << SUB_BUCKETS_LOG2];
};

/* Notes one lag of 0 or more nanoseconds. */
void lateness_add(struct lateness *lateness, int64_t lag_ns);

/* The lag that `share` of all lags did not exceed, rounded up to its bucket's edge; 0 without any. */
int64_t lateness_quantile_ns(const struct lateness *lateness, double share);

#endif
