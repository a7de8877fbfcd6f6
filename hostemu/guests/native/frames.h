/*
 * The agent's language: frames on a byte stream between the host and process 1 of a guest.
 *
 *     offset 0  u32  length of the payload, little-endian
 *            4  u8   type
 *            5  u8   0
 *            6  u16  stream: which program or request it is about, chosen by the host
 *            8  ...  payload
 *
 * hostemu/guests/channel.py is the other end; tests/guests/test_channel.py holds both to the same table.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdint.h>

enum {
    FRAME_HEAD_BYTES = 8,
    FRAME_MAX_PAYLOAD = 1 << 16,
    WINDOW_BYTES = 1 << 16,     /* of a stream that the other side has not yet consumed */
    CHANNEL_VERSION = 1,
};

/* host to guest */
enum {
    SPAWN = 1,      /* u16 argc, u16 envc, then NUL-terminated: folder, root ("" for none), argv..., env... */
    STDIN = 2,      /* bytes; none: the end */
    SIGNAL = 3,     /* u8 number */
    CREDIT = 4,     /* u32 bytes consumed of STDOUT and STDERR together; guest to host: of STDIN */
    NETLINK = 5,    /* rtnetlink messages; guest to host: the kernel's answers, one frame per datagram */
    CLOCK = 6,      /* nothing; answer: u64 CLOCK_MONOTONIC ns, u64 CLOCK_REALTIME ns */
    RESEED = 7,     /* u64 CLOCK_REALTIME ns, then random bytes; answer: u32 errno */
    READ = 8,       /* path of a small file; answer: u32 errno, content */
    WRITE = 9,      /* NUL-terminated path, content; answer: u32 errno */
    USAGE = 10,     /* of a program and its descendants; answer: u64 CPU us, u64 resident, u64 peak bytes */
    MOUNT = 11,     /* NUL-terminated: source, target, type, "ro" or "rw", options; answer: u32 errno */
    END = 12,       /* nothing; the guest ends */
    FORGET = 13,    /* nothing; the program is killed and nothing more is said of it */
};

/* guest to host */
enum {
    READY = 32,     /* u32 CHANNEL_VERSION, kernel release */
    STARTED = 33,   /* u32 errno: 0, or why there is no such program */
    STDOUT = 34,    /* bytes; none: the end */
    STDERR = 35,
    EXIT = 36,      /* u32 status as waitpid(2) gives it, u64 CPU us, u64 peak bytes of the largest */
    ANSWER = 37,    /* to READ, WRITE, RESEED, CLOCK, USAGE, MOUNT */
    ACK = 38,       /* u32 bytes read from the channel since the last; only with `hostemu_ack=1` */
};

#endif
