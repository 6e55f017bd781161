// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * start.c - a driver's beginning and end
 *
 * Loop thread. What the log holds and what the state machine says of itself must fit together
 * before libraft sees any of it: the state may be neither older than the log's beginning nor newer
 * than its end.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "raft/driver.h"

#define INFLIGHT_MAX 512 /* entries on their way to one follower */

/* What libraft wants to see of the log: terms, and the bytes of configurations. */
static struct raft_entry *start_entries(const struct rlog_recovered *rec, size_t n)
{
	struct raft_entry *entries = raft_calloc(n ? n : 1, sizeof(*entries));
	size_t run = 0, change = 0;

	for (size_t i = 0; entries && i < n; i++) {
		uint64_t index = rec->first_index + i;

		while (run + 1 < rec->n_runs && rec->runs[run + 1].first <= index)
			run++;
		entries[i].term = rec->runs[run].term;
		entries[i].type = RAFT_COMMAND;
		if (change < rec->n_changes && rec->changes[change]->index == index) {
			entries[i].type = RAFT_CHANGE;
			entries[i].buf.base = rec->changes[change]->bytes;
			entries[i].buf.len = rec->changes[change]->len;
			change++;
		}
	}
	return entries;
}

static int check_start(const struct rlog_recovered *rec, uint64_t applied, uint64_t applied_term,
		       char *why)
{
	uint64_t term = 0;

	if (applied < rec->state.checkpoint_index) {
		snprintf(
			why, RNODE_WHY_MAX,
			"the metadata's state ends at entry %" PRIu64
			", but the log begins behind %" PRIu64
			": the state was lost or is an old copy; this voter must be refilled or restored",
			applied, rec->state.checkpoint_index);
		return -EUCLEAN;
	}
	if (applied > rec->last_index) {
		snprintf(why, RNODE_WHY_MAX,
			 "the metadata's state holds entry %" PRIu64
			 ", but the log ends at %" PRIu64
			 ": the log was lost or is an old copy; this voter must not vote with it",
			 applied, rec->last_index);
		return -EUCLEAN;
	}
	for (size_t i = 0; i < rec->n_runs && rec->runs[i].first <= applied; i++)
		term = rec->runs[i].term;
	if (applied_term && term && applied >= rec->first_index && term != applied_term) {
		snprintf(why, RNODE_WHY_MAX,
			 "entry %" PRIu64 " is of term %" PRIu64
			 " in the metadata's state and of term %" PRIu64
			 " in the log: they do not belong together",
			 applied, applied_term, term);
		return -EUCLEAN;
	}
	return 0;
}

static int start_confs(struct rdrv *d, const struct rlog_recovered *rec)
{
	int ret = 0;

	if (rec->state.conf_len)
		ret = rdrv_conf_add(d, rec->state.conf_index, rec->state.conf, rec->state.conf_len);
	for (size_t i = 0; i < rec->n_changes && !ret; i++)
		if (rec->changes[i]->index > rec->state.conf_index)
			ret = rdrv_conf_add(d, rec->changes[i]->index, rec->changes[i]->bytes,
					    rec->changes[i]->len);
	return ret;
}

int rdrv_start(struct rdrv *d, uint64_t now, const struct rlog_recovered *rec, uint64_t applied,
	       uint64_t applied_term, char *why)
{
	struct raft_snapshot_metadata metadata = { .index = rec->state.checkpoint_index,
						   .term = rec->state.checkpoint_term,
						   .configuration_index = rec->state.conf_index };
	size_t n = rec->last_index - rec->first_index + 1;
	struct raft_event event = { .type = RAFT_START };
	int ret = check_start(rec, applied, applied_term, why);

	if (ret)
		return ret;
	ret = start_confs(d, rec);
	if (!ret && rec->state.conf_len)
		ret = rdrv_conf_decode(rec->state.conf, rec->state.conf_len,
				       &metadata.configuration);
	event.start.entries = ret ? NULL : start_entries(rec, n);
	if (!event.start.entries) {
		snprintf(why, RNODE_WHY_MAX, "cannot start the voter: %s",
			 ret == -EBADMSG ? "the configuration in the log is not valid"
					 : "out of memory");
		return ret ? ret : -ENOMEM;
	}
	d->now = d->started = now;
	d->durable = rec->last_index;
	d->handed = d->released = applied;
	d->checkpoint = d->checkpoint_issued = rec->state.checkpoint_index;
	event.start.term = rec->state.term;
	event.start.voted_for = rec->state.vote;
	event.start.metadata = metadata.index ? &metadata : NULL;
	event.start.start_index = rec->first_index;
	event.start.n_entries = (unsigned int)n;
	if (!n) {
		raft_free(event.start.entries);
		event.start.entries = NULL;
	}
	if (rdrv_step(d, &event)) {
		/* libraft has freed the entries. */
		snprintf(why, RNODE_WHY_MAX, "cannot start the voter: out of memory");
		return -ENOMEM;
	}
	raft_free(event.start.entries);
	rdrv_settle(d);
	return 0;
}

int rdrv_alloc(const struct rdrv_config *config, struct rdrv **result)
{
	struct rdrv *d = calloc(1, sizeof(*d));
	int rv;

	if (!d)
		return -ENOMEM;
	d->config = *config;
	d->mail_tail = &d->mail;
	d->flights_tail = &d->flights;
	d->told_state = -1;
	rv = raft_init(&d->raft, NULL, NULL, config->server, config->address);
	if (rv) {
		free(d);
		return -ENOMEM;
	}
	raft_seed(&d->raft, (unsigned int)(config->seed ^ config->seed >> 32));
	raft_set_election_timeout(&d->raft, config->election_ms);
	raft_set_heartbeat_timeout(&d->raft, config->heartbeat_ms);
	raft_set_max_inflight_entries(&d->raft, INFLIGHT_MAX);
	raft_set_pre_vote(&d->raft, true);
	*result = d;
	return 0;
}

void rdrv_free(struct rdrv *d)
{
	if (!d)
		return;
	raft_configuration_close(&d->install.configuration);
	raft_close(&d->raft, NULL);
	while (d->mail) {
		struct rdrv_mail *mail = d->mail;

		d->mail = mail->next;
		rdrv_mail_free(mail);
	}
	while (d->flights) {
		struct rdrv_flight *flight = d->flights;

		d->flights = flight->next;
		free(flight);
	}
	rdrv_window_clear(&d->window);
	rdrv_window_clear(&d->replay);
	rdrv_conf_cut(d, 0);
	free(d->confs);
	free(d);
}
