// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * voter.c - a simulated voter: what node.c does with threads, done by events
 *
 * The log thread is busy for a while with what it was given; its disk operations then happen all at
 * once, and power may go between any two of them. Its answers reach the loop later still. The apply
 * thread takes a random number of entries.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine.h"

#define SEGMENT_BYTES (24u * 4096)

static const uint8_t cluster_uuid[16] = "a simulated one";

static uint64_t voter_random(void *arg)
{
	return sim_random(&((struct voter *)arg)->c->random);
}

static uint64_t voter_wall_ms(void *arg)
{
	return ((struct voter *)arg)->c->now / 1000;
}

static void voter_options(struct voter *v, struct rlog_options *options)
{
	*options = (struct rlog_options){
		.owner.server = v->number + 1,
		.segment_bytes = SEGMENT_BYTES,
		.keep_bytes = 4 * SEGMENT_BYTES,
		.keep_ms = 20000,
		.keep_percent = 10,
		.scan_bytes = v->number % 2 ? 0 : 2 * SEGMENT_BYTES,
		.random = voter_random,
		.wall_ms = voter_wall_ms,
		.arg = v,
	};
	memcpy(options->owner.cluster, cluster_uuid, sizeof(cluster_uuid));
}

/* --- what the driver asks for --- */

static void work_begin(struct voter *v)
{
	uint64_t took = 100 + sim_below(&v->c->random, 3000);

	if (v->busy || !v->waiting)
		return;
	if (v->c->now < v->stalled_until)
		took += v->stalled_until - v->c->now;
	else if (v->c->now < v->slow_until)
		took *= 100;
	v->busy = true;
	v->working = v->waiting;
	v->waiting = NULL;
	v->waiting_last = &v->waiting;
	sim_schedule(v->c, took, EVENT_DISK, v, NULL);
}

static void on_log(void *owner, struct rlog_request *request)
{
	struct voter *v = owner;

	request->next = NULL;
	if (request->kind == RLOG_VOTE && v->c->votes_overtake) {
		/* But before anything issued later: no entry may be durable before its term. */
		sim_schedule(v->c, sim_below(&v->c->random, 100), EVENT_VOTE, v, request);
		return;
	}
	*v->waiting_last = request;
	v->waiting_last = &request->next;
	work_begin(v);
}

static void on_send(void *owner, const struct raft_message *message)
{
	oracle_sent(owner, message);
	sim_send(owner, message);
}

static void on_apply(void *owner, struct rlog_entry *entry)
{
	struct voter *v = owner;

	if (v->n_queue == v->cap_queue) {
		v->cap_queue = v->cap_queue ? 2 * v->cap_queue : 64;
		v->queue = realloc(v->queue, v->cap_queue * sizeof(*v->queue));
		if (!v->queue)
			abort();
	}
	v->queue[v->n_queue++] = entry;
	if (!v->applying) {
		v->applying = true;
		sim_schedule(v->c, sim_below(&v->c->random, 2000), EVENT_APPLY, v, NULL);
	}
}

static void on_lost(void *owner, void *ctx)
{
}

static void on_role(void *owner)
{
	struct voter *v = owner;
	struct rnode_status status;

	rdrv_status(v->driver, &status);
	sim_note(v->c, v, "role %d term %" PRIu64 " leader %" PRIu64, status.role, status.term,
		 status.leader);
	if (status.role == RNODE_LEADER)
		oracle_leader(v, status.term);
}

static void on_install(void *owner, uint64_t from, uint64_t index, uint64_t term)
{
	struct voter *v = owner;
	uint64_t *want = malloc(3 * sizeof(*want));

	if (!want)
		abort();
	want[0] = from - 1;
	want[1] = index;
	want[2] = term;
	sim_schedule(v->c, 1000 + sim_below(&v->c->random, 300000), EVENT_INSTALL, v, want);
}

static void on_adopt(void *owner, uint64_t index, uint64_t term)
{
	struct voter *v = owner;

	v->c->result->installs++;
	sim_note(v->c, v, "goes on with a copied state at %" PRIu64, index);
	for (size_t i = 0; i < v->n_queue; i++)
		rlog_entry_put(v->queue[i]);
	v->n_queue = 0;
	v->c->plan->machine->adopt(v->machine, index);
	v->applied = index;
	v->applied_term = term;
	oracle_state(v, index, v->c->plan->machine->hash(v->machine));
}

static void on_fatal(void *owner, const char *why)
{
	struct voter *v = owner;

	v->dead = true;
	sim_fail(v->c, "voter %u gives up: %s", v->number + 1, why);
}

static const struct rdrv_ops driver_ops = {
	.log = on_log,
	.send = on_send,
	.apply = on_apply,
	.lost = on_lost,
	.role = on_role,
	.install = on_install,
	.adopt = on_adopt,
	.fatal = on_fatal,
};

/* --- life --- */

static void voter_tick_later(struct voter *v)
{
	uint64_t due = rdrv_deadline(v->driver) * 1000;
	uint64_t after = due > v->c->now ? due - v->c->now : 0;

	if (v->tick_at && v->tick_at <= due)
		return;
	v->tick_at = due ? due : 1;
	sim_schedule(v->c, after, EVENT_TICK, v, NULL);
}

/* After every event that the driver saw. */
static void voter_after(struct voter *v)
{
	if (!v->alive || v->dead)
		return;
	oracle_committed(v);
	voter_tick_later(v);
}

static void start_driver(struct voter *v, const struct rlog_recovered *recovered)
{
	struct sim_cluster *c = v->c;
	char address[32];
	struct rdrv_config config = {
		.server = v->number + 1,
		.address = address,
		.seed = sim_random(&c->random),
		.election_ms = 400,
		.heartbeat_ms = 80,
		.queue_bytes = 256 << 10,
		.queue_entries = 500,
		.cache_bytes = 16 << 10,
		.bugs = c->plan->bugs & 0xff,
		.ops = &driver_ops,
		.owner = v,
	};
	char why[RNODE_WHY_MAX] = "";
	struct rnode_status status;

	snprintf(address, sizeof(address), "voter-%u", v->number + 1);
	if (rdrv_alloc(&config, &v->driver))
		abort();
	if (rdrv_start(v->driver, c->now / 1000, recovered, v->applied, v->applied_term, why)) {
		sim_fail(c, "voter %u does not start: %s", v->number + 1, why);
		v->dead = true;
		return;
	}
	/* What its checkpoint says was committed by voters of another time. */
	rdrv_status(v->driver, &status);
	v->seen_commit = status.commit_index;
}

void voter_start(struct voter *v)
{
	struct sim_cluster *c = v->c;
	struct rlog_recovered recovered;
	struct rlog_options options;
	char why[RNODE_WHY_MAX] = "";
	int ret;

	if (v->alive)
		return;
	v->life++;
	v->dead = false;
	v->tick_at = 0;
	v->waiting_last = &v->waiting;
	v->done_last = &v->done;
	voter_options(v, &options);
	if (c->faults && sim_chance(c, 100))
		sim_disk_cut_after(v->disk, sim_below(&c->random, 6));
	ret = rlog_open(sim_disk_io(v->disk), &options, &v->log, &recovered, why);
	if (ret && sim_disk_is_cut(v->disk)) {
		sim_disk_power_cut(v->disk);
		sim_schedule(c, 1000, EVENT_START, v, NULL);
		return;
	}
	if (ret) {
		sim_fail(c, "voter %u: %s", v->number + 1, why);
		return;
	}
	v->alive = true;
	v->machine = c->plan->machine->open(v->medium, &v->applied, &v->applied_term);
	if (v->applied < recovered.state.checkpoint_index && c->plan->machine->adopt) {
		c->plan->machine->adopt(v->machine, recovered.state.checkpoint_index);
		c->plan->machine->crash(v->machine, v->medium, false, &c->random);
		v->machine = c->plan->machine->open(v->medium, &v->applied, &v->applied_term);
	}
	sim_note(c, v,
		 "starts: log %" PRIu64 "..%" PRIu64 " checkpoint %" PRIu64 " applied %" PRIu64,
		 recovered.first_index, recovered.last_index, recovered.state.checkpoint_index,
		 v->applied);
	if (v->applied)
		oracle_state(v, v->applied, c->plan->machine->hash(v->machine));
	oracle_recovered(v, &recovered);
	start_driver(v, &recovered);
	rlog_recovered_clear(&recovered);
	voter_after(v);
}

static void drop_requests(struct voter *v, struct rlog_request *list)
{
	while (list) {
		struct rlog_request *next = list->next;

		rdrv_unlogged(v->driver, list);
		list = next;
	}
}

void voter_crash(struct voter *v, bool power)
{
	struct sim_cluster *c = v->c;

	if (!v->alive)
		return;
	sim_note(c, v, "%s at applied %" PRIu64, power ? "loses power" : "is killed", v->applied);
	c->result->crashes++;
	c->result->power_cuts += power;
	v->alive = false;
	v->life++;
	drop_requests(v, v->waiting);
	drop_requests(v, v->working);
	drop_requests(v, v->done);
	v->waiting = v->working = v->done = NULL;
	v->busy = false;
	v->applying = false;
	for (size_t i = 0; i < v->n_queue; i++)
		rlog_entry_put(v->queue[i]);
	v->n_queue = 0;
	rdrv_free(v->driver);
	v->driver = NULL;
	rlog_close(v->log);
	v->log = NULL;
	c->plan->machine->crash(v->machine, v->medium, power, &c->random);
	if (power)
		sim_disk_power_cut(v->disk);
	else
		sim_disk_kill(v->disk);
}

void voter_alloc(struct sim_cluster *c, unsigned int number)
{
	struct voter *v = &c->voters[number];
	struct raft_configuration conf;
	struct rlog_options options;
	char why[RNODE_WHY_MAX] = "";
	char address[32];
	void *bytes;
	size_t len;
	int ret;

	*v = (struct voter){ .c = c, .number = number };
	v->disk = sim_disk_alloc(sim_random(&c->random), sim_chance(c, 500) ? 512 : 4096);
	v->medium = c->plan->machine->medium_alloc(sim_random(&c->random));
	raft_configuration_init(&conf);
	for (unsigned int i = 0; i < c->plan->voters; i++) {
		snprintf(address, sizeof(address), "voter-%u", i + 1);
		if (raft_configuration_add(&conf, i + 1, address, RAFT_VOTER))
			abort();
	}
	if (rdrv_conf_encode(&conf, &bytes, &len))
		abort();
	raft_configuration_close(&conf);
	voter_options(v, &options);
	/* The making may be interrupted, too; until it has succeeded nobody depends on it. */
	sim_disk_cut_after(v->disk, sim_below(&c->random, 30));
	ret = rlog_format(sim_disk_io(v->disk), &options, bytes, len, why);
	if (ret && sim_disk_is_cut(v->disk)) {
		sim_disk_power_cut(v->disk);
		ret = rlog_format(sim_disk_io(v->disk), &options, bytes, len, why);
		if (ret == -EEXIST)
			ret = 0;
	}
	sim_disk_cut_after(v->disk, UINT64_MAX / 2);
	free(bytes);
	if (ret)
		sim_fail(c, "voter %u cannot be made: %s", number + 1, why);
}

void voter_free(struct voter *v)
{
	if (v->alive)
		voter_crash(v, false);
	sim_disk_free(v->disk);
	v->c->plan->machine->medium_free(v->medium);
	free(v->queue);
	free(v->durable);
}

/* --- events --- */

/* Executes; false: the power went, or it failed. */
static bool execute(struct voter *v, struct rlog_request *requests, unsigned int cut_of_1000)
{
	struct sim_cluster *c = v->c;
	char why[RNODE_WHY_MAX];
	int ret;

	if (c->faults && sim_chance(c, cut_of_1000))
		sim_disk_cut_after(v->disk, sim_below(&c->random, 12));
	ret = rlog_execute(v->log, requests, why);
	if (!ret)
		for (struct rlog_request *r = requests; r; r = r->next) {
			oracle_appended(v, r);
			c->result->trims += r->kind == RLOG_TRIM;
		}
	if (!ret && sim_chance(c, 500))
		ret = rlog_prepare(v->log, why);
	if (ret && sim_disk_is_cut(v->disk)) {
		voter_crash(v, sim_chance(c, 800));
		sim_schedule(c, 1000 + sim_below(&c->random, 2000000), EVENT_START, v, NULL);
	} else if (ret) {
		sim_fail(c, "voter %u: %s", v->number + 1, why);
	}
	return !ret;
}

static void vote_event(struct voter *v, const struct rlog_request *from)
{
	struct rlog_request *request = rlog_request_alloc(RLOG_VOTE);

	if (!request)
		abort();
	request->sequence = from->sequence;
	request->state = from->state;
	if (execute(v, request, 1))
		rdrv_logged(v->driver, v->c->now / 1000, request);
	else
		rlog_request_free(request);
}

/* The log thread's work happens; the power may go in the middle of it. */
static void disk_event(struct voter *v)
{
	struct sim_cluster *c = v->c;

	if (!execute(v, v->working, c->plan->voters == 1 ? 10 : 2))
		return;
	*v->done_last = v->working;
	while (*v->done_last)
		v->done_last = &(*v->done_last)->next;
	v->working = NULL;
	v->busy = false;
	/* A loop that has much to do hears of it late. */
	sim_schedule(c, sim_below(&c->random, sim_chance(c, 20) ? 300000 : 1000), EVENT_LOGGED, v,
		     NULL);
	work_begin(v);
}

static void logged_event(struct voter *v)
{
	struct rlog_request *done = v->done;

	v->done = NULL;
	v->done_last = &v->done;
	while (done) {
		struct rlog_request *next = done->next;

		rdrv_logged(v->driver, v->c->now / 1000, done);
		done = next;
	}
}

/* Applies n entries and now and then publishes a checkpoint; false: the power went. */
static bool apply_entries(struct voter *v, const struct rnode_entry *entries, size_t n)
{
	struct sim_cluster *c = v->c;
	const struct sim_machine_ops *machine = c->plan->machine;
	const struct rnode_entry *last = &entries[n - 1];
	const char *complaint;

	if (!machine->apply(v->machine, entries, (unsigned int)n))
		return false;
	complaint = machine->complaint ? machine->complaint(v->machine) : NULL;
	if (complaint)
		sim_fail(c, "voter %u, entries up to %" PRIu64 ": %s", v->number + 1, last->index,
			 complaint);
	if (last->index > v->applied) {
		v->applied = last->index;
		v->applied_term = last->term;
		oracle_state(v, v->applied, c->plan->machine->hash(v->machine));
	}
	rdrv_released(v->driver, c->now / 1000, last->index);
	if (!sim_chance(c, 50) || v->dead)
		return true;
	if (!(c->plan->bugs & SIM_BUG_CHECKPOINT_UNSYNCED) && !c->plan->machine->sync(v->machine))
		return false;
	rdrv_checkpoint(v->driver, c->now / 1000, last->index, last->term);
	return true;
}

static void apply_event(struct voter *v)
{
	struct sim_cluster *c = v->c;
	size_t n = v->n_queue ? 1 + sim_below(&c->random, v->n_queue) : 0;
	struct rnode_entry *entries = calloc(n + 1, sizeof(*entries));
	bool alive;

	if (!entries)
		abort();
	for (size_t i = 0; i < n; i++) {
		rlog_entry_show(v->queue[i], &entries[i]);
		oracle_applied(v, &entries[i]);
	}
	v->applying = false;
	alive = !n || apply_entries(v, entries, n);
	free(entries);
	if (!alive) {
		voter_crash(v, sim_chance(c, 800));
		sim_schedule(c, 1000 + sim_below(&c->random, 2000000), EVENT_START, v, NULL);
		return;
	}
	for (size_t i = 0; i < n; i++)
		rlog_entry_put(v->queue[i]);
	v->n_queue -= n;
	memmove(v->queue, v->queue + n, v->n_queue * sizeof(*v->queue));
	if (v->n_queue && !v->applying) {
		v->applying = true;
		sim_schedule(c, sim_below(&c->random, 2000), EVENT_APPLY, v, NULL);
	}
}

/* The copy came through, or its source went away: then the voter begins anew from its disk. */
static void install_event(struct voter *v, const uint64_t *want)
{
	struct sim_cluster *c = v->c;
	struct voter *from = &c->voters[want[0]];

	if (!from->alive || c->cut[want[0]][v->number] || !c->plan->machine->copy ||
	    !c->plan->machine->copy(v->machine, from->medium, want[1], want[2])) {
		voter_crash(v, false);
		sim_schedule(c, 1000, EVENT_START, v, NULL);
		return;
	}
	rdrv_installed(v->driver, c->now / 1000);
}

void voter_event(struct voter *v, const struct event *event)
{
	struct sim_cluster *c = v->c;

	switch (event->kind) {
	case EVENT_TICK:
		v->tick_at = 0;
		rdrv_tick(v->driver, c->now / 1000);
		break;
	case EVENT_DISK:
		disk_event(v);
		break;
	case EVENT_VOTE:
		vote_event(v, event->payload);
		break;
	case EVENT_LOGGED:
		logged_event(v);
		break;
	case EVENT_APPLY:
		apply_event(v);
		break;
	case EVENT_MESSAGE:
		rdrv_receive(v->driver, c->now / 1000, event->payload);
		break;
	case EVENT_INSTALL:
		install_event(v, event->payload);
		break;
	default:
		return;
	}
	voter_after(v);
}

void voter_submit(struct voter *v)
{
	struct sim_cluster *c = v->c;
	uint8_t bytes[512];
	struct rlog_entry *entries[16];
	size_t n = 1 + sim_below(&c->random, 16);

	if (!v->alive || v->dead)
		return;
	for (size_t i = 0; i < n; i++) {
		size_t len = c->plan->machine->command(sim_random(&c->random), c->plan->bugs,
						       bytes);

		entries[i] = rlog_entry_alloc(bytes, len);
		if (!entries[i])
			abort();
		entries[i]->type = WEFT_LOG_COMMAND;
		entries[i]->ctx = v;
	}
	if (rdrv_submit(v->driver, c->now / 1000, entries, n) == 0)
		c->submitted += n;
	else
		for (size_t i = 0; i < n; i++)
			rlog_entry_put(entries[i]);
	voter_after(v);
}
