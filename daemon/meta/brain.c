// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * brain.c - the thread that owns the state: applies entries, answers, decides
 *
 * One write transaction stays open over many entries: answers leave as soon as their entry is
 * applied, because the log that holds it is durable. It is committed when it is large or old, or
 * when nothing has come for a moment. Only what meta_state_sync() made durable is reported to the
 * log as a checkpoint.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "meta/service.h"

#define MS 1000000ull
#define TXN_ENTRIES 8192u
#define TXN_RECORDS 65536u
#define TXN_AGE_NS  (2000 * MS)
#define IDLE_NS     (100 * MS)
#define PAUSE_NS 1000000000ull /* a turn that took longer was a pause of our own */
#define SYNC_NS     (5000 * MS)
#define FETCH_MAX   512u

/* What the fetch thread hands over and waits for. */
struct batch {
	struct rnode_entry entries[FETCH_MAX];
	unsigned int n;
	bool done;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

void meta_brain_fatal(struct meta_brain *brain, const char *doing, int err)
{
	log_error("%s failed: %s; the process ends and starts again from its disk", doing,
		  strerror(-err));
	/* Nothing in memory may be trusted or written any more: no orderly shutdown. */
	_exit(1);
}

void meta_brain_event(struct meta_brain *brain, const char *kind, const char *fmt, ...)
{
	struct meta_event *event = &brain->events[brain->n_events % META_EVENTS];
	va_list args;

	event->number = ++brain->n_events;
	event->time_ns = meta_clock_real();
	snprintf(event->kind, sizeof(event->kind), "%s", kind);
	va_start(args, fmt);
	vsnprintf(event->text, sizeof(event->text), fmt, args);
	va_end(args);
	log_info("%s", event->text);
}

void meta_brain_continue(struct meta_brain *brain, struct meta_op *op)
{
	if (op->step == META_DONE && !op->finish) {
		meta_op_free(op);
		return;
	}
	meta_queue_put(&brain->service->inbox, op);
	uv_async_send(&brain->service->inbox_async);
}

static void run_op(struct meta_brain *brain, struct meta_op *op)
{
	op->step = META_DONE;
	if (op->run)
		op->run(brain, op);
	meta_brain_continue(brain, op);
}

/* ---- Hooks of apply: the catalog follows ---- */

static void check_hook(struct meta_brain *brain, int err)
{
	if (err)
		meta_brain_fatal(brain, "keeping the catalog", err);
}

static void on_host(void *owner, u32 host)
{
	struct meta_brain *brain = owner;

	check_hook(brain, catalog_update_host(&brain->catalog, &brain->state, host));
}

static void on_store(void *owner, u32 store)
{
	struct meta_brain *brain = owner;

	check_hook(brain, catalog_update_store(&brain->catalog, &brain->state, store));
}

static void on_group(void *owner, u64 group)
{
	struct meta_brain *brain = owner;

	check_hook(brain, catalog_update_group(&brain->catalog, &brain->state, group));
}

static void on_volume(void *owner, u64 volume)
{
	struct meta_brain *brain = owner;

	check_hook(brain, catalog_update_volume(&brain->catalog, &brain->state, volume));
}

static void on_session(void *owner, u64 session, bool ended)
{
	struct meta_brain *brain = owner;
	struct cat_session *record;

	check_hook(brain, catalog_update_session(&brain->catalog, &brain->state, session, ended));
	record = catalog_session(&brain->catalog, session);
	if (record && !record->renewed_ns)
		record->renewed_ns = meta_clock_monotonic();
}

static void on_content(void *owner, const u8 content_id[32])
{
	meta_contents_add(owner, content_id);
}

static const struct meta_hooks brain_hooks = {
	.host = on_host,
	.store = on_store,
	.group = on_group,
	.volume = on_volume,
	.session = on_session,
	.content = on_content,
};

/* ---- Leadership ---- */

static void run_form(struct meta_brain *brain, struct meta_op *op)
{
	if (op->failed || (op->outcome.status && op->outcome.status != WEFT_ST_EXIST))
		log_warn("the cluster could not be formed yet: %s",
			 status_text(op->outcome.status));
	else
		meta_brain_event(brain, "cluster", "the cluster %s was formed",
				 brain->state.cluster_name);
	op->step = META_DONE;
}

/* The first leader of all writes down what the cluster is called. */
static void form_cluster(struct meta_brain *brain)
{
	const char *name = conf_text(brain->service->conf, "cluster", NULL, "name", 0);
	struct weft_e_cluster body = { .incarnation = cpu_to_le32(1) };
	struct meta_op *op = meta_op_alloc(run_form);

	memcpy(body.uuid, brain->service->self.cluster, sizeof(body.uuid));
	body.name_len = cpu_to_le32((u32)strlen(name));
	if (!op || meta_entry_begin(&op->entry, WEFT_ME_CLUSTER_INIT) ||
	    meta_buffer_put(&op->entry, &body, sizeof(body)) ||
	    meta_buffer_put(&op->entry, name, strlen(name))) {
		meta_op_free(op);
		return;
	}
	op->step = META_SUBMIT;
	meta_brain_continue(brain, op);
}

static void begin_leading(struct meta_brain *brain)
{
	struct meta_catalog *catalog = &brain->catalog;

	brain->leader = true;
	brain->leader_since_ns = meta_clock_monotonic();
	/* Nothing is known of anybody; sessions get their whole time again. */
	for (size_t i = 0; i < catalog->n_sessions; i++)
		catalog->sessions[i].renewed_ns = brain->leader_since_ns;
	for (u64 i = 0; i < catalog->n_groups; i++)
		if (catalog->groups[i])
			catalog->groups[i]->pending = false;
	meta_heal_reset(brain);
	meta_gc_reset(brain);
	meta_contents_reset(brain);
	if (!brain->state.formed)
		form_cluster(brain);
	log_info("leading at entry %llu", (unsigned long long)brain->state.index);
}

void meta_run_follow(struct meta_brain *brain, struct meta_op *op)
{
	brain->leader = false;
	for (u32 i = 0; i < brain->catalog.n_hosts; i++)
		if (brain->catalog.hosts[i])
			brain->catalog.hosts[i]->client = 0;
	for (u32 i = 0; i < brain->catalog.n_stores; i++)
		if (brain->catalog.stores[i])
			brain->catalog.stores[i]->beaten = false;
}

/* ---- Entries ---- */

static void apply_entry(struct meta_brain *brain, const struct rnode_entry *entry)
{
	struct meta_op *op = entry->ctx;
	struct meta_outcome scratch;
	int err;

	if (entry->type != RNODE_COMMAND) {
		err = meta_apply_nothing(&brain->state, entry->index, entry->term);
		if (err)
			meta_brain_fatal(brain, "applying an entry", err);
		if (entry->leader)
			begin_leading(brain);
		if (op)
			run_op(brain, op);
		return;
	}
	meta_outcome_init(&scratch);
	if (op)
		tlv_writer_reset(&op->outcome.answer);
	err = meta_apply(&brain->state, entry->index, entry->term, entry->bytes, entry->len,
			 op ? &op->outcome : &scratch);
	meta_outcome_free(&scratch);
	if (err)
		meta_brain_fatal(brain, "applying an entry", err);
	if (!op)
		return;
	if (op->outcome.status == META_MORE) {
		op->step = META_SUBMIT;
		meta_brain_continue(brain, op);
		return;
	}
	if (op->frame.session) {
		struct cat_session *session = catalog_session(&brain->catalog, op->frame.session);

		if (session)
			catalog_session_heard(session, op->arrived_ns);
	}
	run_op(brain, op);
}

static void run_batch(struct meta_brain *brain, struct meta_op *op)
{
	struct batch *batch = op->ctx;
	u64 now = meta_clock_monotonic();

	if (!brain->in_txn)
		brain->written_ns = now;
	brain->touched_ns = now;
	brain->in_txn += batch->n;
	for (unsigned int i = 0; i < batch->n; i++)
		apply_entry(brain, &batch->entries[i]);
	rnode_release(brain->service->node, batch->entries[batch->n - 1].index);
	pthread_mutex_lock(&batch->lock);
	batch->done = true;
	pthread_cond_signal(&batch->cond);
	pthread_mutex_unlock(&batch->lock);
	op->step = META_DONE;
}

/* The fetch thread: one batch at a time, until the voter is told to wake. */
void *meta_fetch_main(void *arg)
{
	struct meta_brain *brain = arg;
	struct batch *batch = calloc(1, sizeof(*batch));
	struct meta_op *op;

	if (!batch)
		meta_brain_fatal(brain, "allocating memory", -ENOMEM);
	pthread_mutex_init(&batch->lock, NULL);
	pthread_cond_init(&batch->cond, NULL);
	while ((batch->n = rnode_fetch(brain->service->node, batch->entries, FETCH_MAX))) {
		op = meta_op_alloc(run_batch);
		if (!op)
			meta_brain_fatal(brain, "allocating memory", -ENOMEM);
		op->ctx = batch;
		batch->done = false;
		meta_queue_put(&brain->queue, op);
		pthread_mutex_lock(&batch->lock);
		while (!batch->done)
			pthread_cond_wait(&batch->cond, &batch->lock);
		pthread_mutex_unlock(&batch->lock);
	}
	pthread_cond_destroy(&batch->cond);
	pthread_mutex_destroy(&batch->lock);
	free(batch);
	return NULL;
}

/*
 * While this thread did not look, nobody could be heard: its own pauses (a slow disk, a stopped or
 * suspended machine) are no silence of the sessions.
 */
static void discard_pause(struct meta_brain *brain, u64 now)
{
	struct meta_catalog *catalog = &brain->catalog;

	if (brain->turn_ns && now - brain->turn_ns > PAUSE_NS)
		for (size_t i = 0; i < catalog->n_sessions; i++)
			catalog->sessions[i].renewed_ns += now - brain->turn_ns;
	brain->turn_ns = now;
}

/* ---- Commits and checkpoints ---- */

static void sync_state(struct meta_brain *brain, u64 now)
{
	int err = meta_state_sync(&brain->state);

	if (err)
		meta_brain_fatal(brain, "syncing the database", err);
	brain->synced_ns = now;
	brain->in_txn = 0;
	rnode_checkpoint(brain->service->node, brain->state.durable_index,
			 brain->state.durable_term);
}

static void settle(struct meta_brain *brain)
{
	u64 now = meta_clock_monotonic();
	bool full = brain->in_txn >= TXN_ENTRIES || brain->state.txn.written >= TXN_RECORDS;
	int err;

	if (!brain->state.writing) {
		meta_state_idle(&brain->state);
		if (brain->state.durable_index < brain->state.index &&
		    now - brain->synced_ns > SYNC_NS)
			sync_state(brain, now);
		return;
	}
	if (!full && now - brain->written_ns < TXN_AGE_NS && now - brain->touched_ns < IDLE_NS)
		return;
	if (now - brain->synced_ns > SYNC_NS) {
		sync_state(brain, now);
		return;
	}
	err = meta_state_commit(&brain->state);
	if (err)
		meta_brain_fatal(brain, "committing to the database", err);
	brain->in_txn = 0;
}

/* What the disk still takes: below these marks only what makes room is accepted. */
static void look_at_disk(struct meta_brain *brain)
{
	const u64 gib = 1024ull * 1024 * 1024;
	u64 total, free_bytes, used, map;
	struct statvfs fs;
	int fd;

	if (mdb_env_get_fd(brain->state.db.env, &fd) || fstatvfs(fd, &fs))
		return;
	total = (u64)fs.f_blocks * fs.f_frsize;
	free_bytes = (u64)fs.f_bavail * fs.f_frsize;
	meta_db_size(&brain->state.db, &used, &map);
	if (map - used < free_bytes)
		free_bytes = map - used;
	if (map < total)
		total = map;
	__atomic_store_n(&brain->disk_critical, free_bytes < total / 20 && free_bytes < 2 * gib,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&brain->disk_low, free_bytes < total / 10 && free_bytes < 4 * gib,
			 __ATOMIC_RELAXED);
}

void meta_run_tick(struct meta_brain *brain, struct meta_op *op)
{
	op->step = META_DONE;
	/* Ticks that waited behind a slow commit are one. */
	if (op->arrived_ns < brain->now_ns + 10 * MS)
		return;
	brain->now_ns = op->arrived_ns;
	if (!brain->leader)
		return;
	look_at_disk(brain);
	meta_register_tick(brain);
	meta_pool_tick(brain);
	meta_heal_tick(brain);
	meta_gc_tick(brain);
	meta_map_refresh(brain);
	meta_map_flush(brain);
	meta_contents_tick(brain);
}

void *meta_brain_main(void *arg)
{
	struct meta_brain *brain = arg;
	struct meta_op *op, *next;

	while (!brain->stop) {
		op = meta_queue_take(&brain->queue, meta_clock_monotonic() + IDLE_NS);
		discard_pause(brain, meta_clock_monotonic());
		for (; op; op = next) {
			next = op->next;
			run_op(brain, op);
		}
		settle(brain);
	}
	sync_state(brain, meta_clock_monotonic());
	return NULL;
}

/* ---- Beginning and end ---- */

int meta_brain_init(struct meta_brain *brain, struct meta_service *service, const char *db_path)
{
	const struct conf *conf = service->conf;
	struct meta_settings *settings = &brain->settings;
	int err;

	brain->service = service;
	meta_queue_init(&brain->queue);
	settings->grace_ns = conf_number(conf, "meta", NULL, "grace") * MS;
	settings->session_ns = conf_number(conf, "meta", NULL, "session-timeout") * MS;
	settings->suspect_ns = conf_number(conf, "meta", NULL, "suspect") * MS;
	settings->down_ns = conf_number(conf, "meta", NULL, "down") * MS;
	settings->rebuilds = (unsigned int)conf_number(conf, "meta", NULL, "rebuilds");
	brain->events = calloc(META_EVENTS, sizeof(*brain->events));
	if (!brain->events)
		return -ENOMEM;
	err = meta_state_open(&brain->state, db_path, conf_number(conf, "meta", NULL, "map-size"),
			      &brain_hooks, brain);
	if (!err)
		err = catalog_load(&brain->catalog, &brain->state);
	if (!err)
		err = meta_register_init(brain);
	if (!err)
		err = meta_map_init(brain);
	if (!err)
		err = meta_pool_init(brain);
	if (!err)
		err = meta_heal_init(brain);
	if (!err)
		err = meta_gc_init(brain);
	if (!err)
		err = meta_contents_init(brain);
	return err;
}

void meta_brain_free(struct meta_brain *brain)
{
	meta_contents_free(brain);
	meta_gc_free(brain);
	meta_heal_free(brain);
	meta_pool_free(brain);
	meta_map_free(brain);
	meta_register_free(brain);
	catalog_free(&brain->catalog);
	if (brain->state.db.env)
		meta_state_close(&brain->state);
	free(brain->events);
	meta_queue_destroy(&brain->queue);
}
