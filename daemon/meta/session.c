// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * session.c - mounts, and the requests that they numbered
 *
 * A session is found by its id and by the UUID of its mount; both records come and go together, but
 * that a session being closed has given its UUID back already. A slot holds the newest request of
 * that slot and what it was answered.
 */
#include <errno.h>

#include "base/log.h"
#include "meta/meta.h"

int meta_session_decode(const struct meta_key *key, const u8 *value, size_t len,
			struct meta_session *session)
{
	u32 name_len;

	memset(session, 0, sizeof(*session));
	session->session = meta_key_get_u64(key, 0);
	if (len < sizeof(session->head))
		goto bad;
	memcpy(&session->head, value, sizeof(session->head));
	name_len = le32_to_cpu(session->head.name_len);
	if (name_len >= sizeof(session->name) || len != sizeof(session->head) + name_len)
		goto bad;
	memcpy(session->name, value + sizeof(session->head), name_len);
	return 0;
bad:
	log_error("the record of session %llx is malformed", (unsigned long long)session->session);
	return -EBADMSG;
}

int meta_session_get(struct meta_txn *txn, u64 id, struct meta_session *session)
{
	struct meta_key key = meta_key_u64(id);
	u8 value[sizeof(session->head) + sizeof(session->name)];
	size_t len;
	int err;

	err = meta_get(txn, WEFT_MT_SESSION, &key, NULL, 0, value, sizeof(value), &len);
	if (err)
		return err;
	return meta_session_decode(&key, value, len, session);
}

int meta_session_put(struct meta_txn *txn, const struct meta_session *session)
{
	struct meta_key key = meta_key_u64(session->session);

	return meta_put(txn, WEFT_MT_SESSION, &key, &session->head, sizeof(session->head),
			session->name, le32_to_cpu(session->head.name_len));
}

int meta_session_find(struct meta_txn *txn, u8 mgrp, const u8 client[16], u64 *session)
{
	struct meta_key key = meta_key_client(mgrp, client);
	struct weft_m_number number;
	int err;

	err = meta_get(txn, WEFT_MT_CLIENT, &key, &number, sizeof(number), NULL, 0, NULL);
	if (!err)
		*session = le64_to_cpu(number.number);
	return err;
}

int meta_slot_get(struct meta_txn *txn, u64 session, u32 slot, struct meta_slot *record)
{
	struct meta_key key = meta_key_slot(session, slot);
	size_t len;
	int err;

	err = meta_get(txn, WEFT_MT_SLOT, &key, &record->head, sizeof(record->head), record->answer,
		       sizeof(record->answer), &len);
	if (err == -ENOENT) {
		memset(&record->head, 0, sizeof(record->head));
		return 0;
	}
	if (!err && len != le32_to_cpu(record->head.answer_len))
		return -EBADMSG;
	return err;
}

int meta_slot_put(struct meta_txn *txn, u64 session, u32 slot, const struct meta_slot *record)
{
	struct meta_key key = meta_key_slot(session, slot);

	return meta_put(txn, WEFT_MT_SLOT, &key, &record->head, sizeof(record->head),
			record->answer, le32_to_cpu(record->head.answer_len));
}

/*
 * What letting go of a slot may touch: itself, and the chunks of a COMMIT that did not come to its
 * end.
 */
#define SLOT_RECORDS (1u + 2u * (WEFT_PAYLOAD_MAX / (unsigned int)sizeof(struct weft_chunk_new)))

/* Its slots, within the budget; *done: none is left. */
static int drop_slots(struct meta_state *state, u64 session, bool *done)
{
	struct meta_key first = meta_key_slot(session, 0);
	struct meta_slot slot;
	struct meta_walk walk;
	int err;

	err = meta_walk_begin(&walk, &state->txn, WEFT_MT_SLOT);
	if (err)
		return err;
	*done = false;
	for (;;) {
		err = meta_walk_seek(&walk, &first);
		if (err == -ENOENT || (!err && !meta_walk_within(&walk, &first, sizeof(u64)))) {
			*done = true;
			err = 0;
			break;
		}
		if (err || meta_budget_left(state) < SLOT_RECORDS)
			break;
		err = meta_slot_get(&state->txn, session, meta_key_get_u32(&walk.key, sizeof(u64)),
				    &slot);
		if (!err)
			err = meta_commit_abandon(state, &slot);
		if (!err)
			err = meta_del(&state->txn, WEFT_MT_SLOT, &walk.key);
		if (err)
			break;
	}
	meta_walk_end(&walk);
	return err;
}

/* What it held open and nobody names any more becomes work, within the budget. */
static int drop_orphans(struct meta_state *state, u64 session, const struct meta_tree *tree,
			bool *done)
{
	struct meta_key first = meta_key_orphan(tree, session, 0);
	struct weft_m_mark mark = { .time_ns = cpu_to_le64(state->time_ns) };
	struct meta_key job;
	struct meta_walk walk;
	int err;

	err = meta_walk_begin(&walk, &state->txn, WEFT_MT_ORPHAN);
	if (err)
		return err;
	*done = false;
	for (;;) {
		err = meta_walk_seek(&walk, &first);
		if (err == -ENOENT ||
		    (!err && !meta_walk_within(&walk, &first, first.len - sizeof(u64)))) {
			*done = true;
			err = 0;
			break;
		}
		if (err || meta_budget_left(state) < 4)
			break;
		job = meta_key_job(tree, WEFT_MJ_REAP,
				   meta_key_get_u64(&walk.key, first.len - sizeof(u64)));
		err = meta_del(&state->txn, WEFT_MT_ORPHAN, &walk.key);
		if (!err)
			err = meta_put(&state->txn, WEFT_MT_JOB, &job, &mark, sizeof(mark), NULL,
				       0);
		if (err)
			break;
	}
	meta_walk_end(&walk);
	return err;
}

/* First step: nobody finds it or may speak in its name any more, and the volume is free. */
static int close_session(struct meta_state *state, struct meta_session *session)
{
	u64 id = le64_to_cpu(session->head.volume);
	struct meta_key client = meta_key_client(state->mgrp, session->head.client);
	struct meta_volume volume;
	int err;

	err = meta_del(&state->txn, WEFT_MT_CLIENT, &client);
	if (err && err != -ENOENT)
		return err;
	err = meta_volume_get(&state->txn, id, &volume);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	if (le64_to_cpu(volume.head.session) == session->session) {
		volume.head.session = 0;
		err = meta_volume_put(&state->txn, &volume);
		if (err)
			return err;
		if (state->hooks)
			state->hooks->volume(state->owner, id);
	}
	session->head.flags |= cpu_to_le32(WEFT_MSF_CLOSING);
	err = meta_session_put(&state->txn, session);
	if (!err && state->hooks)
		state->hooks->session(state->owner, session->session, false);
	return err;
}

int meta_session_end_step(struct meta_state *state, struct meta_session *session)
{
	struct meta_tree tree = { state->mgrp, le64_to_cpu(session->head.volume) };
	struct meta_key key = meta_key_u64(session->session);
	bool done = false;
	int err;

	if (!(le32_to_cpu(session->head.flags) & WEFT_MSF_CLOSING)) {
		err = close_session(state, session);
		if (err)
			return err;
	}
	err = drop_slots(state, session->session, &done);
	if (!err && done)
		err = drop_orphans(state, session->session, &tree, &done);
	if (err)
		return err;
	if (!done)
		return META_MORE;
	err = meta_del(&state->txn, WEFT_MT_SESSION, &key);
	if (err)
		return err;
	le64_sub(&state->counters.sessions, 1);
	if (state->hooks)
		state->hooks->session(state->owner, session->session, true);
	return WEFT_ST_OK;
}
