/* Drives the parts of the farm program: a question per line on stdin, an answer per line on stdout.

   Words are separated by spaces; bytes are hexadecimal, "-" when there are none.  tests/retrieval/driver.py says what
   every question means. */

#define _GNU_SOURCE // getline

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "config.h"
#include "lateness.h"
#include "reactor.h"
#include "session.h"
#include "streams.h"
#include "wire.h"

#define MAX_WORDS 4096

static char *words[MAX_WORDS];
static uint8_t *pieces[MAX_WORDS]; /* bytes that words were read into */
static int word_count, piece_count;
static uint8_t frame[WHOLE_FRAME_BYTES];

/* Word `at` as bytes, in memory of exactly that size, for a sanitizer to see what is read behind it. */
static struct bytes bytes_at(int at)
{
    const char *text = words[at];
    size_t size = strcmp(text, "-") == 0 ? 0 : strlen(text) / 2;
    uint8_t *data = malloc(size);
    for (size_t i = 0; i < size; i++)
        sscanf(text + 2 * i, "%2hhx", &data[i]);
    pieces[piece_count++] = data;
    return (struct bytes){data, size};
}

static uint64_t number_at(int at)
{
    return strtoull(words[at], NULL, 10);
}

static void say_bytes(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        printf("%02x", data[i]);
    printf(size == 0 ? "- " : " ");
}

static void say_reason(enum reason reason)
{
    printf("%s ", reason_name(reason));
}

static const struct scheme *scheme_at(int at)
{
    return strcmp(words[at], "xor") == 0 ? &XOR_SCHEME : &HMAC_SCHEME;
}

static struct hmac_key secret_at(int at)
{
    struct bytes secret = bytes_at(at);
    struct hmac_key key;
    hmac_key_set(&key, secret.data, secret.size);
    return key;
}

/* Fed in two parts. */
static void answer_sha256(void)
{
    struct bytes text = bytes_at(1);
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    sha256_begin(&hash);
    sha256_add(&hash, text.data, text.size / 3);
    sha256_add(&hash, text.data + text.size / 3, text.size - text.size / 3);
    sha256_end(&hash, digest);
    say_bytes(digest, sizeof digest);
}

static void answer_hmac(void)
{
    struct hmac_key key = secret_at(1);
    struct bytes text = bytes_at(2);
    struct hmac mac;
    uint8_t digest[SHA256_BYTES];
    hmac_begin(&mac, &key);
    hmac_add(&mac, text.data, text.size);
    hmac_end(&mac, digest);
    say_bytes(digest, sizeof digest);
}

static void answer_blake2b(void)
{
    struct bytes text = bytes_at(1);
    printf("%" PRIu64, blake2b_8(text.data, text.size));
}

static void answer_key(void)
{
    struct hmac_key secret = secret_at(1);
    uint8_t key[KEY_BYTES];
    derive_key(&secret, words[2], number_at(3), key);
    say_bytes(key, sizeof key);
}

static void answer_draw(void)
{
    uint64_t key = number_at(1), counter = number_at(2);
    printf("%" PRIu64 " %.17g ", stream_u64(key, counter), stream_uniform(key, counter));
    printf("%" PRId64, stream_between(key, counter, number_at(3), number_at(4)));
}

static void answer_power(void)
{
    struct power_settings settings = {
        .on_ns = number_at(3),
        .off_min_ns = number_at(4),
        .off_max_ns = number_at(5),
        .redraw = number_at(6),
        .phase = number_at(7),
    };
    struct power_plan plan;
    struct power_cycle power;
    uint64_t index = number_at(2);
    power_plan(&plan, &settings, number_at(1));
    power_begin(&power, &plan, index);
    printf("%d %" PRId64 " ", power.is_on, power.next_change_ns);
    for (int at = 8; at < word_count; at++) {
        bool is_on = power_advance(&power, &plan, index, number_at(at));
        printf("%d %" PRId64 " ", is_on, power.next_change_ns);
    }
}

static void answer_information(void)
{
    size_t size = number_at(2);
    uint8_t *information = malloc(size);
    information_of(number_at(1), information, size);
    say_bytes(information, size);
    free(information);
}

static void say_message(const struct message *message)
{
    printf("%d %" PRIu64 " ", message->type, message->device_id);
    say_bytes(message->nonce.data, message->nonce.size);
    say_bytes(message->proof.data, message->proof.size);
    say_reason(message->reason);
}

static void answer_datagram(void)
{
    struct message message;
    enum reason wrong = wire_datagram(bytes_at(1), &message);
    if (wrong != REASON_NONE)
        say_reason(wrong);
    else
        say_message(&message);
}

static void answer_stream(void)
{
    struct frame_reader reader = {0};
    for (int at = 1; at < word_count; at++) {
        struct frames frames;
        struct message message;
        enum reason wrong = frames_open(&frames, &reader, bytes_at(at));
        say_reason(wrong);
        while (frames_next(&frames, &message))
            say_message(&message);
        frames_close(&frames);
        printf("; ");
    }
    printf("%" PRIu32, reader.rest_bytes);
    frame_reader_free(&reader);
}

static void answer_refusal(void)
{
    say_bytes(frame, wire_refusal(frame, number_at(1)));
}

static void answer_call(void)
{
    say_bytes(frame, wire_call(frame, number_at(1), number_at(2)));
}

static void answer_receipt(void)
{
    struct nonces nonces;
    struct proving proving = {bytes_at(2).data, 0, &nonces};
    uint8_t proof[TAG_BYTES];
    memcpy(nonces.isp, bytes_at(3).data, NONCE_BYTES);
    memcpy(nonces.terminal, bytes_at(4).data, NONCE_BYTES);
    say_bytes(proof, scheme_at(1)->prove_receipt(&proving, proof));
}

static void answer_challenge(void)
{
    say_bytes(frame, wire_challenge(frame, bytes_at(1).data, bytes_at(2)));
}

static void answer_sealed(void)
{
    struct bytes sealed = bytes_at(1);
    if (sealed.size > 0)
        memcpy(frame + SEALED_AT, sealed.data, sealed.size);
    say_bytes(frame, wire_information(frame, sealed.size, bytes_at(2)));
}

static void answer_exchange(void)
{
    const struct scheme *scheme = scheme_at(1);
    struct bytes own_key = bytes_at(4), information = bytes_at(7);
    struct nonces nonces;
    struct proving proving = {bytes_at(3).data, number_at(2), &nonces};
    uint8_t proof[TAG_BYTES], *sealed = frame + SEALED_AT;
    size_t sealed_bytes = scheme->seal_bytes + information.size;
    memcpy(nonces.isp, bytes_at(5).data, NONCE_BYTES);
    memcpy(nonces.terminal, bytes_at(6).data, NONCE_BYTES);
    scheme->prove_terminal(&proving, proof);
    say_bytes(proof, sizeof proof);
    scheme->prove_isp(&proving, proof);
    say_bytes(proof, sizeof proof);
    if (information.size > 0)
        memcpy(sealed + scheme->seal_bytes, information.data, information.size);
    scheme->seal(own_key.data, proving.device_id, nonces.isp, sealed, information.size);
    say_bytes(sealed, sealed_bytes);
    say_bytes(proof, scheme->prove_information(&proving, (struct bytes){sealed, sealed_bytes}, proof));
}

static struct fleet fleet;
static struct nonce_memory *memory;
static struct device device = {&fleet, 0, &memory};
static struct session session;

static void forget_device(void)
{
    free(memory);
    memory = NULL;
}

static void answer_device(void)
{
    forget_device();
    fleet = (struct fleet){scheme_at(1), secret_at(3), secret_at(4), number_at(5)};
    device.id = number_at(2);
}

static void answer_begin(void)
{
    session_begin(&session, bytes_at(1).data);
}

static void say_doing(struct doing doing)
{
    say_bytes(frame, doing.frame_bytes);
    printf("%d %d ", doing.is_served, doing.is_delivered);
    say_reason(doing.refused);
    printf("%d", session.state);
}

static void answer_receive(void)
{
    struct message message;
    enum reason wrong = wire_datagram(bytes_at(1), &message);
    say_doing(wrong != REASON_NONE ? session_broken(&session, wrong, frame)
                                   : session_receive(&session, &device, &message, frame));
}

static void answer_broken(void)
{
    say_doing(session_broken(&session, number_at(1), frame));
}

static void say_home(const struct home *home)
{
    char address[INET6_ADDRSTRLEN];
    if (!home->is_called) {
        printf("-");
        return;
    }
    printf("%s %d %" PRIu64 " ", address_text(&home->address, address), home->port, home->list_size);
    printf("%" PRId64 " %" PRId64 " ", home->connect_timeout_ns, home->answer_timeout_ns);
    printf("%" PRId64 " %" PRIu32, home->interval_ns, home->max_attempts);
}

static void answer_config(void)
{
    struct bytes text = bytes_at(1);
    struct farm_config config;
    struct failure failure = {0};
    char address[INET6_ADDRSTRLEN];
    if (!config_read(&config, (const char *)text.data, text.size, "some.json", &failure)) {
        printf("%s ", failure_name(failure.kind));
        say_bytes((const uint8_t *)failure.text.data, failure.text.size);
        text_free(&failure.text);
        return;
    }
    const struct power_settings *power = &config.power;
    printf("config %" PRIu64 " %" PRIu64 " %" PRIu64 " ", config.seed, config.first_index, config.count);
    printf("%" PRIu64 " %s %d ", config.first_device_id, address_text(&config.first_address, address), config.port);
    printf("%s %s ", config.transport == TRANSPORT_TCP ? "tcp" : "udp", config.fleet.scheme->name);
    printf("%" PRIu32 " %" PRId64 " ", config.fleet.information_bytes, power->on_ns);
    printf("%" PRId64 " %" PRId64 " %d ", power->off_min_ns, power->off_max_ns, power->redraw);
    printf("%d %d %" PRId64 " ", power->phase, config.is_silent_when_off, config.peer_timeout_ns);
    say_home(&config.home);
}

static void answer_lateness(void)
{
    struct lateness lateness = {0};
    for (int at = 2; at < word_count; at++)
        lateness_add(&lateness, number_at(at));
    int64_t quantile_ns = lateness_quantile_ns(&lateness, strtod(words[1], NULL));
    printf("%" PRIu64 " %" PRId64 " %" PRId64, lateness.count, lateness.max_ns, quantile_ns);
}

static struct reactor reactor;
static struct timer timers[MAX_WORDS];

static void say_timer(struct timer *timer)
{
    printf("%td ", timer - timers);
    if (reactor.timer_count == 0)
        reactor_stop(&reactor);
}

/* Pairs of a timer's number and the moment, long ago, to which it is set, or "-" for cancelled.  Says in which order
   the timers go off. */
static void answer_timers(void)
{
    if (!reactor_open(&reactor))
        return;
    memset(timers, 0, sizeof timers);
    for (int at = 1; at < word_count; at += 2) {
        struct timer *timer = &timers[number_at(at)];
        if (strcmp(words[at + 1], "-") == 0)
            reactor_cancel(&reactor, timer);
        else
            reactor_call_at(&reactor, timer, number_at(at + 1), say_timer);
    }
    if (reactor.timer_count > 0)
        reactor_run(&reactor);
    reactor_close(&reactor);
}

static const struct question {
    const char *word;
    void (*answer)(void);
} QUESTIONS[] = {
    {"sha256", answer_sha256},       {"hmac", answer_hmac},           {"blake2b", answer_blake2b},
    {"key", answer_key},             {"draw", answer_draw},           {"power", answer_power},
    {"information", answer_information}, {"datagram", answer_datagram},   {"stream", answer_stream},
    {"refusal", answer_refusal},     {"challenge", answer_challenge}, {"sealed", answer_sealed},
    {"exchange", answer_exchange},   {"device", answer_device},       {"begin", answer_begin},
    {"call", answer_call},           {"receipt", answer_receipt},
    {"receive", answer_receive},     {"broken", answer_broken},       {"config", answer_config},
    {"lateness", answer_lateness},   {"timers", answer_timers},
};

static void answer_line(char *line)
{
    word_count = piece_count = 0;
    for (char *word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n"))
        words[word_count++] = word;
    for (size_t i = 0; i < sizeof QUESTIONS / sizeof *QUESTIONS; i++)
        if (strcmp(words[0], QUESTIONS[i].word) == 0)
            QUESTIONS[i].answer();
    printf("\n");
    fflush(stdout);
    while (piece_count > 0)
        free(pieces[--piece_count]);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0)
        answer_line(line);
    free(line);
    forget_device();
    return 0;
}
