#define _GNU_SOURCE // syscall

#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* musl comes without the kernel's headers. */
#define FREEBIND_V6 78        /* IPV6_FREEBIND of linux/in6.h */
#define NO_WAITING 0x04       /* GRND_INSECURE of linux/random.h, since Linux 5.6 */
#define CLASSIC_RETURN 0x06   /* BPF_RET | BPF_K of linux/bpf_common.h */
#define LOAD_PROGRAM 5        /* BPF_PROG_LOAD of linux/bpf.h, as all that follows */
#define FOR_SOCKETS 1         /* BPF_PROG_TYPE_SOCKET_FILTER */
#define SET_RESULT 0xb7       /* BPF_ALU64 | BPF_MOV | BPF_K, of register 0 */
#define EXIT 0x95             /* BPF_JMP | BPF_EXIT */

/* struct sock_filter and struct sock_fprog of linux/filter.h */
struct classic_code {
    uint16_t code;
    uint8_t if_true, if_false;
    uint32_t value;
};

struct classic_filter {
    uint16_t length;
    const struct classic_code *codes;
};

/* struct bpf_insn, and the beginning of union bpf_attr, of linux/bpf.h */
struct code {
    uint8_t code, registers;
    int16_t offset;
    int32_t value;
};

struct loading {
    uint32_t type, length;
    uint64_t codes, license;
    uint64_t unused[16];
};

static bool set_up(int fd, int kind, const struct address *address, uint16_t port)
{
    int reuses = kind == SOCK_STREAM, binds_freely = 1;
    union socket_address at;
    socklen_t size = address_with_port(address, port, &at);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuses, sizeof reuses) != 0)
        return false;
    if (address->family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, FREEBIND_V6, &binds_freely, sizeof binds_freely) != 0)
        return false;
    return bind(fd, &at.any, size) == 0;
}

int bound_socket(int kind, const struct address *address, uint16_t port)
{
    int fd = socket(address->family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !set_up(fd, kind, address, port)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

void reset(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(fd);
}

int shared_filter(void)
{
    static const struct code KEEP_NOTHING[] = {{.code = SET_RESULT, .value = 0}, {.code = EXIT}};
    struct loading loading = {
        .type = FOR_SOCKETS,
        .length = sizeof KEEP_NOTHING / sizeof *KEEP_NOTHING,
        .codes = (uintptr_t)KEEP_NOTHING,
        .license = (uintptr_t) "",
    };
    return syscall(SYS_bpf, LOAD_PROGRAM, &loading, sizeof loading); // closes on exec
}

bool deafen(int fd, int filter)
{
    static const struct classic_code KEEP_NOTHING = {.code = CLASSIC_RETURN, .value = 0};
    struct classic_filter own = {.length = 1, .codes = &KEEP_NOTHING};
    if (filter >= 0 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof filter) == 0)
        return true;
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &own, sizeof own) == 0;
}

void undeafen(int fd)
{
    int unused = 0;
    setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused); // fails when there is none
}

enum reason reason_of(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return REASON_REFUSED;
    case ETIMEDOUT:
        return REASON_SILENT;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
        return REASON_UNREACHABLE;
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
        return REASON_RESET;
    default:
        return REASON_LOCAL;
    }
}

bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

uint64_t file_limit(void)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

bool random_bytes(void *to, uint32_t size)
{
    if (getrandom(to, size, GRND_NONBLOCK) == size || getrandom(to, size, NO_WAITING) == size)
        return true;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC); // an old kernel, early after its start
    bool is_read = fd >= 0 && read(fd, to, size) == size;
    if (fd >= 0)
        close(fd);
    return is_read;
}
