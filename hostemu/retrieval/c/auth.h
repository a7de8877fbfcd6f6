/* Authentication, as hostemu/protocol/auth.py has it: the two schemes, seen from the terminal. */
#ifndef AUTH_H
#define AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "sha256.h"
#include "wire.h"

#define KEY_BYTES 16
#define TAG_BYTES 16

/* The nonces of an exchange. */
struct nonces {
    uint8_t isp[NONCE_BYTES];
    uint8_t terminal[NONCE_BYTES];
};

/* What one device's proofs are made with, in one exchange. */
struct proving {
    const uint8_t *key; /* KEY_BYTES, the shared one */
    uint64_t device_id;
    const struct nonces *nonces;
};

struct scheme {
    const char *name;
    bool detects_replay;
    size_t seal_bytes; /* by which the seal makes the information longer, in front */

    void (*prove_terminal)(const struct proving *proving, uint8_t proof[TAG_BYTES]);
    void (*prove_isp)(const struct proving *proving, uint8_t proof[TAG_BYTES]);

    /* The ISP server's proof that it has the information.  Returns its size, 0 or TAG_BYTES. */
    size_t (*prove_receipt)(const struct proving *proving, uint8_t proof[TAG_BYTES]);

    /* Seals `size` bytes of information, which are at sealed + seal_bytes already, in place. */
    void (*seal)(const uint8_t own_key[KEY_BYTES], uint64_t device_id, const uint8_t isp_nonce[NONCE_BYTES],
                 uint8_t *sealed, size_t size);

    /* Returns the size of the proof, 0 or TAG_BYTES. */
    size_t (*prove_information)(const struct proving *proving, struct bytes sealed, uint8_t proof[TAG_BYTES]);
};

extern const struct scheme XOR_SCHEME, HMAC_SCHEME;

/* A device's key, from its fleet's secret; role: "shared" or "own". */
void derive_key(const struct hmac_key *secret, const char *role, uint64_t device_id, uint8_t key[KEY_BYTES]);

/* Whether a peer's proof is the right one, in constant time. */
bool is_proof(struct bytes proof, const uint8_t expected[TAG_BYTES]);

#endif
