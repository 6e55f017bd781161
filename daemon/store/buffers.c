// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * buffers.c - payload buffers: powers of two from 4 KiB to 32 MiB, kept for reuse, bounded in total
 *
 * Invariant: bytes in use and bytes kept idle are together at most the limit. Who finds nothing waits in one queue, first
 * come, first served, and newcomers do not pass those who wait; so a large request cannot starve. Nobody who holds a buffer
 * waits for another one, so the queue always moves.
 */
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define CLASS_MIN_SHIFT 12
#define CLASS_MAX_SHIFT 25
#define CLASSES		(CLASS_MAX_SHIFT - CLASS_MIN_SHIFT + 1)

struct idle_buffer {
	struct idle_buffer *next;
};

struct store_buffers {
	pthread_mutex_t lock; /* all below */
	size_t limit, used, idle;
	struct idle_buffer *free[CLASSES];
	struct store_buffer_wait *first, **last;
};

static unsigned int class_of(size_t size)
{
	unsigned int class = 0;

	while (class < CLASSES - 1 && ((size_t)1 << (class + CLASS_MIN_SHIFT)) < size)
		class ++;
	return class;
}

static size_t class_size(unsigned int class)
{
	return (size_t)1 << (class + CLASS_MIN_SHIFT);
}

static void idle_drop(struct store_buffers *buffers, size_t wanted)
{
	for (unsigned int class = CLASSES;
	     class -- > 0 && buffers->used + buffers->idle + wanted > buffers->limit;) {
		while (buffers->free[class] &&
		       buffers->used + buffers->idle + wanted > buffers->limit) {
			struct idle_buffer *buffer = buffers->free[class];

			buffers->free[class] = buffer->next;
			buffers->idle -= class_size(class);
			free(buffer);
		}
	}
}

static void *take(struct store_buffers *buffers, unsigned int class)
{
	size_t size = class_size(class);
	void *buffer = buffers->free[class];

	if (buffers->used + size > buffers->limit)
		return NULL;
	if (buffer) {
		buffers->free[class] = buffers->free[class]->next;
		buffers->idle -= size;
	} else {
		idle_drop(buffers, size);
		if (posix_memalign(&buffer, 4096, size))
			return NULL;
	}
	buffers->used += size;
	return buffer;
}

void *store_buffers_get(struct store_buffers *buffers, size_t size, struct store_buffer_wait *wait)
{
	void *buffer = NULL;

	pthread_mutex_lock(&buffers->lock);
	if (!buffers->first)
		buffer = take(buffers, class_of(size));
	if (!buffer) {
		wait->size = size;
		wait->buffer = NULL;
		wait->next = NULL;
		wait->waiting = true;
		*buffers->last = wait;
		buffers->last = &wait->next;
	}
	pthread_mutex_unlock(&buffers->lock);
	return buffer;
}

static void serve_waiting(struct store_buffers *buffers)
{
	while (buffers->first) {
		struct store_buffer_wait *wait = buffers->first;

		wait->buffer = take(buffers, class_of(wait->size));
		if (!wait->buffer)
			break;
		buffers->first = wait->next;
		if (!buffers->first)
			buffers->last = &buffers->first;
		wait->waiting = false;
		store_loop_post(wait->loop, &wait->op);
	}
}

void store_buffers_put(struct store_buffers *buffers, void *buffer, size_t size)
{
	unsigned int class = class_of(size);
	struct idle_buffer *idle = buffer;

	pthread_mutex_lock(&buffers->lock);
	buffers->used -= class_size(class);
	idle->next = buffers->free[class];
	buffers->free[class] = idle;
	buffers->idle += class_size(class);
	serve_waiting(buffers);
	pthread_mutex_unlock(&buffers->lock);
}

bool store_buffers_cancel(struct store_buffers *buffers, struct store_buffer_wait *wait)
{
	struct store_buffer_wait **link;
	bool found = false;

	pthread_mutex_lock(&buffers->lock);
	for (link = &buffers->first; *link && !found; link = &(*link)->next) {
		if (*link != wait)
			continue;
		*link = wait->next;
		if (!*link)
			buffers->last = link;
		wait->waiting = false;
		found = true;
		break;
	}
	/* What stood behind it may fit. */
	if (found)
		serve_waiting(buffers);
	pthread_mutex_unlock(&buffers->lock);
	return found;
}

int store_buffers_init(struct store_buffers **out, size_t limit)
{
	struct store_buffers *buffers = calloc(1, sizeof(*buffers));

	if (!buffers)
		return -ENOMEM;
	pthread_mutex_init(&buffers->lock, NULL);
	buffers->limit = limit;
	buffers->last = &buffers->first;
	*out = buffers;
	return 0;
}

void store_buffers_exit(struct store_buffers *buffers)
{
	for (unsigned int class = 0; class < CLASSES; class ++) {
		while (buffers->free[class]) {
			struct idle_buffer *buffer = buffers->free[class];

			buffers->free[class] = buffer->next;
			free(buffer);
		}
	}
	pthread_mutex_destroy(&buffers->lock);
	free(buffers);
}
