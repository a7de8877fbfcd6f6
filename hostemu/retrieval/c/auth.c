#include "auth.h"

#include <string.h>

_Static_assert(KEY_BYTES == NONCE_BYTES && NONCE_BYTES == TAG_BYTES, "an exclusive or of keys and nonces is a proof");

void derive_key(const struct hmac_key *secret, const char *role, uint64_t device_id, uint8_t key[KEY_BYTES])
{
    static const char LABEL[] = "hostemu key"; // its final zero is part of the text, as is the role's
    uint8_t digest[SHA256_BYTES], id[8];
    struct hmac mac;
    put_u64(id, device_id);
    hmac_begin(&mac, secret);
    hmac_add(&mac, LABEL, sizeof LABEL);
    hmac_add(&mac, role, strlen(role) + 1);
    hmac_add(&mac, id, sizeof id);
    hmac_end(&mac, digest);
    memcpy(key, digest, KEY_BYTES);
}

bool is_proof(struct bytes proof, const uint8_t expected[TAG_BYTES])
{
    uint8_t differs = 0;
    if (proof.size != TAG_BYTES)
        return false;
    for (int i = 0; i < TAG_BYTES; i++)
        differs |= proof.data[i] ^ expected[i];
    return differs == 0;
}

/* xor: the thesis' scheme. */

static void xor_key(uint8_t *data, size_t size, const uint8_t key[KEY_BYTES])
{
    for (size_t i = 0; i < size; i++)
        data[i] ^= key[i % KEY_BYTES];
}

static void xor_prove_terminal(const struct proving *proving, uint8_t proof[TAG_BYTES])
{
    memcpy(proof, proving->nonces->isp, TAG_BYTES);
    xor_key(proof, TAG_BYTES, proving->key);
}

static void xor_prove_isp(const struct proving *proving, uint8_t proof[TAG_BYTES])
{
    memcpy(proof, proving->nonces->terminal, TAG_BYTES);
    xor_key(proof, TAG_BYTES, proving->key);
}

static void xor_seal(const uint8_t own_key[KEY_BYTES], uint64_t device_id, const uint8_t isp_nonce[NONCE_BYTES],
                     uint8_t *sealed, size_t size)
{
    (void)isp_nonce;
    put_u64(sealed, device_id);
    xor_key(sealed, 8 + size, own_key);
}

static size_t xor_prove_information(const struct proving *proving, struct bytes sealed, uint8_t proof[TAG_BYTES])
{
    (void)proving;
    (void)sealed;
    (void)proof;
    return 0;
}

static size_t xor_prove_receipt(const struct proving *proving, uint8_t proof[TAG_BYTES])
{
    (void)proving;
    (void)proof;
    return 0;
}

const struct scheme XOR_SCHEME = {
    .name = "xor",
    .detects_replay = false,
    .seal_bytes = 8,
    .prove_terminal = xor_prove_terminal,
    .prove_isp = xor_prove_isp,
    .prove_receipt = xor_prove_receipt,
    .seal = xor_seal,
    .prove_information = xor_prove_information,
};

/* hmac-sha256: tags over a label and parts that are preceded by their lengths. */

static void tag(const uint8_t key[KEY_BYTES], const char *label, const struct bytes *parts, int count,
                uint8_t out[TAG_BYTES])
{
    uint8_t digest[SHA256_BYTES], length[4];
    struct hmac_key padded;
    struct hmac mac;
    hmac_key_set(&padded, key, KEY_BYTES);
    hmac_begin(&mac, &padded);
    hmac_add(&mac, label, strlen(label));
    for (int i = 0; i < count; i++) {
        put_u32(length, parts[i].size);
        hmac_add(&mac, length, sizeof length);
        hmac_add(&mac, parts[i].data, parts[i].size);
    }
    hmac_end(&mac, digest);
    memcpy(out, digest, TAG_BYTES);
}

static void hmac_prove(const struct proving *proving, const char *role, uint8_t proof[TAG_BYTES])
{
    uint8_t id[8];
    put_u64(id, proving->device_id);
    const struct nonces *nonces = proving->nonces;
    struct bytes parts[] = {{id, sizeof id}, {nonces->isp, NONCE_BYTES}, {nonces->terminal, NONCE_BYTES}};
    tag(proving->key, role, parts, 3, proof);
}

static void hmac_prove_terminal(const struct proving *proving, uint8_t proof[TAG_BYTES])
{
    hmac_prove(proving, "terminal", proof);
}

static void hmac_prove_isp(const struct proving *proving, uint8_t proof[TAG_BYTES])
{
    hmac_prove(proving, "isp", proof);
}

static void hmac_seal(const uint8_t own_key[KEY_BYTES], uint64_t device_id, const uint8_t isp_nonce[NONCE_BYTES],
                      uint8_t *sealed, size_t size)
{
    uint8_t id[8];
    put_u64(id, device_id);
    struct bytes parts[] = {{id, sizeof id}, {isp_nonce, NONCE_BYTES}, {sealed + TAG_BYTES, size}};
    tag(own_key, "seal", parts, 3, sealed);
}

static size_t hmac_prove_information(const struct proving *proving, struct bytes sealed, uint8_t proof[TAG_BYTES])
{
    const struct nonces *nonces = proving->nonces;
    struct bytes parts[] = {{nonces->isp, NONCE_BYTES}, {nonces->terminal, NONCE_BYTES}, sealed};
    tag(proving->key, "information", parts, 3, proof);
    return TAG_BYTES;
}

static size_t hmac_prove_receipt(const struct proving *proving, uint8_t proof[TAG_BYTES])
{
    const struct nonces *nonces = proving->nonces;
    struct bytes parts[] = {{nonces->isp, NONCE_BYTES}, {nonces->terminal, NONCE_BYTES}};
    tag(proving->key, "receipt", parts, 2, proof);
    return TAG_BYTES;
}

const struct scheme HMAC_SCHEME = {
    .name = "hmac-sha256",
    .detects_replay = true,
    .seal_bytes = TAG_BYTES,
    .prove_terminal = hmac_prove_terminal,
    .prove_isp = hmac_prove_isp,
    .prove_receipt = hmac_prove_receipt,
    .seal = hmac_seal,
    .prove_information = hmac_prove_information,
};
