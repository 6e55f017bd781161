// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * io_threads.c - the back-end without io_uring: sockets by epoll on the loop's thread, files by blocking calls on the pool
 *
 * A socket is registered once, edge-triggered, for both directions, when its first operation would block. An operation is
 * tried first and waits in the descriptor's slot only after EAGAIN; an edge that comes in between is delivered by a later
 * epoll_wait() on this same thread, so none is lost. Operations that could be done at once are queued as well: .done never
 * runs from inside submit.
 *
 * On a thread of the pool a file operation runs at once, and so does its .done: a chain of them occupies one thread.
 */
#include "store/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 64

struct socket_slot {
	struct store_op *in, *out; /* waiting for readiness */
	bool registered;
};

struct io_threads {
	int epoll_fd;
	struct socket_slot *slots; /* by descriptor */
	size_t n_slots;
	struct store_op *ready, **ready_end;
};

static int threads_init(struct store_loop *loop)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = loop->event_fd};
	struct io_threads *io = calloc(1, sizeof(*io));
	int err;

	if (!io)
		return -ENOMEM;
	io->ready_end = &io->ready;
	io->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (io->epoll_fd < 0) {
		err = -errno;
		goto err_free;
	}
	if (epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, loop->event_fd, &event)) {
		err = -errno;
		goto err_close;
	}
	loop->io = io;
	return 0;
err_close:
	close(io->epoll_fd);
err_free:
	free(io);
	return err;
}

static void threads_exit(struct store_loop *loop)
{
	struct io_threads *io = loop->io;

	close(io->epoll_fd);
	free(io->slots);
	free(io);
}

static int socket_try(struct store_op *op)
{
	ssize_t n;

	do {
		switch (op->kind) {
		case STORE_OP_ACCEPT:
			n = accept4(op->fd, NULL, NULL, SOCK_CLOEXEC);
			break;
		case STORE_OP_RECV:
			n = recv(op->fd, op->recv.buf, op->recv.len, MSG_DONTWAIT);
			break;
		default:
			n = sendmsg(op->fd, &op->send, MSG_DONTWAIT | MSG_NOSIGNAL);
		}
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

static void ready_add(struct io_threads *io, struct store_op *op)
{
	op->next = NULL;
	*io->ready_end = op;
	io->ready_end = &op->next;
}

static int slot_prepare(struct io_threads *io, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				    .data.fd = fd};

	if ((size_t)fd >= io->n_slots) {
		size_t n = io->n_slots ? io->n_slots : 64;
		struct socket_slot *slots;

		while (n <= (size_t)fd)
			n *= 2;
		slots = realloc(io->slots, n * sizeof(*slots));
		if (!slots)
			return -ENOMEM;
		memset(slots + io->n_slots, 0, (n - io->n_slots) * sizeof(*slots));
		io->slots = slots;
		io->n_slots = n;
	}
	if (io->slots[fd].registered)
		return 0;
	if (epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return -errno;
	io->slots[fd].registered = true;
	return 0;
}

static void socket_submit(struct io_threads *io, struct store_op *op)
{
	int err;

	if (op->kind == STORE_OP_ACCEPT)
		fcntl(op->fd, F_SETFL, fcntl(op->fd, F_GETFL) | O_NONBLOCK);
	op->result = socket_try(op);
	if (op->result != -EAGAIN) {
		ready_add(io, op);
		return;
	}
	err = slot_prepare(io, op->fd);
	if (err) {
		op->result = err;
		ready_add(io, op);
		return;
	}
	/* Registering reports what is ready now, too: nothing came between the try above and here unseen. */
	if (op->kind == STORE_OP_SEND)
		io->slots[op->fd].out = op;
	else
		io->slots[op->fd].in = op;
}

static void slot_retry(struct io_threads *io, struct store_op **slot)
{
	struct store_op *op = *slot;

	if (!op)
		return;
	op->result = socket_try(op);
	if (op->result == -EAGAIN)
		return;
	*slot = NULL;
	ready_add(io, op);
}

static int rw_run(struct store_op *op)
{
	while (op->rw.n_iov) {
		ssize_t n =
			op->kind == STORE_OP_READ
				? preadv(op->fd, op->rw.iov, op->rw.n_iov, (off_t)op->rw.offset)
				: pwritev(op->fd, op->rw.iov, op->rw.n_iov, (off_t)op->rw.offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return op->kind == STORE_OP_READ ? (int)op->moved : -EIO;
		store_op_advance(op, (size_t)n);
	}
	return (int)op->moved;
}

static int file_run(struct store_op *op)
{
	int n;

	switch (op->kind) {
	case STORE_OP_READ:
	case STORE_OP_WRITE:
		return rw_run(op);
	case STORE_OP_SYNC:
		n = op->sync.data_only ? fdatasync(op->fd) : fsync(op->fd);
		break;
	case STORE_OP_OPEN:
		n = openat(op->fd, op->open.path, op->open.flags | O_CLOEXEC, 0600);
		break;
	case STORE_OP_LINK:
		snprintf(op->link.self, sizeof(op->link.self), "/proc/self/fd/%d", op->fd);
		n = linkat(AT_FDCWD, op->link.self, op->link.dir, op->link.path, AT_SYMLINK_FOLLOW);
		break;
	default:
		return -EINVAL;
	}
	return n < 0 ? -errno : n;
}

static void file_start(struct store_op *op)
{
	op->result = file_run(op);
	op->done(op);
}

static void threads_submit(struct store_loop *loop, struct store_op *op)
{
	if (op->kind == STORE_OP_ACCEPT || op->kind == STORE_OP_RECV || op->kind == STORE_OP_SEND)
		socket_submit(loop->io, op);
	else if (store_pool_is_current())
		file_start(op);
	else
		store_pool_submit(loop->pool, op, file_start);
}

static void threads_cancel(struct store_loop *loop, struct store_op *op)
{
	struct io_threads *io = loop->io;

	if ((size_t)op->fd >= io->n_slots || io->slots[op->fd].in != op)
		return; /* done already, .done runs in a moment */
	io->slots[op->fd].in = NULL;
	op->result = -ECANCELED;
	ready_add(io, op);
}

static void threads_forget(struct store_loop *loop, int fd)
{
	struct io_threads *io = loop->io;

	if ((size_t)fd < io->n_slots && io->slots[fd].registered) {
		epoll_ctl(io->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		io->slots[fd] = (struct socket_slot){0};
	}
}

static void ready_run(struct io_threads *io)
{
	struct store_op *op = io->ready;

	io->ready = NULL;
	io->ready_end = &io->ready;
	while (op) {
		struct store_op *next = op->next;

		op->done(op);
		op = next;
	}
}

static void threads_wait(struct store_loop *loop, int timeout_ms)
{
	struct io_threads *io = loop->io;
	struct epoll_event events[EVENTS];
	int n = epoll_wait(io->epoll_fd, events, EVENTS, io->ready ? 0 : timeout_ms);

	for (int i = 0; i < n; i++) {
		int fd = events[i].data.fd;
		uint64_t count;

		if (fd == loop->event_fd) {
			if (read(fd, &count, sizeof(count)) < 0)
				continue;
		} else if ((size_t)fd < io->n_slots && io->slots[fd].registered) {
			slot_retry(io, &io->slots[fd].in);
			slot_retry(io, &io->slots[fd].out);
		}
	}
	ready_run(io);
}

const struct store_io_ops store_io_threads = {
	.name = "threads",
	.files_inline = true,
	.init = threads_init,
	.exit = threads_exit,
	.submit = threads_submit,
	.cancel = threads_cancel,
	.forget = threads_forget,
	.wait = threads_wait,
};
