// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pool.c - threads for what blocks: one queue, first come, first served
 *
 * The queue is bounded by what submits to it: each request in flight has at most one operation here.
 */
#include "store/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

struct pool_item {
	struct store_op *op;
	void (*run)(struct store_op *op);
};

struct store_pool {
	pthread_mutex_t lock; /* all below */
	pthread_cond_t more;
	struct pool_item *items; /* ring of size entries */
	size_t size, first, used;
	bool stop;
	unsigned int n;
	pthread_t threads[];
};

static _Thread_local bool pool_thread;

bool store_pool_is_current(void)
{
	return pool_thread;
}

static void *pool_main(void *arg)
{
	struct store_pool *pool = arg;

	pool_thread = true;
	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct pool_item item;

		while (!pool->used && !pool->stop)
			pthread_cond_wait(&pool->more, &pool->lock);
		if (!pool->used)
			break;
		item = pool->items[pool->first];
		pool->first = (pool->first + 1) % pool->size;
		pool->used--;
		pthread_mutex_unlock(&pool->lock);
		item.run(item.op);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Twice the room. Fails only without memory; then the caller runs the operation itself. */
static int pool_grow(struct store_pool *pool)
{
	size_t size = pool->size ? pool->size * 2 : 64;
	struct pool_item *items = malloc(size * sizeof(*items));

	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < pool->used; i++)
		items[i] = pool->items[(pool->first + i) % pool->size];
	free(pool->items);
	pool->items = items;
	pool->size = size;
	pool->first = 0;
	return 0;
}

void store_pool_submit(struct store_pool *pool, struct store_op *op,
		       void (*run)(struct store_op *op))
{
	int err = 0;

	pthread_mutex_lock(&pool->lock);
	if (pool->used == pool->size)
		err = pool_grow(pool);
	if (!err) {
		pool->items[(pool->first + pool->used) % pool->size] = (struct pool_item){op, run};
		pool->used++;
		pthread_cond_signal(&pool->more);
	}
	pthread_mutex_unlock(&pool->lock);
	if (err)
		run(op);
}

void store_pool_exit(struct store_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->more);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned int i = 0; i < pool->n; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->more);
	pthread_mutex_destroy(&pool->lock);
	free(pool->items);
	free(pool);
}

int store_pool_init(struct store_pool **out, unsigned int n)
{
	struct store_pool *pool = calloc(1, sizeof(*pool) + n * sizeof(pool->threads[0]));
	sigset_t all, before;
	int err = 0;

	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->more, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (!err && pool->n < n) {
		err = -pthread_create(&pool->threads[pool->n], NULL, pool_main, pool);
		if (!err)
			pool->n++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		store_pool_exit(pool);
		return err;
	}
	*out = pool;
	return 0;
}
