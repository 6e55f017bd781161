// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * segment.c - shards below WEFT_STORE_FILE_MIN: PUT, GET, DEL; opening and closing the segments
 *
 * Opening scans what the index does not know yet. What a crash cut off in the middle of a batch is not a good record and
 * is passed over; new records go behind it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "kernel/chunk/crctable.h"
#include "store/append.h"

#define READ_TRIES 4

static struct store_request *request_of(struct store_op *op)
{
	return (struct store_request *)((char *)op - offsetof(struct store_request, op));
}

void store_segment_name(char name[24], uint64_t id)
{
	snprintf(name, 24, "%016lx.seg", (unsigned long)id);
}

int store_segment_read(struct store_segments *segments, const struct store_place *place,
		       uint8_t *buffer, struct store_scan_record *record, const char **why)
{
	size_t size = store_record_size(place->head_len, place->shard_len), got = 0;
	char name[24];
	int fd;

	*why = "the index names an impossible record";
	if (size > STORE_RECORD_MAX)
		return -EBADMSG;
	store_segment_name(name, place->segment);
	fd = openat(segments->dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (got < size) {
		ssize_t n = pread(fd, buffer + got, size - got, (off_t)(place->offset + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			*why = n ? "the disk cannot read it" : "the segment was cut short";
			close(fd);
			return n && errno != EIO ? -errno : -EBADMSG;
		}
		got += (size_t)n;
	}
	close(fd);
	return store_scan_check(buffer, size, place->segment, place->offset, record, why);
}

/* Look up and read; a segment that was compacted away in between is looked up again. */
static int find_and_read(struct store *store, const struct store_key *key,
			 struct store_place *place, uint8_t *buffer,
			 struct store_scan_record *record, const char **why)
{
	struct store_segments *segments = store->segments;
	int err = -ENOENT;

	for (int i = 0; i < READ_TRIES; i++) {
		pthread_mutex_lock(&segments->lock);
		err = store_recent_lookup_locked(segments, key, place);
		pthread_mutex_unlock(&segments->lock);
		if (err)
			return err;
		err = store_segment_read(segments, place, buffer, record, why);
		if (err != -ENOENT)
			break;
		*why = "its segment is missing";
	}
	if (err == -ENOENT)
		err = -EBADMSG;
	if (!err && (record->deleted || record->key.counter != key->counter ||
		     record->key.session != key->session || record->key.group != key->group ||
		     record->key.index != key->index)) {
		*why = "the index points to the record of another shard";
		err = -EBADMSG;
	}
	return err;
}

static uint32_t read_status(struct store *store, const struct weft_wire_frame *name,
			    const struct store_place *place, int err, const char *why)
{
	char where[64];

	if (!err)
		return WEFT_ST_OK;
	if (err == -ENOENT)
		return WEFT_ST_ABSENT;
	if (err != -EBADMSG)
		return WEFT_ST_STORE_IO;
	snprintf(where, sizeof(where), "segments/%016lx.seg at %u", (unsigned long)place->segment,
		 place->offset);
	store_report_corrupt(store, name, where, why);
	return WEFT_ST_CORRUPT;
}

uint32_t store_segment_get(struct store_request *request)
{
	struct store_key key = store_key_of(&request->frame);
	struct store_scan_record record;
	struct store_place place;
	uint8_t *buffer = malloc(STORE_RECORD_MAX);
	const char *why = "";
	uint32_t status;
	int err;

	if (!buffer)
		return WEFT_ST_NOMEM;
	err = find_and_read(request->store, &key, &place, buffer, &record, &why);
	status = read_status(request->store, &request->frame, &place, err, why);
	if (status == WEFT_ST_OK) {
		uint32_t table = weft_crctable_len(place.shard_len);
		uint32_t length = weft_wire_range_clamp(request->frame.offset,
							request->frame.length, place.shard_len);

		if (request->frame.op == WEFT_OP_STAT)
			length = 0;
		memcpy(request->buffer, record.head, place.head_len + table);
		if (length)
			memcpy(request->buffer + STORE_AREA_MAX,
			       record.data + request->frame.offset, length);
		status = store_answer_shard(request, request->buffer, place.head_len,
					    place.shard_len, request->buffer + STORE_AREA_MAX,
					    request->buffer + place.head_len);
	}
	free(buffer);
	return status;
}

uint32_t store_segment_verify(struct store *store, const struct weft_wire_frame *name)
{
	struct store_key key = store_key_of(name);
	struct store_scan_record record;
	struct store_place place;
	uint8_t *buffer = malloc(STORE_RECORD_MAX);
	const char *why = "";
	int err;

	if (!buffer)
		return WEFT_ST_NOMEM;
	err = find_and_read(store, &key, &place, buffer, &record, &why);
	free(buffer);
	return read_status(store, name, &place, err, why);
}

/* --- PUT ------------------------------------------------------------------------------------------------------------------- */

static void append_done(struct store_append *append, int err)
{
	struct store_request *request = append->owner;
	uint32_t status = !err				     ? WEFT_ST_OK
			  : err == -ENOSPC || err == -EDQUOT ? WEFT_ST_STORE_FULL
							     : WEFT_ST_STORE_IO;

	if (request->frame.op == WEFT_OP_PUT)
		store_space_put(request->store, request->frame.payload_len);
	free(append);
	store_request_finish(request, status);
}

static struct store_append *append_for_put(struct store_request *request)
{
	const struct weft_wire_frame *frame = &request->frame;
	struct store_append *append = calloc(1, sizeof(*append));

	if (!append)
		return NULL;
	append->head = request->buffer;
	append->data = request->buffer + weft_wire_data_start(frame);
	append->table = request->buffer + weft_wire_crc_start(frame);
	append->place.head_len = frame->head_len;
	append->place.shard_len = frame->shard_len;
	append->place.body_crc =
		store_body_crc(append->head, frame->head_len, append->table, frame->shard_len);
	append->done = append_done;
	append->owner = request;
	return append;
}

static bool place_equal(const struct store_place *a, const struct store_place *b)
{
	return a->segment == b->segment && a->offset == b->offset;
}

static bool content_equal(const struct store_place *a, const struct store_place *b)
{
	return a->head_len == b->head_len && a->shard_len == b->shard_len &&
	       a->body_crc == b->body_crc;
}

/*
 * What is stored under that name: 0 if it has the same bytes, -EEXIST if others, -EAGAIN if it is bad or gone, so that the
 * new one takes its place.
 */
static int put_compare(struct store_request *request, const struct store_append *append,
		       const struct store_place *place)
{
	struct store_scan_record record;
	uint8_t *buffer = malloc(STORE_RECORD_MAX);
	const char *why = "";
	int err;

	if (!buffer)
		return -ENOMEM;
	err = store_segment_read(request->store->segments, place, buffer, &record, &why);
	if (!err) {
		uint32_t table = weft_crctable_len(place->shard_len);

		err = content_equal(place, &append->place) &&
				      !memcmp(record.head, append->head, place->head_len) &&
				      !memcmp(record.table, append->table, table)
			      ? 0
			      : -EEXIST;
	} else if (err == -EBADMSG) {
		read_status(request->store, &request->frame, place, err, why);
		err = -EAGAIN;
	} else if (err == -ENOENT) {
		err = -EAGAIN;
	}
	free(buffer);
	return err;
}

/* Queue or join, with the lock held. *place: what was found last and is to be replaced, or .segment 0. -EAGAIN: *place is news. */
static int put_try(struct store_request *request, struct store_append *append,
		   const struct store_key *key, struct store_place *replace)
{
	struct store_segments *segments = request->store->segments;
	struct store_recent *recent = store_recent_find(segments, key);
	struct store_place place;
	int err;

	if (recent && recent->newest && !recent->newest->deleted) {
		if (!content_equal(&recent->newest->place, &append->place))
			return -EEXIST;
		append->next = recent->newest->joined;
		recent->newest->joined = append;
		return STORE_CALL_TAKEN;
	}
	err = store_recent_lookup_locked(segments, key, &place);
	/* The lock may have been released: who queued meanwhile goes first. */
	recent = store_recent_find(segments, key);
	if (recent && recent->newest && !recent->newest->deleted)
		return put_try(request, append, key, replace);
	if (err && err != -ENOENT)
		return err;
	if (!err && !(recent && recent->newest) && !place_equal(&place, replace)) {
		*replace = place;
		return -EAGAIN;
	}
	err = store_append_queue(segments, append, key, err ? NULL : &place);
	return err ? err : STORE_CALL_TAKEN;
}

static int put_call(struct store_op *op)
{
	struct store_request *request = request_of(op);
	struct store_segments *segments = request->store->segments;
	struct store_key key = store_key_of(&request->frame);
	struct store_append *append = append_for_put(request);
	struct store_place replace = {0};
	int err;

	if (!append)
		return -ENOMEM;
	for (;;) {
		pthread_mutex_lock(&segments->lock);
		err = put_try(request, append, &key, &replace);
		pthread_mutex_unlock(&segments->lock);
		if (err != -EAGAIN)
			break;
		err = put_compare(request, append, &replace);
		if (err != -EAGAIN)
			break;
	}
	if (err != STORE_CALL_TAKEN)
		free(append);
	return err;
}

static void put_decided(struct store_op *op)
{
	struct store_request *request = request_of(op);

	store_space_put(request->store, request->frame.payload_len);
	store_request_finish(request, op->result == 0	      ? WEFT_ST_OK
				      : op->result == -EEXIST ? WEFT_ST_CONFLICT
				      : op->result == -ENOMEM ? WEFT_ST_NOMEM
							      : WEFT_ST_STORE_IO);
}

void store_segment_put(struct store_request *request)
{
	request->op.kind = STORE_OP_CALL;
	request->op.call = put_call;
	request->op.done = put_decided;
	store_op_submit(request->loop, &request->op);
}

/* --- DEL ------------------------------------------------------------------------------------------------------------------- */

static int delete_call(struct store_op *op)
{
	struct store_request *request = request_of(op);
	struct store_segments *segments = request->store->segments;
	struct store_key key = store_key_of(&request->frame);
	struct store_append *append = calloc(1, sizeof(*append));
	struct store_recent *recent;
	struct store_place place;
	int err;

	if (!append)
		return -ENOMEM;
	append->deleted = true;
	append->done = append_done;
	append->owner = request;
	pthread_mutex_lock(&segments->lock);
	err = store_recent_lookup_locked(segments, &key, &place);
	recent = store_recent_find(segments, &key);
	if (!err || (err == -ENOENT && recent && recent->newest)) {
		err = store_append_queue(segments, append, &key, err ? NULL : &place);
		if (!err) {
			pthread_mutex_unlock(&segments->lock);
			return STORE_CALL_TAKEN;
		}
	} else if (err == -ENOENT) {
		err = 0;
	}
	pthread_mutex_unlock(&segments->lock);
	free(append);
	return err;
}

static void delete_decided(struct store_op *op)
{
	store_request_finish(request_of(op), op->result ? WEFT_ST_STORE_IO : WEFT_ST_OK);
}

void store_segment_delete(struct store_request *request)
{
	request->op.kind = STORE_OP_CALL;
	request->op.call = delete_call;
	request->op.done = delete_decided;
	store_op_call(request->loop, &request->op);
}

int store_segment_walk(struct store *store, uint64_t group, const struct store_key *after,
		       bool (*each)(void *ctx, const struct store_key *key,
				    const struct store_place *place),
		       void *ctx)
{
	int err = store_segments_flush(store, false);

	return err ? err : store_index_walk(store->segments->index, group, after, each, ctx);
}

/* --- opening ----------------------------------------------------------------------------------------------------------------- */

static int id_compare(const void *a, const void *b)
{
	const struct store_segment *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int segments_list(struct store_segments *segments)
{
	int fd = openat(segments->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int err = 0;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (!err && (entry = readdir(dir))) {
		unsigned long id;
		struct stat st;
		int used = 0;

		if (sscanf(entry->d_name, "%16lx.seg%n", &id, &used) != 1 || !used ||
		    entry->d_name[used])
			continue;
		if (fstatat(segments->dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			err = -errno;
		else if (!store_segment_add(segments, id, (uint64_t)st.st_size))
			err = -ENOMEM;
	}
	closedir(dir);
	if (segments->n)
		qsort(segments->list, segments->n, sizeof(segments->list[0]), id_compare);
	return err;
}

static void scan_dead(struct store_segments *segments, const struct store_place *place)
{
	store_append_dead(segments, place->segment,
			  store_record_size(place->head_len, place->shard_len));
}

static int scan_apply(struct store_segments *segments, const struct store_scan_record *record)
{
	struct store_place before;
	int err = store_index_peek(segments->index, &record->key, &before);
	bool was_live = !err;

	if (err && err != -ENOENT)
		return err;
	if (was_live && place_equal(&before, &record->place))
		return 0; /* scanned before, by a run that ended early */
	if (was_live)
		scan_dead(segments, &before);
	segments->small_shards += (record->deleted ? 0 : 1) - (was_live ? 1 : 0);
	if (!record->deleted)
		return store_index_put(segments->index, &record->key, &record->place);
	scan_dead(segments, &record->place);
	return was_live ? store_index_del(segments->index, &record->key) : 0;
}

/*
 * What a run before this one wrote may stand in the page cache and nowhere else. What is taken for
 * stored has to be: made durable first, then read from the disk rather than from the cache, which
 * keeps pages that could not be written.
 */
static int read_whole(int dir, const char *name, uint8_t *bytes, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t got = 0;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fdatasync(fd))
		err = -errno;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	while (got < size && !err) {
		ssize_t n = pread(fd, bytes + got, size - got, (off_t)got);

		if (n < 0)
			err = errno == EINTR ? 0 : -errno;
		else if (n == 0)
			break;
		else
			got += (size_t)n;
	}
	close(fd);
	if (!err && got < size)
		memset(bytes + got, 0, size - got);
	return err;
}

/* Bring into the index what stands in one segment at and behind offset. */
static int segment_scan(struct store_segments *segments, struct store_segment *segment,
			size_t offset)
{
	struct store *store = segments->store;
	struct store_scan_record record;
	size_t pos = offset, skipped = 0;
	bool begun = false;
	uint8_t *bytes;
	char name[24];
	int err;

	bytes = malloc(segment->size);
	if (!bytes)
		return -ENOMEM;
	store_segment_name(name, segment->id);
	err = read_whole(segments->dir, name, bytes, segment->size);
	if (!err && !store_scan_header_ok((const void *)bytes, segment->id, store->uuid))
		log_warn("the header of a segment is damaged; its records are read nevertheless  "
			 "file=%s/segments/%s",
			 store->path, name);
	if (!err) {
		err = store_index_begin(segments->index);
		begun = !err;
	}
	while (!err && store_scan_next(bytes, segment->size, segment->id, &pos, &record, &skipped))
		err = scan_apply(segments, &record);
	if (skipped) {
		log_warn("%zu bytes of a segment are no good records; what was lost there is "
			 "rebuilt from other stores  file=%s/segments/%s",
			 skipped, store->path, name);
		segment->keep = true;
	}
	free(bytes);
	if (err && begun)
		store_index_abort(segments->index);
	return err;
}

/* End the change that segment_scan() began: how far the index is now. */
static int scan_end(struct store_segments *segments, struct store_index_state *state,
		    const struct store_segment *scanned)
{
	int err = 0;

	state->segment = scanned->id;
	state->offset = scanned->size;
	state->shards = segments->small_shards;
	state->clean = 0;
	for (size_t i = 0; i < segments->n && !err; i++) {
		struct store_segment *segment = &segments->list[i];

		if (segment->dead_changed)
			err = store_index_set_dead(segments->index, segment->id, segment->dead);
		segment->dead_changed = false;
	}
	if (!err)
		err = store_index_set_state(segments->index, state);
	if (err)
		store_index_abort(segments->index);
	else
		err = store_index_end(segments->index);
	return err;
}

static int segments_catch_up(struct store_segments *segments)
{
	struct store_index_state state;
	int err = store_index_state(segments->index, &state);
	int64_t bytes = 0;

	if (err)
		return err;
	if (fsync(segments->dir))
		return -errno;
	segments->small_shards = state.shards;
	for (size_t i = 0; i < segments->n; i++) {
		segments->list[i].dead = store_index_dead(segments->index, segments->list[i].id);
		bytes += (int64_t)segments->list[i].size;
	}
	for (size_t i = 0; i < segments->n && !err; i++) {
		struct store_segment *segment = &segments->list[i];
		size_t from = sizeof(struct weft_segment_header);

		if (segment->id < state.segment)
			continue;
		/* A file shorter than what was seen of it lost its end with the power. */
		if (segment->id == state.segment && state.offset > from && state.offset <= segment->size)
			from = state.offset;
		if (from >= segment->size)
			continue;
		err = segment_scan(segments, segment, from);
		if (!err)
			err = scan_end(segments, &state, segment);
	}
	segments->durable_segment = state.segment;
	segments->durable_offset = state.offset;
	segments->clean = state.clean;
	atomic_store(&segments->store->shards, segments->small_shards);
	atomic_store(&segments->store->used, bytes);
	store_count_files(segments->store, state.files, state.file_bytes);
	return err;
}

/* Go on in the last segment if it is in order and has room. */
static int segments_continue(struct store_segments *segments)
{
	struct weft_segment_header header;
	struct store_segment *last;
	char name[24];
	int fd;

	segments->next_id = 1;
	if (!segments->n)
		return 0;
	last = &segments->list[segments->n - 1];
	segments->next_id = last->id + 1;
	last->size = (last->size + WEFT_SEGMENT_ALIGN - 1) & ~(uint64_t)(WEFT_SEGMENT_ALIGN - 1);
	if (last->size < sizeof(header) || last->size > WEFT_SEGMENT_SIZE / 2)
		return 0;
	store_segment_name(name, last->id);
	fd = openat(segments->dir, name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (pread(fd, &header, sizeof(header), 0) == sizeof(header) &&
	    store_scan_header_ok(&header, last->id, segments->store->uuid))
		segments->active = fd;
	else
		close(fd);
	return 0;
}

static void segments_free(struct store_segments *segments)
{
	for (size_t i = 0; i < segments->buckets; i++) {
		while (segments->table[i]) {
			struct store_recent *recent = segments->table[i];

			segments->table[i] = recent->next;
			free(recent);
		}
	}
	if (segments->active >= 0)
		close(segments->active);
	if (segments->index)
		store_index_close(segments->index);
	if (segments->dir >= 0)
		close(segments->dir);
	pthread_mutex_destroy(&segments->lock);
	pthread_mutex_destroy(&segments->flush_lock);
	free(segments->table);
	free(segments->list);
	free(segments->iov);
	free(segments);
}

int store_segments_open(struct store *store, struct store_loop *home)
{
	struct store_segments *segments = calloc(1, sizeof(*segments));
	char path[4096];
	int err = -ENOMEM;

	if (!segments)
		return -ENOMEM;
	segments->store = store;
	segments->home = home;
	segments->active = -1;
	segments->dir = -1;
	segments->queue_end = &segments->queue;
	pthread_mutex_init(&segments->lock, NULL);
	pthread_mutex_init(&segments->flush_lock, NULL);
	store->segments = segments;
	segments->iov = calloc(STORE_BATCH_IOV, sizeof(*segments->iov));
	if (!segments->iov)
		goto err_free;
	segments->dir = openat(store->dir, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (segments->dir < 0) {
		err = -errno;
		goto err_free;
	}
	snprintf(path, sizeof(path), "%s/index", store->path);
	err = store_index_open(&segments->index, path, store->uuid);
	if (!err)
		err = segments_list(segments);
	if (!err)
		err = segments_catch_up(segments);
	if (!err)
		err = segments_continue(segments);
	if (!err) {
		store_space_refresh(store);
		store_room_take(segments);
		return 0;
	}
	log_error("store %s: the segments cannot be opened: %s", store->path, strerror(-err));
err_free:
	segments_free(segments);
	store->segments = NULL;
	return err;
}

void store_segments_close(struct store *store)
{
	store_segments_flush_clean(store);
	segments_free(store->segments);
	store->segments = NULL;
}

void store_segments_keep_room(struct store *store)
{
	store_room_take(store->segments);
}

bool store_segments_closed_in_order(struct store *store)
{
	return store->segments->clean;
}
