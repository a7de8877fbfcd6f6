/*
 * Virtqueues (VIRTIO 1.2, 2.7), seen from the device.  While its queues are looked at, the kernel waits for the
 * device's answer, or for its clock.
 */
#include <string.h>
#include <sys/mman.h>

#include "virtual_time.h"

enum { MOST_REGIONS = 2 };
enum { HAS_NEXT = 1, NO_INTERRUPT = 1, NO_NOTIFY = 1 };
enum { HEADER_BYTES = 12, VNET_BYTES = 10 }; /* with and without num_buffers: VIRTIO 1.2, 5.1.6 */
enum { FRAME_BYTES = 65536 };

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
} queues[MOST_INTERFACES][QUEUES];

/* A guest's physical address in this process; NULL when it is none of its memory. */
static void *here(uint64_t address)
{
    for (size_t k = 0; k < MOST_REGIONS; k++)
        if (address - regions[k].first < regions[k].length)
            return regions[k].memory + (address - regions[k].first);
    return NULL;
}

static bool next_chain(unsigned nic, unsigned index, uint16_t *head)
{
    if (!queues[nic][index].entries || queues[nic][index].available[1] == queues[nic][index].next)
        return false;
    *head = queues[nic][index].available[2 + queues[nic][index].next++ % queues[nic][index].entries];
    return true;
}

static void give_back(unsigned nic, unsigned index, uint16_t head, uint32_t written)
{
    uint16_t *used = queues[nic][index].used;
    uint32_t entry[2] = {head, written};
    memcpy(used + 2 + 4 * (used[1] % queues[nic][index].entries), entry, sizeof entry);
    __atomic_store_n(&used[1], (uint16_t)(used[1] + 1), __ATOMIC_RELEASE);
}

static bool wants_interrupt(unsigned nic, unsigned index)
{
    return !(queues[nic][index].available[0] & NO_INTERRUPT);
}

static struct descriptor *descriptor(unsigned nic, unsigned index, uint16_t number)
{
    return &queues[nic][index].descriptors[number % queues[nic][index].entries];
}

static int64_t chain_bytes(unsigned nic, uint16_t head)
{
    int64_t bytes = -HEADER_BYTES;
    for (struct descriptor *part = descriptor(nic, TX, head);; part = descriptor(nic, TX, part->next)) {
        bytes += part->length;
        if (!(part->flags & HAS_NEXT))
            return bytes;
    }
}

/* Copy a chain's frame to `target`; its bytes with GINE's header, or -1 when it is too long or nowhere. */
static int64_t gather(unsigned nic, uint16_t head, uint8_t *target)
{
    struct descriptor *part = descriptor(nic, TX, head);
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
        part = descriptor(nic, TX, part->next);
    }
}

/* Copy a frame into the guest's next buffer; false when there is none that holds it. */
static bool scatter(unsigned nic, const uint8_t *frame, int64_t bytes)
{
    uint16_t head;
    if (!next_chain(nic, RX, &head)) {
        desk->no_buffer++;
        return false;
    }
    uint8_t header[HEADER_BYTES] = {0};
    memcpy(header, frame, VNET_BYTES);
    header[VNET_BYTES] = 1; /* num_buffers */
    int64_t total = HEADER_BYTES + bytes - VNET_BYTES, at = 0;
    for (struct descriptor *part = descriptor(nic, RX, head);; part = descriptor(nic, RX, part->next)) {
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
    give_back(nic, RX, head, at == total ? (uint32_t)at : 0);
    if (at == total)
        desk->taken++;
    else
        desk->too_long++;
    return at == total;
}

unsigned queues_take(void)
{
    unsigned calls = 0;
    for (int64_t at = 0; at < desk->in_bytes;) {
        struct label *label = (struct label *)(inbox + at);
        if (scatter(label->nic, inbox + at + sizeof *label, label->bytes) && wants_interrupt(label->nic, RX))
            calls |= 1u << label->nic;
        clock_owe(label->bytes - VNET_BYTES);
        at += (int64_t)sizeof *label + filled_up(label->bytes);
    }
    desk->in_bytes = 0;
    return calls;
}

/* Put what the guest sends now into its outbox. */
void queues_send(unsigned nic)
{
    uint16_t head;
    bool has_sent = false;
    while (next_chain(nic, TX, &head)) {
        clock_owe(chain_bytes(nic, head));
        clock_pay(true);
        if (desk->out_bytes + (int64_t)sizeof(struct label) + HEADER_BYTES + FRAME_BYTES > box_bytes)
            hand_over(IS_FULL);
        struct label *label = (struct label *)(outbox + desk->out_bytes);
        int64_t bytes = gather(nic, head, outbox + desk->out_bytes + sizeof *label);
        *label = (struct label){sent_ns, (int32_t)bytes, (int32_t)nic};
        if (bytes >= VNET_BYTES)
            desk->out_bytes += (int64_t)sizeof *label + filled_up(bytes);
        else
            desk->too_long++;
        give_back(nic, TX, head, 0);
        has_sent = true;
    }
    if (has_sent && wants_interrupt(nic, TX))
        desk->is_owed |= 1 << nic;
}

bool queues_map(const uint8_t *payload, const int *fds, size_t fd_count)
{
    uint32_t count;
    memcpy(&count, payload, sizeof count);
    if (count > MOST_REGIONS || count > fd_count)
        return false;
    if (regions[0].memory)
        return true; /* another interface has said the same */
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

bool queues_set(unsigned nic, enum queue_setting setting, const uint8_t *payload)
{
    uint32_t state[2]; /* index, number */
    memcpy(state, payload, sizeof state);
    if (state[0] >= QUEUES)
        return false;
    if (setting == QUEUE_ENTRIES)
        queues[nic][state[0]].entries = state[1];
    else if (setting == QUEUE_NEXT)
        queues[nic][state[0]].next = (uint16_t)state[1];
    else if (setting == QUEUE_ADDRESSES) {
        uint64_t at[3]; /* descriptors, used, available */
        memcpy(at, payload + 8, sizeof at);
        queues[nic][state[0]].descriptors = here(at[0]);
        queues[nic][state[0]].used = here(at[1]);
        queues[nic][state[0]].available = here(at[2]);
        return queues[nic][state[0]].descriptors && queues[nic][state[0]].used && queues[nic][state[0]].available;
    } else if (state[0] == RX && state[1])
        queues[nic][RX].used[0] = NO_NOTIFY; /* buffers that are given back need no kick */
    return true;
}
