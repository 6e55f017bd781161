// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * gc.c - letting go: condemned chunks whose time has come, shards of chunks being deleted, inodes
 * without names
 *
 *	CONDEMNED, oldest first --grace--> entry DELETING
 *	DELETING --> DELETE to every store that may hold a shard --> entry DELETED
 *	JOB --> entry REAP, again until it is gone
 *
 * One batch of each kind is under way at a time. The state machine checks each step again, so it
 * does not matter what a former leader had begun. A shard on a store that is down waits in DELETING
 * until the store is back; the walk passes over it and comes again. A chunk that a worker may still
 * make a shard of waits for the worker's answer, which says where that is.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "meta/service.h"

#define BATCH_MAX (WEFT_M_ENTRY_RECORDS / 4)
#define SCAN_MAX  1024u
#define BATCH_NS  60000000000ull
#define REST_NS   5000000000ull

struct deletion {
	struct weft_sid sid;
	u64 group;
	u64 number;
	u64 condemned_ns; /* as in the record that the batch was made from */
	u32 deleted;      /* shards that are gone */
};

struct meta_gc {
	struct meta_grace grace;
	bool condemning;        /* an entry DELETING is under way */
	bool noting;            /* an entry DELETED is; until then its chunks look untouched */
	bool reaping;
	u64 serial;             /* of the batch */
	u64 started_ns;         /* of the batch; 0: none */
	u64 rest_until_ns;      /* after a batch that deleted nothing */
	unsigned int waiting;   /* stores that have not answered */
	struct deletion batch[BATCH_MAX];
	unsigned int n;
	struct meta_key cursor; /* in DELETING */
};

static struct meta_op *begin_chunks(void (*run)(struct meta_brain *, struct meta_op *),
				    enum weft_m_entry_type type)
{
	struct weft_e_chunks body = { 0 };
	struct meta_op *op = meta_op_alloc(run);

	if (op && !meta_entry_begin(&op->entry, type) &&
	    !meta_buffer_put(&op->entry, &body, sizeof(body)))
		return op;
	meta_op_free(op);
	return NULL;
}

static void submit_chunks(struct meta_brain *brain, struct meta_op *op, u32 count)
{
	((struct weft_e_chunks *)(op->entry.data + sizeof(struct weft_m_entry)))->count =
		cpu_to_le32(count);
	op->step = META_SUBMIT;
	meta_brain_continue(brain, op);
}

static void check(struct meta_brain *brain, int err)
{
	if (err && err != -ENOENT)
		meta_brain_fatal(brain, "walking over what is to be deleted", err);
}

/* ---- condemned -> deleting ---- */

static void run_condemned(struct meta_brain *brain, struct meta_op *op)
{
	brain->gc->condemning = false;
}

static void end_grace(struct meta_brain *brain)
{
	struct meta_key key = meta_key_condemned(brain->state.mgrp, 0, 0, 0);
	u64 now = meta_clock_monotonic(), grace_ns = brain->settings.grace_ns, since, until;
	struct meta_walk walk;
	struct weft_e_chunk chunk;
	struct meta_op *op = NULL;
	u32 n = 0;
	int err;

	meta_grace_note(&brain->gc->grace, now, brain->state.time_ns, grace_ns);
	if (!brain->state.counters.condemned || brain->gc->condemning ||
	    !meta_grace_over(&brain->gc->grace, now, grace_ns, &until))
		return;
	check(brain, meta_state_read(&brain->state));
	err = meta_walk_begin(&walk, &brain->state.txn, WEFT_MT_CONDEMNED);
	check(brain, err);
	for (err = meta_walk_seek(&walk, &key); !err && n < BATCH_MAX;
	     err = meta_walk_next(&walk)) {
		since = meta_key_get_u64(&walk.key, 1);
		if (walk.key.bytes[0] != brain->state.mgrp || since > until)
			break;
		if (!op)
			op = begin_chunks(run_condemned, WEFT_ME_DELETING);
		chunk = (struct weft_e_chunk){
			.group = cpu_to_le64(meta_key_get_u64(&walk.key, 9)),
			.number = cpu_to_le64(meta_key_get_u64(&walk.key, 17)),
			.condemned_ns = cpu_to_le64(since),
		};
		if (!op || meta_buffer_put(&op->entry, &chunk, sizeof(chunk)))
			break;
		n++;
	}
	meta_walk_end(&walk);
	check(brain, err);
	if (!n) {
		meta_op_free(op);
		return;
	}
	brain->gc->condemning = true;
	submit_chunks(brain, op, n);
}

/* ---- deleting -> gone ---- */

static void run_deleted(struct meta_brain *brain, struct meta_op *op)
{
	brain->gc->noting = false;
	if (op->failed)
		log_debug("deletions are not noted yet: %s", status_text(op->outcome.status));
}

/* All stores have answered, or were given up: what they did becomes an entry. */
static void end_batch(struct meta_brain *brain)
{
	struct meta_gc *gc = brain->gc;
	struct weft_e_chunk chunk;
	struct meta_op *op = begin_chunks(run_deleted, WEFT_ME_DELETED);
	u32 n = 0;

	for (unsigned int i = 0; i < gc->n && op; i++) {
		if (!gc->batch[i].deleted)
			continue;
		chunk = (struct weft_e_chunk){
			.group = cpu_to_le64(gc->batch[i].group),
			.number = cpu_to_le64(gc->batch[i].number),
			.condemned_ns = cpu_to_le64(gc->batch[i].condemned_ns),
			.deleted = cpu_to_le32(gc->batch[i].deleted),
		};
		if (meta_buffer_put(&op->entry, &chunk, sizeof(chunk)))
			break;
		n++;
	}
	gc->started_ns = 0;
	gc->n = 0;
	if (n) {
		gc->noting = true;
		submit_chunks(brain, op, n);
	} else {
		gc->rest_until_ns = brain->now_ns + REST_NS;
		meta_op_free(op);
	}
}

static void note_deleted(struct meta_gc *gc, const struct tlv *tlv)
{
	struct weft_c_task_shard shard;
	struct weft_c_task task;

	if (tlv->len != sizeof(task) + sizeof(shard))
		return;
	memcpy(&task, tlv->data, sizeof(task));
	memcpy(&shard, (const u8 *)tlv->data + sizeof(task), sizeof(shard));
	if (le32_to_cpu(task.status) != WEFT_ST_OK && le32_to_cpu(task.status) != WEFT_ST_ABSENT)
		return;
	for (unsigned int i = 0; i < gc->n; i++)
		if (gc->batch[i].group == le64_to_cpu(task.group) &&
		    gc->batch[i].number == le64_to_cpu(task.number) &&
		    shard.index < WEFT_SHARDS_MAX)
			gc->batch[i].deleted |= 1u << shard.index;
}

static void run_answer(struct meta_brain *brain, struct meta_op *op)
{
	struct meta_gc *gc = brain->gc;
	struct tlv_reader reader;
	struct tlv tlv;

	if (op->ask.offset != gc->serial || !gc->started_ns)
		return;
	if (op->outcome.status == WEFT_ST_OK) {
		tlv_reader_init(&reader, op->payload, op->payload_len);
		while (tlv_next(&reader, &tlv) == 1)
			if (tlv.type == WEFT_C_TASK)
				note_deleted(gc, &tlv);
	}
	if (!--gc->waiting)
		end_batch(brain);
}

static void put_task(struct tlv_writer *writer, const struct meta_chunk *chunk, u8 index, u32 store)
{
	struct weft_c_task task = {
		.kind = cpu_to_le32(WEFT_TASK_DELETE),
		.group = cpu_to_le64(chunk->group),
		.number = cpu_to_le64(chunk->number),
		.sid = chunk->head.sid,
		.plain_len = chunk->head.plain_len,
		.stored_len = chunk->head.stored_len,
		.shard_len = chunk->head.shard_len,
		.k = chunk->head.k,
		.m = chunk->head.m,
		.codec = chunk->head.codec,
		.cipher = chunk->head.cipher,
		.shards = cpu_to_le32(1),
	};
	struct weft_c_task_shard shard = {
		.index = index, .store = cpu_to_le32(store), .table_crc = chunk->crcs[index]};
	u8 *at = tlv_reserve(writer, WEFT_C_TASK, sizeof(task) + sizeof(shard));

	if (!at)
		return;
	memcpy(at, &task, sizeof(task));
	memcpy(at + sizeof(task), &shard, sizeof(shard));
}

/* Frames under construction, one a host. */
struct frames {
	struct tlv_writer *writers; /* by host number */
	u32 n;
};

/*
 * The shards of one chunk that can be deleted now go into their hosts' frames. True if there is
 * one.
 */
static bool plan_chunk(struct meta_brain *brain, struct frames *frames,
		       const struct meta_chunk *chunk, const struct meta_group *group)
{
	unsigned int n = (unsigned int)chunk->head.k + chunk->head.m;
	const struct cat_store *store;
	const struct cat_host *host;
	bool any = false;
	u32 at;

	for (unsigned int i = 0; i < n; i++) {
		if (le32_to_cpu(chunk->head.deleted) & 1u << i)
			continue;
		/* What was missing may have come to its slot's store late. */
		at = meta_chunk_store(chunk, (u8)i, le32_to_cpu(group->stores[i]));
		store = catalog_store(&brain->catalog, at ? at : le32_to_cpu(group->stores[i]));
		host = store && store->beaten ? catalog_host(&brain->catalog, store->host) : NULL;
		if (!host || !host->client || host->host >= frames->n)
			continue;
		put_task(&frames->writers[host->host], chunk, (u8)i, store->store);
		any = true;
	}
	return any;
}

static void send_frames(struct meta_brain *brain, struct frames *frames)
{
	struct meta_gc *gc = brain->gc;
	struct meta_op *answer;

	for (u32 i = 0; i < frames->n; i++) {
		if (!frames->writers[i].len)
			continue;
		answer = tlv_finish(&frames->writers[i]) ? NULL : meta_op_alloc(run_answer);
		if (!answer)
			continue;
		answer->ask.offset = gc->serial;
		if (meta_task_send(brain, catalog_host(&brain->catalog, i)->client,
				   &frames->writers[i], answer))
			meta_op_free(answer);
		else
			gc->waiting++;
	}
}

/* Fill the batch from DELETING. */
static int collect(struct meta_brain *brain, struct frames *frames)
{
	struct meta_gc *gc = brain->gc;
	struct meta_chunk chunk;
	struct meta_group group;
	struct meta_walk walk;
	int err;

	err = meta_walk_begin(&walk, &brain->state.txn, WEFT_MT_DELETING);
	if (err)
		return err;
	err = meta_walk_seek(&walk, &gc->cursor);
	for (unsigned int i = 0; i < SCAN_MAX && !err && gc->n < BATCH_MAX; i++) {
		err = meta_chunk_get(&brain->state.txn, meta_key_get_u64(&walk.key, 0),
				     meta_key_get_u64(&walk.key, sizeof(u64)), &chunk);
		if (!err)
			err = meta_group_get(&brain->state.txn, chunk.group, &group);
		if (err) {
			err = err == -ENOENT ? -EBADMSG : err;
			break;
		}
		if (!meta_heal_is_under_way(brain, chunk.group, chunk.number) &&
		    plan_chunk(brain, frames, &chunk, &group))
			gc->batch[gc->n++] = (struct deletion){
				.sid = chunk.head.sid,
				.group = chunk.group,
				.number = chunk.number,
				.condemned_ns = le64_to_cpu(chunk.head.condemned_ns),
			};
		err = meta_walk_next(&walk);
		gc->cursor = walk.key;
	}
	meta_walk_end(&walk);
	if (err == -ENOENT)
		gc->cursor = meta_key_chunk(0, 0);
	return err == -ENOENT ? 0 : err;
}

static void delete_shards(struct meta_brain *brain)
{
	struct meta_gc *gc = brain->gc;
	struct frames frames = { .n = brain->catalog.n_hosts };

	if (gc->started_ns && brain->now_ns - gc->started_ns > BATCH_NS)
		end_batch(brain);
	if (!brain->state.counters.deleting || gc->started_ns || gc->noting || !frames.n ||
	    brain->now_ns < gc->rest_until_ns)
		return;
	frames.writers = calloc(frames.n, sizeof(*frames.writers));
	if (!frames.writers)
		return;
	for (u32 i = 0; i < frames.n; i++)
		tlv_writer_init(&frames.writers[i], WEFT_CTL_PAYLOAD_MAX);
	gc->serial++;
	gc->n = gc->waiting = 0;
	check(brain, meta_state_read(&brain->state));
	check(brain, collect(brain, &frames));
	send_frames(brain, &frames);
	if (gc->waiting)
		gc->started_ns = brain->now_ns;
	for (u32 i = 0; i < frames.n; i++)
		tlv_writer_free(&frames.writers[i]);
	free(frames.writers);
}

/* ---- Inodes without names ---- */

static void reap_next(struct meta_brain *brain);

static void run_reaped(struct meta_brain *brain, struct meta_op *op)
{
	brain->gc->reaping = false;
	if (!op->failed)
		reap_next(brain);
}

static void reap_next(struct meta_brain *brain)
{
	struct weft_e_object body;
	struct meta_walk walk;
	struct meta_op *op;
	int err;

	if (brain->gc->reaping)
		return;
	check(brain, meta_state_read(&brain->state));
	check(brain, meta_walk_begin(&walk, &brain->state.txn, WEFT_MT_JOB));
	err = meta_walk_seek(&walk, &(struct meta_key){ .len = 1, .bytes = { brain->state.mgrp } });
	/* mgrp, volume, kind, object */
	if (!err && walk.key.bytes[9] != WEFT_MJ_REAP)
		err = -ENOENT;
	body.volume = cpu_to_le64(meta_key_get_u64(&walk.key, 1));
	body.object = cpu_to_le64(meta_key_get_u64(&walk.key, 10));
	meta_walk_end(&walk);
	check(brain, err);
	if (err)
		return;
	op = meta_op_alloc(run_reaped);
	if (!op || meta_entry_begin(&op->entry, WEFT_ME_REAP) ||
	    meta_buffer_put(&op->entry, &body, sizeof(body))) {
		meta_op_free(op);
		return;
	}
	brain->gc->reaping = true;
	op->step = META_SUBMIT;
	meta_brain_continue(brain, op);
}

/* ---- Sessions whose end was begun and not finished ---- */

static void run_session_ended(struct meta_brain *brain, struct meta_op *op)
{
}

static void finish_sessions(struct meta_brain *brain)
{
	struct meta_catalog *catalog = &brain->catalog;
	struct weft_e_object body = { 0 };
	struct meta_op *op;

	for (size_t i = 0; i < catalog->n_sessions; i++) {
		if (!(catalog->sessions[i].flags & WEFT_MSF_CLOSING) ||
		    brain->now_ns < catalog->sessions[i].renewed_ns + BATCH_NS)
			continue;
		body.object = cpu_to_le64(catalog->sessions[i].session);
		op = meta_op_alloc(run_session_ended);
		if (!op || meta_entry_begin(&op->entry, WEFT_ME_SESSION_END) ||
		    meta_buffer_put(&op->entry, &body, sizeof(body))) {
			meta_op_free(op);
			return;
		}
		catalog->sessions[i].renewed_ns = brain->now_ns;
		op->step = META_SUBMIT;
		meta_brain_continue(brain, op);
		return;
	}
}

void meta_gc_tick(struct meta_brain *brain)
{
	end_grace(brain);
	delete_shards(brain);
	if (brain->state.counters.orphans)
		reap_next(brain);
	finish_sessions(brain);
}

void meta_gc_reset(struct meta_brain *brain)
{
	struct meta_gc *gc = brain->gc;

	meta_grace_reset(&gc->grace);
	gc->condemning = gc->noting = gc->reaping = false;
	gc->started_ns = 0;
	gc->n = 0;
	gc->serial++;
	gc->cursor = meta_key_chunk(0, 0);
}

int meta_gc_init(struct meta_brain *brain)
{
	brain->gc = calloc(1, sizeof(*brain->gc));
	if (!brain->gc)
		return -ENOMEM;
	meta_gc_reset(brain);
	return 0;
}

void meta_gc_free(struct meta_brain *brain)
{
	free(brain->gc);
}
