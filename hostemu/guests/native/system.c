/* The guest's kernel: mounts, settings, clocks, small files. */
#define _GNU_SOURCE
#include "agent.h"
#include "frames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ENTROPY_ADD = 0x40085203, ENTROPY_RESEED = 0x5207 }; /* RNDADDENTROPY, RNDRESEEDCRNG: linux/random.h */

static char command_line[4096];

_Noreturn void die(const char *why)
{
    fprintf(stderr, "hostemu agent: %s: %s\n", why, strerror(errno));
    reboot(is_uml() ? RB_POWER_OFF : RB_AUTOBOOT);
    _exit(1);
}

static ssize_t read_whole(const char *path, void *content, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -1;
    size_t used = 0;
    ssize_t got;
    while (used < room && (got = read(fd, (char *)content + used, room - used)) > 0)
        used += (size_t)got;
    close(fd);
    return (ssize_t)used;
}

static int write_whole(const char *path, const void *content, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return errno;
    int why = write(fd, content, length) == (ssize_t)length ? 0 : errno;
    close(fd);
    return why;
}

bool kernel_argument(const char *name, char *value, size_t room)
{
    size_t length = strlen(name);
    for (const char *at = command_line; (at = strstr(at, name)); at += length) {
        if (at[length] != '=' || (at != command_line && at[-1] != ' '))
            continue;
        at += length + 1;
        snprintf(value, room, "%.*s", (int)strcspn(at, " \n"), at);
        return true;
    }
    return false;
}

bool is_uml(void)
{
    char text[256] = "";
    read_whole("/proc/cpuinfo", text, sizeof text - 1);
    return strstr(text, "User Mode Linux") != NULL;
}

static void load_modules(void)
{
    char names[4096];
    ssize_t got = read_whole("/modules/order", names, sizeof names - 1);
    names[got > 0 ? got : 0] = 0;
    for (char *name = strtok(names, "\n"); name; name = strtok(NULL, "\n")) {
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
            fprintf(stderr, "hostemu agent: module %s: %s\n", name, strerror(errno));
        close(fd);
        unlink(name); /* it lies in memory */
    }
}

void prepare_system(void)
{
    static const char *const mounts[][3] = {
        {"proc", "/proc", "proc"}, {"sys", "/sys", "sysfs"},
        {"dev", "/dev", "devtmpfs"}, {"shm", "/dev/shm", "tmpfs"},
        {"pts", "/dev/pts", "devpts"}, {"tmp", "/tmp", "tmpfs"},
    };
    for (size_t k = 0; k < sizeof mounts / sizeof *mounts; k++) {
        mkdir(mounts[k][1], 0755);
        mount(mounts[k][0], mounts[k][1], mounts[k][2], 0, NULL);
    }
    symlink("/proc/self/fd", "/dev/fd");
    read_whole("/proc/cmdline", command_line, sizeof command_line - 1);
    load_modules();
    const struct rlimit many = {1 << 20, 1 << 20}, any = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_NOFILE, &many);
    setrlimit(RLIMIT_NPROC, &any);
    write_whole("/proc/sys/kernel/threads-max", "30000", 5);
    setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
    (void)!chdir("/own");
}

void answer_errno(uint16_t stream, int number)
{
    uint8_t answer[4];
    put_u32(answer, (uint32_t)number);
    send_frame(ANSWER, stream, answer, sizeof answer);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void tell_clock(uint16_t stream)
{
    uint8_t answer[16];
    put_u64(answer, clock_ns(CLOCK_MONOTONIC));
    put_u64(answer + 8, clock_ns(CLOCK_REALTIME));
    send_frame(ANSWER, stream, answer, sizeof answer);
}

/* Clones of one template have its clock and its random numbers: give this one its own. */
void reseed(uint16_t stream, const uint8_t *payload, size_t length)
{
    struct {
        int bits, bytes;
        uint8_t seed[256];
    } entropy;
    if (length < 8 || length > 8 + sizeof entropy.seed) {
        answer_errno(stream, EINVAL);
        return;
    }
    uint64_t now_ns = get_u64(payload);
    const struct timespec now = {(time_t)(now_ns / 1000000000u), (long)(now_ns % 1000000000u)};
    entropy.bytes = (int)(length - 8);
    entropy.bits = 8 * entropy.bytes;
    memcpy(entropy.seed, payload + 8, length - 8);
    int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    int why = 0;
    if (clock_settime(CLOCK_REALTIME, &now) < 0)
        why = errno;
    if (fd < 0 || ioctl(fd, ENTROPY_ADD, &entropy) < 0 || ioctl(fd, ENTROPY_RESEED) < 0)
        why = errno;
    if (fd >= 0)
        close(fd);
    answer_errno(stream, why);
}

void read_file(uint16_t stream, const uint8_t *payload, size_t length)
{
    char path[256];
    uint8_t *answer = malloc(FRAME_MAX_PAYLOAD);
    snprintf(path, sizeof path, "%.*s", (int)length, (const char *)payload);
    ssize_t got = answer ? read_whole(path, answer + 4, FRAME_MAX_PAYLOAD - 4) : -1;
    if (got < 0) {
        answer_errno(stream, errno);
    } else {
        put_u32(answer, 0);
        send_frame(ANSWER, stream, answer, 4 + (size_t)got);
    }
    free(answer);
}

void write_file(uint16_t stream, const uint8_t *payload, size_t length)
{
    size_t name = strnlen((const char *)payload, length);
    answer_errno(stream, name == length ? EINVAL
                                        : write_whole((const char *)payload, payload + name + 1, length - name - 1));
}

static void make_folders(char *path)
{
    for (char *at = path + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(path, 0755);
        *at = '/';
    }
    mkdir(path, 0755);
}

void mount_at(uint16_t stream, uint8_t *payload, size_t length)
{
    char *words[5], *at = (char *)payload, *end = at + length;
    for (int k = 0; k < 5; k++) {
        words[k] = at;
        at = memchr(at, 0, (size_t)(end - at));
        if (!at) {
            answer_errno(stream, EINVAL);
            return;
        }
        at++;
    }
    make_folders(words[1]);
    unsigned long flags = strcmp(words[2], "bind") == 0 ? MS_BIND | MS_REC : 0;
    if (strcmp(words[3], "ro") == 0)
        flags |= MS_RDONLY;
    int done = mount(words[0], words[1], words[2], flags, words[4]);
    answer_errno(stream, done < 0 ? errno : 0);
}
