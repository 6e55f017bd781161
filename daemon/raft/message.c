// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * message.c - what voters say to each other
 *
 * Incoming: libraft asserts that messages are sound, and its assertions are compiled out, so
 * nothing reaches it unchecked.
 *
 * Outgoing: a message leaves when the term and vote it speaks of are durable, in the order in which
 * libraft made them; its entries come from memory, or are read from the log first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "raft/driver.h"

#define RESULT_VERSION 2 /* of RAFT_APPEND_ENTRIES_RESULT, as libraft 0.22 fills it in */

/* --- incoming --- */

static bool known_server(const struct rdrv *d, raft_id id)
{
	const struct raft_configuration *conf = &d->raft.configuration;

	/* One that joins has no configuration yet and believes who finds it. */
	if (!conf->n)
		return id != d->config.server;
	for (unsigned int i = 0; i < conf->n; i++)
		if (conf->servers[i].id == id)
			return id != d->config.server;
	return false;
}

static bool entries_valid(const struct raft_append_entries *a)
{
	raft_term term = a->prev_log_term;

	if (a->n_entries && !a->entries)
		return false;
	for (unsigned int i = 0; i < a->n_entries; i++) {
		const struct raft_entry *e = &a->entries[i];

		if (!e->term || e->term < term || e->term > a->term || e->buf.len > RNODE_ENTRY_MAX)
			return false;
		term = e->term;
		switch (e->type) {
		case RAFT_COMMAND:
			if (!e->buf.len)
				return false;
			break;
		case RAFT_BARRIER:
			if (e->buf.len)
				return false;
			break;
		case RAFT_CHANGE:
			if (rdrv_conf_check(e->buf.base, e->buf.len))
				return false;
			break;
		default:
			return false;
		}
	}
	return true;
}

static bool append_valid(const struct rdrv *d, const struct raft_append_entries *a)
{
	if (!a->term || !a->prev_log_index != !a->prev_log_term || a->prev_log_term > a->term ||
	    a->prev_log_index > UINT64_MAX / 2 || a->n_entries > (1u << 20))
		return false;
	/* Two leaders of one term: whoever sends this is broken. */
	if (a->term == d->raft.current_term && raft_state((struct raft *)&d->raft) == RAFT_LEADER)
		return false;
	return entries_valid(a);
}

bool rdrv_message_valid(const struct rdrv *d, const struct raft_message *m)
{
	if (!m->server_address || !m->server_id)
		return false;
	switch (m->type) {
	case RAFT_APPEND_ENTRIES:
		/* A leader may be newer than the configuration known here. */
		return m->server_id != d->config.server && append_valid(d, &m->append_entries);
	case RAFT_APPEND_ENTRIES_RESULT:
		return known_server(d, m->server_id) && m->append_entries_result.term;
	case RAFT_REQUEST_VOTE:
		/*
		 * Who votes right after a start may have forgotten a leader that lives: leases
		 * count on a voter's silence for one election timeout.
		 */
		return m->server_id != d->config.server && m->request_vote.term &&
		       m->request_vote.candidate_id == m->server_id &&
		       d->now >= d->started + d->config.election_ms;
	case RAFT_REQUEST_VOTE_RESULT:
		return known_server(d, m->server_id) && m->request_vote_result.term;
	case RAFT_INSTALL_SNAPSHOT:
		if (!d->config.ops->install || m->server_id == d->config.server)
			return false;
		if (m->install_snapshot.term == d->raft.current_term &&
		    raft_state((struct raft *)&d->raft) == RAFT_LEADER)
			return false;
		return m->install_snapshot.term && m->install_snapshot.last_index &&
		       m->install_snapshot.last_term &&
		       m->install_snapshot.last_term <= m->install_snapshot.term &&
		       m->install_snapshot.conf_index &&
		       m->install_snapshot.conf_index <= m->install_snapshot.last_index &&
		       m->install_snapshot.conf.n && m->install_snapshot.conf.n <= RDRV_SERVERS_MAX;
	case RAFT_TIMEOUT_NOW:
		return known_server(d, m->server_id) && m->timeout_now.term;
	default:
		return false;
	}
}

/*
 * Entries that come for what a checkpoint covers: they are committed, so the sender has them as we
 * do. Without this libraft would append them a second time. It is answered as if the message ended
 * at the checkpoint.
 */
static void anchor_at_checkpoint(struct rdrv *d, struct raft_append_entries *a)
{
	a->prev_log_index = d->raft.trail.snapshot.index;
	a->prev_log_term = d->raft.trail.snapshot.term;
	a->n_entries = 0;
}

/* Feeds n entries from the i-th on as one event. */
static void feed_entries(struct rdrv *d, const struct raft_message *m, unsigned int i,
			 unsigned int n)
{
	struct raft_message part = *m;
	struct raft_append_entries *a = &part.append_entries;
	struct raft_event event = { .type = RAFT_RECEIVE, .receive.message = &part };
	struct raft_entry *entries = calloc(n + 1, sizeof(*entries));
	/* Freed by libraft, but not when there are no entries, or when it wants them written. */
	void *batch = raft_malloc(1);
	bool bad = !entries || !batch;
	int rv = RAFT_NOMEM;

	for (unsigned int j = 0; j < n && !bad; j++) {
		const struct raft_entry *from = &a->entries[i + j];
		struct rlog_entry *entry = rlog_entry_alloc(from->buf.base, from->buf.len);

		if (!entry) {
			bad = true;
			break;
		}
		entry->type = (uint8_t)from->type;
		entry->term = from->term;
		entries[j] = *from;
		entries[j].buf.base = entry->bytes;
		entries[j].batch = batch;
	}
	if (!bad) {
		if (i) {
			a->prev_log_index += i;
			a->prev_log_term = a->entries[i - 1].term;
		}
		a->entries = entries;
		a->n_entries = n;
		if (a->prev_log_index < d->raft.trail.offset)
			anchor_at_checkpoint(d, a);
		rv = rdrv_step(d, &event);
		if (!a->n_entries || d->step_wrote)
			raft_free(batch);
	} else {
		raft_free(batch);
	}
	for (unsigned int j = 0; entries && j < n && entries[j].buf.base; j++)
		rlog_entry_put((struct rlog_entry *)((char *)entries[j].buf.base -
						     offsetof(struct rlog_entry, bytes)));
	free(entries);
	if (rv == RAFT_NOMEM)
		rdrv_fail(d, "out of memory");
	else if (rv)
		rdrv_fail(
			d,
			"another voter's log contradicts what is committed here: one of the two was damaged or "
			"restored from a copy; compare the voters and replace the wrong one");
}

/*
 * A configuration must be the first entry of what libraft is fed: it notes the index of the first
 * entry as the configuration's.
 */
static void feed_append(struct rdrv *d, const struct raft_message *m)
{
	const struct raft_append_entries *a = &m->append_entries;
	unsigned int i = 0;

	/* The state machine lags: take nothing more for now, but hear the leader. */
	if (a->n_entries && d->held_bytes > 2 * d->config.queue_bytes) {
		feed_entries(d, m, 0, 0);
		return;
	}
	do {
		unsigned int n = i < a->n_entries;

		while (i + n < a->n_entries && a->entries[i + n].type != RAFT_CHANGE)
			n++;
		feed_entries(d, m, i, n);
		i += n;
	} while (i < a->n_entries && !d->dead);
}

static void feed_install(struct rdrv *d, const struct raft_message *m)
{
	struct raft_message copy = *m;
	struct raft_event event = { .type = RAFT_RECEIVE, .receive.message = &copy };
	void *bytes;
	size_t len;

	/* libraft takes over configuration and data, or frees them. */
	if (d->raft.snapshot.installing ||
	    rdrv_conf_encode(&m->install_snapshot.conf, &bytes, &len))
		return;
	if (!rdrv_conf_decode(bytes, len, &copy.install_snapshot.conf)) {
		copy.install_snapshot.data = (struct raft_buffer){ 0 };
		if (rdrv_step(d, &event))
			rdrv_fail(d, "out of memory");
	}
	free(bytes);
}

/*
 * Tells a leader of an earlier term that it is one. libraft's own answer leaves last_log_index as
 * it was in memory, and names as rejected index 0, which means success, when the message began at
 * the first entry or was a snapshot: had the receiver become the leader of the new term meanwhile,
 * it would take the whole log for stored here.
 */
static bool answer_earlier_term(struct rdrv *d, const struct raft_message *m)
{
	bool append = m->type == RAFT_APPEND_ENTRIES;
	struct raft_message answer = {
		.type = RAFT_APPEND_ENTRIES_RESULT,
		.server_id = m->server_id,
		.server_address = m->server_address,
		.append_entries_result = {
			.version = RESULT_VERSION,
			.term = d->raft.current_term,
			.rejected = append ? m->append_entries.prev_log_index : m->install_snapshot.last_index,
			.last_log_index = raft_last_index(&d->raft),
		},
	};
	struct raft_append_entries_result *result = &answer.append_entries_result;

	if ((append ? m->append_entries.term : m->install_snapshot.term) >= d->raft.current_term)
		return false;
	if (!result->rejected)
		result->rejected = 1;
	if (result->last_log_index >= result->rejected)
		result->last_log_index = result->rejected - 1;
	rdrv_mail_post(d, &answer);
	return true;
}

/*
 * A late rejection of what the follower has stored since. libraft would go back behind what it
 * knows to match, and from there never send that follower an entry again.
 */
static bool late_rejection(struct rdrv *d, struct raft_message *m)
{
	struct raft_append_entries_result *result = &m->append_entries_result;
	raft_index match;

	if (m->type != RAFT_APPEND_ENTRIES_RESULT || !result->rejected ||
	    result->term != d->raft.current_term ||
	    raft_match_index(&d->raft, m->server_id, &match))
		return false;
	if (result->last_log_index < match)
		result->last_log_index = match;
	return result->rejected <= match;
}

void rdrv_message_feed(struct rdrv *d, const struct raft_message *m)
{
	struct raft_message copy = *m;
	struct raft_event event = { .type = RAFT_RECEIVE, .receive.message = &copy };

	if ((m->type == RAFT_APPEND_ENTRIES || m->type == RAFT_INSTALL_SNAPSHOT) &&
	    answer_earlier_term(d, m))
		return;
	if (late_rejection(d, &copy))
		return;
	switch (m->type) {
	case RAFT_APPEND_ENTRIES:
		feed_append(d, m);
		break;
	case RAFT_INSTALL_SNAPSHOT:
		feed_install(d, m);
		break;
	default:
		if (rdrv_step(d, &event))
			rdrv_fail(d, "out of memory");
	}
}

/* --- outgoing --- */

void rdrv_mail_free(struct rdrv_mail *mail)
{
	if (!mail)
		return;
	for (size_t i = 0; i < mail->n; i++)
		rlog_entry_put(mail->entries[i]);
	if (mail->message.type == RAFT_INSTALL_SNAPSHOT)
		raft_configuration_close(&mail->message.install_snapshot.conf);
	free(mail->entries);
	free(mail->address);
	free(mail);
}

static void mail_send(struct rdrv *d, struct rdrv_mail *mail)
{
	struct raft_append_entries *a = &mail->message.append_entries;
	struct raft_entry *entries = NULL;

	if (mail->message.type == RAFT_APPEND_ENTRIES && a->n_entries) {
		entries = calloc(a->n_entries, sizeof(*entries));
		if (!entries)
			return; /* a lost message */
		for (unsigned int i = 0; i < a->n_entries; i++) {
			struct rlog_entry *e = mail->entries[i];

			entries[i].term = e->term;
			entries[i].type = e->type;
			entries[i].buf.base = e->bytes;
			entries[i].buf.len = e->len;
		}
		a->entries = entries;
	}
	mail->message.server_address = mail->address;
	d->config.ops->send(d->config.owner, &mail->message);
	free(entries);
}

void rdrv_mail_flush(struct rdrv *d)
{
	while (d->mail && !d->dead &&
	       (d->mail->gate <= d->vote_done || d->config.bugs & RDRV_BUG_VOTE_UNSYNCED)) {
		struct rdrv_mail *mail = d->mail;

		d->mail = mail->next;
		if (!d->mail)
			d->mail_tail = &d->mail;
		mail_send(d, mail);
		rdrv_mail_free(mail);
	}
}

static void mail_queue(struct rdrv *d, struct rdrv_mail *mail)
{
	*d->mail_tail = mail;
	d->mail_tail = &mail->next;
	rdrv_mail_flush(d);
}

/* True if all entries are in memory; else a READ is on its way and the mail belongs to it. */
static bool mail_fill(struct rdrv *d, struct rdrv_mail *mail)
{
	uint64_t first = mail->message.append_entries.prev_log_index + 1;
	unsigned int n = mail->message.append_entries.n_entries;
	struct rlog_request *read;

	mail->entries = calloc(n, sizeof(*mail->entries));
	if (mail->entries && rdrv_window_at(&d->window, first)) {
		for (; mail->n < n; mail->n++)
			mail->entries[mail->n] =
				rlog_entry_get(rdrv_window_at(&d->window, first + mail->n));
		return true;
	}
	read = rlog_request_alloc(RLOG_READ);
	if (!read || !mail->entries) {
		rlog_request_free(read);
		rdrv_mail_free(mail); /* a lost message */
		return false;
	}
	read->first = first;
	read->last = first + n - 1;
	read->room = RNODE_ENTRY_MAX;
	read->arg = mail;
	rdrv_log(d, read);
	return false;
}

static bool mail_snapshot(struct rdrv *d, struct raft_install_snapshot *s)
{
	/* The configuration at the checkpoint is the first one kept; libraft leaves it to us. */
	s->data = (struct raft_buffer){ 0 };
	raft_configuration_init(&s->conf);
	if (!d->n_confs || s->last_index != d->checkpoint)
		return false;
	s->conf_index = d->confs[0].index;
	return rdrv_conf_decode(d->confs[0].bytes, d->confs[0].len, &s->conf) == 0;
}

/*
 * libraft answers a pre-vote with the candidate's term, even when it refuses because that term is
 * over: the candidate never learns of the later one, and two voters that need each other wait for
 * ever.
 */
static void tell_own_term(const struct rdrv *d, struct raft_message *m)
{
	struct raft_request_vote_result *result = &m->request_vote_result;

	if (m->type == RAFT_REQUEST_VOTE_RESULT && result->pre_vote && !result->vote_granted &&
	    result->term < d->raft.current_term)
		result->term = d->raft.current_term;
}

void rdrv_mail_post(struct rdrv *d, const struct raft_message *m)
{
	struct rdrv_mail *mail = calloc(1, sizeof(*mail));

	if (!mail)
		return;
	mail->message = *m;
	tell_own_term(d, &mail->message);
	mail->gate = d->vote_issued;
	mail->address = strdup(m->server_address ? m->server_address : "");
	if (!mail->address || (m->type == RAFT_INSTALL_SNAPSHOT &&
			       !mail_snapshot(d, &mail->message.install_snapshot))) {
		rdrv_mail_free(mail);
		return;
	}
	if (m->type == RAFT_APPEND_ENTRIES && m->append_entries.n_entries && !mail_fill(d, mail))
		return;
	mail_queue(d, mail);
}

/*
 * The entries were read, some of them: the message is sent with what there is, libraft sends the
 * rest later.
 */
void rdrv_mail_filled(struct rdrv *d, struct rdrv_mail *mail, struct rlog_request *read)
{
	struct raft_append_entries *a = &mail->message.append_entries;

	if (!read->n || a->term != d->raft.current_term || raft_state(&d->raft) != RAFT_LEADER) {
		rdrv_mail_free(mail);
		return;
	}
	for (; mail->n < read->n; mail->n++)
		mail->entries[mail->n] = rlog_entry_get(read->entries[mail->n]);
	a->n_entries = (unsigned int)mail->n;
	mail_queue(d, mail);
}
