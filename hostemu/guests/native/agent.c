/*
 * Process 1 of a guest: runs programs for the host and hands their input and output through one channel.
 *
 * The channel is the device that `hostemu_channel=` names on the kernel's command line: a virtio-serial port (QEMU)
 * or a serial line (User-mode Linux).  The host says nothing before READY.  See frames.h for the language.
 */
#define _GNU_SOURCE
#include "frames.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

enum { OUT_LIMIT = 4 * WINDOW_BYTES };

static int channel = -1;
static int netlink_fd = -1;
static uint8_t in[FRAME_HEAD_BYTES + FRAME_MAX_PAYLOAD];
static size_t in_used;
static uint8_t *out;
static size_t out_used, out_room;
static bool acknowledges; /* what it reads: a serial line loses bytes, or stops, when its reader is slow */

void send_frame(int type, uint16_t stream, const void *payload, size_t length)
{
    size_t need = out_used + FRAME_HEAD_BYTES + length;
    if (need > out_room) {
        uint8_t *more = realloc(out, need + 4096);
        if (!more)
            return; /* the host's deadline tells; there is no memory to say more */
        out = more;
        out_room = need + 4096;
    }
    uint8_t *head = out + out_used;
    put_u32(head, (uint32_t)length);
    head[4] = (uint8_t)type;
    head[5] = 0;
    head[6] = (uint8_t)stream;
    head[7] = (uint8_t)(stream >> 8);
    if (length)
        memcpy(head + FRAME_HEAD_BYTES, payload, length);
    out_used = need;
}

bool channel_is_full(void)
{
    return out_used > OUT_LIMIT;
}

static void flush_channel(void)
{
    while (out_used) {
        ssize_t sent = write(channel, out, out_used);
        if (sent <= 0)
            return;
        out_used -= (size_t)sent;
        memmove(out, out + sent, out_used);
    }
    if (out_room > WINDOW_BYTES) { /* memory is what a guest has least of */
        free(out);
        out = NULL;
        out_room = 0;
    }
}

static void send_netlink(uint16_t stream, const uint8_t *payload, size_t length)
{
    if (netlink_fd < 0)
        netlink_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0 /* NETLINK_ROUTE */);
    if (netlink_fd < 0 || send(netlink_fd, payload, length, 0) < 0)
        answer_errno(stream, errno);
}

static void receive_netlink(void)
{
    static uint8_t datagram[32768];
    ssize_t got;
    while (!channel_is_full() && (got = recv(netlink_fd, datagram, sizeof datagram, 0)) > 0)
        send_frame(NETLINK, 0, datagram, (size_t)got);
}

static void end_guest(void)
{
    flush_channel();
    sync();
    reboot(is_uml() ? RB_POWER_OFF : RB_AUTOBOOT); /* a QEMU that must not reboot ends instead */
    _exit(0);
}

static void obey(int type, uint16_t stream, uint8_t *payload, size_t length)
{
    switch (type) {
    case SPAWN: spawn_program(stream, payload, length); break;
    case STDIN: feed_program(stream, payload, length); break;
    case SIGNAL: signal_program(stream, length ? payload[0] : SIGKILL); break;
    case FORGET: forget_program(stream); break;
    case CREDIT: credit_program(stream, length < 4 ? 0 : get_u32(payload)); break;
    case USAGE: tell_usage(stream); break;
    case NETLINK: send_netlink(stream, payload, length); break;
    case CLOCK: tell_clock(stream); break;
    case RESEED: reseed(stream, payload, length); break;
    case READ: read_file(stream, payload, length); break;
    case WRITE: write_file(stream, payload, length); break;
    case MOUNT: mount_at(stream, payload, length); break;
    case END: end_guest(); break;
    default: answer_errno(stream, ENOSYS);
    }
}

static void read_channel(void)
{
    ssize_t got;
    while ((got = read(channel, in + in_used, sizeof in - in_used)) > 0) {
        size_t at = 0;
        uint8_t read_bytes[4];
        in_used += (size_t)got;
        put_u32(read_bytes, (uint32_t)got);
        if (acknowledges)
            send_frame(ACK, 0, read_bytes, sizeof read_bytes);
        while (in_used - at >= FRAME_HEAD_BYTES) {
            size_t length = get_u32(in + at);
            if (length > FRAME_MAX_PAYLOAD)
                die("a frame longer than any may be");
            if (in_used - at < FRAME_HEAD_BYTES + length)
                break;
            obey(in[at + 4], (uint16_t)(in[at + 6] | in[at + 7] << 8), in + at + FRAME_HEAD_BYTES, length);
            at += FRAME_HEAD_BYTES + length;
        }
        in_used -= at;
        memmove(in, in + at, in_used);
    }
}

static int open_channel(void)
{
    char path[64];
    int fd;
    if (!kernel_argument("hostemu_channel", path, sizeof path))
        die("no hostemu_channel= on the kernel's command line");
    for (int tries = 0; (fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)) < 0; tries++) {
        if (tries > 1000)
            die("the channel's device does not open");
        poll(NULL, 0, 5); /* devices of modules appear late */
    }
    struct termios raw;
    if (tcgetattr(fd, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(fd, TCSANOW, &raw);
    }
    return fd;
}

static void say_ready(void)
{
    uint8_t hello[4 + sizeof((struct utsname){0}).release];
    struct utsname name;
    uname(&name);
    put_u32(hello, CHANNEL_VERSION);
    memcpy(hello + 4, name.release, strlen(name.release));
    send_frame(READY, 0, hello, 4 + strlen(name.release));
}

static _Noreturn void serve(int signals)
{
    struct pollfd fds[3 + MAX_POLLED];
    for (;;) {
        fds[0] = (struct pollfd){channel, (short)(POLLIN | (out_used ? POLLOUT : 0)), 0};
        fds[1] = (struct pollfd){signals, POLLIN, 0};
        fds[2] = (struct pollfd){netlink_fd, POLLIN, 0}; /* -1 is passed over */
        nfds_t count = 3 + poll_programs(fds + 3);
        if (poll(fds, count, -1) < 0)
            continue;
        if (fds[0].revents & POLLHUP && !(fds[0].revents & POLLIN))
            poll(NULL, 0, 10); /* nobody holds the host's end: a clone whose host has not connected yet */
        if (fds[1].revents) {
            struct signalfd_siginfo info;
            while (read(signals, &info, sizeof info) > 0)
                ;
        }
        serve_programs(fds + 3, count - 3);
        reap_programs();
        if (fds[2].revents)
            receive_netlink();
        if (fds[0].revents)
            read_channel();
        flush_channel();
    }
}

static _Noreturn void begin(int fd, bool may_acknowledge)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    channel = fd;
    acknowledges = may_acknowledge;
    say_ready();
    flush_channel();
    serve(signals);
}

int main(int argc, char **argv)
{
    if (argc > 1 || getpid() != 1)
        return command(argc, argv);
    prepare_system();
    if (access("/complete", F_OK) < 0)
        die("the guest has too little memory for its image");
    begin(open_channel(), kernel_argument("hostemu_ack", (char[8]){0}, 8));
}
