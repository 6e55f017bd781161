// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log_recover.c - what a voter's directory holds after whatever happened to it
 *
 * Decides between three outcomes, by the rules at the head of uapi/weft_log.h:
 *  - sound: everything that was ever reported durable is there;
 *  - torn: the end of the last segment holds a write that was cut short, and nobody was told of it:
 *    it is left out;
 *  - damaged: something that was reported durable is missing or differs: refused, nothing is
 *    changed.
 *
 * What a checkpoint covers may be missing (segments are dropped without a sync), nothing above it
 * may.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "raft/log.h"

/* A segment file as found. */
struct found {
	uint64_t segment;
	struct rlog_header header;
	bool used; /* has a valid header */
};

struct recovery {
	struct rlog *log;
	struct rlog_recovered *out;
	char *why;
	struct found *found;
	size_t n_found;
	size_t cap_runs;
	bool mend_state; /* a copy of the state is bad or old */
};

static int damaged(struct recovery *rec, uint64_t segment, uint64_t index, const char *what)
{
	snprintf(
		rec->why, RNODE_WHY_MAX,
		"the log is damaged: %s (segment %016" PRIx64 ", entry %" PRIu64
		"); this voter must not vote with it: "
		"restore the directory's disk, or replace this voter by one with an empty directory and a new id",
		what, segment, index);
	return -EUCLEAN;
}

static int failed(struct recovery *rec, int err, const char *what, const char *name)
{
	snprintf(rec->why, RNODE_WHY_MAX, "cannot %s %s in the log directory: %s", what, name,
		 strerror(-err));
	return err;
}

static int found_each(void *arg, const char *name)
{
	struct recovery *rec = arg;
	struct found *grown;
	uint64_t segment;
	char check[RLOG_NAME_SIZE];

	if (sscanf(name, "%16" SCNx64, &segment) != 1 || segment == 0)
		return 0;
	rlog_segment_name(segment, check);
	if (strcmp(check, name))
		return 0;
	grown = realloc(rec->found, (rec->n_found + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	rec->found = grown;
	rec->found[rec->n_found++] = (struct found){ .segment = segment };
	return 0;
}

static int found_compare(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->segment < y->segment ? -1 : x->segment > y->segment;
}

/* Reads the header at either end. Files of an unexpected size are simply not in use. */
static int found_header(struct recovery *rec, struct found *found, uint8_t *block)
{
	struct rlog_io *io = rec->log->io;
	uint64_t at[2] = { 0 };
	char name[RLOG_NAME_SIZE];
	int64_t size;
	int file;
	int ret = 0;

	rlog_segment_name(found->segment, name);
	file = io->ops->open(io, name, false);
	if (file < 0)
		return failed(rec, file, "open", name);
	size = io->ops->size(io, file);
	if (size < 0) {
		ret = (int)size;
	} else if (size >= (int64_t)WEFT_LOG_SEGMENT_MIN && size % WEFT_LOG_BLOCK == 0) {
		at[1] = (uint64_t)size - WEFT_LOG_BLOCK;
		for (int i = 0; i < 2 && !ret && !found->used; i++) {
			ret = io->ops->read(io, file, block, WEFT_LOG_BLOCK, at[i]);
			if (ret)
				break;
			ret = rlog_header_decode(&rec->log->options.owner, found->segment, block,
						 &found->header);
			found->used = !ret && found->header.size == (uint64_t)size;
			if (ret == -ENODATA)
				ret = 0;
		}
	}
	io->ops->close(io, file);
	if (ret == -EXDEV)
		snprintf(rec->why, RNODE_WHY_MAX,
			 "%s belongs to another cluster or another voter; is this the right "
			 "directory?",
			 name);
	else if (ret)
		failed(rec, ret, "read", name);
	return ret;
}

static int find_segments(struct recovery *rec, uint8_t *block)
{
	struct rlog_io *io = rec->log->io;
	int ret = io->ops->list(io, found_each, rec);

	if (ret)
		return failed(rec, ret, "list", "files");
	qsort(rec->found, rec->n_found, sizeof(*rec->found), found_compare);
	for (size_t i = 0; i < rec->n_found && !ret; i++)
		ret = found_header(rec, &rec->found[i], block);
	return ret;
}

/*
 * Which of the found segments count: from the newest back, each ends where the next begins, and one
 * that would end before its beginning was replaced as a whole.
 */
static int choose_segments(struct recovery *rec)
{
	uint64_t bound = UINT64_MAX;
	bool *keep = calloc(rec->n_found + 1, sizeof(*keep));
	int ret = 0;

	if (!keep)
		return -ENOMEM;
	for (size_t i = rec->n_found; i-- > 0;) {
		struct found *found = &rec->found[i];

		if (!found->used || found->header.first_index >= bound)
			continue;
		keep[i] = true;
		bound = found->header.first_index;
		if (found->header.reset)
			break;
	}
	for (size_t i = 0; i < rec->n_found && !ret; i++)
		if (keep[i])
			ret = rlog_segment_add(rec->log, &rec->found[i].header, UINT64_MAX);
	free(keep);
	return ret;
}

static int note_record(struct recovery *rec, const struct rlog_record *record)
{
	struct rlog_recovered *out = rec->out;
	struct rlog_entry **changes;
	struct rlog_entry *entry;

	if (!out->n_runs || out->runs[out->n_runs - 1].term != record->term) {
		if (out->n_runs == rec->cap_runs) {
			size_t cap = rec->cap_runs ? 2 * rec->cap_runs : 16;
			struct rlog_run *runs = realloc(out->runs, cap * sizeof(*runs));

			if (!runs)
				return -ENOMEM;
			out->runs = runs;
			rec->cap_runs = cap;
		}
		out->runs[out->n_runs++] =
			(struct rlog_run){ .first = record->index, .term = record->term };
	}
	if (record->type != WEFT_LOG_CHANGE)
		return 0;
	changes = realloc(out->changes, (out->n_changes + 1) * sizeof(*changes));
	if (!changes)
		return -ENOMEM;
	out->changes = changes;
	entry = rlog_entry_alloc(record->data, record->length);
	if (!entry)
		return -ENOMEM;
	entry->index = record->index;
	entry->term = record->term;
	entry->type = record->type;
	changes[out->n_changes++] = entry;
	return 0;
}

/*
 * Walks segment i, which must reach up to last unless it is the last one. -EUCLEAN without a
 * sentence: it does not.
 */
static int scan_segment(struct recovery *rec, size_t i, uint8_t *bytes)
{
	struct rlog *log = rec->log;
	struct rlog_segment *segment = &log->segments[i];
	bool last = i + 1 == log->n_segments;
	uint64_t end = last ? UINT64_MAX : log->segments[i + 1].header.first_index - 1;
	struct rlog_cursor cursor;
	struct rlog_record record;
	uint64_t claim;
	int ret;

	ret = rlog_segment_load(log, segment->header.segment, bytes, segment->header.size);
	if (ret)
		return failed(rec, ret, "read", "a segment");
	rlog_cursor_init(&cursor, &segment->header, bytes, segment->header.size);
	while (cursor.index <= end && rlog_cursor_next(&cursor, &record)) {
		ret = note_record(rec, &record);
		if (ret)
			return ret;
	}
	segment->used = cursor.offset;
	log->last_index = cursor.index - 1;
	log->last_term = cursor.term;
	log->last_crc = cursor.prev_crc;
	if (!last)
		return cursor.index > end ? 0 : -EUCLEAN;
	claim = rlog_durable_claim(bytes, segment->header.size, cursor.offset,
				   segment->header.salt);
	if (claim >= cursor.index)
		return -EUCLEAN;
	rec->out->torn = claim > 0;
	return 0;
}

/*
 * The first segment to scan: the one that holds the first entry behind the checkpoint, or some
 * before it.
 */
static size_t scan_start(const struct rlog *log)
{
	uint64_t needed = log->state.checkpoint_index + 1;
	uint64_t bytes = 0;
	size_t i = log->n_segments;

	while (i > 0 && (i == log->n_segments || log->segments[i].header.first_index > needed))
		i--;
	while (i > 0 && bytes < log->options.scan_bytes) {
		i--;
		bytes += log->segments[i].header.size;
	}
	return i;
}

static void forget_scan(struct recovery *rec)
{
	struct rlog_recovered *out = rec->out;

	for (size_t i = 0; i < out->n_changes; i++)
		rlog_entry_put(out->changes[i]);
	out->n_changes = 0;
	out->n_runs = 0;
}

/* Drops the first n segments from the books; their files go when the next segment is prepared. */
static void forget_segments(struct rlog *log, size_t n)
{
	log->n_segments -= n;
	memmove(log->segments, log->segments + n, log->n_segments * sizeof(*log->segments));
}

static int scan_segments(struct recovery *rec)
{
	struct rlog *log = rec->log;
	uint64_t checkpoint = log->state.checkpoint_index;
	uint8_t *bytes = NULL;
	uint64_t size = 0;
	size_t start = scan_start(log);
	int ret = 0;

	log->last_index = checkpoint;
	log->last_term = log->state.checkpoint_term;
	log->last_crc = 0;
	for (size_t i = 0; i < log->n_segments; i++)
		if (log->segments[i].header.size > size)
			size = log->segments[i].header.size;
	if (size)
		bytes = rlog_alloc_blocks(size);
	if (size && !bytes)
		return -ENOMEM;
	for (size_t i = start; i < log->n_segments && !ret; i++) {
		const struct rlog_header *header = &log->segments[i].header;

		if (i > start &&
		    (header->prev_crc != log->last_crc || header->prev_term != log->last_term)) {
			if (header->first_index > checkpoint + 1) {
				ret = damaged(rec, header->segment, header->first_index,
					      "it does not continue what precedes it");
				break;
			}
			forget_scan(rec);
			start = i;
		}
		ret = scan_segment(rec, i, bytes);
		if (ret != -EUCLEAN)
			continue;
		if (i + 1 < log->n_segments &&
		    log->segments[i + 1].header.first_index <= checkpoint + 1) {
			/* The checkpoint covers it: begin behind it. */
			forget_scan(rec);
			start = i + 1;
			ret = 0;
		} else {
			damaged(rec, header->segment, log->last_index + 1,
				"an entry that was durable cannot be read");
		}
	}
	free(bytes);
	forget_segments(log, start);
	return ret;
}

/* Whether the scanned log holds (index, term). */
static bool log_holds(const struct recovery *rec, uint64_t index, uint64_t term)
{
	const struct rlog_recovered *out = rec->out;
	uint64_t found = 0;

	if (index > rec->log->last_index)
		return false;
	for (size_t i = 0; i < out->n_runs && out->runs[i].first <= index; i++)
		found = out->runs[i].term;
	return found == term;
}

/* The log against the checkpoint. */
static int check_range(struct recovery *rec)
{
	struct rlog *log = rec->log;
	struct rlog_state *state = &log->state;
	uint64_t checkpoint = state->checkpoint_index;
	uint64_t first = log->n_segments ? log->segments[0].header.first_index : checkpoint + 1;

	if (state->replaced && first <= checkpoint &&
	    !log_holds(rec, checkpoint, state->checkpoint_term)) {
		forget_scan(rec);
		forget_segments(log, log->n_segments);
		log->reset = true;
		log->last_index = checkpoint;
		log->last_term = state->checkpoint_term;
		log->last_crc = 0;
		first = checkpoint + 1;
	}
	if (first > checkpoint + 1)
		return damaged(rec, log->segments[0].header.segment, checkpoint + 1,
			       "entries behind the last checkpoint are missing");
	if (log->last_index < checkpoint)
		return damaged(rec, log->segments[log->n_segments - 1].header.segment,
			       log->last_index + 1, "it ends before the last checkpoint");
	rec->out->first_index = first;
	rec->out->last_index = log->last_index;
	if (checkpoint && first <= checkpoint &&
	    !log_holds(rec, checkpoint, state->checkpoint_term))
		return damaged(rec, log->segments[0].header.segment, checkpoint,
			       "it contradicts the last checkpoint");
	if (rec->out->n_runs && rec->out->runs[rec->out->n_runs - 1].term > state->term)
		return damaged(rec, log->segments[log->n_segments - 1].header.segment,
			       log->last_index, "an entry is of a later term than the voter knows");
	return 0;
}

static int read_state(struct recovery *rec)
{
	struct rlog *log = rec->log;
	struct rlog_io *io = log->io;
	struct rlog_state slots[2];
	uint8_t *bytes;
	int err[2] = { -EUCLEAN, -EUCLEAN };
	int best;
	int ret;

	bytes = rlog_alloc_blocks(2 * WEFT_LOG_STATE_SLOT);
	if (!bytes)
		return -ENOMEM;
	ret = io->ops->read(io, log->state_file, bytes, 2 * WEFT_LOG_STATE_SLOT, 0);
	for (int i = 0; i < 2 && !ret; i++)
		err[i] = rlog_state_decode(&log->options.owner, bytes + i * WEFT_LOG_STATE_SLOT,
					   &slots[i]);
	if (err[0] == -EXDEV || err[1] == -EXDEV) {
		snprintf(
			rec->why, RNODE_WHY_MAX,
			"the log directory belongs to another cluster or another voter; is this the right directory?");
		ret = -EXDEV;
		goto out_free;
	}
	if (err[0] && err[1]) {
		snprintf(
			rec->why, RNODE_WHY_MAX,
			"both copies of term and vote are unreadable: this voter might vote twice; replace it by one "
			"with an empty directory and a new id");
		ret = -EUCLEAN;
		goto out_free;
	}
	best = err[0] || (!err[1] && slots[1].sequence > slots[0].sequence);
	rec->mend_state = err[0] || err[1] || slots[0].sequence != slots[1].sequence;
	log->state = slots[best];
	log->state.conf = NULL;
	if (log->state.conf_len) {
		log->state.conf = malloc(log->state.conf_len);
		if (log->state.conf)
			memcpy(log->state.conf, slots[best].conf, log->state.conf_len);
		else
			ret = -ENOMEM;
	}
out_free:
	free(bytes);
	return ret;
}

/*
 * Prepared files come after all segments; what lies between them is not in use any more and is
 * removed.
 */
static int find_spares(struct recovery *rec)
{
	struct rlog *log = rec->log;
	uint64_t newest = log->n_segments ? log->segments[log->n_segments - 1].header.segment : 0;
	struct rlog_io *io = log->io;
	char name[RLOG_NAME_SIZE];

	log->spares = calloc(rec->n_found + 1, sizeof(*log->spares));
	if (!log->spares)
		return -ENOMEM;
	for (size_t i = 0, s = 0; i < rec->n_found; i++) {
		struct found *found = &rec->found[i];

		if (found->segment >= log->next_segment)
			log->next_segment = found->segment + 1;
		while (s < log->n_segments && log->segments[s].header.segment < found->segment)
			s++;
		if (s < log->n_segments && log->segments[s].header.segment == found->segment)
			continue;
		rlog_segment_name(found->segment, name);
		/*
		 * A file that came into use and was voided since carries a header: it is not taken
		 * for a spare.
		 */
		if (found->segment > newest && !found->used && !rec->log->reset)
			log->spares[log->n_spares++] = found->segment;
		else if (io->ops->unlink(io, name))
			return failed(rec, -EIO, "remove", name);
	}
	return 0;
}

/*
 * The process before may have been killed between a write and its sync: what was read is not
 * durable yet.
 */
static int sync_found(struct recovery *rec)
{
	struct rlog *log = rec->log;
	struct rlog_io *io = log->io;
	char name[RLOG_NAME_SIZE] = RLOG_STATE_NAME;
	int ret = io->ops->sync(io, log->state_file);

	if (!ret && log->n_segments) {
		int file;

		rlog_segment_name(log->segments[log->n_segments - 1].header.segment, name);
		file = io->ops->open(io, name, false);
		if (file < 0)
			return failed(rec, file, "open", name);
		ret = io->ops->sync(io, file);
		io->ops->close(io, file);
	}
	if (!ret)
		ret = io->ops->sync_dir(io);
	return ret ? failed(rec, ret, "sync", name) : 0;
}

static int recover(struct recovery *rec)
{
	uint8_t *block = rlog_alloc_blocks(WEFT_LOG_BLOCK);
	int ret;

	if (!block)
		return -ENOMEM;
	ret = read_state(rec);
	if (!ret && !rec->log->state.term) {
		snprintf(rec->why, RNODE_WHY_MAX,
			 "the log directory was never made ready: its making was interrupted");
		ret = -ENOENT;
	}
	if (!ret)
		ret = find_segments(rec, block);
	free(block);
	if (!ret)
		ret = choose_segments(rec);
	if (!ret)
		ret = scan_segments(rec);
	if (!ret)
		ret = check_range(rec);
	if (!ret)
		ret = sync_found(rec);
	if (!ret)
		ret = find_spares(rec);
	if (!ret && rec->mend_state) {
		ret = rlog_state_write(rec->log, &rec->log->state);
		if (ret)
			failed(rec, ret, "write", RLOG_STATE_NAME);
	}
	return ret;
}

static int copy_state(const struct rlog_state *from, struct rlog_state *to)
{
	*to = *from;
	to->conf = NULL;
	if (!from->conf_len)
		return 0;
	to->conf = malloc(from->conf_len);
	if (!to->conf)
		return -ENOMEM;
	memcpy(to->conf, from->conf, from->conf_len);
	return 0;
}

int rlog_open(struct rlog_io *io, const struct rlog_options *options, struct rlog **result,
	      struct rlog_recovered *recovered, char *why)
{
	struct rlog *log = calloc(1, sizeof(*log));
	struct recovery rec = { .log = log, .out = recovered, .why = why };
	int ret = -ENOMEM;

	*why = '\0';
	*recovered = (struct rlog_recovered){ 0 };
	if (!log)
		goto err_say;
	log->io = io;
	log->options = *options;
	log->file = -1;
	log->next_segment = 1;
	log->state_file = io->ops->open(io, RLOG_STATE_NAME, false);
	if (log->state_file < 0) {
		ret = log->state_file;
		if (ret == -ENOENT)
			snprintf(why, RNODE_WHY_MAX, "there is no log in the log directory");
		goto err_free;
	}
	ret = recover(&rec);
	if (!ret)
		ret = copy_state(&log->state, &recovered->state);
	free(rec.found);
	if (ret)
		goto err_close;
	*result = log;
	return 0;

err_close:
	rlog_recovered_clear(recovered);
	rlog_close(log);
	goto err_say;
err_free:
	free(log);
err_say:
	if (!*why)
		snprintf(why, RNODE_WHY_MAX, "cannot open the log: %s", strerror(-ret));
	return ret;
}

void rlog_recovered_clear(struct rlog_recovered *recovered)
{
	for (size_t i = 0; i < recovered->n_changes; i++)
		rlog_entry_put(recovered->changes[i]);
	free(recovered->changes);
	free(recovered->runs);
	free(recovered->state.conf);
	*recovered = (struct rlog_recovered){ 0 };
}
