#include "lateness.h"

#define BUCKETS (64 << SUB_BUCKETS_LOG2)

void lateness_add(struct lateness *lateness, int64_t lag_ns)
{
    lateness->count++;
    if (lag_ns > lateness->max_ns)
        lateness->max_ns = lag_ns;
    int bits = lag_ns > 0 ? 64 - __builtin_clzll(lag_ns) : 0;
    int shift = bits > SUB_BUCKETS_LOG2 + 1 ? bits - SUB_BUCKETS_LOG2 - 1 : 0;
    lateness->buckets[(shift << SUB_BUCKETS_LOG2) + (lag_ns >> shift)]++;
}

static int64_t upper_edge_ns(int index)
{
    int shift = (index >> SUB_BUCKETS_LOG2) - 1;
    if (shift < 0)
        shift = 0;
    uint64_t mantissa = index - (shift << SUB_BUCKETS_LOG2);
    return (int64_t)(((mantissa + 1) << shift) - 1);
}

int64_t lateness_quantile_ns(const struct lateness *lateness, double share)
{
    double needed = share * (double)lateness->count;
    uint64_t seen = 0;
    for (int index = 0; index < BUCKETS; index++) {
        seen += lateness->buckets[index];
        if (lateness->buckets[index] > 0 && (double)seen >= needed) {
            int64_t edge_ns = upper_edge_ns(index);
            return edge_ns < lateness->max_ns ? edge_ns : lateness->max_ns;
        }
    }
    return lateness->max_ns;
}
