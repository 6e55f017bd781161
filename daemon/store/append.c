// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * append.c - batches of records: whoever waits shares one write and one fdatasync
 *
 * One batch is under way at a time. Whoever queues a record while none is starts one; when a batch is done and more was
 * queued, the next starts. A batch goes into one segment, at its end; a segment whose write failed gets no more records,
 * so what stands behind the failure is never taken for durable.
 *
 * When the disk has no room for a batch, its deletions are a batch of their own, in the room that is kept for them; what
 * was to be stored fails.
 *
 * A batch's steps are a chain on the segments' home loop: CALL (choose segment, give places) - WRITE - SYNC - publish.
 */
#include "store/append.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "kernel/chunk/crctable.h"
#include "store/fault.h"

bool store_fault_record_unsynced;

static const uint8_t padding[WEFT_SEGMENT_ALIGN];

static int batch_call(struct store_op *op);
static void batch_prepared(struct store_op *op);

struct store_segment *store_segment_of(struct store_segments *segments, uint64_t id)
{
	size_t low = 0, high = segments->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (segments->list[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < segments->n && segments->list[low].id == id ? &segments->list[low] : NULL;
}

struct store_segment *store_segment_add(struct store_segments *segments, uint64_t id, uint64_t size)
{
	if (segments->n == segments->room) {
		size_t room = segments->room ? segments->room * 2 : 64;
		struct store_segment *list = realloc(segments->list, room * sizeof(*list));

		if (!list)
			return NULL;
		segments->list = list;
		segments->room = room;
	}
	segments->list[segments->n] = (struct store_segment){.id = id, .size = size};
	return &segments->list[segments->n++];
}

void store_append_dead(struct store_segments *segments, uint64_t id, uint32_t bytes)
{
	struct store_segment *segment = store_segment_of(segments, id);

	if (segment) {
		segment->dead += bytes;
		segment->dead_changed = true;
	}
}

int store_append_queue(struct store_segments *segments, struct store_append *append,
		       const struct store_key *key, const struct store_place *place)
{
	struct store_recent *recent = store_recent_find(segments, key);

	if (!recent) {
		recent = store_recent_add(segments, key);
		if (!recent)
			return -ENOMEM;
		recent->live = place != NULL;
		if (place)
			recent->place = *place;
	}
	recent->pending++;
	recent->newest = append;
	append->recent = recent;
	append->joined = NULL;
	append->next = NULL;
	*segments->queue_end = append;
	segments->queue_end = &append->next;
	if (!segments->committing) {
		segments->committing = true;
		segments->op.kind = STORE_OP_CALL;
		segments->op.call = batch_call;
		segments->op.done = batch_prepared;
		store_op_submit(segments->home, &segments->op);
	}
	return 0;
}

/* --- publish ------------------------------------------------------------------------------------------------------------ */

/* The record is durable: the lock is held. */
static void append_publish(struct store_segments *segments, struct store_append *append)
{
	struct store_recent *recent = append->recent;
	struct store *store = segments->store;

	if (recent->live)
		store_append_dead(
			segments, recent->place.segment,
			store_record_size(recent->place.head_len, recent->place.shard_len));
	if (append->deleted) {
		store_append_dead(segments, append->place.segment, store_record_size(0, 0));
		if (recent->live) {
			atomic_fetch_sub(&store->shards, 1);
			segments->small_shards--;
		}
	} else if (!recent->live) {
		atomic_fetch_add(&store->shards, 1);
		segments->small_shards++;
	}
	recent->live = !append->deleted;
	recent->place = append->place;
	recent->dirty = true;
	recent->version++;
}

static void appends_done(struct store_append *batch, int err)
{
	while (batch) {
		struct store_append *next = batch->next, *joined = batch->joined;

		batch->done(batch, err);
		appends_done(joined, err);
		batch = next;
	}
}

/* The batch's deletions go back to the head of the queue; the lock is held. Returns the rest. */
static struct store_append *deletions_requeue(struct store_segments *segments)
{
	struct store_append *batch = segments->batch, *append, *next;
	struct store_append *rest = NULL, **rest_end = &rest, *again = NULL, **again_end = &again;

	for (append = batch; append; append = next) {
		next = append->next;
		append->next = NULL;
		if (append->deleted) {
			*again_end = append;
			again_end = &append->next;
		} else {
			*rest_end = append;
			rest_end = &append->next;
		}
	}
	if (!again)
		return rest;
	if (!segments->queue)
		segments->queue_end = again_end;
	*again_end = segments->queue;
	segments->queue = again;
	segments->tight = true;
	return rest;
}

static void batch_end(struct store_segments *segments, int err)
{
	struct store_append *batch = segments->batch, *append;
	bool more;

	pthread_mutex_lock(&segments->lock);
	segments->tight = false;
	if ((err == -ENOSPC || err == -EDQUOT) && atomic_load(&segments->room_kept))
		batch = deletions_requeue(segments);
	for (append = batch; append; append = append->next) {
		struct store_recent *recent = append->recent;

		if (!err)
			append_publish(segments, append);
		recent->pending--;
		if (recent->newest == append)
			recent->newest = NULL;
	}
	if (err && segments->active >= 0) {
		close(segments->active);
		segments->active = -1;
	} else if (!err) {
		segments->durable_segment = batch->place.segment;
		segments->durable_offset = segments->batch_end;
	}
	/* From here on another thread may begin a batch, unless this one does. */
	segments->batch = NULL;
	more = segments->queue != NULL;
	segments->committing = more;
	pthread_mutex_unlock(&segments->lock);

	if (more) {
		segments->op.kind = STORE_OP_CALL;
		segments->op.call = batch_call;
		segments->op.done = batch_prepared;
		store_op_submit(segments->home, &segments->op);
	}
	store_keeper_wake(segments->store);
	/* Last: whoever waits for the last answer may close the store. */
	appends_done(batch, err);
}

static struct store_segments *segments_of(struct store_op *op)
{
	return (struct store_segments *)((char *)op - offsetof(struct store_segments, op));
}

static void batch_synced(struct store_op *op)
{
	struct store_segments *segments = segments_of(op);

	if (op->result)
		store_fail(segments->store, "fdatasync of a segment", op->result);
	batch_end(segments, op->result);
}

static void batch_written(struct store_op *op)
{
	struct store_segments *segments = segments_of(op);

	if (op->result < 0) {
		log_error("store %s: a segment cannot be written: %s", segments->store->path,
			  strerror(-op->result));
		batch_end(segments, op->result);
		return;
	}
	if (store_fault_record_unsynced) {
		batch_end(segments, 0);
		return;
	}
	op->kind = STORE_OP_SYNC;
	op->fd = segments->active;
	op->sync.data_only = true;
	op->done = batch_synced;
	store_op_submit(segments->home, op);
}

/* --- prepare -------------------------------------------------------------------------------------------------------------- */

/* A new file with its header, durable with its name. Blocking. */
static int segment_create(struct store_segments *segments, uint64_t id)
{
	struct weft_segment_header header;
	char name[24];
	int fd, err = 0;

	store_segment_name(name, id);
	store_scan_header(&header, id, segments->store->uuid);
	fd = openat(segments->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (pwrite(fd, &header, sizeof(header), 0) != sizeof(header) || fsync(fd) ||
	    fsync(segments->dir))
		err = errno ? -errno : -EIO;
	if (!err)
		return fd;
	close(fd);
	unlinkat(segments->dir, name, 0);
	return err;
}

static uint64_t segment_limit(const struct store_segments *segments)
{
	uint32_t limit = segments->store->conf->segment_bytes;

	return limit ? limit : WEFT_SEGMENT_SIZE;
}

/* Room for the first of the queue in the active segment, or a new one. Returns with the lock held. */
static int batch_segment(struct store_segments *segments, struct store_segment **segment)
{
	struct store_append *first;
	uint64_t id;
	int fd;

	pthread_mutex_lock(&segments->lock);
	first = segments->queue;
	if (segments->active >= 0) {
		*segment = &segments->list[segments->n - 1];
		if ((*segment)->size +
			    store_record_size(first->place.head_len, first->place.shard_len) <=
		    segment_limit(segments))
			return 0;
		close(segments->active);
		segments->active = -1;
	}
	id = segments->next_id++;
	pthread_mutex_unlock(&segments->lock);
	fd = segment_create(segments, id);
	pthread_mutex_lock(&segments->lock);
	if (fd < 0)
		return fd;
	*segment = store_segment_add(segments, id, sizeof(struct weft_segment_header));
	if (!*segment) {
		close(fd);
		return -ENOMEM;
	}
	segments->active = fd;
	atomic_fetch_add(&segments->store->used, (int64_t)sizeof(struct weft_segment_header));
	return 0;
}

static struct iovec *append_encode(struct store_append *append, struct iovec *iov)
{
	struct weft_segment_record *record = &append->record;
	const struct store_key *key = &append->recent->key;
	uint32_t table = append->deleted ? 0 : weft_crctable_len(append->place.shard_len);
	uint32_t body = append->place.head_len + table + append->place.shard_len;
	uint32_t pad = store_record_size(append->place.head_len, append->place.shard_len) -
		       (uint32_t)sizeof(*record) - body;

	memset(record, 0, sizeof(*record));
	record->magic = cpu_to_le32(WEFT_RECORD_MAGIC);
	record->kind = append->deleted ? WEFT_RECORD_DELETE : WEFT_RECORD_SHARD;
	record->index = key->index;
	record->segment = cpu_to_le64(append->place.segment);
	record->group = cpu_to_le64(key->group);
	record->sid.session = cpu_to_le64(key->session);
	record->sid.counter = cpu_to_le64(key->counter);
	record->head_len = cpu_to_le32(append->place.head_len);
	record->shard_len = cpu_to_le32(append->place.shard_len);
	record->body_crc = cpu_to_le32(append->place.body_crc);
	store_scan_seal(record);

	*iov++ = (struct iovec){record, sizeof(*record)};
	if (append->deleted)
		return iov;
	*iov++ = (struct iovec){(void *)append->head, append->place.head_len};
	*iov++ = (struct iovec){(void *)append->table, table};
	*iov++ = (struct iovec){(void *)append->data, append->place.shard_len};
	if (pad)
		*iov++ = (struct iovec){(void *)padding, pad};
	return iov;
}

static int batch_call(struct store_op *op)
{
	struct store_segments *segments = segments_of(op);
	struct store_append *append, **last = &segments->batch;
	struct store_segment *segment = NULL;
	struct iovec *iov = segments->iov;
	uint64_t start = 0;
	unsigned int n = 0;
	int err;

	if (segments->tight)
		store_room_give(segments);
	err = batch_segment(segments, &segment);
	/* Without a segment the batch is the whole queue, and it fails. */
	if (!err)
		start = segment->size;
	while ((append = segments->queue)) {
		uint32_t size = store_record_size(append->place.head_len, append->place.shard_len);

		if (!err &&
		    (segment->size + size > segment_limit(segments) || n == STORE_BATCH_APPENDS ||
		     (segments->tight && !append->deleted) ||
		     (n && segment->size + size - start > STORE_BATCH_BYTES)))
			break;
		if (!err) {
			append->place.segment = segment->id;
			append->place.offset = (uint32_t)segment->size;
			segment->size += size;
		}
		segments->queue = append->next;
		append->next = NULL;
		*last = append;
		last = &append->next;
		n++;
	}
	if (!segments->queue)
		segments->queue_end = &segments->queue;
	if (!err)
		segments->batch_end = segment->size;
	pthread_mutex_unlock(&segments->lock);
	if (err)
		return err;

	atomic_fetch_add(&segments->store->used, (int64_t)(segments->batch_end - start));
	for (append = segments->batch; append; append = append->next)
		iov = append_encode(append, iov);
	return (int)(iov - segments->iov);
}

static void batch_prepared(struct store_op *op)
{
	struct store_segments *segments = segments_of(op);

	if (op->result < 0) {
		log_error("store %s: a segment cannot be begun: %s", segments->store->path,
			  strerror(-op->result));
		batch_end(segments, op->result);
		return;
	}
	op->kind = STORE_OP_WRITE;
	op->fd = segments->active;
	op->rw.iov = segments->iov;
	op->rw.n_iov = op->result;
	op->rw.offset = segments->batch->place.offset;
	op->done = batch_written;
	store_op_submit(segments->home, op);
}
