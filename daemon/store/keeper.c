// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * keeper.c - a thread for each store: index, free space, compaction, and the count of shards after a crash
 *
 * It waits on a condition: for its time (conf.index_ms), or to be woken when recent has grown.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "store/segment.h"

struct store_keeper {
	struct store *store;
	pthread_t thread;
	pthread_mutex_t lock; /* stop, woken */
	pthread_cond_t wake;
	bool stop, woken;
};

static struct timespec deadline(unsigned int ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += (long)(ms % 1000) * 1000000L;
	if (at.tv_nsec >= 1000000000L) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000L;
	}
	return at;
}

/* True when it is time to end. */
static bool keeper_wait(struct store_keeper *keeper)
{
	unsigned int ms = keeper->store->conf->index_ms ? keeper->store->conf->index_ms : 1000;
	struct timespec at = deadline(ms);
	int rc = 0;
	bool stop;

	pthread_mutex_lock(&keeper->lock);
	while (!keeper->stop && !keeper->woken && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&keeper->wake, &keeper->lock, &at);
	keeper->woken = false;
	stop = keeper->stop;
	pthread_mutex_unlock(&keeper->lock);
	return stop;
}

/*
 * After a crash the counters of shard files are those of some time before it. What comes and goes during the count may be
 * counted twice or not: the numbers are for people and for free space under conf.capacity, which has reserves.
 */
static void keeper_recount(struct store *store)
{
	int64_t files_before = atomic_load(&store->files),
		bytes_before = atomic_load(&store->file_bytes);
	int64_t files = 0, bytes = 0;

	if (store_file_count(store, &files, &bytes) == 0)
		store_count_files(store, files - files_before, bytes - bytes_before);
}

static void *keeper_main(void *arg)
{
	struct store_keeper *keeper = arg;
	struct store *store = keeper->store;

	if (!store_segments_closed_in_order(store))
		keeper_recount(store);
	while (!keeper_wait(keeper)) {
		store_space_refresh(store);
		store_segments_keep_room(store);
		if (store_segments_flush(store, false) == 0 &&
		    atomic_load(&store->status) == WEFT_ST_OK)
			store_segments_compact(store);
	}
	return NULL;
}

void store_keeper_wake(struct store *store)
{
	struct store_keeper *keeper = store->keeper;

	if (!store_segments_urgent(store))
		return;
	pthread_mutex_lock(&keeper->lock);
	keeper->woken = true;
	pthread_cond_signal(&keeper->wake);
	pthread_mutex_unlock(&keeper->lock);
}

int store_keeper_start(struct store *store)
{
	struct store_keeper *keeper = calloc(1, sizeof(*keeper));
	pthread_condattr_t attr;
	sigset_t all, before;
	int err;

	if (!keeper)
		return -ENOMEM;
	keeper->store = store;
	pthread_mutex_init(&keeper->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&keeper->wake, &attr);
	pthread_condattr_destroy(&attr);
	store->keeper = keeper;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&keeper->thread, NULL, keeper_main, keeper);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		free(keeper);
		store->keeper = NULL;
	}
	return err;
}

void store_keeper_stop(struct store *store)
{
	struct store_keeper *keeper = store->keeper;

	pthread_mutex_lock(&keeper->lock);
	keeper->stop = true;
	pthread_cond_signal(&keeper->wake);
	pthread_mutex_unlock(&keeper->lock);
	pthread_join(keeper->thread, NULL);
	pthread_cond_destroy(&keeper->wake);
	pthread_mutex_destroy(&keeper->lock);
	free(keeper);
	store->keeper = NULL;
}
