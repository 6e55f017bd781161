// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cluster.c - events in virtual time: network, clients, faults, and the run from the first election
 * to the last check
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine.h"

#define SETTLE_MS 120000 /* what a healed cluster has to come to rest */

void sim_fail(struct sim_cluster *c, const char *format, ...)
{
	va_list args;

	if (c->result->failed)
		return;
	c->result->failed = true;
	va_start(args, format);
	vsnprintf(c->result->what, sizeof(c->result->what), format, args);
	va_end(args);
	if (c->plan->verbose)
		fprintf(stderr, "%10.3f FAILED %s\n", (double)c->now / 1000, c->result->what);
}

void sim_note(struct sim_cluster *c, const struct voter *v, const char *format, ...)
{
	va_list args;

	if (!c->plan->verbose)
		return;
	fprintf(stderr, "%10.3f voter %u ", (double)c->now / 1000, v->number + 1);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

bool sim_chance(struct sim_cluster *c, unsigned int of_1000)
{
	return sim_below(&c->random, 1000) < of_1000;
}

/* --- events --- */

static bool before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_schedule(struct sim_cluster *c, uint64_t after_us, enum event_kind kind, struct voter *v,
		  void *payload)
{
	struct event event = {
		.at = c->now + after_us, .order = c->order++, .kind = kind, .payload = payload
	};
	size_t i = c->n_heap++;

	if (v) {
		event.voter = v->number;
		event.life = v->life;
	}
	if (c->n_heap > c->cap_heap) {
		c->cap_heap = c->cap_heap ? 2 * c->cap_heap : 256;
		c->heap = realloc(c->heap, c->cap_heap * sizeof(*c->heap));
		if (!c->heap)
			abort();
	}
	for (; i && before(&event, &c->heap[(i - 1) / 2]); i = (i - 1) / 2)
		c->heap[i] = c->heap[(i - 1) / 2];
	c->heap[i] = event;
}

static struct event next_event(struct sim_cluster *c)
{
	struct event first = c->heap[0];
	struct event last = c->heap[--c->n_heap];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= c->n_heap)
			break;
		if (child + 1 < c->n_heap && before(&c->heap[child + 1], &c->heap[child]))
			child++;
		if (!before(&c->heap[child], &last))
			break;
		c->heap[i] = c->heap[child];
		i = child;
	}
	c->heap[i] = last;
	return first;
}

/* --- network --- */

static void message_free(struct raft_message *m)
{
	if (m->type == RAFT_APPEND_ENTRIES && m->append_entries.entries) {
		for (unsigned int i = 0; i < m->append_entries.n_entries; i++)
			free(m->append_entries.entries[i].buf.base);
		free(m->append_entries.entries);
	}
	if (m->type == RAFT_INSTALL_SNAPSHOT)
		raft_configuration_close(&m->install_snapshot.conf);
	free((char *)m->server_address);
	free(m);
}

/* As it would be parsed at the other end: nothing is shared with the sender. */
static struct raft_message *message_copy(const struct raft_message *from,
					 const struct voter *sender)
{
	struct raft_message *m = malloc(sizeof(*m));
	char address[32];

	if (!m)
		abort();
	*m = *from;
	snprintf(address, sizeof(address), "voter-%u", sender->number + 1);
	m->server_id = sender->number + 1;
	m->server_address = strdup(address);
	if (m->type == RAFT_APPEND_ENTRIES) {
		struct raft_append_entries *a = &m->append_entries;

		a->entries = NULL;
		if (a->n_entries)
			a->entries = calloc(a->n_entries, sizeof(*a->entries));
		for (unsigned int i = 0; i < a->n_entries; i++) {
			const struct raft_entry *e = &from->append_entries.entries[i];

			a->entries[i] = *e;
			a->entries[i].buf.base = malloc(e->buf.len + 1);
			memcpy(a->entries[i].buf.base, e->buf.base, e->buf.len);
		}
	}
	if (m->type == RAFT_INSTALL_SNAPSHOT) {
		void *bytes;
		size_t len;

		if (rdrv_conf_encode(&from->install_snapshot.conf, &bytes, &len) ||
		    rdrv_conf_decode(bytes, len, &m->install_snapshot.conf))
			abort();
		free(bytes);
	}
	return m;
}

void sim_send(struct voter *from, const struct raft_message *message)
{
	struct sim_cluster *c = from->c;
	struct voter *to = &c->voters[message->server_id - 1];
	unsigned int copies = sim_chance(c, c->loss / 4) ? 2 : 1;

	if (message->server_id == 0 || message->server_id > c->plan->voters) {
		sim_fail(c, "a message to voter %llu, which does not exist", message->server_id);
		return;
	}
	if (!to->alive || c->cut[from->number][to->number] || sim_chance(c, c->loss))
		return;
	while (copies--) {
		uint64_t delay = 50 + sim_below(&c->random, c->delay_us);

		/* Now and then one is very late. */
		if (sim_chance(c, c->loss / 2))
			delay += sim_below(&c->random, 2000000);
		sim_schedule(c, delay, EVENT_MESSAGE, to, message_copy(message, from));
	}
}

/* --- clients and faults --- */

static void client_event(struct sim_cluster *c)
{
	/* Clients find the leader by asking around. */
	voter_submit(&c->voters[sim_below(&c->random, c->plan->voters)]);
	sim_schedule(c, 200 + sim_below(&c->random, 20000), EVENT_CLIENT, NULL, NULL);
}

static void network_fault(struct sim_cluster *c)
{
	unsigned int n = c->plan->voters;
	unsigned int lonely = (unsigned int)sim_below(&c->random, n);
	uint64_t kind = sim_below(&c->random, 4);

	memset(c->cut, 0, sizeof(c->cut));
	c->loss = sim_chance(c, 300) ? (unsigned int)sim_below(&c->random, 300) : 0;
	c->delay_us = 200 + sim_below(&c->random, sim_chance(c, 200) ? 100000 : 2000);
	for (unsigned int i = 0; i < n; i++) {
		if (kind == 0) /* cut off, both ways */
			c->cut[i][lonely] = c->cut[lonely][i] = true;
		else if (kind == 1) /* hears nobody */
			c->cut[i][lonely] = true;
	}
}

/* A server becomes a stand-by or a voter again: one at a time, never all. */
static void change_voters(struct sim_cluster *c, struct voter *v)
{
	const struct raft_configuration *conf;
	struct raft_configuration next;
	unsigned int which;

	if (!v->alive || v->dead)
		return;
	conf = rdrv_configuration(v->driver);
	if (conf->n < 3)
		return;
	which = (unsigned int)sim_below(&c->random, conf->n);
	raft_configuration_init(&next);
	for (unsigned int i = 0; i < conf->n; i++) {
		int role = conf->servers[i].role;

		if (i == which)
			role = role == RAFT_VOTER ? RAFT_STANDBY : RAFT_VOTER;
		if (raft_configuration_add(&next, conf->servers[i].id, conf->servers[i].address,
					   role))
			abort();
	}
	if (rdrv_conf_voters(&next) > 1)
		rdrv_change(v->driver, c->now / 1000, &next);
	raft_configuration_close(&next);
}

/*
 * Entries that one follower is still writing when their leader forgets them: it is cut off from the
 * others, its disk and the follower's stall, then it loses power and comes back soon enough to vote
 * for somebody else.
 */
static void orphan_writes(struct sim_cluster *c, struct voter *leader)
{
	struct voter *follower = &c->voters[sim_below(&c->random, c->plan->voters)];
	struct rnode_status status;

	if (!leader->alive || leader->dead || follower == leader)
		return;
	rdrv_status(leader->driver, &status);
	if (status.role != RNODE_LEADER)
		return;
	sim_note(c, leader, "is heard by voter %u only", follower->number + 1);
	for (unsigned int i = 0; i < c->plan->voters; i++)
		c->cut[leader->number][i] = i != follower->number;
	leader->stalled_until = c->now + 3000000;
	follower->stalled_until = c->now + 500000 + sim_below(&c->random, 2500000);
	sim_schedule(c, 20000 + sim_below(&c->random, 60000), EVENT_ORPHAN, leader, NULL);
}

static void orphan_event(struct sim_cluster *c, struct voter *leader)
{
	memset(c->cut, 0, sizeof(c->cut));
	leader->stalled_until = 0;
	if (!leader->alive)
		return;
	voter_crash(leader, true);
	sim_schedule(c, 1000 + sim_below(&c->random, 400000), EVENT_START, leader, NULL);
}

static void fault_event(struct sim_cluster *c)
{
	struct voter *v = &c->voters[sim_below(&c->random, c->plan->voters)];

	if (!c->faults)
		return;
	switch (c->plan->orphans && sim_chance(c, 700) ? 4 : sim_below(&c->random, 7)) {
	case 0:
	case 1:
		if (v->alive) {
			voter_crash(v, sim_chance(c, 600));
			sim_schedule(c, 1000 + sim_below(&c->random, 3000000), EVENT_START, v,
				     NULL);
		}
		break;
	case 2:
		v->slow_until = c->now + sim_below(&c->random, 3000000);
		break;
	case 3:
		change_voters(c, v);
		break;
	case 4:
		for (unsigned int i = 0; i < c->plan->voters && c->plan->voters > 1; i++)
			orphan_writes(c, &c->voters[i]);
		break;
	default:
		if (c->plan->voters > 1)
			network_fault(c);
	}
	sim_schedule(c, sim_below(&c->random, 3000000), EVENT_FAULT, NULL, NULL);
}

/* --- the run --- */

static void handle(struct sim_cluster *c, const struct event *event)
{
	struct voter *v = &c->voters[event->voter];

	switch (event->kind) {
	case EVENT_CLIENT:
		client_event(c);
		break;
	case EVENT_FAULT:
		fault_event(c);
		break;
	case EVENT_ORPHAN:
		if (c->faults && v->life == event->life)
			orphan_event(c, v);
		break;
	case EVENT_START:
		if (!v->alive && v->life == event->life)
			voter_start(v);
		break;
	default:
		if (v->alive && !v->dead && v->life == event->life)
			voter_event(v, event);
	}
	if (event->kind == EVENT_MESSAGE)
		message_free(event->payload);
	else
		free(event->payload);
}

static void run_until(struct sim_cluster *c, uint64_t end, bool until_settled)
{
	while (!c->result->failed && c->n_heap && c->heap[0].at <= end) {
		struct event event = next_event(c);

		c->now = event.at;
		if (event.kind == EVENT_CLIENT && until_settled)
			continue;
		handle(c, &event);
		if (until_settled && event.kind == EVENT_TICK && oracle_settled(c))
			return;
	}
	c->now = end;
}

static void heal(struct sim_cluster *c)
{
	c->faults = false;
	c->loss = 0;
	c->delay_us = 500;
	memset(c->cut, 0, sizeof(c->cut));
	for (unsigned int i = 0; i < c->plan->voters; i++) {
		struct voter *v = &c->voters[i];

		v->slow_until = v->stalled_until = 0;
		sim_disk_cut_after(v->disk, UINT64_MAX / 2);
		if (!v->alive)
			voter_start(v);
	}
}

static void end_run(struct sim_cluster *c)
{
	heal(c);
	run_until(c, c->now + SETTLE_MS * 1000ull, true);
	for (unsigned int i = 0; i < c->plan->voters; i++) {
		struct rnode_status status;

		if (!c->voters[i].alive || c->voters[i].dead)
			continue;
		rdrv_status(c->voters[i].driver, &status);
		sim_note(c, &c->voters[i],
			 "rests: log %" PRIu64 "..%" PRIu64 " durable %" PRIu64 " commit %" PRIu64
			 " released %" PRIu64 " checkpoint %" PRIu64 " held %u entries, %zu bytes",
			 status.first_index, status.last_index, status.durable_index,
			 status.commit_index, status.released_index, status.checkpoint_index,
			 status.queued_entries, status.queued_bytes);
	}
	if (!c->result->failed && !oracle_settled(c)) {
		sim_fail(c,
			 "healed for %d s, the voters do not agree: applied %" PRIu64 ", %" PRIu64
			 ", %" PRIu64 ", acknowledged %" PRIu64,
			 SETTLE_MS / 1000, c->voters[0].applied, c->voters[1].applied,
			 c->voters[2].applied, c->acknowledged);
	}
}

void sim_cluster_run(const struct sim_plan *plan, struct sim_result *result)
{
	struct sim_cluster *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	*result = (struct sim_result){ 0 };
	c->plan = plan;
	c->result = result;
	c->random = plan->seed;
	c->now = 1000000;
	c->delay_us = 500;
	c->votes_overtake = sim_chance(c, 500);
	for (unsigned int i = 0; i < plan->voters; i++)
		voter_alloc(c, i);
	for (unsigned int i = 0; i < plan->voters && !result->failed; i++)
		voter_start(&c->voters[i]);
	c->faults = true;
	sim_schedule(c, 1000000, EVENT_CLIENT, NULL, NULL);
	sim_schedule(c, 3000000, EVENT_FAULT, NULL, NULL);
	run_until(c, c->now + plan->virtual_ms * 1000, false);
	if (!result->failed)
		end_run(c);
	while (c->n_heap) {
		struct event event = next_event(c);

		if (event.kind == EVENT_MESSAGE)
			message_free(event.payload);
		else
			free(event.payload);
	}
	for (unsigned int i = 0; i < plan->voters; i++)
		voter_free(&c->voters[i]);
	free(c->heap);
	free(c->facts);
	free(c->leaders);
	free(c);
}
