// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log.c - the log on disk: making it, appending, reading back, dropping what a checkpoint covers
 *
 * Single-threaded and blocking; the formats and what recovery concludes from them stand in
 * uapi/weft_log.h. What must stay true here:
 *  - a batch is durable before the next one is begun, so the index before a batch's first is its
 *    claim of durability;
 *  - a durable block is never written again: batches begin at a block;
 *  - a segment that this run did not begin is never appended to;
 *  - a file gets its final name only when it is fully written, and is used only when that name is
 *    durable;
 *  - the first error ends the use of the log: nothing is retried, nothing is reported durable after
 *    it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "raft/log.h"

#define BATCH_MAX (4u << 20) /* bytes of a write, unless one record is longer */
#define SPARES	  1 /* segments kept ready */

void *rlog_alloc_blocks(size_t size)
{
	return aligned_alloc(WEFT_LOG_BLOCK,
			     (size + WEFT_LOG_BLOCK - 1) / WEFT_LOG_BLOCK * WEFT_LOG_BLOCK);
}

static uint64_t to_block(uint64_t v)
{
	return (v + WEFT_LOG_BLOCK - 1) / WEFT_LOG_BLOCK * WEFT_LOG_BLOCK;
}

void rlog_segment_name(uint64_t segment, char *name)
{
	snprintf(name, RLOG_NAME_SIZE, "%016" PRIx64 ".log", segment);
}

int rlog_segment_add(struct rlog *log, const struct rlog_header *header, uint64_t used)
{
	if (log->n_segments == log->cap_segments) {
		size_t cap = log->cap_segments ? 2 * log->cap_segments : 16;
		struct rlog_segment *grown = realloc(log->segments, cap * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		log->segments = grown;
		log->cap_segments = cap;
	}
	log->segments[log->n_segments++] = (struct rlog_segment){ .header = *header, .used = used };
	return 0;
}

struct rlog_segment *rlog_segment_find(struct rlog *log, uint64_t index)
{
	size_t low = 0, high = log->n_segments;

	/* The last one whose first index is not above. */
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (log->segments[mid].header.first_index <= index)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? &log->segments[low - 1] : NULL;
}

int rlog_segment_load(struct rlog *log, uint64_t segment, uint8_t *bytes, uint64_t size)
{
	char name[RLOG_NAME_SIZE];
	int file;
	int ret;

	rlog_segment_name(segment, name);
	file = log->io->ops->open(log->io, name, false);
	if (file < 0)
		return file;
	ret = log->io->ops->read(log->io, file, bytes, size, 0);
	log->io->ops->close(log->io, file);
	return ret;
}

/* --- term, vote, checkpoint --- */

static int write_slots(struct rlog_io *io, int file, const struct rlog_owner *owner,
		       const struct rlog_state *state)
{
	uint8_t *slot = rlog_alloc_blocks(WEFT_LOG_STATE_SLOT);
	int ret;

	if (!slot)
		return -ENOMEM;
	ret = rlog_state_encode(owner, state, slot);
	for (int i = 0; i < 2 && !ret; i++)
		ret = io->ops->write(io, file, slot, WEFT_LOG_STATE_SLOT,
				     (uint64_t)i * WEFT_LOG_STATE_SLOT, true);
	free(slot);
	return ret;
}

int rlog_state_write(struct rlog *log, struct rlog_state *state)
{
	int ret;

	state->sequence = log->state.sequence + 1;
	ret = write_slots(log->io, log->state_file, &log->options.owner, state);
	if (ret)
		return ret;
	if (state->conf != log->state.conf)
		free(log->state.conf);
	log->state = *state;
	return 0;
}

static int execute_vote(struct rlog *log, const struct rlog_request *request)
{
	struct rlog_state state = log->state;

	state.term = request->state.term;
	state.vote = request->state.vote;
	return rlog_state_write(log, &state);
}

/* --- segments --- */

/* A file of zeros under its final name, both durable; or an old one under a new name. */
static int make_segment(struct rlog_io *io, uint64_t size, const char *name)
{
	uint64_t step = size < (1u << 20) ? size : 1u << 20;
	void *zeros = rlog_alloc_blocks(step);
	int file = -1;
	int ret = -ENOMEM;

	if (!zeros)
		return ret;
	memset(zeros, 0, step);
	ret = io->ops->unlink(io, RLOG_PREPARE_NAME);
	if (ret && ret != -ENOENT)
		goto out_free;
	file = io->ops->open(io, RLOG_PREPARE_NAME, true);
	ret = file < 0 ? file : 0;
	for (uint64_t at = 0; at < size && !ret; at += step)
		ret = io->ops->write(io, file, zeros, size - at < step ? size - at : step, at,
				     false);
	if (!ret)
		ret = io->ops->sync(io, file);
	if (file >= 0)
		io->ops->close(io, file);
	if (!ret)
		ret = io->ops->rename(io, RLOG_PREPARE_NAME, name);
	if (!ret)
		ret = io->ops->sync_dir(io);
out_free:
	free(zeros);
	return ret;
}

static int add_spare(struct rlog *log, uint64_t segment)
{
	uint64_t *grown = realloc(log->spares, (log->n_spares + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	log->spares = grown;
	log->spares[log->n_spares++] = segment;
	return 0;
}

int rlog_prepare(struct rlog *log, char *why)
{
	char name[RLOG_NAME_SIZE];
	int ret;

	if (log->n_spares >= SPARES)
		return 0;
	rlog_segment_name(log->next_segment, name);
	ret = make_segment(log->io, log->options.segment_bytes, name);
	if (!ret)
		ret = add_spare(log, log->next_segment);
	if (ret) {
		snprintf(why, RNODE_WHY_MAX,
			 "cannot prepare %s in the log directory: %s; is its disk full or broken?",
			 name, strerror(-ret));
		return ret;
	}
	log->next_segment++;
	return 0;
}

/*
 * Takes the next prepared file whose size is the configured one (an older run may have had
 * another).
 */
static int take_spare(struct rlog *log, uint64_t *segment, char *why)
{
	struct rlog_io *io = log->io;
	char name[RLOG_NAME_SIZE];
	int64_t size;
	int ret;

	for (;;) {
		if (!log->n_spares) {
			ret = rlog_prepare(log, why);
			if (ret)
				return ret;
		}
		*segment = log->spares[0];
		log->n_spares--;
		memmove(log->spares, log->spares + 1, log->n_spares * sizeof(*log->spares));
		rlog_segment_name(*segment, name);
		log->file = io->ops->open(io, name, false);
		if (log->file < 0)
			return log->file;
		size = io->ops->size(io, log->file);
		if (size == (int64_t)log->options.segment_bytes)
			return 0;
		io->ops->close(io, log->file);
		log->file = -1;
		if (size < 0)
			return (int)size;
		ret = io->ops->unlink(io, name);
		if (ret)
			return ret;
	}
}

/*
 * Begins the segment for last_index + 1. Its headers become durable together with the first batch.
 */
static int begin_segment(struct rlog *log, char *why)
{
	struct rlog_io *io = log->io;
	uint8_t *block = rlog_alloc_blocks(WEFT_LOG_BLOCK);
	struct rlog_header header = {
		.size = log->options.segment_bytes,
		.first_index = log->last_index + 1,
		.prev_term = log->last_term,
		.prev_crc = log->last_crc,
		.time_ms = log->options.wall_ms(log->options.arg),
		.reset = log->reset,
	};
	int ret = -ENOMEM;

	if (!block)
		return ret;
	while (!header.salt)
		header.salt = log->options.random(log->options.arg);
	if (log->file >= 0)
		io->ops->close(io, log->file);
	log->file = -1;
	ret = take_spare(log, &header.segment, why);
	if (ret)
		goto out_free;
	rlog_header_encode(&log->options.owner, &header, block);
	ret = io->ops->write(io, log->file, block, WEFT_LOG_BLOCK, 0, false);
	if (!ret)
		ret = io->ops->write(io, log->file, block, WEFT_LOG_BLOCK,
				     header.size - WEFT_LOG_BLOCK, false);
	if (!ret)
		ret = rlog_segment_add(log, &header, WEFT_LOG_BLOCK);
	log->offset = WEFT_LOG_BLOCK;
	log->reset = false;
out_free:
	free(block);
	return ret;
}

/* --- reading --- */

static void reader_clear(struct rlog_reader *reader)
{
	free(reader->bytes);
	*reader = (struct rlog_reader){ 0 };
}

/* Places the reader before index, which its segment holds. */
static int reader_seek(struct rlog *log, const struct rlog_segment *segment, uint64_t index)
{
	struct rlog_reader *reader = &log->reader;
	uint64_t size = segment->used < segment->header.size ? segment->used : segment->header.size;
	struct rlog_record record;
	int ret;

	/* A segment may have grown since it was read. */
	if (reader->segment != segment->header.segment || reader->size != size) {
		reader_clear(reader);
		reader->size = size;
		reader->bytes = rlog_alloc_blocks(reader->size);
		if (!reader->bytes)
			return -ENOMEM;
		ret = rlog_segment_load(log, segment->header.segment, reader->bytes, reader->size);
		if (ret)
			return ret;
		reader->segment = segment->header.segment;
		rlog_cursor_init(&reader->cursor, &segment->header, reader->bytes, reader->size);
	} else if (reader->cursor.index > index) {
		rlog_cursor_init(&reader->cursor, &segment->header, reader->bytes, reader->size);
	}
	while (reader->cursor.index < index)
		if (!rlog_cursor_next(&reader->cursor, &record))
			return -EUCLEAN;
	return 0;
}

static int read_entry(struct rlog_reader *reader, struct rlog_entry **result)
{
	struct rlog_record record;
	struct rlog_entry *entry;

	if (!rlog_cursor_next(&reader->cursor, &record))
		return -EUCLEAN;
	entry = rlog_entry_alloc(record.data, record.length);
	if (!entry)
		return -ENOMEM;
	entry->index = record.index;
	entry->term = record.term;
	entry->type = record.type;
	*result = entry;
	return 0;
}

/* Entries from first on, out of one segment: at least one, then as long as there is room. */
static int execute_read(struct rlog *log, struct rlog_request *request)
{
	const struct rlog_segment *segment = rlog_segment_find(log, request->first);
	uint64_t last = log->last_index < request->last ? log->last_index : request->last;
	uint64_t bytes = 0;
	size_t cap = 0;
	int ret;

	if (!segment || request->first > last)
		return 0;
	if (segment != &log->segments[log->n_segments - 1] && last >= segment[1].header.first_index)
		last = segment[1].header.first_index - 1;
	ret = reader_seek(log, segment, request->first);
	for (uint64_t index = request->first;
	     index <= last && !ret && (!request->n || bytes < request->room); index++) {
		if (request->n == cap) {
			struct rlog_entry **grown;

			cap = cap ? 2 * cap : 64;
			grown = realloc(request->entries, cap * sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			request->entries = grown;
		}
		ret = read_entry(&log->reader, &request->entries[request->n]);
		if (!ret)
			bytes += rlog_entry_size(request->entries[request->n++]);
	}
	return ret;
}

/* --- appending --- */

/*
 * The log goes on behind last: what it holds above is void once the segment begun next is durable.
 */
static int cut_to(struct rlog *log, uint64_t last)
{
	struct rlog_segment *segment = rlog_segment_find(log, last + 1);
	struct rlog_record record;
	int ret;

	if (!segment)
		return -EINVAL;
	if (segment->header.first_index == last + 1) {
		log->last_term = segment->header.prev_term;
		log->last_crc = segment->header.prev_crc;
	} else {
		ret = reader_seek(log, segment, last);
		if (ret)
			return ret;
		if (!rlog_cursor_next(&log->reader.cursor, &record))
			return -EUCLEAN;
		log->last_term = record.term;
		log->last_crc = record.crc;
	}
	log->last_index = last;
	/* Segments that begin above are void as a whole; their files go at the next start. */
	while (log->n_segments && log->segments[log->n_segments - 1].header.first_index > last)
		log->n_segments--;
	if (log->file >= 0)
		log->io->ops->close(log->io, log->file);
	log->file = -1;
	reader_clear(&log->reader);
	return 0;
}

static int batch_room(struct rlog *log, size_t size)
{
	uint8_t *bytes;

	if (size <= log->batch_size)
		return 0;
	bytes = rlog_alloc_blocks(size);
	if (!bytes)
		return -ENOMEM;
	free(log->batch);
	log->batch = bytes;
	log->batch_size = size;
	return 0;
}

/*
 * Writes as many of the n entries as fit one batch and the segment; *done says how many. Durable on
 * return.
 */
static int write_batch(struct rlog *log, struct rlog_entry **entries, size_t n, size_t *done,
		       char *why)
{
	uint64_t end = log->options.segment_bytes - WEFT_LOG_BLOCK;
	uint64_t durable = log->last_index;
	bool first = false;
	uint64_t size = 0;
	uint64_t padded;
	size_t count = 0;
	uint32_t crc = log->last_crc;
	int ret;

	if (rlog_record_size(entries[0]->len) > end - WEFT_LOG_BLOCK)
		return -EMSGSIZE;
	if (log->file < 0 || log->offset + rlog_record_size(entries[0]->len) > end) {
		ret = begin_segment(log, why);
		if (ret)
			return ret;
		first = true;
	}
	for (; count < n; count++) {
		uint64_t more = rlog_record_size(entries[count]->len);

		if (count && (log->offset + size + more > end || size + more > BATCH_MAX))
			break;
		size += more;
	}
	padded = to_block(size);
	ret = batch_room(log, padded);
	if (ret)
		return ret;
	size = 0;
	for (size_t i = 0; i < count; i++)
		size += rlog_record_encode(entries[i], durable,
					   log->segments[log->n_segments - 1].header.salt, crc,
					   log->batch + size, &crc);
	memset(log->batch + size, 0, padded - size);
	ret = log->io->ops->write(log->io, log->file, log->batch, padded, log->offset, !first);
	if (!ret && first)
		ret = log->io->ops->sync(log->io, log->file);
	if (ret)
		return ret;
	log->offset += padded;
	log->segments[log->n_segments - 1].used = log->offset;
	log->last_index = entries[count - 1]->index;
	log->last_term = entries[count - 1]->term;
	log->last_crc = crc;
	*done = count;
	return 0;
}

/* All entries of a run of APPENDs that follow each other without replacing anything. */
static int execute_append(struct rlog *log, struct rlog_request *request,
			  struct rlog_request **next, char *why)
{
	struct rlog_entry **entries = request->entries;
	struct rlog_request *end = request->next;
	size_t n = request->n;
	size_t written = 0;
	bool joined = false;
	int ret = 0;

	if (request->first > log->last_index + 1)
		return -EINVAL;
	if (request->first <= log->last_index)
		ret = cut_to(log, request->first - 1);
	while (end && end->kind == RLOG_APPEND && end->first == request->first + n) {
		n += end->n;
		end = end->next;
		joined = true;
	}
	*next = end;
	if (joined) {
		size_t at = 0;

		entries = malloc(n * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		for (struct rlog_request *r = request; r != end; r = r->next) {
			memcpy(entries + at, r->entries, r->n * sizeof(*entries));
			at += r->n;
		}
	}
	while (written < n && !ret) {
		size_t done = 0;

		ret = write_batch(log, entries + written, n - written, &done, why);
		written += done;
	}
	if (joined)
		free(entries);
	return ret;
}

/* --- dropping --- */

/*
 * The index from which the log is kept once the checkpoint is durable: by age, size and share of
 * the file system.
 */
static uint64_t keep_from(struct rlog *log)
{
	uint64_t now = log->options.wall_ms(log->options.arg);
	uint64_t limit = log->options.keep_bytes;
	uint64_t from = log->n_segments ? log->segments[0].header.first_index : 0;
	uint64_t bytes = rlog_bytes(log);
	uint64_t total;

	if (!log->io->ops->space(log->io, &total) &&
	    total / 100 * log->options.keep_percent < limit)
		limit = total / 100 * log->options.keep_percent;
	for (size_t i = 0; i + 1 < log->n_segments; i++) {
		const struct rlog_header *next = &log->segments[i + 1].header;

		/* A segment is as old as the beginning of the next one. */
		if (next->first_index > log->state.checkpoint_index + 1 ||
		    (bytes <= limit && next->time_ms + log->options.keep_ms > now))
			break;
		bytes -= log->segments[i].header.size;
		from = next->first_index;
	}
	return from;
}

static int execute_checkpoint(struct rlog *log, struct rlog_request *request)
{
	struct rlog_state state = log->state;
	int ret;

	state.checkpoint_index = request->state.checkpoint_index;
	state.checkpoint_term = request->state.checkpoint_term;
	state.conf_index = request->state.conf_index;
	state.conf_len = request->state.conf_len;
	state.conf = request->state.conf;
	state.replaced = request->kind == RLOG_RESET;
	request->state.conf = NULL;
	ret = rlog_state_write(log, &state);
	if (ret) {
		free(state.conf);
		return ret;
	}
	request->first = keep_from(log);
	return 0;
}

/*
 * Removes the files of segments that end before first. Not synced: a file that comes back is
 * recognised.
 */
static int execute_trim(struct rlog *log, uint64_t first)
{
	size_t n = 0;
	int ret = 0;

	while (n + 1 < log->n_segments && log->segments[n + 1].header.first_index <= first)
		n++;
	for (size_t i = 0; i < n && !ret; i++) {
		struct rlog_header *header = &log->segments[i].header;
		char name[RLOG_NAME_SIZE];

		if (log->reader.segment == header->segment)
			reader_clear(&log->reader);
		rlog_segment_name(header->segment, name);
		if (log->n_spares < SPARES + 1 && header->size == log->options.segment_bytes) {
			char spare[RLOG_NAME_SIZE];

			rlog_segment_name(log->next_segment, spare);
			ret = log->io->ops->rename(log->io, name, spare);
			if (!ret)
				ret = log->io->ops->sync_dir(log->io);
			if (!ret)
				ret = add_spare(log, log->next_segment++);
		} else {
			ret = log->io->ops->unlink(log->io, name);
		}
	}
	log->n_segments -= n;
	memmove(log->segments, log->segments + n, log->n_segments * sizeof(*log->segments));
	return ret;
}

static int execute_reset(struct rlog *log, struct rlog_request *request)
{
	int ret = execute_checkpoint(log, request);

	if (ret)
		return ret;
	if (log->file >= 0)
		log->io->ops->close(log->io, log->file);
	log->file = -1;
	reader_clear(&log->reader);
	log->n_segments = 0;
	log->reset = true;
	log->last_index = log->state.checkpoint_index;
	log->last_term = log->state.checkpoint_term;
	log->last_crc = 0;
	return 0;
}

int rlog_execute(struct rlog *log, struct rlog_request *requests, char *why)
{
	struct rlog_request *request = requests;

	*why = '\0';
	while (request) {
		struct rlog_request *next = request->next;
		int ret = -EINVAL;

		switch (request->kind) {
		case RLOG_VOTE:
			ret = execute_vote(log, request);
			break;
		case RLOG_APPEND:
			ret = execute_append(log, request, &next, why);
			break;
		case RLOG_READ:
			ret = execute_read(log, request);
			break;
		case RLOG_CHECKPOINT:
			ret = execute_checkpoint(log, request);
			break;
		case RLOG_TRIM:
			ret = execute_trim(log, request->first);
			break;
		case RLOG_RESET:
			ret = execute_reset(log, request);
			break;
		}
		if (ret) {
			if (!*why)
				snprintf(
					why, RNODE_WHY_MAX,
					"the log cannot be %s: %s; the voter ends, its disk or the "
					"space on it has to be looked at",
					request->kind == RLOG_READ ? "read" : "written",
					strerror(-ret));
			return ret;
		}
		request = next;
	}
	return 0;
}

uint64_t rlog_first_index(const struct rlog *log)
{
	return log->n_segments ? log->segments[0].header.first_index : log->last_index + 1;
}

uint64_t rlog_bytes(const struct rlog *log)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < log->n_segments; i++)
		bytes += log->segments[i].header.size;
	return bytes;
}

void rlog_close(struct rlog *log)
{
	if (!log)
		return;
	if (log->file >= 0)
		log->io->ops->close(log->io, log->file);
	if (log->state_file >= 0)
		log->io->ops->close(log->io, log->state_file);
	reader_clear(&log->reader);
	free(log->state.conf);
	free(log->segments);
	free(log->spares);
	free(log->batch);
	free(log);
}

/* --- making --- */

static int any_log(void *arg, const char *name)
{
	size_t len = strlen(name);

	return len > 4 && !strcmp(name + len - 4, ".log");
}

/* Whether a log may be made here: nothing there, or a making that was interrupted. */
static int check_empty(struct rlog_io *io, const struct rlog_owner *owner, char *why)
{
	struct rlog_state state;
	int file = io->ops->open(io, RLOG_STATE_NAME, false);
	uint8_t *bytes;
	int64_t size;
	int ret = 0;

	if (file == -ENOENT) {
		ret = io->ops->list(io, any_log, NULL);
		if (ret > 0) {
			snprintf(
				why, RNODE_WHY_MAX,
				"the log directory holds log files but no state; it is not touched");
			ret = -EEXIST;
		}
		return ret;
	}
	if (file < 0)
		return file;
	bytes = rlog_alloc_blocks(2 * WEFT_LOG_STATE_SLOT);
	size = io->ops->size(io, file);
	if (!bytes)
		ret = -ENOMEM;
	else if (size >= (int64_t)(2 * WEFT_LOG_STATE_SLOT))
		ret = io->ops->read(io, file, bytes, 2 * WEFT_LOG_STATE_SLOT, 0);
	for (int i = 0; i < 2 && !ret && size >= (int64_t)(2 * WEFT_LOG_STATE_SLOT); i++) {
		int err = rlog_state_decode(owner, bytes + i * WEFT_LOG_STATE_SLOT, &state);

		if (err == -EXDEV || (!err && state.term)) {
			snprintf(why, RNODE_WHY_MAX, "the log directory holds a log already");
			ret = -EEXIST;
		}
	}
	free(bytes);
	io->ops->close(io, file);
	return ret;
}

static int format_first(struct rlog *log, const void *conf, size_t conf_len, char *why)
{
	struct rlog_entry *entry = rlog_entry_alloc(conf, conf_len);
	size_t done;
	int ret;

	if (!entry)
		return -ENOMEM;
	entry->index = 1;
	entry->term = 1;
	entry->type = WEFT_LOG_CHANGE;
	ret = write_batch(log, &entry, 1, &done, why);
	rlog_entry_put(entry);
	return ret;
}

static int format_state(struct rlog *log)
{
	struct rlog_io *io = log->io;
	struct rlog_state state = { 0 };
	int ret = io->ops->unlink(io, RLOG_STATE_NAME);

	if (ret && ret != -ENOENT)
		return ret;
	log->state_file = io->ops->open(io, RLOG_STATE_NAME, true);
	if (log->state_file < 0)
		return log->state_file;
	ret = rlog_state_write(log, &state);
	if (!ret)
		ret = io->ops->sync_dir(io);
	return ret;
}

int rlog_format(struct rlog_io *io, const struct rlog_options *options, const void *conf,
		size_t conf_len, char *why)
{
	struct rlog *log = calloc(1, sizeof(*log));
	struct rlog_state ready = { .term = 1 };
	int ret;

	*why = '\0';
	if (!log)
		return -ENOMEM;
	log->io = io;
	log->options = *options;
	log->file = -1;
	log->state_file = -1;
	log->next_segment = 1;
	ret = check_empty(io, &options->owner, why);
	if (!ret)
		ret = format_state(log);
	if (!ret && conf_len)
		ret = format_first(log, conf, conf_len, why);
	if (!ret)
		ret = rlog_state_write(log, &ready);
	if (ret && !*why)
		snprintf(why, RNODE_WHY_MAX, "cannot make a log in the log directory: %s",
			 strerror(-ret));
	rlog_close(log);
	return ret;
}
