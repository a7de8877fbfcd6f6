/*
 * The agent as an ordinary process of this machine, for tests, until END: agent DESCRIPTOR-OF-ITS-CHANNEL.
 *
 * It takes a user namespace of its own, where it may make process namespaces and may not reboot.
 */
#define main main_of_a_guest
#include "agent.c"
#undef main

#include <sched.h>
#include <sys/prctl.h>

enum { HAS_NO_NAMESPACES = 77 };

int __wrap_reboot(int how)
{
    (void)how;
    exit(0); /* and not _exit: the sanitiser then tells of leaks */
}

int main(int argc, char **argv)
{
    int fd = argc == 2 ? atoi(argv[1]) : -1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWUSER) < 0)
        return HAS_NO_NAMESPACES;
    prctl(PR_SET_DUMPABLE, 1); /* the search for leaks is one with ptrace(2) */
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return 1;
    begin(fd, false);
}
