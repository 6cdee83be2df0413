/* SPDX-License-Identifier: Apache-2.0 */
/* io.h - descriptors: EINTR-safe reads and writes, flags, descriptor passing.
 * Used by: wire, launcher, zygote, helper, driver.
 * Errors: E_AGAIN would block, E_EOF, E_SYS with errno kept, E_LIMIT.
 * Threads: pure functions of their descriptor. */
#ifndef TERRARIUM_IO_H
#define TERRARIUM_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { IO_MAX_FDS = 8 };

/* One read or write; *n is the count on success. */
int io_read(int fd, void *p, size_t cap, size_t *n);
int io_writev(int fd, const struct iovec *v, int count, size_t *n);
/* All of it, on a blocking descriptor. */
int io_write_all(int fd, const void *p, size_t n);

int io_set_nonblock(int fd, int on);
int io_set_cloexec(int fd, int on);
/* Copies of n descriptors, close-on-exec and not 0 to 2; -1 stays -1.  When it
 * fails those that were made are in `to`, and the others are -1. */
int io_dup(const int *from, int *to, int n);
/* Close *fd if it is open and forget it. */
void io_close(int *fd);

/* One SOCK_SEQPACKET message with up to IO_MAX_FDS descriptors.
 * Received descriptors are close-on-exec and belong to the caller; more than
 * IO_MAX_FDS, or a message longer than cap, is E_LIMIT and all are closed. */
int io_send_packet(int fd, const void *p, size_t n, const int *fds, int count);
int io_recv_packet(int fd, void *p, size_t cap, size_t *n, int *fds,
                   int *count);

/* A pair for such messages.  With each that comes to the second end the kernel
 * says which user sent it, whoever has the first by then. */
int io_vouched_pair(int pair[2]);
/* io_recv_packet at that end; *user is IO_NO_USER where nobody says it. */
enum { IO_NO_USER = -1 };
int io_recv_vouched(int fd, void *p, size_t cap, size_t *n, int *fds,
                    int *count, int64_t *user);

#endif
