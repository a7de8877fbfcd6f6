#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Returns the bytes that the kernel took; on a dead connection all of them, into the void. */
static size_t try_send(int fd, const uint8_t *data, size_t size)
{
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN ? 0 : size;
}

static void keep_unread(struct link *link, const uint8_t *data, size_t size)
{
    uint8_t *larger = realloc(link->unread, link->unread_bytes + size);
    if (larger == NULL) {
        link->is_starved = true;
        return;
    }
    memcpy(larger + link->unread_bytes, data, size);
    link->unread = larger;
    link->unread_bytes += size;
}

void link_send(struct link *link, struct reactor *reactor, const uint8_t *data, size_t size)
{
    size_t sent = link->unread_bytes > 0 ? 0 : try_send(link->fd, data, size);
    if (sent == size)
        return;
    if (link->unread_bytes == 0)
        reactor_modify(reactor, link->fd, EPOLLIN | EPOLLOUT);
    keep_unread(link, data + sent, size - sent);
}

static void shut_if_sent(const struct link *link)
{
    if (link->shuts && link->unread_bytes == 0)
        shutdown(link->fd, SHUT_WR);
}

void link_shut(struct link *link)
{
    link->shuts = true;
    shut_if_sent(link);
}

void link_flush(struct link *link, struct reactor *reactor)
{
    size_t sent = try_send(link->fd, link->unread, link->unread_bytes);
    link->unread_bytes -= sent;
    memmove(link->unread, link->unread + sent, link->unread_bytes);
    if (link->unread_bytes > 0)
        return;
    link_free(link);
    reactor_modify(reactor, link->fd, EPOLLIN);
    shut_if_sent(link);
}

void link_free(struct link *link)
{
    free(link->unread);
    link->unread = NULL;
    link->unread_bytes = 0;
}
