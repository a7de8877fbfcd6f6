/* Terminals without a host: a farm that lives in the emulator, and answers frames as a guest full of terminals would.

   The same configuration, power cycles, sessions and bytes as the farm program's; what stands in for the guest's
   kernel is a TCP (RFC 9293) of what terminals need of it: they are called, and every answer is short.  Nothing is
   sent again by a timer: whoever repeats a segment is answered by what has not been acknowledged.

   A power cycle costs nothing while nobody calls.  Time is what the caller says, in its own nanoseconds. */
#ifndef SIMULATED_H
#define SIMULATED_H

#include <stdint.h>

#define VNET_BYTES 10 /* struct virtio_net_hdr, in front of every frame */
#define NEVER_NS INT64_MAX

struct simulated;

/* Room for what one call says. */
#define MOST_SAID_BYTES (64 * 1024)

#define PUBLIC __attribute__((visibility("default")))

/* config: as of the farm program, of terminals that are called over TCP by IPv4.  NULL when it is none, or without
   memory; `complaint`, of `room` bytes, then says why. */
PUBLIC struct simulated *simulated_open(const char *config, uint64_t size, uint64_t own_mac, uint64_t gateway_mac,
                                        char *complaint, uint64_t room);
PUBLIC void simulated_close(struct simulated *farm);

/* Time 0 of all power cycles; before, terminals are as they are then. */
PUBLIC void simulated_start(struct simulated *farm, int64_t at_ns);

/* A frame has come, struct virtio_net_hdr in front; or, with NULL, the moment that the farm has asked for.
   said: MOST_SAID_BYTES.  First, in 8 bytes, when the farm is to be called next, be there a frame or not (NEVER_NS:
   not at all); then the frames that it sends, each behind its length (of 8 bytes), filled up to 8.  Returns their
   bytes, the first 8 included. */
PUBLIC int64_t simulated_call(struct simulated *farm, int64_t now_ns, const uint8_t *frame, int64_t bytes,
                              uint8_t *said);

/* The farm program's last word, as JSON with a 0 at its end; its bytes, or what `room` would have to be more than. */
PUBLIC uint64_t simulated_counters(struct simulated *farm, int64_t now_ns, char *text, uint64_t room);

#endif
