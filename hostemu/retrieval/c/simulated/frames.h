/* TCP segments in Ethernet frames (IPv4, RFC 791; TCP, RFC 9293), read and written. */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "../bytes.h"

#define MAC_BYTES 6

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

/* Addresses and ports in this machine's byte order. */
struct segment {
    uint32_t source, target;
    uint16_t source_port, target_port;
    uint32_t sequence, acknowledged;
    uint8_t flags;
    uint16_t window;
    uint16_t segment_bytes; /* the option of that name; 0: none */
    struct bytes data;
};

/* What a segment takes of the sequence. */
uint32_t segment_space(const struct segment *segment);

/* False when the frame holds no whole segment.  Checksums are not looked at: the emulator changes no octet. */
bool segment_read(const uint8_t *frame, int64_t bytes, struct segment *segment);

int64_t segment_frame_bytes(const struct segment *segment);
void segment_write(const struct segment *segment, const uint8_t from[MAC_BYTES], const uint8_t to[MAC_BYTES],
                   uint8_t *frame);

#endif
