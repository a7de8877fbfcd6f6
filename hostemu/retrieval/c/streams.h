/* Named random streams: the same numbers as hostemu/base/streams.py, which says what they are. */
#ifndef STREAMS_H
#define STREAMS_H

#include <stddef.h>
#include <stdint.h>

#define NAME_BYTES 128 /* of a stream's name; one block of BLAKE2b */

/* BLAKE2b (RFC 7693) with a digest of 8 bytes, read as a little-endian integer; at most NAME_BYTES of text. */
uint64_t blake2b_8(const void *text, size_t size);

/* The key of the stream "seed, name…"; `name` has its parts separated by NAME_SEPARATOR. */
#define NAME_SEPARATOR "\x1f"
uint64_t stream_named(uint64_t seed, const char *name);

/* Draw number `counter` of a stream: an integer of 64 bits; a double in [0, 1); an integer in [low, high]. */
uint64_t stream_u64(uint64_t key, uint64_t counter);
double stream_uniform(uint64_t key, uint64_t counter);
int64_t stream_between(uint64_t key, uint64_t counter, int64_t low, int64_t high);

#endif
