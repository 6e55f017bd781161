// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * contents.c - what mounts are told of contents: answers to CHUNKS, and the filter by which bridges know
 * that nothing has to be asked
 *
 *	index (DEDUP) --walk, a part in each tick--> filter --whole, then ids as they come--> bridges
 *
 * A filter that is old costs a duplicate that is not seen, or a question more; never does anybody
 * refer to a chunk because of it. So it is sent with the ticks, a frame at a time, to connections on
 * which nothing else waits (server.c); one that was not taken is made again later. Nothing is taken
 * out of it: when more ids went into it than it holds well it is made anew, as large as the index
 * then asks for.
 *
 * Only the leader keeps one, and only while there is a volume that deduplicates. Brain thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bloom.h"
#include "base/log.h"
#include "meta/service.h"

#define WALK_STEP   20000u        /* records of the index that a tick looks at */
#define FRAME_BYTES (1024u * 1024)
#define PART_BYTES  32768u        /* of an attribute */
#define RECENT      4096u         /* ids that are told one by one */

struct watcher {
	u64 client;
	u64 version; /* of the filter that it has, or is being sent; 0: none */
	u64 sent;    /* bytes of that */
	u64 told;    /* ids up to this one */
	bool busy;   /* a frame is on its way to the connection; when it was taken: */
	u64 sent_next, told_next;
};

struct meta_contents {
	struct bloom filter;
	u64 version;         /* of it */
	u64 ids;             /* that went into it */
	struct bloom next;   /* being made */
	u64 next_ids;
	struct meta_key cursor; /* in DEDUP */
	u8 recent[RECENT][BLOOM_ID];
	u64 added;           /* ids since this leader began */
	struct watcher *watchers;
	size_t n;
};

/* ---- Questions ---- */

/* Every shard of it is where it can be read now. */
static bool is_healthy(void *ctx, const struct meta_chunk *chunk, const struct meta_group *group)
{
	struct meta_brain *brain = ctx;
	const struct cat_store *store;
	const struct cat_host *host;

	for (unsigned int i = 0; i < (unsigned int)chunk->head.k + chunk->head.m; i++) {
		store = catalog_store(&brain->catalog,
				      meta_chunk_store(chunk, (u8)i, le32_to_cpu(group->stores[i])));
		host = store ? catalog_host(&brain->catalog, store->host) : NULL;
		if (!host || host->state != WEFT_HOST_UP ||
		    !catalog_store_readable(&brain->catalog, store))
			return false;
	}
	return true;
}

void meta_run_chunks(struct meta_brain *brain, struct meta_op *op)
{
	const struct meta_dedup_judge judge = { is_healthy, brain };
	struct cat_session *session = catalog_session(&brain->catalog, op->frame.session);
	int err;

	if (session)
		catalog_session_heard(session, op->arrived_ns);
	err = meta_dedup_answer(&brain->state, op->frame.session,
				(const struct weft_chunk_ask *)op->entry.data, (u32)op->ask.length,
				&judge, &op->outcome);
	if (err)
		meta_brain_fatal(brain, "reading", err);
	op->step = META_DONE;
}

/* ---- The filter ---- */

void meta_contents_add(struct meta_brain *brain, const u8 content_id[32])
{
	struct meta_contents *contents = brain->contents;

	if (contents->filter.bits) {
		bloom_add(&contents->filter, content_id);
		contents->ids++;
	}
	if (contents->next.bits) {
		bloom_add(&contents->next, content_id);
		contents->next_ids++;
	}
	memcpy(contents->recent[contents->added++ % RECENT], content_id, BLOOM_ID);
}

static bool is_wanted(const struct meta_brain *brain)
{
	for (u64 i = 0; i < brain->catalog.n_volumes; i++)
		if (brain->catalog.volumes[i] && brain->catalog.volumes[i]->info.dedup_domain)
			return true;
	return false;
}

/* The one that is there has become worse than it has to be. */
static bool is_worn(const struct meta_contents *contents, u64 records)
{
	if (!contents->filter.bits)
		return true;
	if (contents->ids <= bloom_capacity(contents->filter.n_bits))
		return false;
	return contents->filter.n_bits < bloom_size(records) || records < contents->ids / 2;
}

static void begin_filter(struct meta_brain *brain)
{
	struct meta_contents *contents = brain->contents;
	u64 records;
	int err;

	err = meta_state_read(&brain->state);
	if (!err)
		err = meta_table_records(&brain->state.txn, WEFT_MT_DEDUP, &records);
	if (err)
		meta_brain_fatal(brain, "counting content ids", err);
	if (!is_worn(contents, records))
		return;
	if (bloom_init(&contents->next, bloom_size(records), BLOOM_HASHES)) {
		log_warn("out of memory for a filter of %llu content ids; the bridges ask for each",
			 (unsigned long long)records);
		return;
	}
	contents->next_ids = 0;
	contents->cursor = (struct meta_key){ .len = 1 };
}

static void finish_filter(struct meta_contents *contents)
{
	bloom_free(&contents->filter);
	contents->filter = contents->next;
	contents->ids = contents->next_ids;
	contents->next = (struct bloom){ 0 };
	contents->version++;
	log_debug("the filter of content ids has %llu bits for %llu ids",
		  (unsigned long long)contents->filter.n_bits, (unsigned long long)contents->ids);
}

/* Another part of the index. What comes to it behind the cursor is found, before it meta_contents_add() was told. */
static void walk_index(struct meta_brain *brain)
{
	struct meta_contents *contents = brain->contents;
	struct meta_walk walk;
	int err;

	err = meta_state_read(&brain->state);
	if (!err)
		err = meta_walk_begin(&walk, &brain->state.txn, WEFT_MT_DEDUP);
	if (err)
		meta_brain_fatal(brain, "walking over content ids", err);
	err = meta_walk_seek(&walk, &contents->cursor);
	for (unsigned int i = 0; i < WALK_STEP && !err; i++) {
		bloom_add(&contents->next, walk.key.bytes + sizeof(u64));
		contents->next_ids++;
		err = meta_walk_next(&walk);
	}
	contents->cursor = walk.key;
	meta_walk_end(&walk);
	if (err && err != -ENOENT)
		meta_brain_fatal(brain, "walking over content ids", err);
	if (err)
		finish_filter(contents);
}

/* ---- Telling it ---- */

static struct watcher *find_watcher(struct meta_contents *contents, u64 client)
{
	for (size_t i = 0; i < contents->n; i++)
		if (contents->watchers[i].client == client)
			return &contents->watchers[i];
	return NULL;
}

/* The connection has taken the frame, or has not: then what it held is sent with a later tick. */
static void run_told(struct meta_brain *brain, struct meta_op *op)
{
	struct watcher *watcher = find_watcher(brain->contents, op->number);

	if (!watcher)
		return;
	watcher->busy = false;
	if (op->outcome.status)
		return;
	watcher->sent = watcher->sent_next;
	watcher->told = watcher->told_next;
}

static void send_frame(struct meta_brain *brain, struct watcher *watcher, struct tlv_writer *writer)
{
	struct meta_op *op = tlv_finish(writer) ? NULL : meta_op_alloc(NULL);
	struct meta_op *told = op ? meta_op_alloc(run_told) : NULL;

	if (!told) {
		meta_op_free(op);
		return;
	}
	told->number = watcher->client;
	op->payload = writer->data;
	op->payload_len = writer->len;
	writer->data = NULL;
	op->number = watcher->client;
	op->ctx = told;
	op->finish = meta_server_push_contents;
	op->step = META_DONE;
	watcher->busy = true;
	meta_brain_continue(brain, op);
}

/* The next megabyte of the whole filter. */
static void put_parts(const struct meta_contents *contents, struct watcher *watcher,
		      struct tlv_writer *writer)
{
	u64 size = bloom_bytes(&contents->filter), part, *sent = &watcher->sent_next;
	struct weft_c_bloom head = { .bits = cpu_to_le64(contents->filter.n_bits),
				     .hashes = cpu_to_le32(contents->filter.hashes) };

	*sent = watcher->sent;
	if (!*sent)
		tlv_put(writer, WEFT_C_BLOOM, &head, sizeof(head));
	while (*sent < size && writer->len < FRAME_BYTES) {
		part = size - *sent < PART_BYTES ? size - *sent : PART_BYTES;
		tlv_put(writer, WEFT_C_BLOOM_PART, contents->filter.bits + *sent, part);
		*sent += part;
	}
}

static void put_recent(const struct meta_contents *contents, struct watcher *watcher,
		       struct tlv_writer *writer)
{
	u64 *told = &watcher->told_next;

	*told = watcher->told;
	if (watcher->sent_next < bloom_bytes(&contents->filter))
		return;
	for (; *told < contents->added; ++*told)
		tlv_put(writer, WEFT_C_BLOOM_ID, contents->recent[*told % RECENT], BLOOM_ID);
}

static void tell(struct meta_brain *brain, struct watcher *watcher)
{
	struct meta_contents *contents = brain->contents;
	struct tlv_writer writer;

	if (watcher->busy)
		return;
	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	/* Sent anew, too, to one that missed more ids than are kept. */
	if (watcher->version != contents->version || contents->added - watcher->told > RECENT) {
		watcher->version = contents->version;
		watcher->told = contents->added;
		watcher->sent = 0;
	}
	put_parts(contents, watcher, &writer);
	put_recent(contents, watcher, &writer);
	if (writer.len)
		send_frame(brain, watcher, &writer);
	tlv_writer_free(&writer);
}

void meta_contents_watch(struct meta_brain *brain, u64 client)
{
	struct meta_contents *contents = brain->contents;
	struct watcher *grown;

	if (find_watcher(contents, client))
		return;
	grown = realloc(contents->watchers, (contents->n + 1) * sizeof(*grown));
	/* Without it that bridge asks for everything. */
	if (!grown)
		return;
	contents->watchers = grown;
	contents->watchers[contents->n++] = (struct watcher){ .client = client };
}

void meta_contents_unwatch(struct meta_brain *brain, u64 client)
{
	struct meta_contents *contents = brain->contents;
	struct watcher *watcher = find_watcher(contents, client);

	if (watcher)
		*watcher = contents->watchers[--contents->n];
}

void meta_contents_tick(struct meta_brain *brain)
{
	struct meta_contents *contents = brain->contents;

	if (!contents->next.bits && is_wanted(brain))
		begin_filter(brain);
	if (contents->next.bits)
		walk_index(brain);
	if (!contents->filter.bits)
		return;
	for (size_t i = 0; i < contents->n; i++)
		tell(brain, &contents->watchers[i]);
}

void meta_contents_reset(struct meta_brain *brain)
{
	struct meta_contents *contents = brain->contents;

	bloom_free(&contents->filter);
	bloom_free(&contents->next);
	contents->ids = contents->next_ids = 0;
}

int meta_contents_init(struct meta_brain *brain)
{
	brain->contents = calloc(1, sizeof(*brain->contents));
	return brain->contents ? 0 : -ENOMEM;
}

void meta_contents_free(struct meta_brain *brain)
{
	if (!brain->contents)
		return;
	meta_contents_reset(brain);
	free(brain->contents->watchers);
	free(brain->contents);
}
