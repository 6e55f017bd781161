// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * state.c - the state between entries: transactions, the applied index, counters, the sum over all
 * records
 *
 * One large write transaction spans many entries. The applied index, the counters and the sum are
 * written with it, so the tables always hold exactly the entries up to the index that they name.
 * The log is durable by itself: a transaction that is lost is applied again. durable_index is
 * raised only after a full sync; until then the log must keep what lies above the last one.
 */
#include <errno.h>

#include "base/log.h"
#include "meta/meta.h"
#include "meta/siphash.h"

unsigned int meta_bugs;

static int load(struct meta_state *state)
{
	struct meta_key cluster = meta_key_state(state->mgrp, WEFT_MS_CLUSTER);
	struct meta_key applied = meta_key_state(state->mgrp, WEFT_MS_APPLIED);
	struct meta_key counters = meta_key_state(state->mgrp, WEFT_MS_COUNTERS);
	struct weft_m_applied value;
	size_t len;
	int err;

	err = meta_get(&state->txn, WEFT_MT_STATE, &applied, &value, sizeof(value), NULL, 0, NULL);
	if (err)
		return err == -ENOENT ? 0 : err;
	state->index = state->durable_index = le64_to_cpu(value.index);
	state->term = state->durable_term = le64_to_cpu(value.term);
	state->time_ns = le64_to_cpu(value.time_ns);
	state->hash = le64_to_cpu(value.hash);
	err = meta_get(&state->txn, WEFT_MT_STATE, &counters, &state->counters,
		       sizeof(state->counters), NULL, 0, NULL);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	err = meta_get(&state->txn, WEFT_MT_STATE, &cluster, &state->cluster,
		       sizeof(state->cluster), state->cluster_name, sizeof(state->cluster_name) - 1,
		       &len);
	if (err)
		return err == -ENOENT ? 0 : err;
	state->cluster_name[len] = 0;
	state->formed = true;
	if (le32_to_cpu(state->cluster.format) <= WEFT_META_FORMAT &&
	    le32_to_cpu(state->cluster.level) <= WEFT_META_LEVEL)
		return 0;
	log_error("the database was written by a newer weftd (format %u, level %u); install that "
		  "version again",
		  le32_to_cpu(state->cluster.format), le32_to_cpu(state->cluster.level));
	return -EPROTO;
}

int meta_state_open(struct meta_state *state, const char *dir, u64 map_size,
		    const struct meta_hooks *hooks, void *owner)
{
	int err;

	memset(state, 0, sizeof(*state));
	state->hooks = hooks;
	state->owner = owner;
	err = meta_db_open(&state->db, dir, map_size);
	if (err)
		return err;
	/* What the tables say is durable, or nothing may be dropped on the strength of it. */
	err = meta_db_sync(&state->db);
	if (!err)
		err = meta_state_read(state);
	if (!err) {
		err = load(state);
		meta_state_idle(state);
	}
	if (err)
		meta_db_close(&state->db);
	return err;
}

void meta_state_close(struct meta_state *state)
{
	if (state->writing || state->reading)
		meta_txn_abort(&state->txn);
	state->writing = state->reading = false;
	meta_db_close(&state->db);
}

int meta_state_read(struct meta_state *state)
{
	int err;

	if (state->writing || state->reading)
		return 0;
	err = meta_txn_begin(&state->txn, &state->db, false);
	state->reading = !err;
	return err;
}

void meta_state_idle(struct meta_state *state)
{
	if (state->reading)
		meta_txn_abort(&state->txn);
	state->reading = false;
}

int meta_state_write(struct meta_state *state)
{
	int err;

	if (state->writing)
		return 0;
	meta_state_idle(state);
	err = meta_txn_begin(&state->txn, &state->db, true);
	if (err)
		return err;
	state->txn.hash = state->hash;
	state->writing = true;
	return 0;
}

static int put_state(struct meta_state *state)
{
	struct meta_key cluster = meta_key_state(state->mgrp, WEFT_MS_CLUSTER);
	struct meta_key applied = meta_key_state(state->mgrp, WEFT_MS_APPLIED);
	struct meta_key counters = meta_key_state(state->mgrp, WEFT_MS_COUNTERS);
	struct weft_m_applied value = {
		.index = cpu_to_le64(state->index),
		.term = cpu_to_le64(state->term),
		.time_ns = cpu_to_le64(state->time_ns),
		.hash = cpu_to_le64(state->txn.hash),
	};
	int err;

	err = meta_put(&state->txn, WEFT_MT_STATE, &applied, &value, sizeof(value), NULL, 0);
	if (!err)
		err = meta_put(&state->txn, WEFT_MT_STATE, &counters, &state->counters,
			       sizeof(state->counters), NULL, 0);
	if (!err && state->formed)
		err = meta_put(&state->txn, WEFT_MT_STATE, &cluster, &state->cluster,
			       sizeof(state->cluster), state->cluster_name,
			       strlen(state->cluster_name));
	return err;
}

int meta_state_commit(struct meta_state *state)
{
	int err;

	if (!state->writing)
		return 0;
	state->writing = false;
	err = put_state(state);
	if (err) {
		meta_txn_abort(&state->txn);
		return err;
	}
	state->hash = state->txn.hash;
	return meta_txn_commit(&state->txn);
}

int meta_state_sync(struct meta_state *state)
{
	int err;

	if (meta_bugs & META_BUG_DROP_LOG) {
		state->durable_index = state->index;
		state->durable_term = state->term;
		return 0;
	}
	err = meta_state_commit(state);
	if (!err)
		err = meta_db_sync(&state->db);
	if (err)
		return err;
	state->durable_index = state->index;
	state->durable_term = state->term;
	return 0;
}

u64 meta_state_hash(const struct meta_state *state)
{
	static const u8 key[16] = "weft counters";

	return (state->writing ? state->txn.hash : state->hash) +
	       siphash(key, &state->counters, sizeof(state->counters));
}
