/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.h - loops, operations on files and sockets, and the two back-ends that carry them out
 *
 * A loop is a thread that owns connections. An operation (struct store_op) is one thing to do with a descriptor, with a
 * function that runs when it is done. Who submits it keeps it alive and untouched until then.
 *
 * Where .done runs:
 *   sockets (ACCEPT, RECV, SEND)   on the loop's thread, never from inside store_op_submit()
 *   files and CALL                 on the loop's thread or on a thread of the pool: it may use what the operation's owner
 *                                  has, and submit the next operation, but not touch what belongs to the loop
 *
 * So a chain of operations on files costs one change of thread with the thread pool and none with io_uring, and it is
 * written once. It ends with store_loop_post(), which brings the owner back to its loop.
 */
#ifndef WEFT_STORE_LOOP_H
#define WEFT_STORE_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct store_loop;
struct store_pool;

enum store_op_kind {
	STORE_OP_ACCEPT, /* .fd: listening socket; result: a descriptor */
	STORE_OP_RECV,	 /* .recv; result: bytes, 0 at the end */
	STORE_OP_SEND,	 /* .send; result: bytes, perhaps fewer than asked for */
	STORE_OP_READ,	 /* .rw; result: bytes, fewer than asked for only at the end of the file */
	STORE_OP_WRITE,	 /* .rw; result: all bytes or an error */
	STORE_OP_SYNC,	 /* .sync; result: 0 */
	STORE_OP_OPEN,	 /* .fd: directory, .open; result: a descriptor */
	STORE_OP_LINK,	 /* .fd: an unnamed file, .link; result: 0 */
	STORE_OP_CALL, /* .call runs on a thread of the pool, in its turn, and may block; result: what it returns */
};

/* What .call returns when it gave the operation's owner away: nobody touches the operation any more, .done does not run. */
#define STORE_CALL_TAKEN (-0x7fffffff)

/* A result is a negative errno or what stands above. */
struct store_op {
	enum store_op_kind kind;
	int fd;
	int result;
	void (*done)(struct store_op *op);
	union {
		struct {
			void *buf;
			size_t len;
		} recv;
		struct msghdr send;
		struct {
			struct iovec *iov; /* changed while the operation runs */
			int n_iov;
			uint64_t offset;
		} rw;
		struct {
			bool data_only;
		} sync;
		struct {
			const char *path;
			int flags;
		} open;
		struct {
			int dir;
			const char *path;
			char self[32]; /* private */
		} link;
		int (*call)(struct store_op *op);
	};
	struct store_loop *loop; /* that it was submitted to */
	struct store_op *next;	 /* private */
	size_t moved;		 /* private: bytes read or written before */
};

/*
 * A back-end. All functions are called on the loop's thread, but submit() of file operations also on threads of the pool if
 * files_inline says so.
 */
struct store_io_ops {
	const char *name;
	bool files_inline; /* file operations submitted on a thread of the pool run there at once */
	/* Prepare for the loop: 0 or a negative errno: this back-end cannot be used here. */
	int (*init)(struct store_loop *loop);
	void (*exit)(struct store_loop *loop);
	/* Start an operation of any kind but CALL. */
	void (*submit)(struct store_loop *loop, struct store_op *op);
	/* End an ACCEPT soon: its .done runs with -ECANCELED, or with what came before. */
	void (*cancel)(struct store_loop *loop, struct store_op *op);
	/* The socket is about to be closed; nothing is submitted for it any more and nothing is under way. */
	void (*forget)(struct store_loop *loop, int fd);
	/* Wait until something is done, store_loop.event_fd is written to, or timeout_ms passed; run .done of what is. */
	void (*wait)(struct store_loop *loop, int timeout_ms);
};

extern const struct store_io_ops store_io_uring;
extern const struct store_io_ops store_io_threads;

struct store_loop {
	const struct store_io_ops *ops;
	void *io; /* the back-end's */
	struct store_pool *pool;
	int event_fd;
	pthread_t thread;
	void (*tick)(struct store_loop *loop); /* about once a second */
	void *owner;

	pthread_mutex_t lock; /* posted, posted_end, stop */
	struct store_op *posted, **posted_end;
	bool stop;
};

/* loop.c */

/*
 * Start a loop's thread with a back-end. ops: which one. pool: shared by all loops. tick and owner: may be NULL.
 * 0, or a negative errno and nothing was started.
 */
int store_loop_init(struct store_loop *loop, const struct store_io_ops *ops,
		    struct store_pool *pool, void (*tick)(struct store_loop *loop), void *owner);
/* End the thread. The caller saw to it that nothing is under way. */
void store_loop_exit(struct store_loop *loop);

/* Start op on the loop: sockets on its thread only; files and CALL on its thread or on one of the pool. */
void store_op_submit(struct store_loop *loop, struct store_op *op);

/* A CALL that runs at once if this is a thread of the pool already; else as store_op_submit(). */
void store_op_call(struct store_loop *loop, struct store_op *op);

/* Run op->done on the loop's thread. Any thread; never fails. */
void store_loop_post(struct store_loop *loop, struct store_op *op);

/* True on the loop's own thread. */
bool store_loop_is_current(const struct store_loop *loop);

/* Wait out what was posted so far: used by the back-ends after event_fd became readable. */
void store_loop_run_posted(struct store_loop *loop);

/* Take moved bytes off the front of an operation's buffers. True when nothing is left. */
bool store_op_advance(struct store_op *op, size_t bytes);

/* pool.c: threads for what blocks */

/* 0 or a negative errno. n: threads. */
int store_pool_init(struct store_pool **pool, unsigned int n);
void store_pool_exit(struct store_pool *pool);
/* Run run(op) on a thread of the pool. Any thread; never fails. */
void store_pool_submit(struct store_pool *pool, struct store_op *op,
		       void (*run)(struct store_op *op));
/* True on a thread of a pool. */
bool store_pool_is_current(void);

#endif
