#include "power.h"

#include <inttypes.h>
#include <stdio.h>

#include "streams.h"

#define OFF_TIMES "power" NAME_SEPARATOR "off"
#define PHASES "power" NAME_SEPARATOR "phase"

void power_plan(struct power_plan *plan, const struct power_settings *settings, uint64_t seed)
{
    *plan = (struct power_plan){
        .settings = *settings,
        .seed = seed,
        .off_key = stream_named(seed, OFF_TIMES),
        .phase_key = stream_named(seed, PHASES),
    };
}

static int64_t off_ns(const struct power_plan *plan, uint64_t index, uint64_t cycle)
{
    const struct power_settings *settings = &plan->settings;
    if (!settings->redraw)
        return stream_between(plan->off_key, index, settings->off_min_ns, settings->off_max_ns);
    // The stream is the terminal's own.  To name it takes half a microsecond, to keep its key 8 bytes per terminal.
    char name[NAME_BYTES];
    snprintf(name, sizeof name, OFF_TIMES NAME_SEPARATOR "%" PRIu64, index);
    return stream_between(stream_named(plan->seed, name), cycle, settings->off_min_ns, settings->off_max_ns);
}

void power_begin(struct power_cycle *power, const struct power_plan *plan, uint64_t index)
{
    int64_t on_ns = plan->settings.on_ns;
    int64_t asleep_ns = off_ns(plan, index, 0);
    power->cycle = 0;
    switch (plan->settings.phase) {
    case PHASE_ON:
        power->is_on = true;
        power->next_change_ns = on_ns;
        break;
    case PHASE_OFF:
        power->is_on = false;
        power->next_change_ns = asleep_ns;
        break;
    case PHASE_RANDOM: {
        // A cycle is a time of sleep, then one awake.
        int64_t into_ns = (int64_t)(stream_uniform(plan->phase_key, index) * (double)(asleep_ns + on_ns));
        power->is_on = into_ns >= asleep_ns;
        power->next_change_ns = (power->is_on ? asleep_ns + on_ns : asleep_ns) - into_ns;
        break;
    }
    }
}

bool power_advance(struct power_cycle *power, const struct power_plan *plan, uint64_t index, int64_t now_ns)
{
    while (power->next_change_ns <= now_ns) {
        if (power->is_on)
            power->next_change_ns += off_ns(plan, index, ++power->cycle);
        else
            power->next_change_ns += plan->settings.on_ns;
        power->is_on = !power->is_on;
    }
    return power->is_on;
}
