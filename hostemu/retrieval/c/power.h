/* A terminal's power cycle, as hostemu/protocol/power.py has it. */
#ifndef POWER_H
#define POWER_H

#include <stdbool.h>
#include <stdint.h>

enum phase { PHASE_RANDOM, PHASE_ON, PHASE_OFF };

/* Durations in nanoseconds, at most MAX_DURATION_NS. */
struct power_settings {
    int64_t on_ns;
    int64_t off_min_ns;
    int64_t off_max_ns;
    bool redraw; /* the off time is drawn anew in every cycle, else once per terminal */
    enum phase phase;
};

/* What all terminals of a fleet have in common. */
struct power_plan {
    struct power_settings settings;
    uint64_t seed;
    uint64_t off_key; /* of off times drawn once */
    uint64_t phase_key;
};

/* One terminal; time 0 is the start of the run. */
struct power_cycle {
    int64_t next_change_ns;
    uint64_t cycle;
    bool is_on;
};

void power_plan(struct power_plan *plan, const struct power_settings *settings, uint64_t seed);

/* The state at time 0 of terminal `index` of the fleet. */
void power_begin(struct power_cycle *power, const struct power_plan *plan, uint64_t index);

/* Go on to `now_ns`; whether the terminal is on then.  Ask in order of time. */
bool power_advance(struct power_cycle *power, const struct power_plan *plan, uint64_t index, int64_t now_ns);

#endif
