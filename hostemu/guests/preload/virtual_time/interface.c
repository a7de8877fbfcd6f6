/*
 * The network interface of a guest: the device's side of vhost-user (QEMU: docs/interop/vhost-user.rst) with in-band
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

int interface_fd = -1, calls_fd = -1;
static int pair[2] = {-1, -1};
static uint8_t reply[MOST_BYTES];
static size_t reply_bytes, reply_read;
static uint8_t call[sizeof(struct head) + 8];
static size_t call_read = sizeof call;
static bool is_call_new;

void note_pair(int first, int second)
{
    pair[0] = first;
    pair[1] = second;
}

void raise_call(unsigned queue)
{
    struct head head = {VRING_CALL, VERSION, 8};
    uint32_t state[2] = {queue, 0};
    memcpy(call, &head, sizeof head);
    memcpy(call + sizeof head, state, sizeof state);
    call_read = 0;
    is_call_new = true;
    kernel(SYS_kill, getpid(), SIGIO, 0, 0);
}

bool call_is_new(void)
{
    bool is_new = is_call_new;
    is_call_new = false;
    return is_new;
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

ssize_t calls_read(void *buffer, size_t length)
{
    return take(buffer, length, call, &call_read, sizeof call);
}

ssize_t interface_read(void *buffer, size_t length)
{
    return take(buffer, length, reply, &reply_read, reply_bytes);
}

bool interface_is_readable(void)
{
    return reply_read != reply_bytes;
}

static void answer(uint32_t request, const void *payload, uint32_t size)
{
    struct head head = {request, VERSION | IS_REPLY, size};
    memcpy(reply, &head, sizeof head);
    memcpy(reply + sizeof head, payload, size);
    reply_read = 0;
    reply_bytes = sizeof head + size;
}

/* VIRTIO 1.2, 5.1.4: the MAC address; what else there is belongs to features that are not offered. */
static void tell_config(const uint8_t *payload, uint32_t size)
{
    enum { CONFIG_HEAD = 12, MAC_BYTES = 6 };
    uint8_t said[MOST_BYTES - sizeof(struct head)] = {0};
    memcpy(said, payload, CONFIG_HEAD);
    memcpy(said + CONFIG_HEAD, desk->mac, MAC_BYTES);
    answer(GET_CONFIG, said, size);
}

static void obey(uint32_t request, uint32_t flags, const uint8_t *payload, uint32_t size, const int *fds,
                 size_t fd_count)
{
    uint64_t said = 0; /* success */
    bool is_asked = flags & NEEDS_REPLY, is_done = true;
    switch (request) {
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
        tell_config(payload, size);
        return;
    case SET_MEM_TABLE:
        is_done = queues_map(payload, fds, fd_count);
        break;
    case SET_SLAVE_REQ_FD:
        calls_fd = pair[0];
        break;
    case SET_VRING_NUM:
        is_done = queues_set(QUEUE_ENTRIES, payload);
        break;
    case SET_VRING_ADDR:
        is_done = queues_set(QUEUE_ADDRESSES, payload);
        break;
    case SET_VRING_BASE:
        is_done = queues_set(QUEUE_NEXT, payload);
        break;
    case SET_VRING_ENABLE:
        is_done = queues_set(QUEUE_ENABLED, payload);
        break;
    case VRING_KICK:
        if (payload[0] == TX)
            queues_send();
        break;
    }
    if (!is_done)
        said = 1;
    if (is_asked)
        answer(request, &said, sizeof said);
}

ssize_t interface_sendmsg(const struct msghdr *message)
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
    obey(head.request, head.flags, payload, head.size, fds, fd_count);
    return (ssize_t)part->iov_len;
}
