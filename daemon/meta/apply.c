// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply.c - an entry of the log becomes a change of the state
 *
 * What a request comes to, errors included, is kept in its slot: a repeat is answered and never run
 * again. A request that needs more records than an entry may touch leaves its slot PARTIAL with
 * where it stopped, and goes on when the same entry comes again, from this leader or the next. If
 * its session ends before, what was done stays: every step leaves a state that some order of
 * smaller requests could have made.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "meta/meta.h"

void meta_outcome_init(struct meta_outcome *outcome)
{
	memset(outcome, 0, sizeof(*outcome));
	tlv_writer_init(&outcome->answer, WEFT_PAYLOAD_MAX);
}

void meta_outcome_free(struct meta_outcome *outcome)
{
	tlv_writer_free(&outcome->answer);
}

static int run_request(struct meta_apply *apply)
{
	switch (apply->entry->op) {
	case WEFT_REQ_SETATTR:
		return meta_apply_setattr(apply);
	case WEFT_REQ_CREATE:
		return meta_apply_create(apply);
	case WEFT_REQ_LINK:
		return meta_apply_link(apply);
	case WEFT_REQ_UNLINK:
		return meta_apply_unlink(apply);
	case WEFT_REQ_RENAME:
		return meta_apply_rename(apply);
	case WEFT_REQ_FORGET:
		return meta_apply_forget(apply);
	case WEFT_REQ_COMMIT:
		return meta_apply_commit(apply);
	case WEFT_REQ_CLONE:
		return meta_apply_clone(apply);
	case WEFT_REQ_SHARDS_STORED:
	case WEFT_REQ_SHARDS_MISSING:
		return meta_apply_shards(apply);
	case WEFT_REQ_UMOUNT:
		return meta_apply_umount(apply);
	}
	log_error("the log holds a request of kind %u, which this version does not know",
		  apply->entry->op);
	return -EBADMSG;
}

/* What changes files; the rest is allowed on a read-only mount too. */
static bool changes_volume(u16 op)
{
	switch (op) {
	case WEFT_REQ_SETATTR:
	case WEFT_REQ_CREATE:
	case WEFT_REQ_LINK:
	case WEFT_REQ_UNLINK:
	case WEFT_REQ_RENAME:
	case WEFT_REQ_COMMIT:
	case WEFT_REQ_CLONE:
		return true;
	}
	return false;
}

/* The answer's bytes as they will be sent, for a repeat. */
static int answer_repeat(struct meta_outcome *outcome, const struct meta_slot *slot)
{
	struct tlv_reader reader;
	struct tlv tlv;
	int ret;

	tlv_reader_init(&reader, slot->answer, le32_to_cpu(slot->head.answer_len));
	while ((ret = tlv_next(&reader, &tlv)) == 1)
		tlv_put(&outcome->answer, tlv.type, tlv.data, tlv.len);
	outcome->status = le32_to_cpu(slot->head.status);
	return ret ? -EBADMSG : tlv_finish(&outcome->answer);
}

static int save_answer(struct meta_apply *apply, u32 status)
{
	struct meta_outcome *outcome = apply->outcome;
	struct weft_m_slot *head = &apply->slot.head;
	size_t len = outcome->answer.len;

	head->sequence = cpu_to_le64(apply->entry->sequence);
	head->op = cpu_to_le16(apply->entry->op);
	head->request_crc = cpu_to_le32(apply->entry->request_crc);
	if (status == META_MORE) {
		head->flags = cpu_to_le16(WEFT_MLF_PARTIAL);
		return meta_slot_put(&apply->state->txn, apply->entry->session, apply->entry->slot,
				     &apply->slot);
	}
	if (len > sizeof(apply->slot.answer))
		return -EBADMSG;
	head->flags = 0;
	head->cursor = 0;
	head->status = cpu_to_le32(status);
	head->answer_len = cpu_to_le32((u32)len);
	if (len)
		memcpy(apply->slot.answer, outcome->answer.data, len);
	return meta_slot_put(&apply->state->txn, apply->entry->session, apply->entry->slot,
			     &apply->slot);
}

/* 1: run it; 0: answered from the slot. */
static int check_slot(struct meta_apply *apply)
{
	const struct meta_entry *entry = apply->entry;
	const struct weft_m_slot *head = &apply->slot.head;
	u64 newest;
	int err;

	memset(&apply->slot.head, 0, sizeof(apply->slot.head));
	if (entry->slot == WEFT_SLOT_NONE)
		return 1;
	err = meta_slot_get(&apply->state->txn, entry->session, entry->slot, &apply->slot);
	if (err)
		return err;
	newest = le64_to_cpu(head->sequence);
	if (entry->sequence > newest) {
		memset(&apply->slot.head, 0, sizeof(apply->slot.head));
		return 1;
	}
	if (entry->sequence < newest || le16_to_cpu(head->op) != entry->op ||
	    le32_to_cpu(head->request_crc) != entry->request_crc) {
		apply->outcome->status = WEFT_ST_REPEAT;
		return 0;
	}
	if (le16_to_cpu(head->flags) & WEFT_MLF_PARTIAL)
		return 1;
	if (meta_bugs & META_BUG_RERUN_REPEATS)
		return 1;
	return answer_repeat(apply->outcome, &apply->slot);
}

static int load_session(struct meta_apply *apply)
{
	struct meta_txn *txn = &apply->state->txn;
	int err;

	err = meta_session_get(txn, apply->entry->session, &apply->session);
	if (err)
		return err == -ENOENT ? WEFT_ST_SESSION_LOST : err;
	/* UMOUNT itself goes on in steps. */
	if (le32_to_cpu(apply->session.head.flags) & WEFT_MSF_CLOSING &&
	    apply->entry->op != WEFT_REQ_UMOUNT)
		return WEFT_ST_SESSION_LOST;
	apply->tree =
		(struct meta_tree){ apply->state->mgrp, le64_to_cpu(apply->session.head.volume) };
	err = meta_volume_get(txn, apply->tree.volume, &apply->volume);
	return err == -ENOENT ? -EBADMSG : err;
}

static int apply_request(struct meta_state *state, const struct meta_entry *entry,
			 struct meta_outcome *outcome)
{
	struct meta_apply apply = { .state = state, .entry = entry, .outcome = outcome };
	int ret;

	ret = load_session(&apply);
	if (ret < 0)
		return ret;
	if (ret) {
		outcome->status = entry->op == WEFT_REQ_UMOUNT ? WEFT_ST_OK : (u32)ret;
		return 0;
	}
	ret = check_slot(&apply);
	if (ret <= 0)
		return ret;
	if (changes_volume(entry->op) && le32_to_cpu(apply.session.head.flags) & WEFT_MSF_READONLY)
		ret = WEFT_ST_ROFS;
	else
		ret = run_request(&apply);
	if (ret < 0)
		return ret;
	outcome->status = (u32)ret;
	if (tlv_finish(&outcome->answer))
		return tlv_finish(&outcome->answer);
	/* UMOUNT took the slots with it. */
	if (entry->slot == WEFT_SLOT_NONE || entry->op == WEFT_REQ_UMOUNT)
		return 0;
	return save_answer(&apply, (u32)ret);
}

static int dispatch(struct meta_state *state, const struct meta_entry *entry,
		    struct meta_outcome *outcome)
{
	switch (entry->type) {
	case WEFT_ME_CLUSTER_INIT:
		return meta_apply_cluster_init(state, entry, outcome);
	case WEFT_ME_VOLUME_CREATE:
		return meta_apply_volume_create(state, entry, outcome);
	case WEFT_ME_VOLUME_SET:
		return meta_apply_volume_set(state, entry, outcome);
	case WEFT_ME_HOST_SET:
		return meta_apply_host_set(state, entry, outcome);
	case WEFT_ME_STORE_SET:
		return meta_apply_store_set(state, entry, outcome);
	case WEFT_ME_GROUP_CREATE:
		return meta_apply_group_create(state, entry, outcome);
	case WEFT_ME_GROUP_SET:
		return meta_apply_group_set(state, entry, outcome);
	case WEFT_ME_MOUNT:
		return meta_apply_mount(state, entry, outcome);
	case WEFT_ME_SESSION_END:
		return meta_apply_session_end(state, entry, outcome);
	case WEFT_ME_REAP:
		return meta_apply_reap(state, entry, outcome);
	case WEFT_ME_HEALED:
		return meta_apply_healed(state, entry, outcome);
	case WEFT_ME_DELETING:
		return meta_apply_deleting(state, entry, outcome);
	case WEFT_ME_DELETED:
		return meta_apply_deleted(state, entry, outcome);
	case WEFT_ME_KEYS_SET:
		return meta_apply_keys_set(state, entry, outcome);
	}
	log_error("the log holds an entry of type %u, which this version does not know",
		  entry->type);
	return -EBADMSG;
}

static int apply_entry(struct meta_state *state, const struct meta_entry *entry,
		       struct meta_outcome *outcome)
{
	int ret;

	ret = meta_state_write(state);
	if (ret)
		return ret;
	state->time_ns = entry->time_ns > state->time_ns ? entry->time_ns : state->time_ns + 1;
	state->budget = state->txn.written + WEFT_M_ENTRY_RECORDS;
	state->usage = (struct meta_usage_change){ 0 };
	/* What it leaves behind is nothing for a program that does not know its level. */
	if (entry->level > le32_to_cpu(state->cluster.level))
		state->cluster.level = cpu_to_le32(entry->level);
	if (entry->type == WEFT_ME_REQUEST)
		ret = apply_request(state, entry, outcome);
	else
		ret = dispatch(state, entry, outcome);
	if (ret > 0)
		outcome->status = (u32)ret;
	return ret < 0 ? ret : meta_usage_flush(state);
}

int meta_apply(struct meta_state *state, u64 index, u64 term, const void *bytes, size_t len,
	       struct meta_outcome *outcome)
{
	struct meta_entry entry;
	void *copy = NULL;
	int err;

	if (index <= state->index)
		return 0;
	/* Bodies are structures of eight-byte numbers; the log packs entries closer. */
	if ((uintptr_t)bytes % sizeof(u64)) {
		copy = malloc(len);
		if (!copy)
			return -ENOMEM;
		bytes = memcpy(copy, bytes, len);
	}
	err = meta_entry_decode(bytes, len, &entry);
	if (!err)
		err = apply_entry(state, &entry, outcome);
	free(copy);
	if (err) {
		/* Nothing that may be out of step with the other voters ever reaches the disk. */
		if (state->writing)
			meta_txn_abort(&state->txn);
		state->writing = false;
		log_error("entry %llu of the log cannot be applied (%s): it is damaged, or a newer "
			  "weftd wrote it, or this machine failed",
			  (unsigned long long)index, strerror(-err));
		return err;
	}
	state->index = index;
	state->term = term;
	return 0;
}

int meta_apply_nothing(struct meta_state *state, u64 index, u64 term)
{
	int err;

	if (index <= state->index)
		return 0;
	err = meta_state_write(state);
	if (err)
		return err;
	state->index = index;
	state->term = term;
	return 0;
}
