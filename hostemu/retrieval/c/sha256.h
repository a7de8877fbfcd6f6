/* SHA-256 (FIPS 180-4) and HMAC (RFC 2104). */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_BLOCK_BYTES 64

struct sha256 {
    uint32_t state[8];
    uint64_t size; /* bytes so far */
    uint8_t block[SHA256_BLOCK_BYTES];
};

void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t size);
void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_BYTES]);

/* A key, as the two states of the hash after the padded key: half the work for every further message. */
struct hmac_key {
    uint32_t inner[8];
    uint32_t outer[8];
};

struct hmac {
    struct sha256 hash;
    const struct hmac_key *key;
};

void hmac_key_set(struct hmac_key *key, const void *data, size_t size);
void hmac_begin(struct hmac *mac, const struct hmac_key *key);
void hmac_add(struct hmac *mac, const void *data, size_t size);
void hmac_end(struct hmac *mac, uint8_t digest[SHA256_BYTES]);

#endif
