/*
 * What the agent's program does when it is called with words, in a guest or on the host:
 *
 *     agent put FILE              standard input to a file
 *     agent get FILE              a file to standard output
 *     agent launch FLAGS PROGRAM  become another program; flags: R, addresses are not randomised; H, no huge pages;
 *                                 C, a child becomes it, and its end is ours
 *     agent tsc                   the frequency of this machine's time stamp counter in kHz
 */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TSC_WINDOW_MS = 200, TSC_TRIES = 5 };

static int complain(const char *about)
{
    fprintf(stderr, "%s: %s\n", about, strerror(errno));
    return 1;
}

static int copy(int from, int to, const char *name)
{
    static char data[16384];
    ssize_t got;
    if (from < 0 || to < 0)
        return complain(name);
    while ((got = read(from, data, sizeof data)) > 0)
        for (ssize_t at = 0, sent; at < got; at += sent)
            if ((sent = write(to, data + at, (size_t)(got - at))) < 0)
                return complain(name);
    return got < 0 ? complain(name) : 0;
}

/* The kernel spares process 1 of a namespace what would end others; a kernel that panics calls abort() for ever. */
static int wait_for(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return complain("waitpid");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int launch(char **words)
{
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    if (strchr(words[0], 'R') && personality(ADDR_NO_RANDOMIZE) < 0)
        return complain("personality");
    if (strchr(words[0], 'H') && prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0)
        return complain("prctl");
    if (strchr(words[0], 'C')) {
        pid_t child = fork();
        if (child)
            return child < 0 ? complain("fork") : wait_for(child);
    }
    execvp(words[1], words + 1);
    complain(words[1]);
    return 127;
}

#if defined __x86_64__ || defined __i386__
struct reading {
    uint64_t ticks, ns;
};

/* Counter and clock at one moment: of several tries, the one in which the least time passed. */
static struct reading read_both(void)
{
    struct reading best = {0, 0};
    uint64_t best_ticks = UINT64_MAX;
    for (int k = 0; k < TSC_TRIES; k++) {
        struct timespec now;
        uint64_t before = __builtin_ia32_rdtsc();
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t took = __builtin_ia32_rdtsc() - before;
        if (took < best_ticks) {
            best_ticks = took;
            best = (struct reading){before + took / 2, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec};
        }
    }
    return best;
}

static int tell_tsc(void)
{
    const struct timespec window = {0, TSC_WINDOW_MS * 1000000L};
    struct reading first = read_both();
    nanosleep(&window, NULL);
    struct reading last = read_both();
    double khz = (double)(last.ticks - first.ticks) * 1e6 / (double)(last.ns - first.ns);
    return printf("%.0f\n", khz) < 0;
}
#else
static int tell_tsc(void)
{
    fprintf(stderr, "no time stamp counter\n");
    return 1;
}
#endif

int command(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "put") == 0)
        return copy(0, open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0755), argv[2]);
    if (argc == 3 && strcmp(argv[1], "get") == 0)
        return copy(open(argv[2], O_RDONLY), 1, argv[2]);
    if (argc > 3 && strcmp(argv[1], "launch") == 0)
        return launch(argv + 2);
    if (argc == 2 && strcmp(argv[1], "tsc") == 0)
        return tell_tsc();
    fprintf(stderr, "hostemu agent: not called as process 1 of a guest, and no command that it knows\n");
    return 2;
}
