// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * io_uring.c - the back-end on io_uring: sockets and files through one ring for each loop
 *
 * The ring belongs to the loop's thread; only that thread submits and reaps. Operations that find the submission queue
 * full, or that need another turn (a short read or write), wait in a list that is emptied before the ring is entered.
 * One read of the loop's event_fd is always under way; it is how other threads wake the loop.
 */
#include "store/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_ENTRIES 256
#define REAP_BATCH   64

struct io_ring {
	struct io_uring ring;
	struct store_op *backlog, **backlog_end; /* not yet in the submission queue */
	uint64_t event_count;			 /* what the read of event_fd writes to */
	bool event_armed;
};

static const int needed_ops[] = {
	IORING_OP_ACCEPT, IORING_OP_RECV,	  IORING_OP_SENDMSG, IORING_OP_READV,
	IORING_OP_WRITEV, IORING_OP_FSYNC,	  IORING_OP_OPENAT,  IORING_OP_LINKAT,
	IORING_OP_READ,	  IORING_OP_ASYNC_CANCEL,
};

static int ring_probe(struct io_uring *ring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	int err = 0;

	if (!probe)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < sizeof(needed_ops) / sizeof(needed_ops[0]); i++)
		if (!io_uring_opcode_supported(probe, needed_ops[i]))
			err = -EOPNOTSUPP;
	io_uring_free_probe(probe);
	return err;
}

static int uring_init(struct store_loop *loop)
{
	struct io_ring *io = calloc(1, sizeof(*io));
	int err;

	if (!io)
		return -ENOMEM;
	io->backlog_end = &io->backlog;
	err = io_uring_queue_init(RING_ENTRIES, &io->ring, 0);
	if (err)
		goto err_free;
	/* Without these, completions could be dropped, or a wait had no timeout of its own. */
	if (!(io->ring.features & IORING_FEAT_NODROP) ||
	    !(io->ring.features & IORING_FEAT_EXT_ARG)) {
		err = -EOPNOTSUPP;
		goto err_exit;
	}
	err = ring_probe(&io->ring);
	if (err)
		goto err_exit;
	loop->io = io;
	return 0;
err_exit:
	io_uring_queue_exit(&io->ring);
err_free:
	free(io);
	return err;
}

static void uring_exit(struct store_loop *loop)
{
	struct io_ring *io = loop->io;

	io_uring_queue_exit(&io->ring);
	free(io);
}

static void op_prepare(struct io_uring_sqe *sqe, struct store_op *op)
{
	switch (op->kind) {
	case STORE_OP_ACCEPT:
		io_uring_prep_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
		break;
	case STORE_OP_RECV:
		io_uring_prep_recv(sqe, op->fd, op->recv.buf, op->recv.len, 0);
		break;
	case STORE_OP_SEND:
		io_uring_prep_sendmsg(sqe, op->fd, &op->send, MSG_NOSIGNAL);
		break;
	case STORE_OP_READ:
		io_uring_prep_readv(sqe, op->fd, op->rw.iov, (unsigned int)op->rw.n_iov,
				    op->rw.offset);
		break;
	case STORE_OP_WRITE:
		io_uring_prep_writev(sqe, op->fd, op->rw.iov, (unsigned int)op->rw.n_iov,
				     op->rw.offset);
		break;
	case STORE_OP_SYNC:
		io_uring_prep_fsync(sqe, op->fd, op->sync.data_only ? IORING_FSYNC_DATASYNC : 0);
		break;
	case STORE_OP_OPEN:
		io_uring_prep_openat(sqe, op->fd, op->open.path, op->open.flags | O_CLOEXEC, 0600);
		break;
	case STORE_OP_LINK:
		snprintf(op->link.self, sizeof(op->link.self), "/proc/self/fd/%d", op->fd);
		io_uring_prep_linkat(sqe, AT_FDCWD, op->link.self, op->link.dir, op->link.path,
				     AT_SYMLINK_FOLLOW);
		break;
	case STORE_OP_CALL:
		io_uring_prep_nop(sqe); /* never submitted here: see store_op_submit() */
		break;
	}
	io_uring_sqe_set_data(sqe, op);
}

static void uring_submit(struct store_loop *loop, struct store_op *op)
{
	struct io_ring *io = loop->io;

	op->next = NULL;
	*io->backlog_end = op;
	io->backlog_end = &op->next;
}

static void uring_forget(struct store_loop *loop, int fd)
{
	(void)loop;
	(void)fd;
}

static void backlog_submit(struct store_loop *loop)
{
	struct io_ring *io = loop->io;
	struct io_uring_sqe *sqe;

	if (!io->event_armed) {
		sqe = io_uring_get_sqe(&io->ring);
		if (sqe) {
			io_uring_prep_read(sqe, loop->event_fd, &io->event_count,
					   sizeof(io->event_count), 0);
			io_uring_sqe_set_data(sqe, NULL);
			io->event_armed = true;
		}
	}
	while (io->backlog) {
		struct store_op *op = io->backlog;

		sqe = io_uring_get_sqe(&io->ring);
		if (!sqe) {
			if (io_uring_submit(&io->ring) <= 0)
				return;
			continue;
		}
		io->backlog = op->next;
		if (!io->backlog)
			io->backlog_end = &io->backlog;
		op_prepare(sqe, op);
	}
}

/* What the completion of a cancellation carries. */
static struct store_op cancellation;

static void uring_cancel(struct store_loop *loop, struct store_op *op)
{
	struct io_ring *io = loop->io;
	struct io_uring_sqe *sqe;

	/* What it ends must have gone in before it. */
	backlog_submit(loop);
	while (!(sqe = io_uring_get_sqe(&io->ring)))
		io_uring_submit(&io->ring);
	io_uring_prep_cancel(sqe, op, 0);
	io_uring_sqe_set_data(sqe, &cancellation);
}

/* True if the operation is over; else it goes in again for its rest. */
static bool op_finish(struct store_op *op, int result)
{
	if (result == -EINTR || (result == -EAGAIN && op->kind != STORE_OP_ACCEPT))
		return false;
	op->result = result;
	if (result < 0 || (op->kind != STORE_OP_READ && op->kind != STORE_OP_WRITE))
		return true;
	if (result == 0 && op->rw.n_iov) {
		op->result = op->kind == STORE_OP_READ ? (int)op->moved : -EIO;
		return true;
	}
	if (!store_op_advance(op, (size_t)result))
		return false;
	op->result = (int)op->moved;
	return true;
}

static void uring_wait(struct store_loop *loop, int timeout_ms)
{
	struct __kernel_timespec timeout = {.tv_sec = timeout_ms / 1000,
					    .tv_nsec = timeout_ms % 1000 * 1000000LL};
	struct io_ring *io = loop->io;
	struct io_uring_cqe *cqes[REAP_BATCH], *first;
	unsigned int n;

	backlog_submit(loop);
	io_uring_submit_and_wait_timeout(&io->ring, &first, 1, &timeout, NULL);
	while ((n = io_uring_peek_batch_cqe(&io->ring, cqes, REAP_BATCH)) > 0) {
		struct store_op *done[REAP_BATCH];
		unsigned int n_done = 0;

		for (unsigned int i = 0; i < n; i++) {
			struct store_op *op = io_uring_cqe_get_data(cqes[i]);

			if (op == &cancellation)
				continue;
			if (!op)
				io->event_armed = false;
			else if (op_finish(op, cqes[i]->res))
				done[n_done++] = op;
			else
				uring_submit(loop, op);
		}
		io_uring_cq_advance(&io->ring, n);
		for (unsigned int i = 0; i < n_done; i++)
			done[i]->done(done[i]);
	}
}

const struct store_io_ops store_io_uring = {
	.name = "uring",
	.files_inline = false,
	.init = uring_init,
	.exit = uring_exit,
	.submit = uring_submit,
	.cancel = uring_cancel,
	.forget = uring_forget,
	.wait = uring_wait,
};
