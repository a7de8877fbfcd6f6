/* What the parts of the agent know of each other. */
#ifndef AGENT_H
#define AGENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_PROGRAMS = 64, MAX_POLLED = 3 * MAX_PROGRAMS };

/* agent.c */
void send_frame(int type, uint16_t stream, const void *payload, size_t length);
bool channel_is_full(void);

/* programs.c */
void spawn_program(uint16_t stream, uint8_t *payload, size_t length);
void feed_program(uint16_t stream, const uint8_t *data, size_t length);
void signal_program(uint16_t stream, int number);
void forget_program(uint16_t stream);
void credit_program(uint16_t stream, uint32_t bytes);
void tell_usage(uint16_t stream);
nfds_t poll_programs(struct pollfd *fds);
void serve_programs(const struct pollfd *fds, nfds_t count);
void reap_programs(void);

/* commands.c */
int command(int argc, char **argv);

/* processes.c */
struct process_usage {
    uint64_t cpu_us, resident_bytes, peak_bytes;
};
struct process_usage usage_of(int pid);
bool heeds(int pid, int signal_number);

/* system.c */
void prepare_system(void);
bool kernel_argument(const char *name, char *value, size_t room);
bool is_uml(void);
void tell_clock(uint16_t stream);
void reseed(uint16_t stream, const uint8_t *payload, size_t length);
void read_file(uint16_t stream, const uint8_t *payload, size_t length);
void write_file(uint16_t stream, const uint8_t *payload, size_t length);
void mount_at(uint16_t stream, uint8_t *payload, size_t length);
void answer_errno(uint16_t stream, int number);
_Noreturn void die(const char *why);

static inline uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline void put_u32(uint8_t *at, uint32_t value)
{
    for (int k = 0; k < 4; k++)
        at[k] = (uint8_t)(value >> 8 * k);
}

static inline uint64_t get_u64(const uint8_t *at)
{
    return get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

static inline void put_u64(uint8_t *at, uint64_t value)
{
    put_u32(at, (uint32_t)value);
    put_u32(at + 4, (uint32_t)(value >> 32));
}

#endif
