/* Connections from before a terminal went off silently: they stay open, and hear nothing, until it wakes up. */
#ifndef CUT_OFF_H
#define CUT_OFF_H

#include <stdbool.h>

struct cut_off; /* NULL when there are none */

/* Adds a connection; without memory for it, resets it, so that its peer learns that it is gone. */
void cut_off_add(struct cut_off **cut_off, int fd);

/* Deafens all, with a filter of shared_filter; false with errno. */
bool cut_off_deafen(const struct cut_off *cut_off, int filter);

/* Resets all. */
void cut_off_reset(struct cut_off **cut_off);

#endif
