/* What /proc says of a program and its descendants. */
#define _GNU_SOURCE
#include "agent.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *read_text(int pid, const char *name, char *text, size_t room)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, room - 1);
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = 0;
    return text;
}

/* The number behind `label` in /proc/PID/status; 0 when there is none. */
static uint64_t status_number(int pid, const char *label, int base)
{
    char text[2048];
    const char *at = strstr(read_text(pid, "status", text, sizeof text), label);
    return at ? strtoull(at + strlen(label), NULL, base) : 0;
}

bool heeds(int pid, int signal_number)
{
    uint64_t reached = status_number(pid, "SigCgt:", 16) | status_number(pid, "SigIgn:", 16);
    return reached >> (signal_number - 1) & 1;
}

/* Adds one process; returns its parent, 0 when it is gone.  Fields: proc_pid_stat(5), 4, 14 to 17 and 24. */
static int parent_of(int pid, struct process_usage *used)
{
    char text[1024];
    const char *at = strrchr(read_text(pid, "stat", text, sizeof text), ')');
    unsigned long user, system;
    long child_user, child_system, pages;
    int parent;
    const char *fields = "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld %*d %*d %*d %*d %*u %*u %ld";
    if (!at || sscanf(at + 2, fields, &parent, &user, &system, &child_user, &child_system, &pages) != 6)
        return 0;
    uint64_t tick_us = 1000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    used->cpu_us = (user + system + (uint64_t)child_user + (uint64_t)child_system) * tick_us;
    used->resident_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    used->peak_bytes = status_number(pid, "VmHWM:", 10) * 1024u;
    return parent;
}

static bool descends(int pid, int ancestor)
{
    struct process_usage ignored;
    for (int steps = 0; pid > 1 && steps < 1000; steps++) {
        if (pid == ancestor)
            return true;
        pid = parent_of(pid, &ignored);
    }
    return false;
}

struct process_usage usage_of(int pid)
{
    struct process_usage all = {0}, one;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        int other = atoi(entry->d_name);
        if (other <= 0 || !descends(other, pid) || !parent_of(other, &one))
            continue;
        all.cpu_us += one.cpu_us;
        all.resident_bytes += one.resident_bytes;
        all.peak_bytes = one.peak_bytes > all.peak_bytes ? one.peak_bytes : all.peak_bytes;
    }
    if (proc)
        closedir(proc);
    return all;
}
