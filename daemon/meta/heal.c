// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * heal.c - rebuilding single shards that nobody has
 *
 * The queue is the table EXCEPTION. A walk over it with a cursor gives tasks to workers (stores'
 * processes) that hold a shard of the chunk, at most settings.rebuilds at a time each. A missing
 * shard goes to the store of its slot, or, while that is down, to another one that holds nothing of
 * the chunk. What a worker made becomes an entry (HEALED), which compares its checksum with the one
 * that COMMIT recorded. Nothing here is remembered: a new leader walks anew.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "meta/service.h"

#define SCAN_MAX    512u           /* records looked at in a tick */
#define RUNNING_MAX 1024u
#define TASK_NS     60000000000ull /* a silent worker is waited for so long */
#define AGAIN_NS    5000000000ull  /* after a failure */
#define SETTLE_NS   5000000000ull

struct running {
	u64 group;
	u64 number;
	u64 client;
	u64 started_ns;
	u64 serial;
	unsigned int noting; /* entries HEALED under way; until then the shard looks missing */
	bool made;           /* all that was asked for */
	bool cooling;        /* it failed */
	bool late;           /* not waited for any more, but it may still be at it */
};

struct meta_heal {
	struct running running[RUNNING_MAX];
	unsigned int n;
	u64 serial;
	struct meta_key cursor;
};

static bool is_running(const struct meta_heal *heal, u64 group, u64 number)
{
	for (unsigned int i = 0; i < heal->n; i++)
		if (heal->running[i].group == group && heal->running[i].number == number &&
		    !heal->running[i].late)
			return true;
	return false;
}

bool meta_heal_is_under_way(const struct meta_brain *brain, u64 group, u64 number)
{
	const struct meta_heal *heal = brain->heal;

	for (unsigned int i = 0; i < heal->n; i++)
		if (heal->running[i].group == group && heal->running[i].number == number &&
		    !heal->running[i].cooling)
			return true;
	return false;
}

static unsigned int busy_with(const struct meta_heal *heal, u64 client)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < heal->n; i++)
		n += heal->running[i].client == client;
	return n;
}

static struct running *find_running(struct meta_heal *heal, u64 serial)
{
	for (unsigned int i = 0; i < heal->n; i++)
		if (heal->running[i].serial == serial)
			return &heal->running[i];
	return NULL;
}

static void forget(struct meta_heal *heal, struct running *running)
{
	*running = heal->running[--heal->n];
}

/* ---- Who makes what ---- */

struct plan {
	struct meta_chunk chunk;
	struct meta_group group;
	u32 at[WEFT_SHARDS_MAX];    /* where each shard is, or shall go */
	bool wanted[WEFT_SHARDS_MAX];
	bool up[WEFT_SHARDS_MAX];   /* its store answers, full or not */
	unsigned int n;
	unsigned int readable;
};

static bool holds(const struct plan *plan, u32 store)
{
	for (unsigned int i = 0; i < plan->n; i++)
		if (plan->at[i] == store)
			return true;
	return false;
}

static bool holds_host(struct meta_brain *brain, const struct plan *plan, u32 host)
{
	const struct cat_store *store;

	for (unsigned int i = 0; i < plan->n; i++) {
		store = catalog_store(&brain->catalog, plan->at[i]);
		if (store && store->host == host)
			return true;
	}
	return false;
}

/*
 * A store that is up and holds nothing of the chunk, on a host of its own if there is one; the
 * emptiest. 0: none.
 */
static u32 find_spare(struct meta_brain *brain, const struct plan *plan)
{
	const struct cat_store *store, *best = NULL;
	bool alone, best_alone = false;

	for (u32 i = 0; i < brain->catalog.n_stores; i++) {
		store = brain->catalog.stores[i];
		if (!catalog_store_up(&brain->catalog, store) || holds(plan, i))
			continue;
		alone = !holds_host(brain, plan, store->host);
		if (best &&
		    (best_alone > alone || (best_alone == alone && best->free >= store->free)))
			continue;
		best = store;
		best_alone = alone;
	}
	return best ? best->store : WEFT_STORE_NONE;
}

/*
 * The store of the slot, or another one while that is down or full. A full one keeps a reserve for
 * rebuilds: better there than nowhere. 0: none.
 */
static u32 find_target(struct meta_brain *brain, const struct plan *plan, u32 slot)
{
	const struct meta_catalog *catalog = &brain->catalog;
	const struct cat_store *store = catalog_store(catalog, slot);
	u32 spare;

	if (catalog_store_up(catalog, store))
		return slot;
	spare = find_spare(brain, plan);
	return spare || !catalog_store_readable(catalog, store) ? spare : slot;
}

/* Targets for what is missing; false if there is nothing to do or nothing to do it from. */
static bool make_plan(struct meta_brain *brain, struct plan *plan)
{
	const struct meta_catalog *catalog = &brain->catalog;
	unsigned int missing = 0;
	u32 slot;

	plan->n = (unsigned int)plan->chunk.head.k + plan->chunk.head.m;
	plan->readable = 0;
	for (unsigned int i = 0; i < plan->n; i++) {
		plan->at[i] =
			meta_chunk_store(&plan->chunk, (u8)i, le32_to_cpu(plan->group.stores[i]));
		plan->up[i] = catalog_store_readable(catalog, catalog_store(catalog, plan->at[i]));
		plan->wanted[i] = false;
		plan->readable += plan->up[i];
	}
	if (plan->readable < plan->chunk.head.k)
		return false;
	for (unsigned int i = 0; i < plan->n; i++) {
		if (plan->at[i] != WEFT_STORE_NONE)
			continue;
		slot = find_target(brain, plan, le32_to_cpu(plan->group.stores[i]));
		if (slot == WEFT_STORE_NONE)
			continue;
		plan->at[i] = slot;
		plan->wanted[i] = true;
		missing++;
	}
	return missing;
}

/* The least busy host that holds a shard. 0: none has room. */
static u64 find_worker(struct meta_brain *brain, const struct plan *plan)
{
	unsigned int n, least = brain->settings.rebuilds;
	const struct cat_store *store;
	const struct cat_host *host;
	u64 best = 0;

	for (unsigned int i = 0; i < plan->n; i++) {
		if (plan->wanted[i] || !plan->up[i])
			continue;
		store = catalog_store(&brain->catalog, plan->at[i]);
		host = store ? catalog_host(&brain->catalog, store->host) : NULL;
		if (!host || !host->client)
			continue;
		n = busy_with(brain->heal, host->client);
		if (n >= least)
			continue;
		least = n;
		best = host->client;
	}
	return best;
}

static void encode_task(const struct plan *plan, struct tlv_writer *writer)
{
	const struct weft_m_chunk *head = &plan->chunk.head;
	struct weft_c_task task = {
		.kind = cpu_to_le32(WEFT_TASK_REBUILD),
		.group = cpu_to_le64(plan->chunk.group),
		.number = cpu_to_le64(plan->chunk.number),
		.sid = head->sid,
		.plain_len = head->plain_len,
		.stored_len = head->stored_len,
		.shard_len = head->shard_len,
		.k = head->k,
		.m = head->m,
		.codec = head->codec,
		.cipher = head->cipher,
		.shards = cpu_to_le32(plan->n),
	};
	struct weft_c_task_shard shard;
	u8 *at = tlv_reserve(writer, WEFT_C_TASK, sizeof(task) + plan->n * sizeof(shard));

	if (!at)
		return;
	memcpy(at, &task, sizeof(task));
	for (unsigned int i = 0; i < plan->n; i++) {
		shard = (struct weft_c_task_shard){
			.index = (u8)i,
			.flags = plan->wanted[i] ? WEFT_TASK_SHARD_WANTED : 0,
			.store = cpu_to_le32(plan->wanted[i] || plan->up[i] ? plan->at[i]
									    : WEFT_STORE_NONE),
			.table_crc = plan->chunk.crcs[i],
		};
		memcpy(at + sizeof(task) + i * sizeof(shard), &shard, sizeof(shard));
	}
}

/* ---- Answers ---- */

/* Not the same again at once: it stays in the list for a moment, with nobody at it. */
static void cool_down(struct running *running, u64 now)
{
	running->started_ns = now;
	running->cooling = true;
}

/* The worker has answered, and what it made is noted. */
static void finish(struct meta_heal *heal, struct running *running, u64 now)
{
	if (running->made || running->late)
		forget(heal, running);
	else
		cool_down(running, now);
}

static void run_healed(struct meta_brain *brain, struct meta_op *op)
{
	struct running *running = find_running(brain->heal, op->ask.offset);

	if (op->outcome.number)
		log_warn("a worker made %llu shards with other checksums than the chunk's; they do "
			 "not count",
			 (unsigned long long)op->outcome.number);
	if (running && !--running->noting)
		finish(brain->heal, running, meta_clock_monotonic());
}

static int add_report(struct meta_buffer *entry, const struct weft_c_task *task,
		      const struct weft_c_task_shard *shard)
{
	struct weft_shard_report report = {
		.group = task->group,
		.number = task->number,
		.sid = task->sid,
		.index = cpu_to_le32(shard->index),
		.store = shard->store,
		.status = shard->table_crc,
	};

	return meta_buffer_put(entry, &report, sizeof(report));
}

/* What the worker says that it made becomes an entry. running: NULL if it is not known any more. */
static int propose_healed(struct meta_brain *brain, struct running *running, const struct tlv *tlv)
{
	struct weft_c_task task;
	struct weft_c_task_shard shard;
	struct weft_e_shards body = { 0 };
	struct meta_op *op;
	u32 count, done = 0;
	int err;

	if (tlv->len < sizeof(task))
		return -EPROTO;
	memcpy(&task, tlv->data, sizeof(task));
	count = le32_to_cpu(task.shards);
	if (count > WEFT_SHARDS_MAX || tlv->len != sizeof(task) + count * sizeof(shard))
		return -EPROTO;
	op = meta_op_alloc(run_healed);
	err = op ? meta_entry_begin(&op->entry, WEFT_ME_HEALED) : -ENOMEM;
	if (!err)
		err = meta_buffer_put(&op->entry, &body, sizeof(body));
	for (u32 i = 0; i < count && !err; i++) {
		memcpy(&shard, (const u8 *)tlv->data + sizeof(task) + i * sizeof(shard),
		       sizeof(shard));
		if (!(shard.flags & WEFT_TASK_SHARD_DONE))
			continue;
		err = add_report(&op->entry, &task, &shard);
		done++;
	}
	if (err || !done) {
		meta_op_free(op);
		return err;
	}
	((struct weft_e_shards *)(op->entry.data + sizeof(struct weft_m_entry)))->count =
		cpu_to_le32(done);
	if (running) {
		op->ask.offset = running->serial;
		running->noting++;
	}
	op->step = META_SUBMIT;
	meta_brain_continue(brain, op);
	return 0;
}

/* What the worker made counts in any case, also if it is not all that it was asked for. */
static int take_results(struct meta_brain *brain, const struct meta_op *op, struct running *running)
{
	struct weft_c_task task;
	struct tlv_reader reader;
	struct tlv tlv;
	int err = 0;

	tlv_reader_init(&reader, op->payload, op->payload_len);
	while (!err && tlv_next(&reader, &tlv) == 1) {
		if (tlv.type != WEFT_C_TASK || tlv.len < sizeof(task))
			continue;
		memcpy(&task, tlv.data, sizeof(task));
		if (running)
			running->made = le32_to_cpu(task.status) == WEFT_ST_OK;
		err = propose_healed(brain, running, &tlv);
	}
	return err;
}

static void run_answer(struct meta_brain *brain, struct meta_op *op)
{
	struct running *running = find_running(brain->heal, op->ask.offset);
	int err = 0;

	if (running)
		running->client = 0;
	if (op->outcome.status != WEFT_ST_OK)
		log_debug("a rebuild failed: %s", status_text(op->outcome.status));
	else
		err = take_results(brain, op, running);
	if (err)
		log_warn("the answer to a rebuild cannot be used: %s", strerror(-err));
	if (running && !running->noting)
		finish(brain->heal, running, op->arrived_ns);
}

/* ---- The walk ---- */

static int start(struct meta_brain *brain, const struct plan *plan, u64 worker)
{
	struct meta_heal *heal = brain->heal;
	struct meta_op *answer = meta_op_alloc(run_answer);
	struct tlv_writer writer;
	int err = answer ? 0 : -ENOMEM;

	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	if (!err) {
		answer->ask.offset = ++heal->serial;
		encode_task(plan, &writer);
		err = tlv_finish(&writer);
	}
	if (!err)
		err = meta_task_send(brain, worker, &writer, answer);
	if (err) {
		tlv_writer_free(&writer);
		meta_op_free(answer);
		return err;
	}
	heal->running[heal->n++] = (struct running){
		.group = plan->chunk.group,
		.number = plan->chunk.number,
		.client = worker,
		.started_ns = brain->now_ns,
		.serial = heal->serial,
	};
	return 0;
}

static int consider(struct meta_brain *brain, u64 group, u64 number)
{
	struct plan plan;
	u64 worker;
	int err;

	if (is_running(brain->heal, group, number))
		return 0;
	err = meta_chunk_get(&brain->state.txn, group, number, &plan.chunk);
	if (!err)
		err = meta_group_get(&brain->state.txn, group, &plan.group);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	if (!make_plan(brain, &plan))
		return 0;
	worker = find_worker(brain, &plan);
	if (worker && start(brain, &plan, worker))
		log_warn("out of memory; a rebuild is put off");
	return 0;
}

/*
 * A worker that hangs is not waited for, another one is asked; its late answer still counts, as
 * does its work against what it may be given. One that went away has answered: LOST_PEER.
 */
static void drop_late(struct meta_brain *brain)
{
	struct meta_heal *heal = brain->heal;
	struct running *running;

	for (unsigned int i = 0; i < heal->n;) {
		running = &heal->running[i];
		if (running->cooling && brain->now_ns > running->started_ns + AGAIN_NS) {
			forget(heal, running);
			continue;
		}
		running->late |= !running->cooling && brain->now_ns > running->started_ns + TASK_NS;
		i++;
	}
}

void meta_heal_tick(struct meta_brain *brain)
{
	struct meta_heal *heal = brain->heal;
	struct meta_walk walk;
	int err;

	drop_late(brain);
	if (!brain->state.counters.exceptions || brain->now_ns < brain->leader_since_ns + SETTLE_NS)
		return;
	err = meta_state_read(&brain->state);
	if (!err)
		err = meta_walk_begin(&walk, &brain->state.txn, WEFT_MT_EXCEPTION);
	if (err)
		meta_brain_fatal(brain, "walking over the exceptions", err);
	err = meta_walk_seek(&walk, &heal->cursor);
	for (unsigned int i = 0; i < SCAN_MAX && !err && heal->n < RUNNING_MAX; i++) {
		heal->cursor = walk.key;
		err = consider(brain, meta_key_get_u64(&walk.key, 0),
			       meta_key_get_u64(&walk.key, sizeof(u64)));
		if (!err)
			err = meta_walk_next(&walk);
	}
	meta_walk_end(&walk);
	/* At the end: from the beginning in the next tick. */
	if (err == -ENOENT)
		heal->cursor = meta_key_chunk(0, 0);
	else if (err)
		meta_brain_fatal(brain, "walking over the exceptions", err);
}

unsigned int meta_heal_running(const struct meta_brain *brain)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < brain->heal->n; i++)
		n += !brain->heal->running[i].cooling && !brain->heal->running[i].late;
	return n;
}

void meta_heal_reset(struct meta_brain *brain)
{
	brain->heal->n = 0;
	brain->heal->cursor = meta_key_chunk(0, 0);
}

int meta_heal_init(struct meta_brain *brain)
{
	brain->heal = calloc(1, sizeof(*brain->heal));
	if (!brain->heal)
		return -ENOMEM;
	meta_heal_reset(brain);
	return 0;
}

void meta_heal_free(struct meta_brain *brain)
{
	free(brain->heal);
}
