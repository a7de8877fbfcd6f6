/* The configuration of a farm: the JSON that hostemu/retrieval/config.py's FarmConfig writes, read as strictly. */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "power.h"
#include "session.h"
#include "text.h"

enum transport { TRANSPORT_TCP, TRANSPORT_UDP };

/* Where terminals call, and how: terminal k of the fleet calls port + k / list_size.  See Home in config.py. */
struct home {
    bool is_called; /* else terminals listen */
    struct address address;
    uint16_t port;
    uint64_t list_size;
    int64_t connect_timeout_ns, answer_timeout_ns, interval_ns;
    uint32_t max_attempts;
};

struct farm_config {
    uint64_t seed;
    uint64_t first_index; /* of terminals in the fleet */
    uint64_t count;
    uint64_t first_device_id;
    struct address first_address;
    uint16_t port;
    enum transport transport;
    struct fleet fleet;
    struct power_settings power;
    bool is_silent_when_off;
    int64_t peer_timeout_ns;
    struct home home;
};

/* From a JSON text.  On false the failure, an INPUT_ERROR, names file, key, what was expected and what was found. */
bool config_read(struct farm_config *config, const char *text, size_t size, const char *file,
                 struct failure *failure);

#endif
