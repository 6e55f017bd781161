// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * compact.c - segments with more than half dead bytes: copy what is alive, remove the rest
 *
 * A copy is an ordinary record at the end of the active segment. That the shard still stands at its old place is checked
 * under the lock under which the copy is queued, so a PUT or DEL that comes meanwhile stands behind the copy and counts.
 * A deletion must outlive every older record of its shard: it is copied while an older segment exists, unless the shard is
 * there again. The file goes when the copies are durable and the index, synced, no longer points into it.
 *
 * Invariant: a segment in which something did not check is kept: what is in there may be wanted for salvage.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "store/append.h"

struct compaction {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int under_way;
	int err;
};

#define COPIES_UNDER_WAY 256

static void copy_done(struct store_append *append, int err)
{
	struct compaction *compaction = append->owner;

	pthread_mutex_lock(&compaction->lock);
	compaction->under_way--;
	if (err)
		compaction->err = err;
	pthread_cond_signal(&compaction->changed);
	pthread_mutex_unlock(&compaction->lock);
	free(append);
}

static int copies_wait(struct compaction *compaction, unsigned int at_most)
{
	int err;

	pthread_mutex_lock(&compaction->lock);
	while (compaction->under_way > at_most)
		pthread_cond_wait(&compaction->changed, &compaction->lock);
	err = compaction->err;
	pthread_mutex_unlock(&compaction->lock);
	return err;
}

/* True if the record must be copied; the lock is held. */
static bool record_wanted(struct store_segments *segments, const struct store_scan_record *record,
			  struct store_place *place, bool oldest)
{
	int err = store_recent_lookup_locked(segments, &record->key, place);
	struct store_recent *recent = store_recent_find(segments, &record->key);

	if (recent && recent->pending)
		return record->deleted
			       ? false
			       : !err && place->segment == record->place.segment &&
					 place->offset == record->place.offset && !recent->newest;
	if (record->deleted)
		return err == -ENOENT && !oldest;
	return !err && place->segment == record->place.segment &&
	       place->offset == record->place.offset;
}

static int record_copy(struct store_segments *segments, struct compaction *compaction,
		       const struct store_scan_record *record, bool oldest)
{
	struct store_append *append = calloc(1, sizeof(*append));
	struct store_place place;
	int err = 0;

	if (!append)
		return -ENOMEM;
	append->deleted = record->deleted;
	append->head = record->head;
	append->table = record->table;
	append->data = record->data;
	append->place = record->place;
	append->done = copy_done;
	append->owner = compaction;

	pthread_mutex_lock(&compaction->lock);
	compaction->under_way++;
	pthread_mutex_unlock(&compaction->lock);
	pthread_mutex_lock(&segments->lock);
	if (record_wanted(segments, record, &place, oldest))
		err = store_append_queue(segments, append, &record->key,
					 record->deleted ? NULL : &place);
	else
		err = -ENOENT;
	pthread_mutex_unlock(&segments->lock);
	if (err) {
		pthread_mutex_lock(&compaction->lock);
		compaction->under_way--;
		pthread_mutex_unlock(&compaction->lock);
		free(append);
	}
	return err == -ENOENT ? 0 : err;
}

static int segment_load(struct store_segments *segments, const struct store_segment *segment,
			uint8_t *bytes)
{
	size_t got = 0;
	char name[24];
	int fd;

	store_segment_name(name, segment->id);
	fd = openat(segments->dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (got < segment->size) {
		ssize_t n = pread(fd, bytes + got, segment->size - got, (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	close(fd);
	return got == segment->size ? 0 : -EIO;
}

static int segment_copy(struct store_segments *segments, const struct store_segment *segment,
			bool oldest, size_t *skipped)
{
	struct compaction compaction = {.lock = PTHREAD_MUTEX_INITIALIZER,
					.changed = PTHREAD_COND_INITIALIZER};
	struct store_scan_record record;
	size_t pos = sizeof(struct weft_segment_header);
	uint8_t *bytes = malloc(segment->size);
	int err, wait_err;

	if (!bytes)
		return -ENOMEM;
	err = segment_load(segments, segment, bytes);
	while (!err && store_scan_next(bytes, segment->size, segment->id, &pos, &record, skipped) &&
	       !*skipped) {
		err = record_copy(segments, &compaction, &record, oldest);
		if (!err)
			err = copies_wait(&compaction, COPIES_UNDER_WAY);
	}
	wait_err = copies_wait(&compaction, 0);
	free(bytes);
	return err ? err : wait_err;
}

static void segment_keep(struct store *store, uint64_t id)
{
	struct store_segments *segments = store->segments;
	struct store_segment *segment;

	pthread_mutex_lock(&segments->lock);
	segment = store_segment_of(segments, id);
	if (segment)
		segment->keep = true;
	pthread_mutex_unlock(&segments->lock);
	log_warn("a segment has records that do not check; it is kept and not compacted  "
		 "file=%s/segments/%016lx.seg",
		 store->path, (unsigned long)id);
}

static int segment_remove(struct store *store, const struct store_segment *gone)
{
	struct store_segments *segments = store->segments;
	char name[24];
	size_t i;
	int err;

	store_segment_name(name, gone->id);
	pthread_mutex_lock(&segments->flush_lock);
	err = store_index_begin(segments->index);
	if (!err) {
		err = store_index_del_dead(segments->index, gone->id);
		if (err)
			store_index_abort(segments->index);
		else
			err = store_index_end(segments->index);
	}
	pthread_mutex_unlock(&segments->flush_lock);
	if (err)
		return err;
	if (unlinkat(segments->dir, name, 0) || fsync(segments->dir))
		return -errno;
	pthread_mutex_lock(&segments->lock);
	for (i = 0; segments->list[i].id != gone->id; i++)
		;
	memmove(&segments->list[i], &segments->list[i + 1],
		(segments->n - i - 1) * sizeof(segments->list[0]));
	segments->n--;
	pthread_mutex_unlock(&segments->lock);
	atomic_fetch_sub(&store->used, (int64_t)gone->size);
	return 0;
}

/* The one with the most dead bytes of those with more than half; the last one is where records go. */
static bool segment_choose(struct store_segments *segments, struct store_segment *chosen,
			   bool *oldest)
{
	bool found = false;

	pthread_mutex_lock(&segments->lock);
	for (size_t i = 0; i + 1 < segments->n; i++) {
		const struct store_segment *segment = &segments->list[i];

		if (segment->keep || segment->dead * 2 <= segment->size ||
		    (found && segment->dead <= chosen->dead))
			continue;
		*chosen = *segment;
		*oldest = i == 0;
		found = true;
	}
	pthread_mutex_unlock(&segments->lock);
	return found;
}

int store_segments_compact(struct store *store)
{
	struct store_segments *segments = store->segments;
	struct store_segment chosen = {0};
	size_t skipped = 0;
	bool oldest = false;
	int err;

	if (!segment_choose(segments, &chosen, &oldest))
		return 0;
	err = segment_copy(segments, &chosen, oldest, &skipped);
	if (!err && skipped) {
		segment_keep(store, chosen.id);
		return 1;
	}
	if (!err)
		err = store_segments_flush(store, true);
	if (!err)
		err = segment_remove(store, &chosen);
	if (err) {
		log_warn("store %s: a segment could not be compacted: %s", store->path,
			 strerror(-err));
		return err;
	}
	log_debug("store %s: segment %lx compacted, %lu of %lu bytes were dead", store->path,
		  (unsigned long)chosen.id, (unsigned long)chosen.dead, (unsigned long)chosen.size);
	return 1;
}
