#include "simulated.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../streams.h"
#include "inside.h"

static int64_t run_ns(const struct simulated *farm, int64_t now_ns)
{
    return farm->has_started && now_ns > farm->start_ns ? now_ns - farm->start_ns : 0;
}

bool terminal_is_on(struct simulated *farm, uint32_t terminal, int64_t now_ns)
{
    uint64_t index = farm->config.first_index + terminal;
    return power_advance(&farm->power[terminal], &farm->plan, index, run_ns(farm, now_ns));
}

static int64_t next_ending_ns(const struct callers *callers)
{
    return callers->ending_count > 0 ? callers->endings[0].at_ns : NEVER_NS;
}

int64_t simulated_call(struct simulated *farm, int64_t now_ns, const uint8_t *frame, int64_t bytes, uint8_t *said)
{
    struct arrival arrival = {.farm = farm, .now_ns = now_ns, .said = said, .said_bytes = sizeof(int64_t)};
    if (frame != NULL && segment_read(frame + VNET_BYTES, bytes - VNET_BYTES, &arrival.in))
        on_segment(&arrival);
    else if (frame == NULL && next_ending_ns(&farm->callers) <= now_ns)
        on_ending(&arrival, callers_take_ending(&farm->callers));
    int64_t next_ns = next_ending_ns(&farm->callers);
    memcpy(said, &next_ns, sizeof next_ns);
    return arrival.said_bytes;
}

void simulated_start(struct simulated *farm, int64_t at_ns)
{
    farm->start_ns = at_ns;
    farm->has_started = true;
}

static bool is_possible(const struct farm_config *config, struct failure *failure)
{
    if (config->transport == TRANSPORT_TCP && config->first_address.family == AF_INET && !config->home.is_called)
        return true;
    fail(failure, INPUT_ERROR, "such terminals cannot be simulated among real hosts");
    fail_more(failure, "expected", "terminals that are called over TCP, with IPv4 addresses");
    return false;
}

static bool furnish(struct simulated *farm)
{
    uint64_t count = farm->config.count;
    farm->power = calloc(count, sizeof *farm->power);
    farm->nonces = calloc(count, sizeof(struct nonce_memory *));
    if (farm->power == NULL || farm->nonces == NULL)
        return false;
    power_plan(&farm->plan, &farm->config.power, farm->config.seed);
    for (uint64_t i = 0; i < count; i++) {
        power_begin(&farm->power[i], &farm->plan, farm->config.first_index + i);
        farm->begun_on += farm->power[i].is_on;
    }
    return true;
}

static void complain(struct failure *failure, char *complaint, uint64_t room)
{
    const char *text = failure->text.size > 0 ? failure->text.data : "out of memory";
    strncpy(complaint, text, room - 1);
    complaint[room - 1] = 0;
    text_free(&failure->text);
}

static void put_mac(uint8_t mac[MAC_BYTES], uint64_t number)
{
    for (int i = MAC_BYTES - 1; i >= 0; i--, number >>= 8)
        mac[i] = (uint8_t)number;
}

struct simulated *simulated_open(const char *config, uint64_t size, uint64_t own_mac, uint64_t gateway_mac,
                                 char *complaint, uint64_t room)
{
    struct failure failure = {0};
    struct simulated *farm = calloc(1, sizeof *farm);
    if (farm == NULL || !config_read(&farm->config, config, size, "the configuration", &failure) ||
        !is_possible(&farm->config, &failure) || !furnish(farm)) {
        complain(&failure, complaint, room);
        if (farm != NULL)
            simulated_close(farm);
        return NULL;
    }
    char name[NAME_BYTES];
    memcpy(&farm->first_address, farm->config.first_address.octets, sizeof farm->first_address);
    farm->first_address = ntohl(farm->first_address);
    put_mac(farm->own_mac, own_mac);
    put_mac(farm->gateway_mac, gateway_mac);
    snprintf(name, sizeof name, "simulated" NAME_SEPARATOR "nonces" NAME_SEPARATOR "%" PRIu64,
             farm->config.first_index);
    farm->nonce_key = stream_named(farm->config.seed, name);
    snprintf(name, sizeof name, "simulated" NAME_SEPARATOR "sequences" NAME_SEPARATOR "%" PRIu64,
             farm->config.first_index);
    farm->sequence_key = stream_named(farm->config.seed, name);
    return farm;
}

void simulated_close(struct simulated *farm)
{
    for (uint64_t i = 0; farm->nonces != NULL && i < farm->config.count; i++)
        free(farm->nonces[i]);
    free(farm->nonces);
    free(farm->power);
    callers_free(&farm->callers);
    free(farm);
}

uint64_t simulated_counters(struct simulated *farm, int64_t now_ns, char *text, uint64_t room)
{
    struct text said = {0};
    const char *separator = "";
    uint64_t on = 0, switches = 0;
    for (uint64_t i = 0; i < farm->config.count; i++) {
        on += terminal_is_on(farm, (uint32_t)i, now_ns);
        switches += 2 * farm->power[i].cycle;
    }
    // Each cycle ends by going off; whoever is on now has come on once more, or was so from the beginning.
    switches += on - farm->begun_on;
    text_add(&said, "{\"event\": \"result\", \"served\": %" PRIu64 ", \"connections\": %" PRIu64, farm->served,
             farm->accepted);
    text_add(&said, ", \"calls\": 0, \"calls_by_reason\": {}, \"refusals\": {");
    for (unsigned reason = 0; reason < REASONS; reason++)
        if (farm->refusals[reason] > 0) {
            text_add(&said, "%s\"%s\": %" PRIu64, separator, reason_name(reason), farm->refusals[reason]);
            separator = ", ";
        }
    text_add(&said, "}, \"power_switches\": %" PRIu64 ", \"terminals_on\": %" PRIu64, switches, on);
    text_add(&said, ", \"cpu_ns\": 0, \"max_lag_ns\": 0, \"p99_lag_ns\": 0, \"timers\": 0, \"maxrss_bytes\": 0}");
    uint64_t size = said.size;
    if (size < room && said.data != NULL) {
        memcpy(text, said.data, size);
        text[size] = 0;
    }
    text_free(&said);
    return size;
}
