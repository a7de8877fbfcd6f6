#include "sha256.h"

#include <string.h>

#include "bytes.h"

static const uint32_t FIRST_STATE[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static const uint32_t ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotated(uint32_t word, int by)
{
    return word >> by | word << (32 - by);
}

/* Word t of the message schedule, in a ring of 16 of them. */
static inline uint32_t scheduled(uint32_t w[16], int t)
{
    uint32_t w15 = w[(t + 1) % 16], w2 = w[(t + 14) % 16];
    uint32_t s0 = rotated(w15, 7) ^ rotated(w15, 18) ^ w15 >> 3;
    uint32_t s1 = rotated(w2, 17) ^ rotated(w2, 19) ^ w2 >> 10;
    return w[t % 16] += s0 + w[(t + 9) % 16] + s1;
}

/* One round; instead of the variables moving on, the next round names them one further. */
static inline void round_of(uint32_t s[8], int t, uint32_t word)
{
    uint32_t *a = &s[-t & 7], *b = &s[(1 - t) & 7], *c = &s[(2 - t) & 7], *d = &s[(3 - t) & 7];
    uint32_t *e = &s[(4 - t) & 7], *f = &s[(5 - t) & 7], *g = &s[(6 - t) & 7], *h = &s[(7 - t) & 7];
    uint32_t choice = *g ^ (*e & (*f ^ *g));
    uint32_t majority = (*a & *b) | (*c & (*a | *b));
    uint32_t t1 = *h + (rotated(*e, 6) ^ rotated(*e, 11) ^ rotated(*e, 25)) + choice + ROUND[t] + word;
    *d += t1;
    *h = t1 + (rotated(*a, 2) ^ rotated(*a, 13) ^ rotated(*a, 22)) + majority;
}

/* Half of a farm's computing is here: worth unrolling in a program that is otherwise compiled to be small. */
__attribute__((optimize("O3"))) static void compress(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[16], s[8];
    memcpy(s, state, sizeof s);
#pragma GCC unroll 16
    for (int t = 0; t < 16; t++)
        round_of(s, t, w[t] = get_u32(block + 4 * t));
#pragma GCC unroll 16
    for (int t = 16; t < 64; t++)
        round_of(s, t, scheduled(w, t));
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

void sha256_begin(struct sha256 *hash)
{
    memcpy(hash->state, FIRST_STATE, sizeof FIRST_STATE);
    hash->size = 0;
}

void sha256_add(struct sha256 *hash, const void *data, size_t size)
{
    const uint8_t *from = data;
    while (size > 0) {
        size_t at = hash->size % SHA256_BLOCK_BYTES;
        size_t part = SHA256_BLOCK_BYTES - at < size ? SHA256_BLOCK_BYTES - at : size;
        memcpy(hash->block + at, from, part);
        hash->size += part;
        from += part;
        size -= part;
        if (hash->size % SHA256_BLOCK_BYTES == 0)
            compress(hash->state, hash->block);
    }
}

void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES])
{
    static const uint8_t PADDING[SHA256_BLOCK_BYTES] = {0x80};
    uint8_t bits[8];
    put_u64(bits, hash->size * 8);
    size_t to_length = (2 * SHA256_BLOCK_BYTES - 8 - hash->size % SHA256_BLOCK_BYTES) % SHA256_BLOCK_BYTES;
    sha256_add(hash, PADDING, to_length > 0 ? to_length : SHA256_BLOCK_BYTES);
    sha256_add(hash, bits, sizeof bits);
    for (int i = 0; i < 8; i++)
        put_u32(digest + 4 * i, hash->state[i]);
}

/* The state after one block: the key, exclusive or `pad`. */
static void padded(uint32_t state[8], const uint8_t key[SHA256_BLOCK_BYTES], uint8_t pad)
{
    uint8_t block[SHA256_BLOCK_BYTES];
    for (int i = 0; i < SHA256_BLOCK_BYTES; i++)
        block[i] = key[i] ^ pad;
    memcpy(state, FIRST_STATE, sizeof FIRST_STATE);
    compress(state, block);
}

void hmac_key_set(struct hmac_key *key, const void *data, size_t size)
{
    uint8_t block[SHA256_BLOCK_BYTES] = {0};
    if (size <= sizeof block) {
        memcpy(block, data, size);
    } else {
        struct sha256 hash;
        sha256_begin(&hash);
        sha256_add(&hash, data, size);
        sha256_end(&hash, block);
    }
    padded(key->inner, block, 0x36);
    padded(key->outer, block, 0x5c);
}

static void resume(struct sha256 *hash, const uint32_t state[8])
{
    memcpy(hash->state, state, sizeof hash->state);
    hash->size = SHA256_BLOCK_BYTES;
}

void hmac_begin(struct hmac *mac, const struct hmac_key *key)
{
    mac->key = key;
    resume(&mac->hash, key->inner);
}

void hmac_add(struct hmac *mac, const void *data, size_t size)
{
    sha256_add(&mac->hash, data, size);
}

void hmac_end(struct hmac *mac, uint8_t digest[SHA256_BYTES])
{
    sha256_end(&mac->hash, digest);
    resume(&mac->hash, mac->key->outer);
    sha256_add(&mac->hash, digest, SHA256_BYTES);
    sha256_end(&mac->hash, digest);
}
