#include "frames.h"

#include <string.h>

enum { ETHERNET_BYTES = 14, IPV4_BYTES = 20, TCP_BYTES = 20, OPTION_BYTES = 4 };
enum { ETHERTYPE_IPV4 = 0x0800, PROTOCOL_TCP = 6, HOPS = 64 };
enum { OPTION_END, OPTION_NOTHING, OPTION_SEGMENT };

static uint16_t get_u16(const uint8_t *from)
{
    return (uint16_t)(from[0] << 8 | from[1]);
}

uint32_t segment_space(const struct segment *segment)
{
    return (uint32_t)segment->data.size + !!(segment->flags & TCP_SYN) + !!(segment->flags & TCP_FIN);
}

static uint16_t segment_option(const uint8_t *options, int64_t bytes)
{
    for (int64_t at = 0; at < bytes && options[at] != OPTION_END;) {
        if (options[at] == OPTION_NOTHING) {
            at++;
            continue;
        }
        if (at + 1 >= bytes || options[at + 1] < 2)
            break;
        if (options[at] == OPTION_SEGMENT && at + OPTION_BYTES <= bytes)
            return get_u16(options + at + 2);
        at += options[at + 1];
    }
    return 0;
}

bool segment_read(const uint8_t *frame, int64_t bytes, struct segment *segment)
{
    if (bytes < ETHERNET_BYTES + IPV4_BYTES || get_u16(frame + 12) != ETHERTYPE_IPV4)
        return false;
    const uint8_t *ip = frame + ETHERNET_BYTES;
    int64_t whole = get_u16(ip + 2), head = 4 * (ip[0] & 15);
    bool is_piece = get_u16(ip + 6) & 0x3fff;
    if (ip[0] >> 4 != 4 || ip[9] != PROTOCOL_TCP || is_piece || head < IPV4_BYTES || whole < head + TCP_BYTES ||
        ETHERNET_BYTES + whole > bytes)
        return false;
    const uint8_t *tcp = ip + head;
    int64_t tcp_head = 4 * (tcp[12] >> 4);
    if (tcp_head < TCP_BYTES || head + tcp_head > whole)
        return false;
    *segment = (struct segment){
        .source = get_u32(ip + 12),
        .target = get_u32(ip + 16),
        .source_port = get_u16(tcp),
        .target_port = get_u16(tcp + 2),
        .sequence = get_u32(tcp + 4),
        .acknowledged = get_u32(tcp + 8),
        .flags = tcp[13],
        .window = get_u16(tcp + 14),
        .segment_bytes = segment_option(tcp + TCP_BYTES, tcp_head - TCP_BYTES),
        .data = {tcp + tcp_head, (size_t)(whole - head - tcp_head)},
    };
    return true;
}

static int64_t tcp_head_bytes(const struct segment *segment)
{
    return TCP_BYTES + (segment->segment_bytes ? OPTION_BYTES : 0);
}

int64_t segment_frame_bytes(const struct segment *segment)
{
    return ETHERNET_BYTES + IPV4_BYTES + tcp_head_bytes(segment) + (int64_t)segment->data.size;
}

static uint32_t sum(const uint8_t *data, size_t size, uint32_t start)
{
    for (size_t i = 0; i + 1 < size; i += 2)
        start += get_u16(data + i);
    return size & 1 ? start + ((uint32_t)data[size - 1] << 8) : start;
}

static uint16_t checksum(uint32_t total)
{
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    return (uint16_t)~total;
}

void segment_write(const struct segment *segment, const uint8_t from[MAC_BYTES], const uint8_t to[MAC_BYTES],
                   uint8_t *frame)
{
    uint8_t *ip = frame + ETHERNET_BYTES, *tcp = ip + IPV4_BYTES;
    size_t tcp_head = (size_t)tcp_head_bytes(segment), tcp_size = tcp_head + segment->data.size;
    memset(frame, 0, ETHERNET_BYTES + IPV4_BYTES + tcp_head);
    memcpy(frame, to, MAC_BYTES);
    memcpy(frame + MAC_BYTES, from, MAC_BYTES);
    put_u16(frame + 12, ETHERTYPE_IPV4);
    ip[0] = 0x45;
    put_u16(ip + 2, (uint16_t)(IPV4_BYTES + tcp_size));
    put_u16(ip + 6, 0x4000); // not to be cut
    ip[8] = HOPS;
    ip[9] = PROTOCOL_TCP;
    put_u32(ip + 12, segment->source);
    put_u32(ip + 16, segment->target);
    put_u16(ip + 10, checksum(sum(ip, IPV4_BYTES, 0)));
    put_u16(tcp, segment->source_port);
    put_u16(tcp + 2, segment->target_port);
    put_u32(tcp + 4, segment->sequence);
    put_u32(tcp + 8, segment->acknowledged);
    tcp[12] = (uint8_t)(tcp_head / 4 << 4);
    tcp[13] = segment->flags;
    put_u16(tcp + 14, segment->window);
    if (segment->segment_bytes) {
        tcp[TCP_BYTES] = OPTION_SEGMENT;
        tcp[TCP_BYTES + 1] = OPTION_BYTES;
        put_u16(tcp + TCP_BYTES + 2, segment->segment_bytes);
    }
    if (segment->data.size > 0)
        memcpy(tcp + tcp_head, segment->data.data, segment->data.size);
    put_u16(tcp + 16, checksum(sum(tcp, tcp_size, sum(ip + 12, 8, PROTOCOL_TCP + (uint32_t)tcp_size))));
}
