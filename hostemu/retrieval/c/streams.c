#include "streams.h"

#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// Off times must be those of the Python program bit by bit: every operation rounds to a double, once.
_Static_assert(FLT_EVAL_METHOD == 0 && DBL_MANT_DIG == 53, "doubles must be IEEE 754 doubles");

static const uint64_t IV[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static const uint8_t SIGMA[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t rotated(uint64_t word, int by)
{
    return word >> by | word << (64 - by);
}

static void mix(uint64_t v[16], int a, int b, int c, int d, uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = rotated(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotated(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotated(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotated(v[b] ^ v[c], 63);
}

static uint64_t little_endian(const uint8_t *from)
{
    uint64_t word = 0;
    for (int i = 7; i >= 0; i--)
        word = word << 8 | from[i];
    return word;
}

uint64_t blake2b_8(const void *text, size_t size)
{
    uint8_t block[NAME_BYTES] = {0};
    uint64_t m[16], v[16];
    const uint64_t first = IV[0] ^ 0x01010000 ^ 8; // no key, fan-out and depth 1, a digest of 8 bytes
    memcpy(block, text, size);
    for (int i = 0; i < 16; i++)
        m[i] = little_endian(block + 8 * i);
    memcpy(v, IV, sizeof IV);
    memcpy(v + 8, IV, sizeof IV);
    v[0] = first;
    v[12] ^= size;
    v[14] = ~v[14]; // the last block
    for (int round = 0; round < 12; round++) {
        const uint8_t *s = SIGMA[round % 10];
        for (int i = 0; i < 4; i++)
            mix(v, i, i + 4, i + 8, i + 12, m[s[2 * i]], m[s[2 * i + 1]]);
        for (int i = 0; i < 4; i++)
            mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
    }
    return first ^ v[0] ^ v[8];
}

uint64_t stream_named(uint64_t seed, const char *name)
{
    char text[NAME_BYTES];
    int size = snprintf(text, sizeof text, "%" PRIu64 NAME_SEPARATOR "%s", seed, name);
    return blake2b_8(text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

uint64_t stream_u64(uint64_t key, uint64_t counter)
{
    uint64_t value = key + (counter + 1) * 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

double stream_uniform(uint64_t key, uint64_t counter)
{
    return (double)(stream_u64(key, counter) >> 11) * 0x1p-53;
}

int64_t stream_between(uint64_t key, uint64_t counter, int64_t low, int64_t high)
{
    return low + (int64_t)(stream_uniform(key, counter) * (double)(high - low + 1));
}
