/*
 * Loaded into User-mode Linux by LD_PRELOAD: without it, a guest overlooks some frames until the next one comes.
 *
 * The host tells the reader of a TAP by SIGIO, and only then whoever waits by epoll (drivers/net/tun.c: tun_net_xmit,
 * Linux 6.1).  A guest takes a SIGIO for the sign to ask epoll, once (arch/um/kernel/irq.c: sigio_handler).  One that
 * is quicker than its sender, which a hypervisor may interrupt in between, finds nothing, and sleeps on.
 *
 * So when nothing is found right after a SIGIO, descriptors are asked themselves: EPOLL_CTL_MOD looks at them anew.
 * Once only: what is there may stay unread for a while, and the guest asks until nothing is found.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "../kernel.h"

enum { MOST_KNOWN = 64 };

static struct {
    int fd;
    struct epoll_event event;
} known[MOST_KNOWN];
static size_t known_count;
static bool is_asking; /* the guest has found something since its SIGIO, and asks for more */

static long control(int epoll, int operation, int fd, const struct epoll_event *event)
{
    return kernel(SYS_epoll_ctl, epoll, operation, fd, (long)event);
}

static void forget(int fd)
{
    for (size_t k = 0; k < known_count; k++)
        if (known[k].fd == fd) {
            known[k] = known[--known_count];
            return;
        }
}

/* Those that are written to as well are always ready for that. */
static void remember(int fd, const struct epoll_event *event)
{
    forget(fd);
    if (!(event->events & EPOLLIN) || event->events & EPOLLOUT || known_count == MOST_KNOWN)
        return;
    known[known_count].fd = fd;
    known[known_count].event = *event;
    known_count++;
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    long result = control(epoll, operation, fd, event);
    if (operation == EPOLL_CTL_DEL)
        forget(fd);
    else if (result == 0)
        remember(fd, event);
    return (int)result;
}

int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout_ms)
{
    long found = kernel(SYS_epoll_wait, epoll, (long)events, room, timeout_ms);
    if (found == 0 && timeout_ms == 0 && !is_asking) {
        for (size_t k = 0; k < known_count; k++)
            control(epoll, EPOLL_CTL_MOD, known[k].fd, &known[k].event);
        found = kernel(SYS_epoll_wait, epoll, (long)events, room, timeout_ms);
    }
    is_asking = found > 0;
    return (int)found;
}
