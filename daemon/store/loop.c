// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * loop.c - a thread that runs a back-end, and the way back to it from other threads
 *
 * Invariant: event_fd is written to exactly when the list of posted operations stops being empty, so a loop that sleeps
 * while something is posted always wakes.
 */
#include "store/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 1000

static _Thread_local const struct store_loop *loop_current;

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

static bool loop_stopped(struct store_loop *loop)
{
	bool stop;

	pthread_mutex_lock(&loop->lock);
	stop = loop->stop;
	pthread_mutex_unlock(&loop->lock);
	return stop;
}

static void *loop_main(void *arg)
{
	struct store_loop *loop = arg;
	long next_tick = now_ms() + TICK_MS;

	loop_current = loop;
	while (!loop_stopped(loop)) {
		long now = now_ms();

		if (now >= next_tick) {
			next_tick = now + TICK_MS;
			if (loop->tick)
				loop->tick(loop);
		}
		loop->ops->wait(loop, (int)(next_tick - now < 1 ? 1 : next_tick - now));
		store_loop_run_posted(loop);
	}
	loop->ops->exit(loop);
	return NULL;
}

/* The back-end is prepared on the loop's own thread: a ring belongs to the thread that submits to it. */
struct loop_start {
	struct store_loop *loop;
	pthread_mutex_t lock;
	pthread_cond_t known;
	bool done;
	int err;
};

static void *loop_start_main(void *arg)
{
	struct loop_start *start = arg;
	struct store_loop *loop = start->loop;
	int err = loop->ops->init(loop);

	pthread_mutex_lock(&start->lock);
	start->err = err;
	start->done = true;
	pthread_cond_signal(&start->known);
	pthread_mutex_unlock(&start->lock);
	return err ? NULL : loop_main(loop);
}

int store_loop_init(struct store_loop *loop, const struct store_io_ops *ops,
		    struct store_pool *pool, void (*tick)(struct store_loop *loop), void *owner)
{
	struct loop_start start = {.loop = loop};
	sigset_t all, before;
	int err;

	*loop = (struct store_loop){.ops = ops, .pool = pool, .tick = tick, .owner = owner};
	loop->posted_end = &loop->posted;
	loop->event_fd = eventfd(0, EFD_CLOEXEC);
	if (loop->event_fd < 0)
		return -errno;
	pthread_mutex_init(&loop->lock, NULL);
	pthread_mutex_init(&start.lock, NULL);
	pthread_cond_init(&start.known, NULL);

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&loop->thread, NULL, loop_start_main, &start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err) {
		pthread_mutex_lock(&start.lock);
		while (!start.done)
			pthread_cond_wait(&start.known, &start.lock);
		pthread_mutex_unlock(&start.lock);
		err = start.err;
		if (err)
			pthread_join(loop->thread, NULL);
	}
	pthread_cond_destroy(&start.known);
	pthread_mutex_destroy(&start.lock);
	if (err) {
		pthread_mutex_destroy(&loop->lock);
		close(loop->event_fd);
	}
	return err;
}

static void loop_wake(struct store_loop *loop)
{
	uint64_t one = 1;
	ssize_t n = write(loop->event_fd, &one, sizeof(one));

	/* EAGAIN: the counter is full, so the loop is awake anyway. */
	(void)n;
}

void store_loop_exit(struct store_loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->stop = true;
	pthread_mutex_unlock(&loop->lock);
	loop_wake(loop);
	pthread_join(loop->thread, NULL);
	pthread_mutex_destroy(&loop->lock);
	close(loop->event_fd);
}

bool store_loop_is_current(const struct store_loop *loop)
{
	return loop_current == loop;
}

void store_loop_post(struct store_loop *loop, struct store_op *op)
{
	bool was_empty;

	op->next = NULL;
	pthread_mutex_lock(&loop->lock);
	was_empty = !loop->posted;
	*loop->posted_end = op;
	loop->posted_end = &op->next;
	pthread_mutex_unlock(&loop->lock);
	if (was_empty)
		loop_wake(loop);
}

void store_loop_run_posted(struct store_loop *loop)
{
	struct store_op *op;

	pthread_mutex_lock(&loop->lock);
	op = loop->posted;
	loop->posted = NULL;
	loop->posted_end = &loop->posted;
	pthread_mutex_unlock(&loop->lock);

	while (op) {
		struct store_op *next = op->next;

		op->done(op);
		op = next;
	}
}

static void call_run(struct store_op *op)
{
	struct store_loop *loop = op->loop;
	int result = op->call(op);

	if (result == STORE_CALL_TAKEN)
		return;
	op->result = result;
	if (loop->ops->files_inline)
		op->done(op);
	else
		store_loop_post(loop, op);
}

void store_op_submit(struct store_loop *loop, struct store_op *op)
{
	op->loop = loop;
	op->moved = 0;
	if (op->kind == STORE_OP_CALL)
		store_pool_submit(loop->pool, op, call_run);
	else
		loop->ops->submit(loop, op);
}

void store_op_call(struct store_loop *loop, struct store_op *op)
{
	op->kind = STORE_OP_CALL;
	op->loop = loop;
	if (loop->ops->files_inline && store_pool_is_current())
		call_run(op);
	else
		store_pool_submit(loop->pool, op, call_run);
}

bool store_op_advance(struct store_op *op, size_t bytes)
{
	op->moved += bytes;
	op->rw.offset += bytes;
	while (op->rw.n_iov && bytes >= op->rw.iov->iov_len) {
		bytes -= op->rw.iov->iov_len;
		op->rw.iov++;
		op->rw.n_iov--;
	}
	if (op->rw.n_iov) {
		op->rw.iov->iov_base = (char *)op->rw.iov->iov_base + bytes;
		op->rw.iov->iov_len -= bytes;
	}
	return op->rw.n_iov == 0;
}
