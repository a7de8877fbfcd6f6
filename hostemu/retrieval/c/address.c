#include "address.h"

#include <arpa/inet.h>
#include <string.h>

static int octets_of(const struct address *address)
{
    return address->family == AF_INET ? 4 : 16;
}

bool address_read(struct address *address, const char *text)
{
    char plain[INET6_ADDRSTRLEN];
    const char *scope = strchr(text, '%');
    size_t size = scope == NULL ? strlen(text) : (size_t)(scope - text);
    if (size >= sizeof plain || (scope != NULL && (scope[1] == 0 || strchr(scope + 1, '%') != NULL)))
        return false;
    memcpy(plain, text, size);
    plain[size] = 0;
    *address = (struct address){.family = strchr(plain, ':') != NULL ? AF_INET6 : AF_INET};
    if (address->family == AF_INET && scope != NULL)
        return false;
    return inet_pton(address->family, plain, address->octets) == 1;
}

bool address_plus(struct address *address, unsigned __int128 offset)
{
    for (int i = octets_of(address) - 1; i >= 0; i--) {
        offset += address->octets[i];
        address->octets[i] = offset;
        offset >>= 8;
    }
    return offset == 0;
}

socklen_t address_with_port(const struct address *address, uint16_t port, union socket_address *result)
{
    *result = (union socket_address){0};
    if (address->family == AF_INET) {
        result->v4.sin_family = AF_INET;
        result->v4.sin_port = htons(port);
        memcpy(&result->v4.sin_addr, address->octets, 4);
        return sizeof result->v4;
    }
    result->v6.sin6_family = AF_INET6;
    result->v6.sin6_port = htons(port);
    memcpy(&result->v6.sin6_addr, address->octets, 16);
    return sizeof result->v6;
}

const char *address_text(const struct address *address, char text[INET6_ADDRSTRLEN])
{
    return inet_ntop(address->family, address->octets, text, INET6_ADDRSTRLEN);
}
