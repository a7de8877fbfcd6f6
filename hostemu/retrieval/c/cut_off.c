#include "cut_off.h"

#include <stddef.h>
#include <stdlib.h>

#include "sockets.h"

struct cut_off {
    int count;
    int fds[];
};

void cut_off_add(struct cut_off **cut_off, int fd)
{
    int count = *cut_off == NULL ? 0 : (*cut_off)->count;
    struct cut_off *larger = realloc(*cut_off, sizeof *larger + (count + 1) * sizeof *larger->fds);
    if (larger == NULL) {
        reset(fd);
        return;
    }
    larger->fds[count] = fd;
    larger->count = count + 1;
    *cut_off = larger;
}

bool cut_off_deafen(const struct cut_off *cut_off, int filter)
{
    for (int i = 0; cut_off != NULL && i < cut_off->count; i++)
        if (!deafen(cut_off->fds[i], filter))
            return false;
    return true;
}

void cut_off_reset(struct cut_off **cut_off)
{
    for (int i = 0; *cut_off != NULL && i < (*cut_off)->count; i++)
        reset((*cut_off)->fds[i]);
    free(*cut_off);
    *cut_off = NULL;
}
