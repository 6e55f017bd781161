// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * driver.c - libraft under the rules that it leaves to its user
 *
 * Pure: time comes with each event, randomness is a seed, disk and network are struct rdrv_ops. One
 * event at a time; what libraft's raft_step() answers becomes log requests, messages and entries to
 * apply. What must stay true here:
 *  - log requests are executed and completed in the order in which they are issued; term and vote
 *    are durable before any message leaves that was made with them or later;
 *  - a completed write counts only for those of its entries that were not replaced while it was
 *    under way;
 *  - an entry is handed to the state machine when it is committed and durable in this voter's own
 *    log, in index order, once: so a checkpoint is never ahead of the log;
 *  - a leader has a term that had no other leader, appends an entry of that term first, changes no
 *    configuration before that is committed, and then by one server at a time;
 *  - entries leave the log only when a checkpoint that covers them is durable;
 *  - what is held in memory for the state machine is bounded in bytes and entries.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "raft/driver.h"

static_assert((int)WEFT_LOG_COMMAND == (int)RAFT_COMMAND &&
		      (int)WEFT_LOG_BARRIER == (int)RAFT_BARRIER &&
		      (int)WEFT_LOG_CHANGE == (int)RAFT_CHANGE,
	      "entry types on disk are libraft's");

#define REPLAY_ROOM (4u << 20) /* bytes read back at a time */

void rdrv_fail(struct rdrv *d, const char *why)
{
	if (d->dead)
		return;
	d->dead = true;
	d->config.ops->fatal(d->config.owner, why);
}

static bool no_memory(struct rdrv *d, const void *p)
{
	if (!p)
		rdrv_fail(d, "out of memory: the voter ends and starts again from its log");
	return !p;
}

void rdrv_log(struct rdrv *d, struct rlog_request *request)
{
	request->sequence = ++d->sequence;
	d->config.ops->log(d->config.owner, request);
}

uint64_t rdrv_term_of(const struct rdrv *d, uint64_t index)
{
	const struct raft_trail *t = &d->raft.trail;

	if (index == t->snapshot.index)
		return t->snapshot.term;
	if (index <= t->offset)
		return 0;
	for (unsigned int i = t->front; i != t->back; i = (i + 1) % t->size)
		if (index <= t->records[i].index)
			return t->records[i].term;
	return 0;
}

/* --- configurations in the log --- */

int rdrv_conf_add(struct rdrv *d, uint64_t index, const void *bytes, size_t len)
{
	struct rdrv_conf *grown = realloc(d->confs, (d->n_confs + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	d->confs = grown;
	grown += d->n_confs;
	*grown = (struct rdrv_conf){ .index = index, .bytes = malloc(len), .len = len };
	if (!grown->bytes)
		return -ENOMEM;
	memcpy(grown->bytes, bytes, len);
	d->n_confs++;
	return 0;
}

void rdrv_conf_cut(struct rdrv *d, uint64_t from)
{
	while (d->n_confs && d->confs[d->n_confs - 1].index >= from)
		free(d->confs[--d->n_confs].bytes);
}

/* The one in force at index; those before it are forgotten. */
static const struct rdrv_conf *conf_settle(struct rdrv *d, uint64_t index)
{
	size_t n = 0;

	while (n + 1 < d->n_confs && d->confs[n + 1].index <= index)
		n++;
	for (size_t i = 0; i < n; i++)
		free(d->confs[i].bytes);
	if (n) {
		d->n_confs -= n;
		memmove(d->confs, d->confs + n, d->n_confs * sizeof(*d->confs));
	}
	return d->n_confs && d->confs[0].index <= index ? &d->confs[0] : NULL;
}

/* --- what comes out of a step --- */

static void take_vote(struct rdrv *d)
{
	struct rlog_request *request = rlog_request_alloc(RLOG_VOTE);

	if (no_memory(d, request))
		return;
	request->state.term = d->raft.current_term;
	request->state.vote = d->raft.voted_for;
	rdrv_log(d, request);
	d->vote_issued = request->sequence;
}

/*
 * Entries from this index on are void: what was written or is being written of them no longer
 * counts.
 */
static void replace_from(struct rdrv *d, uint64_t from)
{
	for (uint64_t i = from; i < d->window.first + d->window.n; i++) {
		struct rlog_entry *entry = rdrv_window_at(&d->window, i);

		if (entry && i > d->released) {
			d->held--;
			d->held_bytes -= rlog_entry_size(entry);
		}
	}
	rdrv_window_cut(&d->window, from);
	rdrv_conf_cut(d, from);
	if (d->durable >= from)
		d->durable = from - 1;
	if (d->config.bugs & RDRV_BUG_STALE_COMPLETION)
		return;
	for (struct rdrv_flight *f = d->flights; f; f = f->next)
		if (f->last >= from)
			f->last = from - 1;
}

/* The entry whose bytes libraft was given; its own barrier is replaced by one of ours. */
static struct rlog_entry *entry_of(struct rdrv *d, const struct raft_entry *e)
{
	struct rlog_entry *entry;

	if (e != &d->raft.barrier)
		return rlog_entry_get((struct rlog_entry *)((char *)e->buf.base -
							    offsetof(struct rlog_entry, bytes)));
	raft_free(e->buf.base);
	entry = rlog_entry_alloc(NULL, 0);
	if (entry) {
		entry->type = WEFT_LOG_BARRIER;
		entry->leader = true;
	}
	return entry;
}

static int add_entry(struct rdrv *d, struct rlog_entry *entry, struct rlog_request *request)
{
	int ret = rdrv_window_push(&d->window, entry);

	if (ret)
		return ret;
	d->held++;
	d->held_bytes += rlog_entry_size(entry);
	if (entry->type == WEFT_LOG_CHANGE)
		ret = rdrv_conf_add(d, entry->index, entry->bytes, entry->len);
	if (entry->leader)
		d->own_first = entry->index;
	request->entries[request->n++] = rlog_entry_get(entry);
	return ret;
}

static void take_entries(struct rdrv *d, uint64_t first, const struct raft_entry *batch,
			 unsigned int n)
{
	struct rlog_request *request = rlog_request_alloc(RLOG_APPEND);
	struct rdrv_flight *flight = calloc(1, sizeof(*flight));
	int ret = 0;

	if (request)
		request->entries = calloc(n, sizeof(*request->entries));
	if (!request || !request->entries || !flight) {
		rlog_request_free(request);
		free(flight);
		no_memory(d, NULL);
		return;
	}
	replace_from(d, first);
	for (unsigned int i = 0; i < n && !ret; i++) {
		struct rlog_entry *entry = entry_of(d, &batch[i]);

		if (!entry) {
			ret = -ENOMEM;
			break;
		}
		entry->index = first + i;
		entry->term = batch[i].term;
		ret = add_entry(d, entry, request);
		rlog_entry_put(entry);
	}
	request->first = first;
	request->last = first + n - 1;
	flight->first = request->first;
	flight->last = request->last;
	*d->flights_tail = flight;
	d->flights_tail = &flight->next;
	rdrv_log(d, request);
	flight->sequence = d->sequence;
	if (ret)
		no_memory(d, NULL);
}

/* Nobody follows what was submitted here any more. */
static void lose_submissions(struct rdrv *d)
{
	d->own_first = 0;
	d->want_barrier = false;
	for (uint64_t i = d->handed + 1; i < d->window.first + d->window.n; i++) {
		struct rlog_entry *entry = rdrv_window_at(&d->window, i);

		if (!entry || !entry->followed)
			continue;
		entry->followed = false;
		if (entry->ctx)
			d->config.ops->lost(d->config.owner, entry->ctx);
		entry->ctx = NULL;
	}
}

static void take_snapshot(struct rdrv *d, const struct raft_snapshot_metadata *metadata,
			  uint64_t from)
{
	for (struct rdrv_flight *f = d->flights; f; f = f->next)
		f->last = 0;
	d->install = *metadata;
	d->config.ops->install(d->config.owner, from, metadata->index, metadata->term);
}

/*
 * libraft makes the only voter leader without an election, in the term that it finds: after a
 * restart, or after the other voters were removed, that term has had a leader, and a stand-by may
 * hold entries of it that are about to be made a second time. So that leader gets a term of its
 * own. Nothing was made with the old one in this step but heartbeats.
 */
static void take_own_term(struct rdrv *d, struct raft_update *update)
{
	d->raft.current_term++;
	d->raft.voted_for = d->config.server;
	update->flags |= RAFT_UPDATE_CURRENT_TERM | RAFT_UPDATE_VOTED_FOR;
	update->messages.n = 0;
}

int rdrv_step(struct rdrv *d, struct raft_event *event)
{
	struct raft_update update = { 0 };
	enum raft_state before = raft_state(&d->raft);
	bool led = before == RAFT_LEADER;
	int rv;

	d->step_wrote = false;
	event->time = d->now;
	rv = raft_step(&d->raft, event, &update);
	if (rv)
		return rv;
	if (before == RAFT_FOLLOWER && raft_state(&d->raft) == RAFT_LEADER)
		take_own_term(d, &update);
	if (update.flags & (RAFT_UPDATE_CURRENT_TERM | RAFT_UPDATE_VOTED_FOR))
		take_vote(d);
	/* Before its entries: none of them is of the new term unless it is the leader's own. */
	if (led && raft_state(&d->raft) != RAFT_LEADER)
		lose_submissions(d);
	if (!led && raft_state(&d->raft) == RAFT_LEADER)
		d->want_barrier = !(update.flags & RAFT_UPDATE_ENTRIES);
	if (update.flags & RAFT_UPDATE_ENTRIES) {
		d->step_wrote = true;
		take_entries(d, update.entries.index, update.entries.batch, update.entries.n);
	}
	if (update.flags & RAFT_UPDATE_SNAPSHOT)
		take_snapshot(d, &update.snapshot.metadata, event->receive.message->server_id);
	if (update.flags & RAFT_UPDATE_MESSAGES)
		for (unsigned int i = 0; i < update.messages.n && !d->dead; i++)
			rdrv_mail_post(d, &update.messages.batch[i]);
	return 0;
}

/* --- what follows from it --- */

static int submit_entries(struct rdrv *d, struct rlog_entry **entries, size_t n)
{
	struct raft_entry *batch = calloc(n, sizeof(*batch));
	struct raft_event event = { .type = RAFT_SUBMIT,
				    .submit = { .entries = batch, .n = (unsigned int)n } };
	int rv = RAFT_NOMEM;

	for (size_t i = 0; batch && i < n; i++) {
		batch[i].term = d->raft.current_term;
		batch[i].type = entries[i]->type;
		batch[i].buf.base = entries[i]->bytes;
		batch[i].buf.len = entries[i]->len;
		batch[i].batch = entries[i];
	}
	if (batch)
		rv = rdrv_step(d, &event);
	free(batch);
	return rv;
}

static void submit_barrier(struct rdrv *d)
{
	struct rlog_entry *entry = rlog_entry_alloc(NULL, 0);

	d->want_barrier = false;
	if (no_memory(d, entry))
		return;
	entry->type = WEFT_LOG_BARRIER;
	entry->leader = true;
	if (submit_entries(d, &entry, 1))
		no_memory(d, NULL);
	rlog_entry_put(entry);
}

/* libraft wants to be told of a configuration that is committed. */
static bool feed_configuration(struct rdrv *d)
{
	struct raft_event event = { .type = RAFT_CONFIGURATION };
	uint64_t index = d->raft.configuration_uncommitted_index;

	if (!index || index > raft_commit_index(&d->raft))
		return false;
	for (size_t i = 0; i < d->n_confs; i++) {
		if (d->confs[i].index != index)
			continue;
		event.configuration.index = index;
		if (rdrv_conf_decode(d->confs[i].bytes, d->confs[i].len,
				     &event.configuration.conf) ||
		    rdrv_step(d, &event))
			no_memory(d, NULL);
		return true;
	}
	return false;
}

static void hand(struct rdrv *d, struct rlog_entry *entry)
{
	d->handed = entry->index;
	d->config.ops->apply(d->config.owner, rlog_entry_get(entry));
}

/* Entries that are not in memory: after a start, what the state machine does not have yet. */
static void read_back(struct rdrv *d, uint64_t last)
{
	struct rlog_request *request;

	if (d->reading || (d->held_bytes > d->config.queue_bytes / 2 && d->handed > d->released))
		return;
	request = rlog_request_alloc(RLOG_READ);
	if (no_memory(d, request))
		return;
	if (d->window.n && last >= d->window.first)
		last = d->window.first - 1;
	request->first = d->handed + 1;
	request->last = last;
	request->room = REPLAY_ROOM;
	d->reading = true;
	rdrv_log(d, request);
}

static void hand_over(struct rdrv *d)
{
	uint64_t commit = raft_commit_index(&d->raft);
	uint64_t last = commit < d->durable ? commit : d->durable;

	while (d->handed < last && !d->dead) {
		struct rlog_entry *entry = rdrv_window_at(&d->window, d->handed + 1);

		if (!entry) {
			read_back(d, last);
			break;
		}
		hand(d, entry);
	}
}

/* Released entries stay only for voters that lag. */
static void trim_window(struct rdrv *d)
{
	struct rdrv_window *w = &d->window;
	size_t keep = d->raft.configuration.n > 1 ? d->config.cache_bytes : 0;

	while (w->n && w->first <= d->released && w->first <= d->durable && w->bytes > keep)
		rdrv_window_pop(w);
}

static void tell_role(struct rdrv *d)
{
	const char *address;
	raft_id leader = 0;

	raft_leader(&d->raft, &leader, &address);
	if (raft_state(&d->raft) == (enum raft_state)d->told_state &&
	    d->raft.current_term == d->told_term && leader == d->told_leader)
		return;
	d->told_state = raft_state(&d->raft);
	d->told_term = d->raft.current_term;
	d->told_leader = leader;
	d->config.ops->role(d->config.owner);
}

static void issue_checkpoint(struct rdrv *d);

/* After each event: whatever has become possible. */
void rdrv_settle(struct rdrv *d)
{
	while (!d->dead) {
		if (d->want_barrier)
			submit_barrier(d);
		else if (!feed_configuration(d))
			break;
	}
	if (!d->dead && !d->raft.snapshot.installing)
		hand_over(d);
	if (!d->dead && d->checkpoint_wanted)
		issue_checkpoint(d);
	if (!d->dead) {
		trim_window(d);
		tell_role(d);
	}
}

static bool begin(struct rdrv *d, uint64_t now)
{
	if (now > d->now)
		d->now = now;
	return !d->dead;
}

/* --- checkpoints --- */

static void issue_checkpoint(struct rdrv *d)
{
	uint64_t index = d->checkpoint_wanted;
	uint64_t term = rdrv_term_of(d, index);
	const struct rdrv_conf *conf;
	struct rlog_request *request;
	char why[RNODE_WHY_MAX];

	if (d->checkpoint_issued > d->checkpoint || d->raft.snapshot.installing)
		return;
	d->checkpoint_wanted = 0;
	if (index <= d->checkpoint)
		return;
	if (index > d->released || !term ||
	    (d->checkpoint_wanted_term && term != d->checkpoint_wanted_term)) {
		snprintf(why, sizeof(why),
			 "the state machine published entry %" PRIu64 " of term %" PRIu64
			 " as durable, but the log has released only up to %" PRIu64
			 " and has term %" PRIu64 " there",
			 index, d->checkpoint_wanted_term, d->released, term);
		rdrv_fail(d, why);
		return;
	}
	conf = conf_settle(d, index);
	request = rlog_request_alloc(RLOG_CHECKPOINT);
	if (!conf || no_memory(d, request)) {
		rlog_request_free(request);
		return;
	}
	request->state.conf = malloc(conf->len);
	if (no_memory(d, request->state.conf)) {
		rlog_request_free(request);
		return;
	}
	memcpy(request->state.conf, conf->bytes, conf->len);
	request->state.conf_len = (uint32_t)conf->len;
	request->state.conf_index = conf->index;
	request->state.checkpoint_index = index;
	request->state.checkpoint_term = term;
	d->checkpoint_issued = index;
	rdrv_log(d, request);
}

static void checkpoint_done(struct rdrv *d, const struct rlog_request *done)
{
	uint64_t index = d->checkpoint_issued;
	struct raft_event event = { .type = RAFT_SNAPSHOT };
	struct rlog_request *trim;

	d->checkpoint = index;
	if (d->raft.snapshot.installing || index <= d->raft.trail.snapshot.index)
		return;
	event.snapshot.metadata.index = index;
	event.snapshot.metadata.term = rdrv_term_of(d, index);
	event.snapshot.metadata.configuration_index = d->confs[0].index;
	event.snapshot.trailing =
		done->first <= index ? (unsigned int)(index - done->first + 1) : 0;
	if (rdrv_conf_decode(d->confs[0].bytes, d->confs[0].len,
			     &event.snapshot.metadata.configuration) ||
	    rdrv_step(d, &event)) {
		no_memory(d, NULL);
		return;
	}
	trim = rlog_request_alloc(RLOG_TRIM);
	if (no_memory(d, trim))
		return;
	trim->first = done->first;
	rdrv_log(d, trim);
}

void rdrv_checkpoint(struct rdrv *d, uint64_t now, uint64_t index, uint64_t term)
{
	if (!begin(d, now) || index <= d->checkpoint || index <= d->checkpoint_wanted)
		return;
	d->checkpoint_wanted = index;
	d->checkpoint_wanted_term = term;
	rdrv_settle(d);
}

void rdrv_released(struct rdrv *d, uint64_t now, uint64_t index)
{
	if (!begin(d, now))
		return;
	if (index > d->handed) {
		rdrv_fail(d, "the state machine released an entry that it was never given");
		return;
	}
	while (d->released < index) {
		struct rlog_entry *entry = rdrv_window_at(&d->replay, ++d->released);

		if (!entry)
			entry = rdrv_window_at(&d->window, d->released);
		if (entry) {
			d->held--;
			d->held_bytes -= rlog_entry_size(entry);
		}
		if (d->replay.n && d->replay.first <= d->released)
			rdrv_window_pop(&d->replay);
	}
	if (d->config.bugs & RDRV_BUG_EARLY_TRIM && index > d->checkpoint) {
		d->checkpoint_wanted = index;
		d->checkpoint_wanted_term = 0;
	}
	rdrv_settle(d);
}

/* --- completions --- */

static void append_done(struct rdrv *d, const struct rlog_request *done)
{
	struct raft_event event = { .type = RAFT_PERSISTED_ENTRIES };
	struct rdrv_flight *flight = d->flights;

	d->flights = flight->next;
	if (!d->flights)
		d->flights_tail = &d->flights;
	assert(flight->sequence == done->sequence);
	if (d->config.bugs & RDRV_BUG_STALE_COMPLETION && flight->last > raft_last_index(&d->raft))
		flight->last = raft_last_index(&d->raft);
	if (flight->last >= flight->first && flight->last > d->raft.last_stored &&
	    !d->raft.snapshot.installing) {
		d->durable = flight->last;
		event.persisted_entries.index = flight->last;
		if (rdrv_step(d, &event))
			no_memory(d, NULL);
	}
	free(flight);
}

static void read_done(struct rdrv *d, const struct rlog_request *done)
{
	char why[RNODE_WHY_MAX];

	d->reading = false;
	if (!done->n) {
		snprintf(why, sizeof(why),
			 "entry %" PRIu64 " is committed but not in the log any more", done->first);
		rdrv_fail(d, why);
		return;
	}
	for (size_t i = 0; i < done->n && !d->dead; i++) {
		struct rlog_entry *entry = done->entries[i];

		if (entry->index != d->handed + 1)
			continue;
		if (rdrv_window_push(&d->replay, entry)) {
			no_memory(d, NULL);
			return;
		}
		d->held++;
		d->held_bytes += rlog_entry_size(entry);
		hand(d, entry);
	}
}

static void reset_done(struct rdrv *d, const struct rlog_request *done)
{
	struct raft_event event = { .type = RAFT_PERSISTED_SNAPSHOT };

	event.persisted_snapshot.metadata = d->install;
	event.persisted_snapshot.last = true;
	d->checkpoint = d->checkpoint_issued = d->install.index;
	d->durable = d->handed = d->released = d->install.index;
	d->install = (struct raft_snapshot_metadata){ 0 };
	d->config.ops->adopt(d->config.owner, d->checkpoint,
			     event.persisted_snapshot.metadata.term);
	if (rdrv_step(d, &event))
		no_memory(d, NULL);
}

void rdrv_logged(struct rdrv *d, uint64_t now, struct rlog_request *request)
{
	if (!begin(d, now)) {
		rdrv_unlogged(d, request);
		return;
	}
	switch (request->kind) {
	case RLOG_VOTE:
		d->vote_done = request->sequence;
		rdrv_mail_flush(d);
		break;
	case RLOG_APPEND:
		append_done(d, request);
		break;
	case RLOG_READ:
		if (request->arg)
			rdrv_mail_filled(d, request->arg, request);
		else if (d->reading)
			read_done(d, request);
		break;
	case RLOG_CHECKPOINT:
		checkpoint_done(d, request);
		break;
	case RLOG_RESET:
		reset_done(d, request);
		break;
	case RLOG_TRIM:
		break;
	}
	rlog_request_free(request);
	rdrv_settle(d);
}

void rdrv_unlogged(struct rdrv *d, struct rlog_request *request)
{
	if (request->kind == RLOG_READ)
		rdrv_mail_free(request->arg);
	rlog_request_free(request);
}

void rdrv_installed(struct rdrv *d, uint64_t now)
{
	struct rlog_request *request;
	void *conf;
	size_t len;

	if (!begin(d, now))
		return;
	request = rlog_request_alloc(RLOG_RESET);
	if (no_memory(d, request))
		return;
	rdrv_window_clear(&d->window);
	rdrv_window_clear(&d->replay);
	d->held = 0;
	d->held_bytes = 0;
	d->reading = false;
	rdrv_conf_cut(d, 0);
	if (rdrv_conf_encode(&d->install.configuration, &conf, &len) ||
	    rdrv_conf_add(d, d->install.configuration_index, conf, len)) {
		no_memory(d, NULL);
		return;
	}
	request->state.checkpoint_index = d->install.index;
	request->state.checkpoint_term = d->install.term;
	request->state.conf_index = d->install.configuration_index;
	request->state.conf = conf;
	request->state.conf_len = (uint32_t)len;
	rdrv_log(d, request);
}

/* --- other events --- */

void rdrv_tick(struct rdrv *d, uint64_t now)
{
	struct raft_event event = { .type = RAFT_TIMEOUT };

	if (!begin(d, now) || d->now < raft_timeout(&d->raft))
		return;
	if (rdrv_step(d, &event))
		no_memory(d, NULL);
	rdrv_settle(d);
}

void rdrv_receive(struct rdrv *d, uint64_t now, const struct raft_message *message)
{
	if (!begin(d, now) || !rdrv_message_valid(d, message))
		return;
	rdrv_message_feed(d, message);
	rdrv_settle(d);
}

static bool leads(const struct rdrv *d)
{
	return !d->dead && raft_state((struct raft *)&d->raft) == RAFT_LEADER &&
	       !raft_transferee(&d->raft);
}

int rdrv_may_submit(const struct rdrv *d, size_t n, size_t bytes)
{
	if (!leads(d))
		return -EREMOTE;
	if (d->held_bytes + bytes > d->config.queue_bytes || d->held + n > d->config.queue_entries)
		return -EAGAIN;
	return 0;
}

int rdrv_submit(struct rdrv *d, uint64_t now, struct rlog_entry **entries, size_t n)
{
	size_t bytes = 0;
	int ret;
	int rv;

	if (!begin(d, now))
		return -EREMOTE;
	for (size_t i = 0; i < n; i++)
		bytes += rlog_entry_size(entries[i]);
	ret = rdrv_may_submit(d, n, bytes);
	if (ret)
		return ret;
	for (size_t i = 0; i < n; i++)
		entries[i]->followed = true;
	rv = submit_entries(d, entries, n);
	if (rv)
		return rv == RAFT_NOTLEADER ? -EREMOTE : -EAGAIN;
	for (size_t i = 0; i < n; i++)
		rlog_entry_put(entries[i]);
	rdrv_settle(d);
	return 0;
}

int rdrv_change(struct rdrv *d, uint64_t now, const struct raft_configuration *conf)
{
	struct rlog_entry *entry;
	void *bytes;
	size_t len;
	int ret;

	if (!begin(d, now) || !leads(d))
		return -EREMOTE;
	if (!d->own_first || raft_commit_index(&d->raft) < d->own_first ||
	    d->raft.configuration_uncommitted_index)
		return -EAGAIN;
	if (!rdrv_conf_is_step(&d->raft.configuration, conf) || conf->n > RDRV_SERVERS_MAX)
		return -EINVAL;
	ret = rdrv_conf_encode(conf, &bytes, &len);
	if (ret)
		return ret;
	entry = rdrv_conf_check(bytes, len) ? NULL : rlog_entry_alloc(bytes, len);
	free(bytes);
	if (!entry)
		return -EINVAL;
	entry->type = WEFT_LOG_CHANGE;
	if (submit_entries(d, &entry, 1))
		ret = -EAGAIN;
	rlog_entry_put(entry);
	rdrv_settle(d);
	return ret;
}

int rdrv_transfer(struct rdrv *d, uint64_t now, uint64_t server)
{
	struct raft_event event = { .type = RAFT_TRANSFER, .transfer.server_id = server };

	if (!begin(d, now) || !leads(d))
		return -EREMOTE;
	if (rdrv_step(d, &event))
		return -EINVAL;
	rdrv_settle(d);
	return 0;
}

uint64_t rdrv_deadline(const struct rdrv *d)
{
	return raft_timeout(&d->raft);
}

int rdrv_may_read(const struct rdrv *d)
{
	if (!leads(d) || !d->own_first || d->released < d->own_first)
		return -EREMOTE;
	/* Alone it cannot have been deposed. With others only a round can tell. */
	return rdrv_conf_voters(&d->raft.configuration) == 1 ? 0 : -EAGAIN;
}

uint64_t rdrv_leader(const struct rdrv *d, const char **address)
{
	raft_id id = 0;

	raft_leader((struct raft *)&d->raft, &id, address);
	return id;
}

const struct raft_configuration *rdrv_configuration(const struct rdrv *d)
{
	return &d->raft.configuration;
}

void rdrv_status(const struct rdrv *d, struct rnode_status *status)
{
	struct raft *r = (struct raft *)&d->raft;

	*status = (struct rnode_status){
		.role = raft_state(r) == RAFT_LEADER	  ? RNODE_LEADER
			: raft_state(r) == RAFT_CANDIDATE ? RNODE_CANDIDATE
							  : RNODE_FOLLOWER,
		.term = d->raft.current_term,
		.leader = rdrv_leader(d, &(const char *){ NULL }),
		.first_index = d->raft.trail.offset + 1,
		.last_index = raft_last_index(r),
		.durable_index = d->durable,
		.commit_index = raft_commit_index(r),
		.released_index = d->released,
		.checkpoint_index = d->checkpoint,
		.voters = rdrv_conf_voters(&d->raft.configuration),
		.queued_bytes = d->held_bytes,
		.queued_entries = (unsigned int)d->held,
	};
}
