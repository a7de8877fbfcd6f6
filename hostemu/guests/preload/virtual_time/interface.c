/*
 * The network interfaces of a guest: the device's side of vhost-user (QEMU: docs/interop/vhost-user.rst) with in-band
 * notifications, as arch/um/drivers/virtio_uml.c (Linux 6.1) asks for it.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../kernel.h"
#include "virtual_time.h"

/* vhost-user */
enum {
    GET_FEATURES = 1,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_PROTOCOL_FEATURES = 15,
    GET_QUEUE_NUM = 17,
    SET_VRING_ENABLE = 18,
    SET_SLAVE_REQ_FD = 21,
    GET_CONFIG = 24,
    VRING_KICK = 35,
    VRING_CALL = 4,
};
enum { VERSION = 1, IS_REPLY = 4, NEEDS_REPLY = 8 };
/* VIRTIO 1.2, 5.1.3 and 6; vhost-user's own bit. */
#define FEATURES (1ull << 5 | 1ull << 30 | 1ull << 32) /* MAC, PROTOCOL, VERSION_1 */
#define PROTOCOL_FEATURES (1ull << 3 | 1ull << 5 | 1ull << 9 | 1ull << 14) /* REPLY_ACK, SLAVE_REQ, CONFIG, INBAND */

enum { MOST_FDS = 8, MOST_BYTES = 1024 };

struct head {
    uint32_t request, flags, size;
};

struct interface {
    int fd, calls_fd;
    uint8_t reply[MOST_BYTES];
    size_t reply_bytes, reply_read;
    uint8_t call[sizeof(struct head) + 8];
    size_t call_bytes, call_read;
    bool is_call_new;
};

static struct interface interfaces[MOST_INTERFACES];
static unsigned count;
static int pair[2] = {-1, -1};

bool interface_open(int fd)
{
    if (count == MOST_INTERFACES)
        return false;
    interfaces[count++] = (struct interface){.fd = fd, .calls_fd = -1};
    return true;
}

struct interface *interface_of(int fd)
{
    for (unsigned nic = 0; fd >= 0 && nic < count; nic++)
        if (interfaces[nic].fd == fd)
            return &interfaces[nic];
    return NULL;
}

struct interface *caller_of(int fd)
{
    for (unsigned nic = 0; fd >= 0 && nic < count; nic++)
        if (interfaces[nic].calls_fd == fd)
            return &interfaces[nic];
    return NULL;
}

void note_pair(int first, int second)
{
    pair[0] = first;
    pair[1] = second;
}

void raise_call(unsigned nic, unsigned queue)
{
    struct interface *interface = &interfaces[nic];
    struct head head = {VRING_CALL, VERSION, 8};
    uint32_t state[2] = {queue, 0};
    if (nic >= count)
        return;
    memcpy(interface->call, &head, sizeof head);
    memcpy(interface->call + sizeof head, state, sizeof state);
    interface->call_bytes = sizeof interface->call;
    interface->call_read = 0;
    interface->is_call_new = true;
    kernel(SYS_kill, getpid(), SIGIO, 0, 0);
}

int new_call(void)
{
    for (unsigned nic = 0; nic < count; nic++)
        if (interfaces[nic].is_call_new) {
            interfaces[nic].is_call_new = false;
            return interfaces[nic].calls_fd;
        }
    return -1;
}

static ssize_t take(void *buffer, size_t length, const uint8_t *from, size_t *at, size_t end)
{
    if (*at == end) {
        errno = EAGAIN;
        return -1;
    }
    size_t taken = length < end - *at ? length : end - *at;
    memcpy(buffer, from + *at, taken);
    *at += taken;
    return (ssize_t)taken;
}

ssize_t calls_read(struct interface *interface, void *buffer, size_t length)
{
    return take(buffer, length, interface->call, &interface->call_read, interface->call_bytes);
}

ssize_t interface_read(struct interface *interface, void *buffer, size_t length)
{
    return take(buffer, length, interface->reply, &interface->reply_read, interface->reply_bytes);
}

bool interface_is_readable(const struct interface *interface)
{
    return interface->reply_read != interface->reply_bytes;
}

static void answer(struct interface *interface, uint32_t request, const void *payload, uint32_t size)
{
    struct head head = {request, VERSION | IS_REPLY, size};
    memcpy(interface->reply, &head, sizeof head);
    memcpy(interface->reply + sizeof head, payload, size);
    interface->reply_read = 0;
    interface->reply_bytes = sizeof head + size;
}

/* VIRTIO 1.2, 5.1.4: the MAC address; what else there is belongs to features that are not offered. */
static void tell_config(struct interface *interface, const uint8_t *payload, uint32_t size)
{
    enum { CONFIG_HEAD = 12, MAC_BYTES = 6 };
    uint8_t said[MOST_BYTES - sizeof(struct head)] = {0};
    memcpy(said, payload, CONFIG_HEAD);
    memcpy(said + CONFIG_HEAD, desk->macs[interface - interfaces], MAC_BYTES);
    answer(interface, GET_CONFIG, said, size);
}

static void obey(struct interface *interface, const struct head *head, const uint8_t *payload, const int *fds,
                 size_t fd_count)
{
    unsigned nic = (unsigned)(interface - interfaces);
    uint64_t said = 0; /* success */
    bool is_asked = head->flags & NEEDS_REPLY, is_done = true;
    switch (head->request) {
    case GET_FEATURES:
        said = FEATURES;
        is_asked = true;
        break;
    case GET_PROTOCOL_FEATURES:
        said = PROTOCOL_FEATURES;
        is_asked = true;
        break;
    case GET_QUEUE_NUM:
        said = 1;
        is_asked = true;
        break;
    case GET_CONFIG:
        tell_config(interface, payload, head->size);
        return;
    case SET_MEM_TABLE:
        is_done = queues_map(payload, fds, fd_count);
        break;
    case SET_SLAVE_REQ_FD:
        interface->calls_fd = pair[0];
        break;
    case SET_VRING_NUM:
        is_done = queues_set(nic, QUEUE_ENTRIES, payload);
        break;
    case SET_VRING_ADDR:
        is_done = queues_set(nic, QUEUE_ADDRESSES, payload);
        break;
    case SET_VRING_BASE:
        is_done = queues_set(nic, QUEUE_NEXT, payload);
        break;
    case SET_VRING_ENABLE:
        is_done = queues_set(nic, QUEUE_ENABLED, payload);
        break;
    case VRING_KICK:
        if (payload[0] == TX)
            queues_send(nic);
        break;
    }
    if (!is_done)
        said = 1;
    if (is_asked)
        answer(interface, head->request, &said, sizeof said);
}

ssize_t interface_sendmsg(struct interface *interface, const struct msghdr *message)
{
    const struct iovec *part = message->msg_iov;
    struct head head;
    if (message->msg_iovlen != 1 || part->iov_len < sizeof head || part->iov_len > MOST_BYTES) {
        errno = EMSGSIZE;
        return -1;
    }
    memcpy(&head, part->iov_base, sizeof head);
    if (head.size != part->iov_len - sizeof head) {
        errno = EINVAL;
        return -1;
    }
    uint8_t payload[MOST_BYTES] = {0};
    memcpy(payload, (const uint8_t *)part->iov_base + sizeof head, head.size);
    int fds[MOST_FDS];
    size_t fd_count = 0;
    struct cmsghdr *control = message->msg_controllen ? CMSG_FIRSTHDR(message) : NULL;
    if (control && control->cmsg_type == SCM_RIGHTS) {
        fd_count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (fd_count > MOST_FDS)
            fd_count = MOST_FDS;
        memcpy(fds, CMSG_DATA(control), fd_count * sizeof(int));
    }
    obey(interface, &head, payload, fds, fd_count);
    return (ssize_t)part->iov_len;
}
