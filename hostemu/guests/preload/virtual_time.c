/*
 * Loaded into User-mode Linux by LD_PRELOAD where the guest's clock belongs to a calendar.
 *
 * Runs are to repeat, but a guest's kernel takes its randomness from the host, by getrandom(2) and from /dev/random
 * (arch/um/include/asm/archrandom.h, arch/um/drivers/random.c, Linux 6.1).  Here it gets numbers that follow from
 * HOSTEMU_SEED, and no device.
 *
 * While a guest waits for its clock, a SIGIO is asked for messages of devices that know of such clocks only; whatever
 * else there is, epoll has told of then, and does not tell again (arch/um/kernel/irq.c: _sigio_handler).  So when
 * nothing is found right after a SIGIO, serial lines are looked at anew, once.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include "kernel.h"

enum { MOST_LINES = 16 };

static struct {
    int fd;
    struct epoll_event event;
} lines[MOST_LINES]; /* what is read from and written to */
static size_t line_count;
static int is_asking; /* the guest has found something since its SIGIO, and asks for more */

static void forget(int fd)
{
    for (size_t k = 0; k < line_count; k++)
        if (lines[k].fd == fd) {
            lines[k] = lines[--line_count];
            return;
        }
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    long result = kernel(SYS_epoll_ctl, epoll, operation, fd, (long)event);
    forget(fd);
    if (result == 0 && operation != EPOLL_CTL_DEL && event->events & EPOLLIN && event->events & EPOLLOUT &&
        line_count < MOST_LINES) {
        lines[line_count].fd = fd;
        lines[line_count].event = *event;
        line_count++;
    }
    return (int)result;
}

int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout_ms)
{
    long found = kernel(SYS_epoll_wait, epoll, (long)events, room, timeout_ms);
    if (found == 0 && timeout_ms == 0 && !is_asking && line_count) {
        for (size_t k = 0; k < line_count; k++) {
            struct pollfd unread = {lines[k].fd, POLLIN, 0};
            if (kernel(SYS_poll, (long)&unread, 1, 0, 0) == 1)
                kernel(SYS_epoll_ctl, epoll, EPOLL_CTL_MOD, lines[k].fd, (long)&lines[k].event);
        }
        found = kernel(SYS_epoll_wait, epoll, (long)events, room, timeout_ms);
    }
    is_asking = found > 0;
    return (int)found;
}

static uint64_t state;
static int is_seeded;

/* SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t draw(void)
{
    uint64_t word = state += 0x9E3779B97F4A7C15u;
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
    return word ^ (word >> 31);
}

static void seed(void)
{
    const char *text = getenv("HOSTEMU_SEED");
    state = 0;
    for (; text && *text; text++)
        state = state * 31 + (unsigned char)*text;
    is_seeded = 1;
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags)
{
    (void)flags;
    if (!is_seeded)
        seed();
    unsigned char *at = buffer;
    for (size_t k = 0; k < length; k += 8) {
        uint64_t word = draw();
        for (size_t j = 0; j < 8 && k + j < length; j++)
            at[k + j] = (unsigned char)(word >> (8 * j));
    }
    return (ssize_t)length;
}

static int open_file(const char *path, int flags, mode_t mode)
{
    if (strcmp(path, "/dev/random") == 0) {
        errno = ENOENT;
        return -1;
    }
    return (int)kernel(SYS_openat, AT_FDCWD, (long)path, flags, (long)mode);
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return open_file(path, flags, mode); \
    }

OPEN(open)
OPEN(open64)
