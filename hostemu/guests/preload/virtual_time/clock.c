/*
 * The clock of a guest (include/uapi/linux/um_timetravel.h, arch/um/kernel/time.c, Linux 6.1): the kernel asks by
 * messages of 16 bytes, each of which is answered here at once; the calendar is asked only when the guest waits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../kernel.h"
#include "virtual_time.h"

enum { ACK, START, REQUEST, WAIT, GET, UPDATE, RUN, FREE_UNTIL, GET_TOD };
enum { MOST_ANSWERS = 16 };
enum { FUTEX_WAIT, FUTEX_WAKE }; /* linux/futex.h, which not every C library has */

struct message {
    uint32_t operation, seq;
    int64_t time_ns;
};

struct desk *desk;
uint8_t *inbox, *outbox;
int64_t box_bytes;
int clock_fd = -1;
int64_t sent_ns;

static struct hall *hall;
static struct message answers[MOST_ANSWERS];
static unsigned first_answer, last_answer;
static uint32_t own_seq;
static bool is_waiting;
static int64_t owed_ns;

static void answer(uint32_t operation, uint32_t seq, int64_t time_ns)
{
    answers[last_answer++ % MOST_ANSWERS] = (struct message){operation, seq, time_ns};
}

/* Ask the calendar for a desk; its answer brings the memory. */
static ssize_t start(const struct message *asked)
{
    if (kernel(SYS_write, clock_fd, (long)asked, sizeof *asked, 0) != sizeof *asked)
        return -1;
    struct message said;
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {&said, sizeof said};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control};
    long got;
    do
        got = kernel(SYS_recvmsg, clock_fd, (long)&message, MSG_WAITALL, 0);
    while (got < 0 && errno == EINTR);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (got != sizeof said || !head)
        return 0;
    int fd;
    memcpy(&fd, CMSG_DATA(head), sizeof fd);
    off_t bytes = lseek(fd, 0, SEEK_END);
    void *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED)
        return -1;
    hall = memory;
    uint8_t *octets = memory;
    desk = (struct desk *)(octets + hall->desks_at) + asked->time_ns;
    box_bytes = hall->box_bytes;
    inbox = octets + hall->boxes_at + 2 * asked->time_ns * box_bytes;
    outbox = inbox + box_bytes;
    answer(ACK, asked->seq, 0);
    return sizeof *asked;
}

ssize_t clock_write(const void *data, size_t length)
{
    const struct message *asked = data;
    if (length != sizeof *asked) {
        errno = EINVAL;
        return -1;
    }
    int64_t said_ns = 0;
    if (asked->operation == START)
        return start(asked);
    desk->messages++;
    switch (asked->operation) {
    case ACK:
        return sizeof *asked;
    case REQUEST:
        desk->wanted_ns = asked->time_ns < 0 ? FOREVER_NS : asked->time_ns;
        break;
    case WAIT:
        is_waiting = true;
        break;
    case GET:
        said_ns = desk->now_ns;
        break;
    case UPDATE:
        sent_ns = asked->time_ns;
        break;
    case GET_TOD:
        said_ns = hall->tod_ns + sent_ns;
        break;
    }
    answer(ACK, asked->seq, said_ns);
    return sizeof *asked;
}

bool clock_is_readable(void)
{
    return first_answer != last_answer;
}

ssize_t clock_read(void *buffer, size_t length)
{
    if (!clock_is_readable() || length != sizeof answers[0]) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(buffer, &answers[first_answer++ % MOST_ANSWERS], sizeof answers[0]);
    return sizeof answers[0];
}

void hand_over(int reason)
{
    desk->reason = reason;
    __atomic_store_n(&desk->turn, CALENDARS, __ATOMIC_RELEASE);
    __atomic_fetch_add(&hall->arrivals, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&hall->is_asleep, __ATOMIC_SEQ_CST))
        kernel(SYS_futex, (long)&hall->arrivals, FUTEX_WAKE, 1, 0);
    while (__atomic_load_n(&desk->turn, __ATOMIC_ACQUIRE) != GUESTS)
        kernel(SYS_futex, (long)&desk->turn, FUTEX_WAIT, CALENDARS, 0);
}

void clock_owe(int64_t frame_bytes)
{
    owed_ns += desk->frame_ns + desk->kib_ns * frame_bytes / 1024;
}

void clock_owe_entry(bool is_fault)
{
    owed_ns += is_fault ? desk->fault_ns : desk->call_ns;
}

/* As udelay() of a kernel that works: interrupts that come meanwhile are served behind it. */
void clock_pay(bool is_told)
{
    static void (*ndelay)(unsigned long); /* the kernel's time_travel_ndelay() */
    static bool is_known;
    if (!is_known) {
        const char *address = getenv("HOSTEMU_NDELAY");
        ndelay = address ? (void (*)(unsigned long))strtoul(address, NULL, 16) : NULL;
        is_known = true;
    }
    if (!ndelay || owed_ns <= 0)
        return;
    int64_t paid_ns = owed_ns;
    owed_ns = 0;
    ndelay((unsigned long)paid_ns);
    if (is_told)
        sent_ns += paid_ns;
    desk->charged_ns += paid_ns;
}

void clock_wait(void)
{
    while (is_waiting) {
        hand_over(SLEEPS);
        int64_t calls = desk->calls;
        desk->calls = 0;
        int64_t owed = calls & IS_SENT ? desk->is_owed : 0;
        desk->is_owed &= ~owed;
        unsigned come = (calls & HAS_COME ? queues_take() : 0) | (calls & LOOK ? 1 : 0);
        for (unsigned nic = 0; nic < MOST_INTERFACES; nic++) {
            if (come & 1u << nic)
                raise_call(nic, RX);
            if (owed & 1u << nic)
                raise_call(nic, TX);
        }
        int64_t run_ns = desk->wanted_ns;
        if (run_ns > desk->now_ns && run_ns >= desk->free_ns)
            continue;
        if (desk->free_ns > run_ns)
            answer(FREE_UNTIL, ++own_seq, desk->free_ns);
        answer(RUN, ++own_seq, run_ns);
        desk->wanted_ns = FOREVER_NS;
        is_waiting = false;
    }
}
