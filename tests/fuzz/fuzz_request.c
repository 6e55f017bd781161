// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Requests of a kernel: two bytes of operation, then the payload. What the parser lets through is
 * applied to a small cluster, or read from it: nothing that a client sends may stop the voter. Each
 * input meets the same state.
 */
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

static bool is_healthy(void *ctx, const struct meta_chunk *chunk, const struct meta_group *group)
{
	return true;
}

static int answer(const struct meta_ask *ask, const struct meta_buffer *entry)
{
	const struct meta_dedup_judge judge = { .healthy = is_healthy };

	if (ask->op == WEFT_REQ_CHUNKS)
		return meta_dedup_answer(&state, session, (const struct weft_chunk_ask *)entry->data,
					 (u32)ask->length, &judge, &outcome);
	return meta_read(&state, session, ask, &outcome);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct meta_buffer entry = { 0 };
	struct meta_ask ask;
	const char *why;
	u8 *payload;
	u16 op;

	if (!session)
		prepare();
	if (size < 2)
		return 0;
	op = (u16)(data[0] | data[1] << 8);
	/* The payload of a frame is aligned, whatever stands before it. */
	payload = malloc(size);
	require(payload);
	memcpy(payload, data + 2, size - 2);
	if (meta_request_parse(op, session, 1, 3, payload, size - 2, &entry, &ask, &why) ==
	    WEFT_ST_OK) {
		if (ask.entry) {
			meta_entry_end(&entry, 1);
			require(!cluster_apply(&state, entry.data, entry.len, &outcome));
			require(outcome.status <= META_MORE);
		} else {
			tlv_writer_reset(&outcome.answer);
			require(!answer(&ask, &entry));
		}
		cluster_undo(&state);
	}
	meta_buffer_free(&entry);
	free(payload);
	return 0;
}
