/* The parts of a guest's end of virtual time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "desk.h"

#pragma GCC visibility push(hidden)

/* The desk of this guest; NULL until its clock has begun. */
extern struct desk *desk;
extern uint8_t *inbox, *outbox;
extern int64_t box_bytes;

/* clock.c: what the kernel's clock is told and tells. */
extern int clock_fd;
extern int64_t sent_ns; /* the guest's clock, as it was told last */
ssize_t clock_write(const void *message, size_t length);
ssize_t clock_read(void *message, size_t length);
bool clock_is_readable(void);
void clock_wait(void);               /* until the guest is to run */
void clock_owe(int64_t frame_bytes); /* a frame has taken the guest's CPU */
void clock_owe_entry(bool is_fault); /* a program has entered its kernel */
void clock_pay(bool is_told); /* let time pass for what is owed; is_told: the guest's clock is as it was told last */
void hand_over(int reason);   /* give the calendar its turn, and wait for one's own */

/* interface.c: what the kernel's network interface is told and tells. */
struct interface;
bool interface_open(int fd);            /* the kernel has found its next one; false: too many */
struct interface *interface_of(int fd); /* NULL: none */
struct interface *caller_of(int fd);    /* whose interrupts come by that descriptor */
ssize_t interface_sendmsg(struct interface *interface, const struct msghdr *message);
ssize_t interface_read(struct interface *interface, void *buffer, size_t length);
ssize_t calls_read(struct interface *interface, void *buffer, size_t length);
bool interface_is_readable(const struct interface *interface);
void note_pair(int first, int second);
void raise_call(unsigned nic, unsigned queue); /* interrupt the kernel */
int new_call(void);                            /* the descriptor of an interrupt that it does not know of yet; -1 */

/* queues.c: the interface's virtqueues. */
enum { RX, TX, QUEUES };
enum queue_setting { QUEUE_ENTRIES, QUEUE_ADDRESSES, QUEUE_NEXT, QUEUE_ENABLED };
bool queues_map(const uint8_t *payload, const int *fds, size_t fd_count); /* the guest's memory */
bool queues_set(unsigned nic, enum queue_setting setting, const uint8_t *payload);
unsigned queues_take(void);     /* the frames in the inbox; a bit for each interface that is to interrupt the guest */
void queues_send(unsigned nic); /* put what the guest sends now into the outbox */

#pragma GCC visibility pop
