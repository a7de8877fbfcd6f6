/* Pieces of memory, and integers in network byte order. */
#ifndef BYTES_H
#define BYTES_H

#include <stddef.h>
#include <stdint.h>

/* Memory that belongs to somebody else. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

static inline void put_u16(uint8_t *to, uint16_t value)
{
    to[0] = value >> 8;
    to[1] = value;
}

static inline void put_u32(uint8_t *to, uint32_t value)
{
    put_u16(to, value >> 16);
    put_u16(to + 2, value);
}

static inline void put_u64(uint8_t *to, uint64_t value)
{
    put_u32(to, value >> 32);
    put_u32(to + 4, value);
}

static inline uint32_t get_u32(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | from[1] << 16 | from[2] << 8 | from[3];
}

#endif
