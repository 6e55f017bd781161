// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Messages of other voters, to voter 1 of three: the input is a row of events, small numbers in them as one byte. Whatever
 * the others say, entries are handed over one by one, and only when they are in this voter's log. A voter that has found a
 * contradiction does no more.
 */
#include <stdlib.h>
#include <string.h>
#include "raft/driver.h"

#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *at, *end;
static struct rlog_request *requests, **last;
static uint64_t applied, now;
static uint64_t logged[1u << 14]; /* terms, by index; never more entries than bytes of input */
static bool dead;

static uint64_t number(void)
{
	uint8_t byte = at < end ? *at++ : 0;

	return byte < 0xf0 ? byte : UINT64_MAX >> (4 * (byte & 15));
}

static void on_log(void *owner, struct rlog_request *request)
{
	require(!dead);
	request->next = NULL;
	*last = request;
	last = &request->next;
}

static void on_send(void *owner, const struct raft_message *m)
{
	require(!dead && m->server_id && m->server_address);
	require(m->type != RAFT_REQUEST_VOTE_RESULT || m->request_vote_result.term);
}

static void on_apply(void *owner, struct rlog_entry *entry)
{
	require(entry->index == ++applied && entry->term && entry->term == logged[applied]);
	rlog_entry_put(entry);
}

static void on_event(void *owner)
{
}

static void on_fatal(void *owner, const char *why)
{
	require(*why);
	dead = true;
}

static const struct rdrv_ops ops = {
	.log = on_log, .send = on_send, .apply = on_apply, .role = on_event, .fatal = on_fatal,
};

static struct rdrv *start(struct rlog_recovered *recovered)
{
	static const uint8_t conf[] = "\1\3\0\0\0\0\0\0\0"
				      "\1\0\0\0\0\0\0\0a\0\1" "\2\0\0\0\0\0\0\0b\0\1" "\3\0\0\0\0\0\0\0c\0\1\0\0\0\0\0";
	struct rdrv_config config = {
		.server = 1, .address = "a", .seed = 1, .election_ms = 400, .heartbeat_ms = 80,
		.queue_bytes = 1 << 20, .queue_entries = 1000, .cache_bytes = 1 << 20, .ops = &ops,
	};
	struct rdrv *d;
	char why[RNODE_WHY_MAX];

	*recovered = (struct rlog_recovered){ .state.term = 1, .first_index = 1, .last_index = 1, .n_runs = 1, .n_changes = 1 };
	recovered->runs = calloc(1, sizeof(*recovered->runs));
	recovered->changes = calloc(1, sizeof(*recovered->changes));
	recovered->runs[0] = (struct rlog_run){ .first = 1, .term = 1 };
	recovered->changes[0] = rlog_entry_alloc(conf, sizeof(conf));
	recovered->changes[0]->index = recovered->changes[0]->term = 1;
	recovered->changes[0]->type = WEFT_LOG_CHANGE;
	require(!rdrv_alloc(&config, &d) && !rdrv_start(d, now, recovered, 1, 1, why));
	return d;
}

static void hear_entries(struct rdrv *d, struct raft_message *m)
{
	struct raft_entry entries[8] = { 0 };
	struct raft_append_entries *a = &m->append_entries;

	*a = (struct raft_append_entries){ .version = 0, .term = number(), .prev_log_index = number() };
	a->prev_log_term = number();
	a->leader_commit = number();
	a->n_entries = (unsigned int)(number() % 9);
	a->entries = entries;
	for (unsigned int i = 0; i < a->n_entries; i++) {
		size_t len = number() % 64;

		entries[i].term = number();
		entries[i].type = (unsigned short)number();
		entries[i].buf.len = len < (size_t)(end - at) ? len : (size_t)(end - at);
		entries[i].buf.base = (void *)at;
		at += entries[i].buf.len;
	}
	rdrv_receive(d, now, m);
}

static void hear(struct rdrv *d, enum raft_message_type type)
{
	struct raft_message m = { .type = type, .server_id = number() % 5, .server_address = "x" };

	if (type == RAFT_APPEND_ENTRIES) {
		hear_entries(d, &m);
		return;
	}
	if (type == RAFT_APPEND_ENTRIES_RESULT)
		m.append_entries_result = (struct raft_append_entries_result){
			.version = (unsigned char)(number() % 3), .term = number(), .rejected = number(), .last_log_index = number() };
	else if (type == RAFT_REQUEST_VOTE)
		m.request_vote = (struct raft_request_vote){
			.version = 2, .term = number(), .candidate_id = m.server_id, .last_log_index = number(),
			.last_log_term = number(), .disrupt_leader = number() & 1, .pre_vote = number() & 1 };
	else if (type == RAFT_REQUEST_VOTE_RESULT)
		m.request_vote_result = (struct raft_request_vote_result){
			.version = 2, .term = number(), .vote_granted = number() & 1, .pre_vote = number() & 1 };
	else if (type == RAFT_TIMEOUT_NOW)
		m.timeout_now = (struct raft_timeout_now){
			.term = number(), .last_log_index = number(), .last_log_term = number() };
	rdrv_receive(d, now, &m);
}

/* The oldest request was executed. What reads the log or lets go of it stays where it is. */
static void complete(struct rdrv *d)
{
	struct rlog_request *request = requests;

	if (!request || (request->kind != RLOG_VOTE && request->kind != RLOG_APPEND))
		return;
	requests = request->next;
	if (!requests)
		last = &requests;
	request->next = NULL;
	if (request->kind == RLOG_APPEND) {
		memset(logged + request->first, 0, sizeof(logged) - request->first * sizeof(logged[0]));
		for (size_t i = 0; i < request->n; i++)
			logged[request->first + i] = request->entries[i]->term;
	}
	rdrv_logged(d, now, request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rlog_recovered recovered;
	struct rlog_request *next;
	struct rdrv *d;

	if (size > 8192)
		return 0;
	memset(logged, 0, sizeof(logged));
	at = data;
	end = data + size;
	requests = NULL;
	last = &requests;
	applied = 1;
	now = 1000;
	dead = false;
	d = start(&recovered);
	for (int event; at < end && !dead;) {
		event = *at++ % 10;
		if (event < 8)
			hear(d, (enum raft_message_type)event);
		else if (event == 8)
			complete(d);
		else
			rdrv_tick(d, now += 1 + number() % 1000);
		rdrv_released(d, now, applied);
	}
	for (; requests; requests = next) {
		next = requests->next;
		rdrv_unlogged(d, requests);
	}
	rdrv_free(d);
	rlog_recovered_clear(&recovered);
	return 0;
}
