/* Socket matters: what hostemu/retrieval/sockets.py does. */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "reasons.h"

#define RECEIVE_BYTES (16 * 1024)

/* A non-blocking socket of `kind` (SOCK_STREAM, SOCK_DGRAM), bound; -1 with errno.
   The address need be no interface's own (AnyIP). */
int bound_socket(int kind, const struct address *address, uint16_t port);

/* Closes with RST: the peer learns it at once, and no TIME_WAIT keeps the port on either side. */
void reset(int fd);

/* A filter that many sockets share, -1 when this system has none: with one for each, as it comes with deafen, the
   kernel spends 7 kB for every deaf socket. */
int shared_filter(void);

/* Has the kernel discard whatever comes in for this socket, as if the host were switched off; false with errno.
   What the socket has sent and the peer has not acknowledged is still retransmitted now and then.
   filter: from shared_filter. */
bool deafen(int fd, int filter);
void undeafen(int fd);

/* Why a connection failed; what is no word from the network is LOCAL. */
enum reason reason_of(int error);

/* Whether the error number says that this host ran out of something. */
bool is_shortage(int error);

/* Allows this process as many descriptors as it may have. */
void raise_file_limit(void);
uint64_t file_limit(void);

/* The kernel's randomness, at most 256 bytes; does not wait until the kernel has gathered enough of it.  False when
   this host has none to give. */
bool random_bytes(void *to, uint32_t size);

#endif
