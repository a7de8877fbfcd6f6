/*
 * Programs that the host has started in this guest.
 *
 * Each is process 1 of a process namespace of its own, where the kernel has them: its descendants end with it.  At
 * most WINDOW_BYTES of a program's output are on their way, so that a slow reader stops the program, not the agent.
 */
#define _GNU_SOURCE
#include "agent.h"
#include "frames.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct program {
    int pid; /* 0: this place is free */
    uint16_t stream;
    int fds[3];          /* our ends of its standard input, output and error; -1: closed */
    uint8_t *pending;    /* input that its pipe has not taken yet */
    size_t pending_bytes;
    bool input_ends;     /* after what is pending */
    bool has_ended;
    int status;
    uint32_t unread;     /* output that the host has not credited */
    uint64_t cpu_us, peak_bytes;
};

struct order { /* what SPAWN says */
    char *folder, *root;
    char **argv, **env;
};

static struct program programs[MAX_PROGRAMS];

static struct program *find(uint16_t stream)
{
    for (int k = 0; k < MAX_PROGRAMS; k++)
        if (programs[k].pid && programs[k].stream == stream)
            return &programs[k];
    return NULL;
}

static struct program *free_place(void)
{
    for (int k = 0; k < MAX_PROGRAMS; k++)
        if (!programs[k].pid)
            return &programs[k];
    return NULL;
}

static void close_fd(struct program *program, int which)
{
    if (program->fds[which] >= 0)
        close(program->fds[which]);
    program->fds[which] = -1;
}

/* `count` strings from *at on, as a list that ends with NULL; NULL when there are fewer. */
static char **strings(char **at, char *end, int count)
{
    char **list = calloc((size_t)count + 1, sizeof *list);
    for (int k = 0; list && k < count; k++) {
        char *stop = memchr(*at, 0, (size_t)(end - *at));
        if (!stop) {
            free(list);
            return NULL;
        }
        list[k] = *at;
        *at = stop + 1;
    }
    return list;
}

static bool parse_order(struct order *order, uint8_t *payload, size_t length)
{
    char *at = (char *)payload + 4, *end = (char *)payload + length;
    if (length < 4)
        return false;
    int argc = payload[0] | payload[1] << 8, envc = payload[2] | payload[3] << 8;
    char **places = strings(&at, end, 2);
    order->argv = strings(&at, end, argc);
    order->env = strings(&at, end, envc);
    if (places) {
        order->folder = places[0];
        order->root = places[1];
    }
    bool is_good = places && order->argv && order->env && argc > 0;
    free(places);
    return is_good;
}

static _Noreturn void become(const struct order *order, const int child_fds[3], int report)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    for (int k = 0; k < 3; k++)
        dup2(child_fds[k], k);
    bool is_placed = !*order->root || (chroot(order->root) == 0 && chdir("/") == 0);
    if (is_placed && (!*order->folder || chdir(order->folder) == 0))
        execvpe(order->argv[0], order->argv, order->env);
    int why = errno;
    (void)!write(report, &why, sizeof why);
    _exit(127);
}

/* Fork into a new process namespace; in this one where the kernel has none. */
static int fork_apart(void)
{
    int pid = (int)syscall(SYS_clone, SIGCHLD | CLONE_NEWPID, 0, 0, 0, 0);
    return pid < 0 && errno == EINVAL ? fork() : pid;
}

/* Start it; returns 0, or the errno of what went wrong. */
static int start(struct program *program, const struct order *order)
{
    int pipes[3][2], report[2], child_fds[3], why = 0;
    for (int k = 0; k < 3; k++)
        if (pipe2(pipes[k], O_CLOEXEC) < 0)
            return errno; /* the few descriptors before it stay open: the guest is lost anyway */
    if (pipe2(report, O_CLOEXEC) < 0)
        return errno;
    for (int k = 0; k < 3; k++) {
        child_fds[k] = pipes[k][k == 0 ? 0 : 1];
        program->fds[k] = pipes[k][k == 0 ? 1 : 0];
        fcntl(program->fds[k], F_SETFL, O_NONBLOCK);
    }
    int pid = fork_apart();
    if (pid == 0)
        become(order, child_fds, report[1]);
    if (pid < 0)
        why = errno;
    close(report[1]);
    for (int k = 0; k < 3; k++)
        close(child_fds[k]);
    if (pid > 0 && read(report[0], &why, sizeof why) != sizeof why)
        why = 0; /* exec has closed it */
    close(report[0]);
    if (why) {
        if (pid > 0)
            waitpid(pid, NULL, 0);
        for (int k = 0; k < 3; k++)
            close_fd(program, k);
        return why;
    }
    program->pid = pid;
    return 0;
}

void spawn_program(uint16_t stream, uint8_t *payload, size_t length)
{
    struct program *program = free_place();
    struct order order = {0};
    uint8_t answer[4];
    int why = EAGAIN;
    if (!parse_order(&order, payload, length)) {
        why = EINVAL;
    } else if (program) {
        *program = (struct program){.stream = stream};
        why = start(program, &order);
    }
    free(order.argv);
    free(order.env);
    put_u32(answer, (uint32_t)why);
    send_frame(STARTED, stream, answer, sizeof answer);
}

static void credit_input(struct program *program, size_t bytes)
{
    uint8_t credit[4];
    put_u32(credit, (uint32_t)bytes);
    send_frame(CREDIT, program->stream, credit, sizeof credit);
}

/* Hand on what is pending; a program that does not listen any more gets nothing, and nobody waits for it. */
static void write_input(struct program *program)
{
    ssize_t sent = program->fds[0] < 0 ? -1 : write(program->fds[0], program->pending, program->pending_bytes);
    if (sent < 0 && program->fds[0] >= 0 && errno == EAGAIN)
        return;
    if (sent < 0) {
        close_fd(program, 0);
        sent = (ssize_t)program->pending_bytes;
    }
    credit_input(program, (size_t)sent);
    program->pending_bytes -= (size_t)sent;
    memmove(program->pending, program->pending + sent, program->pending_bytes);
    if (!program->pending_bytes) {
        free(program->pending);
        program->pending = NULL;
    }
}

void feed_program(uint16_t stream, const uint8_t *data, size_t length)
{
    struct program *program = find(stream);
    if (!program)
        return;
    if (!length) {
        program->input_ends = true;
    } else {
        uint8_t *more = realloc(program->pending, program->pending_bytes + length);
        if (!more) {
            credit_input(program, length);
            return;
        }
        memcpy(more + program->pending_bytes, data, length);
        program->pending = more;
        program->pending_bytes += length;
        write_input(program);
    }
    if (program->input_ends && !program->pending_bytes)
        close_fd(program, 0);
}

/* As in namespaces of the host: what SIGTERM cannot reach, SIGKILL does, since that signal would have ended it. */
void signal_program(uint16_t stream, int number)
{
    struct program *program = find(stream);
    if (!program || program->has_ended)
        return;
    if (number == SIGTERM && !heeds(program->pid, SIGTERM))
        number = SIGKILL;
    kill(number == SIGKILL ? -program->pid : program->pid, number);
    if (number == SIGKILL)
        kill(program->pid, SIGKILL);
}

void forget_program(uint16_t stream)
{
    struct program *program = find(stream);
    if (!program)
        return;
    signal_program(stream, SIGKILL);
    for (int k = 0; k < 3; k++)
        close_fd(program, k);
    free(program->pending);
    program->pending = NULL;
    program->pending_bytes = 0;
    program->stream = 0; /* nobody's */
}

void credit_program(uint16_t stream, uint32_t bytes)
{
    struct program *program = find(stream);
    if (program)
        program->unread -= bytes < program->unread ? bytes : program->unread;
}

void tell_usage(uint16_t stream)
{
    struct program *program = find(stream);
    struct process_usage used = {0};
    uint8_t answer[24];
    if (program && !program->has_ended)
        used = usage_of(program->pid);
    else if (program)
        used = (struct process_usage){program->cpu_us, 0, program->peak_bytes};
    put_u64(answer, used.cpu_us);
    put_u64(answer + 8, used.resident_bytes);
    put_u64(answer + 16, used.peak_bytes);
    send_frame(ANSWER, stream, answer, sizeof answer);
}

nfds_t poll_programs(struct pollfd *fds)
{
    nfds_t count = 0;
    for (int k = 0; k < MAX_PROGRAMS; k++) {
        struct program *program = &programs[k];
        if (!program->pid)
            continue;
        if (program->pending_bytes)
            fds[count++] = (struct pollfd){program->fds[0], POLLOUT, 0};
        for (int which = 1; which < 3; which++)
            if (program->fds[which] >= 0 && program->unread < WINDOW_BYTES && !channel_is_full())
                fds[count++] = (struct pollfd){program->fds[which], POLLIN, 0};
    }
    return count;
}

static void read_output(struct program *program, int which)
{
    static uint8_t data[16384];
    size_t room = WINDOW_BYTES - program->unread;
    ssize_t got = read(program->fds[which], data, room < sizeof data ? room : sizeof data);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got > 0) {
        program->unread += (uint32_t)got;
        send_frame(which == 1 ? STDOUT : STDERR, program->stream, data, (size_t)got);
        return;
    }
    close_fd(program, which);
    send_frame(which == 1 ? STDOUT : STDERR, program->stream, NULL, 0);
}

static void serve_fd(int fd)
{
    for (int k = 0; k < MAX_PROGRAMS; k++) {
        struct program *program = &programs[k];
        if (!program->pid)
            continue;
        if (program->fds[0] == fd) {
            write_input(program);
            if (program->input_ends && !program->pending_bytes)
                close_fd(program, 0);
            return;
        }
        for (int which = 1; which < 3; which++)
            if (program->fds[which] == fd && program->unread < WINDOW_BYTES) {
                read_output(program, which);
                return;
            }
    }
}

void serve_programs(const struct pollfd *fds, nfds_t count)
{
    for (nfds_t k = 0; k < count; k++)
        if (fds[k].revents)
            serve_fd(fds[k].fd);
}

static void note_end(int pid, int status, const struct rusage *used)
{
    for (int k = 0; k < MAX_PROGRAMS; k++) {
        struct program *program = &programs[k];
        if (program->pid != pid || program->has_ended)
            continue;
        program->has_ended = true;
        program->status = status;
        program->cpu_us = (uint64_t)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000000u +
                          (uint64_t)(used->ru_utime.tv_usec + used->ru_stime.tv_usec);
        program->peak_bytes = (uint64_t)used->ru_maxrss * 1024u;
        kill(-pid, SIGKILL); /* where there are no process namespaces, its group goes with it */
    }
}

/* A program is over once it has ended and all that it had to say was sent. */
static void let_go(struct program *program)
{
    uint8_t last[20];
    put_u32(last, (uint32_t)program->status);
    put_u64(last + 4, program->cpu_us);
    put_u64(last + 12, program->peak_bytes);
    send_frame(EXIT, program->stream, last, sizeof last);
    close_fd(program, 0);
    free(program->pending);
    *program = (struct program){0};
}

void reap_programs(void)
{
    struct rusage used;
    int status, pid;
    while ((pid = wait4(-1, &status, WNOHANG, &used)) > 0)
        note_end(pid, status, &used);
    for (int k = 0; k < MAX_PROGRAMS; k++)
        if (programs[k].pid && programs[k].has_ended && programs[k].fds[1] < 0 && programs[k].fds[2] < 0)
            let_go(&programs[k]);
}
