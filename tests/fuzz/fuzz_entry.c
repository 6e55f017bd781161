// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Entries of the log, as a newer program or a failing machine could have left them behind right checksums. An entry that
 * does not fit is refused, which stops the voter in good order; one that is taken leaves a state that can be read. Bit 0
 * of the first byte: give the entry a sound head first; bit 1: make it of the session that exists.
 */
#include <errno.h>

#include "cluster.h"
#include "weft_ctl.h"

static struct meta_state state;
static struct meta_outcome outcome;
static u64 session;

static void prepare(void)
{
	require(!meta_state_open(&state, cluster_directory(), 1 << 26, NULL, NULL));
	cluster_directory_remove();
	meta_outcome_init(&outcome);
	session = cluster_form(&state);
}

static void give_head(u8 *bytes, size_t size, bool own)
{
	struct weft_m_entry head;

	if (size < sizeof(head))
		return;
	memcpy(&head, bytes, sizeof(head));
	head.magic = cpu_to_le32(WEFT_M_ENTRY_MAGIC);
	head.level = cpu_to_le16(WEFT_META_LEVEL);
	head.mgrp = 0;
	head.body_len = cpu_to_le32((u32)(size - sizeof(head)));
	if (own)
		head.session = cpu_to_le64(session);
	memcpy(bytes, &head, sizeof(head));
}

/* Records that many entries write must still be sound. */
static void look(void)
{
	static struct meta_host host;
	static struct meta_store store;
	struct meta_volume volume;
	struct meta_group group;
	int err;

	for (u32 i = 1; i <= le32_to_cpu(state.counters.host); i++)
		require(!meta_host_get(&state.txn, i, &host) && meta_host_string(&host, META_HOST_RACK));
	for (u32 i = 1; i <= le32_to_cpu(state.counters.store); i++)
		require(!meta_store_get(&state.txn, i, &store));
	for (u64 i = 1; i <= le64_to_cpu(state.counters.volume); i++)
		require(!meta_volume_get(&state.txn, i, &volume));
	/* A refused group leaves a gap. */
	for (u64 i = 1; i <= le64_to_cpu(state.counters.group); i++) {
		err = meta_group_get(&state.txn, i, &group);
		require(!err || err == -ENOENT);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	int err = 0;
	u8 *bytes;

	if (!session)
		prepare();
	if (size < 1)
		return 0;
	/* Entries are packed closer than their numbers: take an odd address. */
	bytes = malloc(size);
	require(bytes);
	memcpy(bytes, data, size);
	if (data[0] & 1)
		give_head(bytes + 1, size - 1, data[0] & 2);
	outcome.status = META_MORE;
	for (int i = 0; i < 8 && !err && outcome.status == META_MORE; i++)
		err = cluster_apply(&state, bytes + 1, size - 1, &outcome);
	require(err <= 0 && (err || outcome.status <= META_MORE));
	if (!err)
		look();
	cluster_undo(&state);
	free(bytes);
	return 0;
}
