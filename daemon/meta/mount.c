// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mount.c - who has a volume mounted
 *
 * A volume has one mount at a time. A second client is told who has it; only when the first has
 * been silent for the session's whole time is its session ended, by an entry, and the volume given
 * away. Ending it first fences it: none of its requests is accepted after that entry, wherever it
 * comes back to life.
 */
#include <errno.h>

#include "base/log.h"
#include "meta/service.h"

#define SECOND_NS 1000000000ull

static int propose_end(struct meta_op *op, u64 session)
{
	struct weft_e_object body = { .object = cpu_to_le64(session) };
	int err;

	err = meta_entry_begin(&op->entry, WEFT_ME_SESSION_END);
	if (!err)
		err = meta_buffer_put(&op->entry, &body, sizeof(body));
	op->step = META_SUBMIT;
	return err;
}

static int propose_mount(struct meta_op *op, const struct cat_volume *volume)
{
	struct weft_e_mount body = { .volume = cpu_to_le64(volume->volume) };
	size_t len = strlen(op->client->name);
	int err;

	memcpy(body.client, op->ask.client, sizeof(body.client));
	if (op->ask.flags & WEFT_PF_READONLY)
		body.flags = cpu_to_le32(WEFT_MSF_READONLY);
	body.name_len = cpu_to_le32((u32)len);
	err = meta_entry_begin(&op->entry, WEFT_ME_MOUNT);
	if (!err)
		err = meta_buffer_put(&op->entry, &body, sizeof(body));
	if (!err)
		err = meta_buffer_put(&op->entry, op->client->name, len);
	op->step = META_SUBMIT;
	return err;
}

static u64 silence(const struct cat_session *holder, u64 now)
{
	return now > holder->renewed_ns ? now - holder->renewed_ns : 0;
}

/* Somebody has it. True if it can be taken from him. */
static bool is_expired(struct meta_brain *brain, const struct cat_session *holder, u64 now)
{
	return !holder || silence(holder, now) > brain->settings.session_ns;
}

static void refuse_busy(struct meta_brain *brain, struct meta_op *op,
			const struct cat_volume *volume, const struct cat_session *holder, u64 now)
{
	u64 silent = silence(holder, now) / SECOND_NS;

	meta_op_refuse(op, WEFT_ST_VOLUME_BUSY, WEFT_P_TEXT,
		       "host %s has volume %s mounted and was heard of %llu s ago; unmount it "
		       "there, or wait until it has been silent for %llu s",
		       holder->name, volume->name, (unsigned long long)silent,
		       (unsigned long long)(brain->settings.session_ns / SECOND_NS));
}

enum { MOUNT_DECIDE, MOUNT_ENDED, MOUNT_MADE };

void meta_run_mount(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_volume *volume = catalog_volume_by_name(&brain->catalog, op->ask.name);
	struct cat_session *holder;
	/* As of when it came: a renewal that waits behind it came later. */
	u64 session, now = op->arrived_ns;
	int err;

	if (op->phase == MOUNT_MADE) {
		if (op->outcome.status == WEFT_ST_OK)
			meta_brain_event(brain, "mount", "host %s mounted volume %s",
					 op->client->name, op->ask.name);
		/* Somebody else was faster: he has it now. */
		if (op->outcome.status != WEFT_ST_VOLUME_BUSY)
			return;
	}
	if (!volume) {
		meta_op_refuse(op, WEFT_ST_NO_VOLUME, WEFT_P_TEXT,
			       "the cluster has no volume %s; \"weft volume list\" shows those "
			       "that it has",
			       op->ask.name);
		return;
	}
	err = meta_state_read(&brain->state);
	if (!err)
		err = meta_session_find(&brain->state.txn, brain->state.mgrp, op->ask.client,
					&session);
	if (err && err != -ENOENT)
		meta_brain_fatal(brain, "reading", err);
	holder = catalog_session(&brain->catalog, volume->session);
	if (err && volume->session) {
		if (!is_expired(brain, holder, now)) {
			refuse_busy(brain, op, volume, holder, now);
			return;
		}
		if (holder)
			meta_brain_event(brain, "session",
					 "host %s has been silent; volume %s is taken from it",
					 holder->name, volume->name);
		op->phase = MOUNT_ENDED;
		err = propose_end(op, volume->session);
	} else {
		op->phase = MOUNT_MADE;
		err = propose_mount(op, volume);
	}
	if (err)
		meta_op_refuse(op, WEFT_ST_NOMEM, WEFT_P_TEXT,
			       "the metadata service is out of memory");
}

/* Its policies may have changed since it was mounted. */
static void put_volume(struct meta_brain *brain, struct meta_op *op,
		       const struct cat_session *session)
{
	const struct cat_volume *volume = catalog_volume(&brain->catalog, session->volume);
	struct weft_c_volume record = { .session = cpu_to_le64(session->session) };

	if (!volume)
		return;
	record.info = volume->info;
	tlv_put(&op->outcome.answer, WEFT_C_VOLUME, &record, sizeof(record));
}

/* Answers with the sessions that are alive. */
void meta_run_renew(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_session *session;
	struct tlv_reader reader;
	struct tlv tlv;
	uint64_t id;

	if (!brain->leader) {
		op->outcome.status = WEFT_ST_NOT_LEADER;
		return;
	}
	tlv_writer_free(&op->outcome.answer);
	tlv_writer_init(&op->outcome.answer, WEFT_CTL_PAYLOAD_MAX);
	tlv_reader_init(&reader, op->payload, op->payload_len);
	while (tlv_next(&reader, &tlv) == 1) {
		if (tlv.type != WEFT_C_SESSION || tlv_u64(&tlv, &id))
			continue;
		session = catalog_session(&brain->catalog, id);
		if (!session)
			continue;
		catalog_session_heard(session, op->arrived_ns);
		tlv_put_u64(&op->outcome.answer, WEFT_C_SESSION, id);
		put_volume(brain, op, session);
	}
}
