#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 80 /* more than the longest header of an information */
#define FIRST_ROOM 2

void information_of(uint64_t device_id, uint8_t *information, size_t size)
{
    static const char FILLER[] = "0123456789abcdefghijklmnopqrstuvwxyz\n";
    char header[HEADER_BYTES];
    int whole = snprintf(header, sizeof header, "device %" PRIu64 ": information of %zu bytes\n", device_id, size);
    size_t at = (size_t)whole < size ? (size_t)whole : size;
    memcpy(information, header, at);
    for (size_t i = 0; at < size; at++, i++)
        information[at] = FILLER[i % (sizeof FILLER - 1)];
}

enum novelty { IS_NEW, IS_REPEATED, NO_MEMORY };

static struct nonce_memory *grown(struct nonce_memory *memory)
{
    int room = memory == NULL ? FIRST_ROOM : 2 * memory->room;
    struct nonce_memory *larger = realloc(memory, sizeof *memory + room * sizeof *memory->nonces);
    if (larger != NULL) {
        if (memory == NULL)
            larger->count = larger->oldest = 0;
        larger->room = room;
    }
    return larger;
}

/* Remembers `nonce`, unless it was there already. */
static enum novelty remember(struct nonce_memory **at, const uint8_t nonce[NONCE_BYTES])
{
    struct nonce_memory *memory = *at;
    int count = memory == NULL ? 0 : memory->count;
    for (int i = 0; i < count; i++)
        if (memcmp(memory->nonces[i], nonce, NONCE_BYTES) == 0)
            return IS_REPEATED;
    if (count == NONCES_REMEMBERED) {
        memcpy(memory->nonces[memory->oldest], nonce, NONCE_BYTES);
        memory->oldest = (memory->oldest + 1) % NONCES_REMEMBERED;
        return IS_NEW;
    }
    if (memory == NULL || count == memory->room) {
        memory = grown(memory);
        if (memory == NULL)
            return NO_MEMORY;
        *at = memory;
    }
    memcpy(memory->nonces[memory->count++], nonce, NONCE_BYTES);
    return IS_NEW;
}

/* One message on its way through the machine. */
struct step {
    struct session *session;
    const struct device *device;
    const struct message *message;
    uint8_t *frame;
    uint8_t shared_key[KEY_BYTES];
};

static struct doing refuse(struct session *session, enum reason reason, uint8_t *frame)
{
    session->state = SESSION_CLOSED;
    return (struct doing){.frame_bytes = wire_refusal(frame, reason), .refused = reason};
}

static struct proving proving_of(struct step *step)
{
    derive_key(&step->device->fleet->shared_secret, "shared", step->device->id, step->shared_key);
    return (struct proving){step->shared_key, step->device->id, &step->session->nonces};
}

static size_t put_challenge(struct step *step)
{
    uint8_t proof[TAG_BYTES];
    struct proving proving = proving_of(step);
    step->device->fleet->scheme->prove_terminal(&proving, proof);
    return wire_challenge(step->frame, step->session->nonces.terminal, (struct bytes){proof, sizeof proof});
}

static size_t put_information(struct step *step)
{
    const struct fleet *fleet = step->device->fleet;
    uint8_t own_key[KEY_BYTES], proof[TAG_BYTES];
    uint8_t *sealed = step->frame + SEALED_AT;
    size_t sealed_bytes = fleet->scheme->seal_bytes + fleet->information_bytes;
    struct proving proving = proving_of(step);
    derive_key(&fleet->own_secret, "own", step->device->id, own_key);
    information_of(step->device->id, sealed + fleet->scheme->seal_bytes, fleet->information_bytes);
    fleet->scheme->seal(own_key, step->device->id, step->session->nonces.isp, sealed, fleet->information_bytes);
    size_t proof_bytes = fleet->scheme->prove_information(&proving, (struct bytes){sealed, sealed_bytes}, proof);
    return wire_information(step->frame, sealed_bytes, (struct bytes){proof, proof_bytes});
}

static struct doing on_hello(struct step *step)
{
    struct session *session = step->session;
    const struct message *hello = step->message;
    if (hello->device_id != step->device->id)
        return refuse(session, REASON_UNKNOWN_DEVICE, step->frame);
    if (hello->nonce.size != NONCE_BYTES)
        return refuse(session, REASON_MALFORMED, step->frame);
    if (step->device->fleet->scheme->detects_replay) {
        enum novelty novelty = remember(step->device->memory, hello->nonce.data);
        if (novelty != IS_NEW)
            return refuse(session, novelty == IS_REPEATED ? REASON_REPLAY : REASON_LOCAL, step->frame);
    }
    memcpy(session->nonces.isp, hello->nonce.data, NONCE_BYTES);
    session->state = SESSION_CHALLENGED;
    return (struct doing){.frame_bytes = put_challenge(step)};
}

static struct doing on_request(struct step *step)
{
    uint8_t expected[TAG_BYTES];
    struct proving proving = proving_of(step);
    step->device->fleet->scheme->prove_isp(&proving, expected);
    if (!is_proof(step->message->proof, expected))
        return refuse(step->session, REASON_WRONG_KEY, step->frame);
    step->session->state = SESSION_SERVED;
    return (struct doing){.frame_bytes = put_information(step), .is_served = true};
}

bool session_is_greeting(const struct session *session, const struct device *device, const struct message *hello)
{
    return hello->device_id == device->id && hello->nonce.size == NONCE_BYTES &&
           memcmp(hello->nonce.data, session->nonces.isp, NONCE_BYTES) == 0;
}

static struct doing on_hello_again(struct step *step)
{
    if (!session_is_greeting(step->session, step->device, step->message))
        return refuse(step->session, REASON_UNEXPECTED, step->frame);
    return (struct doing){.frame_bytes = put_challenge(step)};
}

static struct doing repeat_information(struct step *step)
{
    return (struct doing){.frame_bytes = put_information(step)};
}

static struct doing on_receipt(struct step *step)
{
    uint8_t expected[TAG_BYTES];
    struct proving proving = proving_of(step);
    size_t size = step->device->fleet->scheme->prove_receipt(&proving, expected);
    bool is_right = size == 0 ? step->message->proof.size == 0 : is_proof(step->message->proof, expected);
    if (!is_right)
        return refuse(step->session, REASON_WRONG_KEY, step->frame);
    step->session->state = SESSION_CLOSED;
    return (struct doing){.is_delivered = true};
}

static struct doing on_refusal(struct step *step)
{
    step->session->state = SESSION_CLOSED;
    return (struct doing){.refused = step->message->reason};
}

static struct doing ignore(struct step *step)
{
    (void)step;
    return (struct doing){0};
}

typedef struct doing handler(struct step *step);

/* A pair that is not here is refused as UNEXPECTED; a closed session ignores everything. */
static handler *const TRANSITIONS[SESSION_STATES][MESSAGE_TYPES] = {
    [SESSION_LISTENING] = {[MESSAGE_HELLO] = on_hello, [MESSAGE_REFUSAL] = on_refusal},
    [SESSION_CHALLENGED] =
        {
            [MESSAGE_HELLO] = on_hello_again,
            [MESSAGE_REQUEST] = on_request,
            [MESSAGE_REFUSAL] = on_refusal,
        },
    [SESSION_SERVED] =
        {
            [MESSAGE_HELLO] = ignore,
            [MESSAGE_REQUEST] = repeat_information,
            [MESSAGE_RECEIPT] = on_receipt,
            [MESSAGE_REFUSAL] = on_refusal,
        },
};

void session_begin(struct session *session, const uint8_t terminal_nonce[NONCE_BYTES])
{
    *session = (struct session){.state = SESSION_LISTENING};
    memcpy(session->nonces.terminal, terminal_nonce, NONCE_BYTES);
}

struct doing session_call(const struct device *device, uint32_t attempt, uint8_t *frame)
{
    return (struct doing){.frame_bytes = wire_call(frame, device->id, attempt)};
}

struct doing session_receive(struct session *session, const struct device *device, const struct message *message,
                             uint8_t *frame)
{
    struct step step = {.session = session, .device = device, .message = message, .frame = frame};
    handler *handle = TRANSITIONS[session->state][message->type];
    if (handle != NULL)
        return handle(&step);
    if (session->state == SESSION_CLOSED)
        return (struct doing){0};
    return refuse(session, REASON_UNEXPECTED, frame);
}

struct doing session_broken(struct session *session, enum reason reason, uint8_t *frame)
{
    if (session->state == SESSION_SERVED || session->state == SESSION_CLOSED) {
        session->state = SESSION_CLOSED;
        return (struct doing){0};
    }
    return refuse(session, reason, frame);
}
