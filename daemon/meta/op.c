// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * op.c - what passes between the threads of the metadata service, and the queues in which it waits
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meta/service.h"

#define SECOND_NS 1000000000ull

static u64 clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (u64)now.tv_sec * SECOND_NS + (u64)now.tv_nsec;
}

u64 meta_clock_monotonic(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

u64 meta_clock_real(void)
{
	return clock_ns(CLOCK_REALTIME);
}

bool meta_text_ok(const void *text, size_t len)
{
	json_t *json = memchr(text, 0, len) ? NULL : json_stringn(text, len);

	json_decref(json);
	return json;
}

void meta_queue_init(struct meta_queue *queue)
{
	pthread_condattr_t attr;

	queue->first = NULL;
	queue->last = &queue->first;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&queue->filled, &attr);
	pthread_condattr_destroy(&attr);
}

void meta_queue_destroy(struct meta_queue *queue)
{
	struct meta_op *op;

	while ((op = queue->first)) {
		queue->first = op->next;
		meta_op_free(op);
	}
	pthread_cond_destroy(&queue->filled);
	pthread_mutex_destroy(&queue->lock);
}

void meta_queue_put(struct meta_queue *queue, struct meta_op *op)
{
	op->next = NULL;
	pthread_mutex_lock(&queue->lock);
	*queue->last = op;
	queue->last = &op->next;
	pthread_cond_signal(&queue->filled);
	pthread_mutex_unlock(&queue->lock);
}

struct meta_op *meta_queue_take(struct meta_queue *queue, u64 deadline_ns)
{
	struct timespec until = { (time_t)(deadline_ns / SECOND_NS),
				  (long)(deadline_ns % SECOND_NS) };
	struct meta_op *first;

	pthread_mutex_lock(&queue->lock);
	while (!queue->first && deadline_ns)
		if (pthread_cond_timedwait(&queue->filled, &queue->lock, &until) == ETIMEDOUT)
			break;
	first = queue->first;
	queue->first = NULL;
	queue->last = &queue->first;
	pthread_mutex_unlock(&queue->lock);
	return first;
}

struct meta_op *meta_op_alloc(void (*run)(struct meta_brain *, struct meta_op *))
{
	struct meta_op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	op->run = run;
	meta_outcome_init(&op->outcome);
	op->arrived_ns = meta_clock_monotonic();
	return op;
}

void meta_op_free(struct meta_op *op)
{
	if (!op)
		return;
	meta_buffer_free(&op->entry);
	meta_outcome_free(&op->outcome);
	free(op->payload);
	free(op);
}

void meta_op_refuse(struct meta_op *op, u32 status, u16 text_type, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	tlv_writer_reset(&op->outcome.answer);
	tlv_put_text(&op->outcome.answer, text_type, text);
	op->outcome.status = status;
	op->step = META_DONE;
}
