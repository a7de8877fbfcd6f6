/*
 * The network interface of a guest: the device's side of vhost-user (QEMU: docs/interop/vhost-user.rst) with in-band
 * notifications, as arch/um/drivers/virtio_uml.c (Linux 6.1) asks for it, and of its virtqueues (VIRTIO 1.2, 2.7).
 * The kernel waits for each answer, so that its queues are looked at while nobody else does.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
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

enum { RX, TX, QUEUES };
enum { MOST_REGIONS = 2, MOST_FDS = 8, MOST_BYTES = 1024 };
enum { HAS_NEXT = 1, NO_INTERRUPT = 1, NO_NOTIFY = 1 };
enum { HEADER_BYTES = 12, VNET_BYTES = 10 }; /* with and without num_buffers: VIRTIO 1.2, 5.1.6 */
enum { FRAME_BYTES = 65536 };

struct head {
    uint32_t request, flags, size;
};

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

static struct {
    uint64_t first, length;
    uint8_t *memory;
} regions[MOST_REGIONS]; /* of the guest's memory: physical, and what is beyond (arch/um: highmem) */

static struct {
    uint32_t entries;
    uint16_t next; /* of available entries, the first that was not looked at yet */
    struct descriptor *descriptors;
    uint16_t *available; /* flags, index, entries */
    uint16_t *used;      /* flags, index, then pairs of 32 bits */
} queues[QUEUES];

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

/* A guest's physical address in this process; NULL when it is none of its memory. */
static void *here(uint64_t address)
{
    for (size_t k = 0; k < MOST_REGIONS; k++)
        if (address - regions[k].first < regions[k].length)
            return regions[k].memory + (address - regions[k].first);
    return NULL;
}

static bool next_chain(unsigned index, uint16_t *head)
{
    if (!queues[index].entries || queues[index].available[1] == queues[index].next)
        return false;
    *head = queues[index].available[2 + queues[index].next++ % queues[index].entries];
    return true;
}

static void give_back(unsigned index, uint16_t head, uint32_t written)
{
    uint16_t *used = queues[index].used;
    uint32_t entry[2] = {head, written};
    memcpy(used + 2 + 4 * (used[1] % queues[index].entries), entry, sizeof entry);
    __atomic_store_n(&used[1], (uint16_t)(used[1] + 1), __ATOMIC_RELEASE);
}

static bool wants_interrupt(unsigned index)
{
    return !(queues[index].available[0] & NO_INTERRUPT);
}

static struct descriptor *descriptor(unsigned index, uint16_t number)
{
    return &queues[index].descriptors[number % queues[index].entries];
}

/* Copy a chain's frame to `target`; its bytes with GINE's header, or -1 when it is too long or nowhere. */
static int64_t gather(uint16_t head, uint8_t *target)
{
    struct descriptor *part = descriptor(TX, head);
    int64_t at = 0;
    for (;;) {
        int64_t size = part->length;
        uint8_t *source = here(part->address);
        if (!source || at + size > HEADER_BYTES + FRAME_BYTES)
            return -1;
        int64_t of_header = at < VNET_BYTES ? VNET_BYTES - at : 0; /* num_buffers is left out */
        if (of_header > size)
            of_header = size;
        memcpy(target + at, source, (size_t)of_header);
        int64_t skipped = at + of_header < HEADER_BYTES ? HEADER_BYTES - at - of_header : 0;
        if (skipped > size - of_header)
            skipped = size - of_header;
        int64_t rest = size - of_header - skipped;
        if (rest > 0)
            memcpy(target + at + of_header + skipped - (HEADER_BYTES - VNET_BYTES), source + of_header + skipped,
                   (size_t)rest);
        at += size;
        if (!(part->flags & HAS_NEXT))
            return at - (HEADER_BYTES - VNET_BYTES);
        part = descriptor(TX, part->next);
    }
}

/* Copy a frame into the guest's next buffer; false when there is none that holds it. */
static bool scatter(const uint8_t *frame, int64_t bytes)
{
    uint16_t head;
    if (!next_chain(RX, &head)) {
        desk->no_buffer++;
        return false;
    }
    uint8_t header[HEADER_BYTES] = {0};
    memcpy(header, frame, VNET_BYTES);
    header[VNET_BYTES] = 1; /* num_buffers */
    int64_t total = HEADER_BYTES + bytes - VNET_BYTES, at = 0;
    for (struct descriptor *part = descriptor(RX, head);; part = descriptor(RX, part->next)) {
        int64_t room = part->length;
        uint8_t *target = here(part->address);
        if (!target)
            break;
        int64_t of_header = at < HEADER_BYTES ? HEADER_BYTES - at : 0;
        if (of_header > room)
            of_header = room;
        memcpy(target, header + at, (size_t)of_header);
        at += of_header;
        int64_t rest = room - of_header < total - at ? room - of_header : total - at;
        if (rest > 0) {
            memcpy(target + of_header, frame + VNET_BYTES + at - HEADER_BYTES, (size_t)rest);
            at += rest;
        }
        if (at >= total || !(part->flags & HAS_NEXT))
            break;
    }
    give_back(RX, head, at == total ? (uint32_t)at : 0);
    if (at == total)
        desk->taken++;
    else
        desk->too_long++;
    return at == total;
}

bool take_frames(void)
{
    bool has_come = false;
    for (int64_t at = 0; at < desk->in_bytes;) {
        struct label *label = (struct label *)(inbox + at);
        has_come |= scatter(inbox + at + sizeof *label, label->bytes);
        at += (int64_t)sizeof *label + filled_up(label->bytes);
    }
    desk->in_bytes = 0;
    return has_come && wants_interrupt(RX);
}

/* Put what the guest sends now into its outbox. */
static void send_frames(void)
{
    uint16_t head;
    bool has_sent = false;
    while (next_chain(TX, &head)) {
        if (desk->out_bytes + (int64_t)sizeof(struct label) + HEADER_BYTES + FRAME_BYTES > box_bytes)
            hand_over(IS_FULL);
        struct label *label = (struct label *)(outbox + desk->out_bytes);
        label->at_ns = sent_ns;
        label->bytes = gather(head, outbox + desk->out_bytes + sizeof *label);
        if (label->bytes >= VNET_BYTES)
            desk->out_bytes += (int64_t)sizeof *label + filled_up(label->bytes);
        else
            desk->too_long++;
        give_back(TX, head, 0);
        has_sent = true;
    }
    if (has_sent && wants_interrupt(TX))
        desk->is_owed = 1;
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

static bool map_memory(const uint8_t *payload, const int *fds, size_t fd_count)
{
    uint32_t count;
    memcpy(&count, payload, sizeof count);
    if (count > MOST_REGIONS || count > fd_count)
        return false;
    for (size_t k = 0; k < count; k++) {
        uint64_t row[4]; /* guest's address, size, user's address, offset */
        memcpy(row, payload + 8 + 32 * k, sizeof row);
        void *memory = mmap(NULL, row[1], PROT_READ | PROT_WRITE, MAP_SHARED, fds[k], (off_t)row[3]);
        if (memory == MAP_FAILED)
            return false;
        regions[k].first = row[0];
        regions[k].length = row[1];
        regions[k].memory = memory;
    }
    return true;
}

static bool set_queue(uint32_t request, const uint8_t *payload)
{
    uint32_t state[2]; /* index, number */
    memcpy(state, payload, sizeof state);
    if (state[0] >= QUEUES)
        return false;
    if (request == SET_VRING_NUM)
        queues[state[0]].entries = state[1];
    else if (request == SET_VRING_BASE)
        queues[state[0]].next = (uint16_t)state[1];
    else if (request == SET_VRING_ADDR) {
        uint64_t at[3]; /* descriptors, used, available */
        memcpy(at, payload + 8, sizeof at);
        queues[state[0]].descriptors = here(at[0]);
        queues[state[0]].used = here(at[1]);
        queues[state[0]].available = here(at[2]);
        return queues[state[0]].descriptors && queues[state[0]].used && queues[state[0]].available;
    } else if (state[0] == RX && state[1])
        queues[RX].used[0] = NO_NOTIFY; /* buffers that are given back need no kick */
    return true;
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
        is_done = map_memory(payload, fds, fd_count);
        break;
    case SET_SLAVE_REQ_FD:
        calls_fd = pair[0];
        break;
    case SET_VRING_NUM:
    case SET_VRING_ADDR:
    case SET_VRING_BASE:
    case SET_VRING_ENABLE:
        is_done = set_queue(request, payload);
        break;
    case VRING_KICK:
        if (payload[0] == TX)
            send_frames();
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
