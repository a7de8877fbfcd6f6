/*
 * Loaded into User-mode Linux by LD_PRELOAD where the guest's clock belongs to a calendar: the guest's end of it.
 *
 * The kernel speaks to its clock and to its network interface by sockets, and waits for an answer to all that it
 * says.  Here it has the answers at once, from this library (clock.c, interface.c); only when it waits for its clock
 * does the process meet the calendar, in memory that both see (desk.h).  The kernel's interrupt is a SIGIO, and an
 * event that epoll seems to tell of.
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
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "../kernel.h"
#include "virtual_time.h"

#define INTERFACE "calendar" /* the name by which the kernel is to look for its interfaces; no such socket exists */

enum { MOST_KNOWN = 64 };
enum { /* requests of ptrace(2), whose names differ between C libraries */
    PEEK_TEXT = 1,
    PEEK_DATA = 2,
    PEEK_USER = 3,
    GO_ON = 7,
    GO_ON_A_STEP = 9,
    GO_ON_TO_CALL = 24,
    GO_ON_EMULATED = 31,
    GO_ON_EMULATED_A_STEP = 32,
};

static struct {
    int fd;
    struct epoll_event event;
} known[MOST_KNOWN]; /* what the kernel has epoll watch */
static size_t known_count;
static bool is_fault; /* a program has stopped since it wants a page */
static bool is_asking; /* the guest has found something since its SIGIO, and asks for more */

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    const struct sockaddr_un *local = (const struct sockaddr_un *)address;
    const char *calendar = getenv("HOSTEMU_CALENDAR");
    if (address->sa_family == AF_UNIX && strcmp(local->sun_path, INTERFACE) == 0) {
        errno = ENOBUFS;
        return interface_open(fd) ? 0 : -1;
    }
    int result = (int)kernel(SYS_connect, fd, (long)address, length, 0);
    if (result == 0 && address->sa_family == AF_UNIX && calendar && strcmp(local->sun_path, calendar) == 0)
        clock_fd = fd;
    return result;
}

int socketpair(int family, int type, int protocol, int fds[2])
{
    int result = (int)kernel(SYS_socketpair, family, type, protocol, (long)fds);
    if (result == 0)
        note_pair(fds[0], fds[1]);
    return result;
}

ssize_t write(int fd, const void *data, size_t length)
{
    if (fd == clock_fd && fd >= 0)
        return clock_write(data, length);
    return kernel(SYS_write, fd, (long)data, (long)length, 0);
}

ssize_t read(int fd, void *buffer, size_t length)
{
    struct interface *interface;
    if (fd >= 0 && fd == clock_fd)
        return clock_read(buffer, length);
    if ((interface = interface_of(fd)))
        return interface_read(interface, buffer, length);
    if ((interface = caller_of(fd)))
        return calls_read(interface, buffer, length);
    return kernel(SYS_read, fd, (long)buffer, (long)length, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct interface *interface = interface_of(fd);
    if (interface)
        return interface_sendmsg(interface, message);
    return kernel(SYS_sendmsg, fd, (long)message, flags, 0);
}

static bool is_readable(int fd)
{
    const struct interface *interface = interface_of(fd);
    return interface ? interface_is_readable(interface) : fd >= 0 && fd == clock_fd && clock_is_readable();
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* glibc declares that poll only writes what it is asked */
int poll(struct pollfd *asked, nfds_t count, int timeout_ms)
{
    bool is_ours = false;
    for (nfds_t k = 0; k < count; k++)
        is_ours |= asked[k].fd >= 0 && asked[k].fd == clock_fd && desk;
    if (!is_ours)
        return (int)kernel(SYS_poll, (long)asked, (long)count, timeout_ms, 0);
    int ready = 0;
    for (nfds_t k = 0; k < count; k++)
        ready += is_readable(asked[k].fd);
    if (!ready)
        clock_wait();
    ready = 0;
    for (nfds_t k = 0; k < count; k++) {
        asked[k].revents = is_readable(asked[k].fd) ? POLLIN : 0;
        ready += asked[k].revents != 0;
    }
    return ready;
}
#pragma GCC diagnostic pop

pid_t waitpid(pid_t process, int *status, int options)
{
    long stopped = kernel(SYS_wait4, process, (long)status, options, 0);
    if (stopped > 0 && status && WIFSTOPPED(*status) && WSTOPSIG(*status) == SIGSEGV)
        is_fault = true;
    return (pid_t)stopped;
}

/* A program of the guest's goes on behind a system call, a page fault, …: first its kernel's work takes time. */
long ptrace(int request, ...)
{
    va_list rest;
    va_start(rest, request);
    pid_t process = va_arg(rest, pid_t);
    long address = va_arg(rest, long), data = va_arg(rest, long), word;
    va_end(rest);
    switch (request) {
    case PEEK_TEXT:
    case PEEK_DATA:
    case PEEK_USER: /* what glibc returns, the kernel writes */
        return kernel(SYS_ptrace, request, process, address, (long)&word) < 0 ? -1 : word;
    case GO_ON_TO_CALL:
    case GO_ON_EMULATED:
    case GO_ON_EMULATED_A_STEP:
        if (desk)
            clock_owe_entry(is_fault);
        is_fault = false;
        /* fall through */
    case GO_ON: /* code of the kernel's own in the program's process */
    case GO_ON_A_STEP:
        if (desk)
            clock_pay(false);
    }
    return kernel(SYS_ptrace, request, process, address, data);
}

static void forget(int fd)
{
    for (size_t k = 0; k < known_count; k++)
        if (known[k].fd == fd) {
            known[k] = known[--known_count];
            return;
        }
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    long result = kernel(SYS_epoll_ctl, epoll, operation, fd, (long)event);
    forget(fd);
    if (result == 0 && operation != EPOLL_CTL_DEL && known_count < MOST_KNOWN) {
        known[known_count].fd = fd;
        known[known_count].event = *event;
        known_count++;
    }
    return (int)result;
}

/* The event of an interrupt that the kernel has not heard of yet. */
static bool is_called(struct epoll_event *event)
{
    int fd = new_call();
    for (size_t k = 0; fd >= 0 && k < known_count; k++)
        if (known[k].fd == fd) {
            *event = known[k].event;
            event->events = EPOLLIN;
            return true;
        }
    return false;
}

/* Serial lines, which are both read from and written to, tell of what is there once more. */
static void look_anew(int epoll)
{
    for (size_t k = 0; k < known_count; k++) {
        struct pollfd unread = {known[k].fd, POLLIN, 0};
        if (known[k].event.events & EPOLLIN && known[k].event.events & EPOLLOUT &&
            kernel(SYS_poll, (long)&unread, 1, 0, 0) == 1)
            kernel(SYS_epoll_ctl, epoll, EPOLL_CTL_MOD, known[k].fd, (long)&known[k].event);
    }
}

int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout_ms)
{
    if (timeout_ms == 0 && room > 0 && is_called(events)) {
        is_asking = true;
        return 1;
    }
    long found = kernel(SYS_epoll_wait, epoll, (long)events, room, timeout_ms);
    if (found == 0 && timeout_ms == 0 && !is_asking) {
        look_anew(epoll);
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
