/* IPv4 and IPv6 addresses that follow one another. */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct address {
    int family; /* AF_INET or AF_INET6 */
    uint8_t octets[16]; /* of IPv4 the first 4 */
};

/* A socket address of either family. */
union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* From text; false when it is no address.  The scope of an IPv6 address is dropped. */
bool address_read(struct address *address, const char *text);

/* The one that is `offset` further; false when there is none. */
bool address_plus(struct address *address, unsigned __int128 offset);

/* Returns the size of the result. */
socklen_t address_with_port(const struct address *address, uint16_t port, union socket_address *result);

const char *address_text(const struct address *address, char text[INET6_ADDRSTRLEN]);

#endif
