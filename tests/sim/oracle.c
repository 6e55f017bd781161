// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * oracle.c - what must be true of a cluster at any time
 *
 * Knows everything, the voters know nothing of it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "chunk/crc32c.h"
#include "engine.h"
#include "raft/driver.h"

static void *grow(void *array, size_t *n, uint64_t index, size_t size)
{
	size_t want = *n;

	if (index < want)
		return array;
	want = 2 * (index + 1);
	array = realloc(array, want * size);
	if (!array)
		abort();
	memset((char *)array + *n * size, 0, (want - *n) * size);
	*n = want;
	return array;
}

static struct fact *fact_at(struct sim_cluster *c, uint64_t index)
{
	c->facts = grow(c->facts, &c->n_facts, index, sizeof(*c->facts));
	return &c->facts[index];
}

void oracle_applied(struct voter *v, const struct rnode_entry *entry)
{
	struct sim_cluster *c = v->c;
	struct fact *fact = fact_at(c, entry->index);
	uint32_t crc = weft_crc32c((u32)entry->type, entry->bytes, entry->len);

	if (fact->known && (fact->term != entry->term || fact->crc != crc)) {
		sim_fail(c,
			 "voter %u applies entry %" PRIu64 " of term %" PRIu64
			 ", but it was committed as of term %" PRIu64 "%s",
			 v->number + 1, entry->index, entry->term, fact->term,
			 fact->term == entry->term ? " with other content" : "");
		return;
	}
	fact->known = true;
	fact->term = entry->term;
	fact->crc = crc;
	c->result->applied++;
	if (entry->ctx) {
		c->result->acknowledged++;
		if (entry->index > c->acknowledged)
			c->acknowledged = entry->index;
	}
}

void oracle_state(struct voter *v, uint64_t index, uint64_t hash)
{
	struct fact *fact = fact_at(v->c, index);

	if (fact->has_state && fact->state != hash)
		sim_fail(v->c,
			 "voter %u has another state at entry %" PRIu64 " than there was before",
			 v->number + 1, index);
	fact->has_state = true;
	fact->state = hash;
}

void oracle_leader(struct voter *v, uint64_t term)
{
	struct sim_cluster *c = v->c;

	c->leaders = grow(c->leaders, &c->n_leaders, term, sizeof(*c->leaders));
	if (c->leaders[term] && c->leaders[term] != v->number + 1)
		sim_fail(c, "term %" PRIu64 " has two leaders, %" PRIu64 " and %u", term,
			 c->leaders[term], v->number + 1);
	if (!c->leaders[term])
		c->result->elections++;
	c->leaders[term] = v->number + 1;
}

static bool holds(const struct voter *v, uint64_t index, uint64_t term)
{
	if (index <= v->durable_base)
		return true;
	return index <= v->durable_last && v->durable[index] == term;
}

void oracle_committed(struct voter *v)
{
	struct sim_cluster *c = v->c;
	const struct raft_configuration *conf = rdrv_configuration(v->driver);
	unsigned int voters = 0, have = 0;
	struct rnode_status status;
	uint64_t term;

	rdrv_status(v->driver, &status);
	if (status.commit_index <= v->seen_commit)
		return;
	v->seen_commit = status.commit_index;
	if (status.role != RNODE_LEADER)
		return;
	/*
	 * Behind a checkpoint only the past knows the term; what is not in the leader's own log yet
	 * is of its term.
	 */
	term = status.term;
	if (status.commit_index <= v->durable_base)
		term = fact_at(c, status.commit_index)->term;
	else if (v->durable_last >= status.commit_index)
		term = v->durable[status.commit_index];
	for (unsigned int i = 0; i < conf->n; i++) {
		if (conf->servers[i].role != RAFT_VOTER)
			continue;
		voters++;
		have += holds(&c->voters[conf->servers[i].id - 1], status.commit_index, term);
	}
	if (have <= voters / 2)
		sim_fail(c,
			 "voter %u calls entry %" PRIu64 " of term %" PRIu64
			 " committed, but only %u of %u logs hold it "
			 "durably",
			 v->number + 1, status.commit_index, term, have, voters);
}

/* The term a message speaks of; 0: none that has to be durable. */
static uint64_t term_of(const struct raft_message *m)
{
	switch (m->type) {
	case RAFT_APPEND_ENTRIES:
		return m->append_entries.term;
	case RAFT_APPEND_ENTRIES_RESULT:
		return m->append_entries_result.term;
	case RAFT_REQUEST_VOTE:
		return m->request_vote.pre_vote ? 0 : m->request_vote.term;
	case RAFT_REQUEST_VOTE_RESULT:
		return m->request_vote_result.pre_vote ? 0 : m->request_vote_result.term;
	case RAFT_INSTALL_SNAPSHOT:
		return m->install_snapshot.term;
	case RAFT_TIMEOUT_NOW:
		return m->timeout_now.term;
	}
	return 0;
}

void oracle_sent(struct voter *v, const struct raft_message *m)
{
	const struct raft_append_entries_result *result = &m->append_entries_result;
	uint64_t index = result->last_log_index;

	if (term_of(m) > v->durable_term)
		sim_fail(v->c,
			 "voter %u speaks of term %" PRIu64 ", but on its disk stands %" PRIu64,
			 v->number + 1, term_of(m), v->durable_term);
	if (m->type == RAFT_REQUEST_VOTE_RESULT && m->request_vote_result.vote_granted &&
	    !m->request_vote_result.pre_vote && term_of(m) == v->durable_term &&
	    v->durable_vote != m->server_id)
		sim_fail(v->c, "voter %u votes for %llu, but on its disk stands %" PRIu64,
			 v->number + 1, m->server_id, v->durable_vote);
	/* One of an earlier term was true when it was made. */
	if (m->type != RAFT_APPEND_ENTRIES_RESULT || result->rejected || !index ||
	    result->term != v->driver->raft.current_term)
		return;
	if (!holds(v, index, rdrv_term_of(v->driver, index)))
		sim_fail(v->c,
			 "voter %u acknowledges entry %" PRIu64 ", but does not hold it durably",
			 v->number + 1, index);
}

void oracle_appended(struct voter *v, const struct rlog_request *request)
{
	switch (request->kind) {
	case RLOG_VOTE:
		v->durable_term = request->state.term;
		v->durable_vote = request->state.vote;
		break;
	case RLOG_APPEND:
		v->durable = grow(v->durable, &v->n_durable, request->last, sizeof(*v->durable));
		for (size_t i = 0; i < request->n; i++)
			v->durable[request->first + i] = request->entries[i]->term;
		v->durable_last = request->last;
		break;
	case RLOG_RESET:
		v->durable_base = v->durable_last = request->state.checkpoint_index;
		break;
	default:
		break;
	}
}

void oracle_recovered(struct voter *v, const struct rlog_recovered *rec)
{
	v->durable = grow(v->durable, &v->n_durable, rec->last_index, sizeof(*v->durable));
	v->durable_base = rec->first_index - 1;
	v->durable_last = rec->last_index;
	v->durable_term = rec->state.term;
	v->durable_vote = rec->state.vote;
	for (size_t i = 0; i < rec->n_runs; i++) {
		uint64_t end = i + 1 < rec->n_runs ? rec->runs[i + 1].first : rec->last_index + 1;

		for (uint64_t index = rec->runs[i].first; index < end; index++)
			v->durable[index] = rec->runs[i].term;
	}
}

bool oracle_settled(struct sim_cluster *c)
{
	uint64_t applied = c->voters[0].applied;
	uint64_t hash = 0;

	for (unsigned int i = 0; i < c->plan->voters; i++) {
		struct voter *v = &c->voters[i];
		struct rnode_status status;

		if (!v->alive || v->applied != applied || v->applied < c->acknowledged || v->busy ||
		    v->n_queue)
			return false;
		rdrv_status(v->driver, &status);
		if (status.commit_index != applied || status.last_index != applied)
			return false;
		if (!i)
			hash = c->plan->machine->hash(v->machine);
		else if (c->plan->machine->hash(v->machine) != hash)
			return false;
	}
	return true;
}
