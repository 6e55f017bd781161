// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * recent.c - what the index does not know yet, and its way into the index
 *
 * Invariants: an entry says what is durable in the segments. It leaves the table only after a change of the index that has
 * it, and if nothing was queued for it since. So whoever finds no entry may ask the index, and what the index says held at
 * that moment if store_segments.flushes did not move and there still is no entry.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/append.h"
#include "store/fault.h"

#define BUCKETS_MIN 1024
#define URGENT	    8192

bool store_fault_index_full;

static size_t key_hash(const struct store_key *key)
{
	uint64_t x = key->group * 0x9e3779b97f4a7c15u ^ key->session * 0xc2b2ae3d27d4eb4fu ^
		     (key->counter + key->index) * 0xff51afd7ed558ccdu;

	return (size_t)(x ^ x >> 29);
}

static bool key_equal(const struct store_key *a, const struct store_key *b)
{
	return a->counter == b->counter && a->session == b->session && a->group == b->group &&
	       a->index == b->index;
}

struct store_recent *store_recent_find(struct store_segments *segments, const struct store_key *key)
{
	struct store_recent *recent;

	if (!segments->buckets)
		return NULL;
	recent = segments->table[key_hash(key) & (segments->buckets - 1)];
	while (recent && !key_equal(&recent->key, key))
		recent = recent->next;
	return recent;
}

static int table_grow(struct store_segments *segments)
{
	size_t buckets = segments->buckets ? segments->buckets * 2 : BUCKETS_MIN;
	struct store_recent **table = calloc(buckets, sizeof(struct store_recent *));

	if (!table)
		return -ENOMEM;
	for (size_t i = 0; i < segments->buckets; i++) {
		struct store_recent *recent, *next;

		for (recent = segments->table[i]; recent; recent = next) {
			struct store_recent **bucket =
				&table[key_hash(&recent->key) & (buckets - 1)];

			next = recent->next;
			recent->next = *bucket;
			*bucket = recent;
		}
	}
	free(segments->table);
	segments->table = table;
	segments->buckets = buckets;
	return 0;
}

struct store_recent *store_recent_add(struct store_segments *segments, const struct store_key *key)
{
	struct store_recent *recent, **bucket;

	if (segments->n_recent >= segments->buckets && table_grow(segments) && !segments->buckets)
		return NULL;
	recent = calloc(1, sizeof(*recent));
	if (!recent)
		return NULL;
	recent->key = *key;
	bucket = &segments->table[key_hash(key) & (segments->buckets - 1)];
	recent->next = *bucket;
	*bucket = recent;
	segments->n_recent++;
	return recent;
}

int store_recent_lookup_locked(struct store_segments *segments, const struct store_key *key,
			       struct store_place *place)
{
	for (;;) {
		struct store_recent *recent = store_recent_find(segments, key);
		uint64_t flushes = segments->flushes;
		int err;

		if (recent) {
			*place = recent->place;
			return recent->live ? 0 : -ENOENT;
		}
		pthread_mutex_unlock(&segments->lock);
		err = store_index_find(segments->index, key, place);
		pthread_mutex_lock(&segments->lock);
		if (segments->flushes == flushes && !store_recent_find(segments, key))
			return err;
	}
}

bool store_segments_urgent(struct store *store)
{
	struct store_segments *segments = store->segments;
	bool urgent;

	pthread_mutex_lock(&segments->lock);
	urgent = segments->n_recent >= URGENT;
	pthread_mutex_unlock(&segments->lock);
	return urgent;
}

/* --- flush ------------------------------------------------------------------------------------------------------------ */

struct flush_entry {
	struct store_key key;
	struct store_place place;
	unsigned int version;
	bool live;
};

struct flush {
	struct flush_entry *entries;
	size_t n;
	struct store_segment *dead; /* copies of those whose dead bytes changed */
	size_t n_dead;
	struct store_index_state state;
};

/* Copy what the index shall know; the lock is held. */
static int flush_collect(struct store_segments *segments, struct flush *flush)
{
	flush->entries = malloc((segments->n_recent + 1) * sizeof(*flush->entries));
	flush->dead = malloc((segments->n + 1) * sizeof(*flush->dead));
	if (!flush->entries || !flush->dead)
		return -ENOMEM;
	for (size_t i = 0; i < segments->buckets; i++)
		for (struct store_recent *recent = segments->table[i]; recent;
		     recent = recent->next)
			if (recent->dirty)
				flush->entries[flush->n++] = (struct flush_entry){
					recent->key, recent->place, recent->version, recent->live};
	for (size_t i = 0; i < segments->n; i++) {
		if (!segments->list[i].dead_changed)
			continue;
		flush->dead[flush->n_dead++] = segments->list[i];
		segments->list[i].dead_changed = false;
	}
	flush->state.segment = segments->durable_segment;
	flush->state.offset = segments->durable_offset;
	flush->state.shards = segments->small_shards;
	flush->state.files = atomic_load(&segments->store->files);
	flush->state.file_bytes = atomic_load(&segments->store->file_bytes);
	return 0;
}

static int flush_write(struct store_segments *segments, const struct flush *flush)
{
	int err = store_fault_index_full ? -ENOSPC : store_index_begin(segments->index);

	if (err)
		return err;
	for (size_t i = 0; i < flush->n && !err; i++)
		err = flush->entries[i].live
			      ? store_index_put(segments->index, &flush->entries[i].key,
						&flush->entries[i].place)
			      : store_index_del(segments->index, &flush->entries[i].key);
	for (size_t i = 0; i < flush->n_dead && !err; i++)
		err = store_index_set_dead(segments->index, flush->dead[i].id, flush->dead[i].dead);
	if (!err)
		err = store_index_set_state(segments->index, &flush->state);
	if (err) {
		store_index_abort(segments->index);
		return err;
	}
	return store_index_end(segments->index);
}

/* What the index knows now leaves the table, unless it changed meanwhile; the lock is held. */
static void flush_forget(struct store_segments *segments, const struct flush *flush)
{
	for (size_t i = 0; i < flush->n; i++) {
		struct store_recent *recent = store_recent_find(segments, &flush->entries[i].key);

		if (recent && recent->version == flush->entries[i].version)
			recent->dirty = false;
	}
	for (size_t i = 0; i < segments->buckets; i++) {
		struct store_recent **link = &segments->table[i];

		while (*link) {
			struct store_recent *recent = *link;

			if (recent->dirty || recent->pending) {
				link = &recent->next;
				continue;
			}
			*link = recent->next;
			free(recent);
			segments->n_recent--;
		}
	}
	segments->flushes++;
}

static void flush_undo(struct store_segments *segments, const struct flush *flush)
{
	for (size_t i = 0; i < flush->n_dead; i++) {
		struct store_segment *segment = store_segment_of(segments, flush->dead[i].id);

		if (segment)
			segment->dead_changed = true;
	}
}

/*
 * A disk without room is no broken one: the segments hold everything that the index lacks, and the
 * next turn tries again.
 */
static void flush_failed(struct store *store, int err)
{
	static _Thread_local struct log_limit limit;

	if (err != -ENOSPC && err != -EDQUOT)
		store_fail(store, "writing the index", err);
	else if (log_limit(&limit, 2, 60))
		log_warn("store %s is full: there is no room for its index; make room on its disk, or "
			 "add stores",
			 store->path);
}

static int flush_locked(struct store *store, bool sync, bool clean)
{
	struct store_segments *segments = store->segments;
	struct flush flush = {.state.clean = clean};
	bool something;
	int err;

	pthread_mutex_lock(&segments->lock);
	something = clean || segments->n_recent;
	err = something ? flush_collect(segments, &flush) : 0;
	pthread_mutex_unlock(&segments->lock);
	if (something && !err)
		err = flush_write(segments, &flush);
	if (something) {
		pthread_mutex_lock(&segments->lock);
		if (err)
			flush_undo(segments, &flush);
		else
			flush_forget(segments, &flush);
		pthread_mutex_unlock(&segments->lock);
	}
	if (!err && (sync || clean))
		err = store_index_sync(segments->index);
	free(flush.entries);
	free(flush.dead);
	if (err)
		flush_failed(store, err);
	return err;
}

int store_segments_flush(struct store *store, bool sync)
{
	int err;

	pthread_mutex_lock(&store->segments->flush_lock);
	err = flush_locked(store, sync, false);
	pthread_mutex_unlock(&store->segments->flush_lock);
	return err;
}

int store_segments_flush_clean(struct store *store)
{
	int err;

	pthread_mutex_lock(&store->segments->flush_lock);
	err = flush_locked(store, true, true);
	pthread_mutex_unlock(&store->segments->flush_lock);
	return err;
}
