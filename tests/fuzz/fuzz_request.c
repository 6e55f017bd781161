// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Requests of a kernel: two bytes of operation, then the payload. What the parser lets through is
 * applied to a small cluster, or read from it: nothing that a client sends may stop the voter. Each
 * input meets the same state.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "meta/meta.h"
#include "weft_ctl.h"

#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct meta_state state;
static struct meta_outcome outcome;
static u64 session;

static void apply(struct meta_buffer *entry)
{
	meta_entry_end(entry, 1);
	tlv_writer_reset(&outcome.answer);
	outcome.status = 0;
	require(!meta_apply(&state, state.index + 1, 1, entry->data, entry->len, &outcome));
}

static void make(enum weft_m_entry_type type, const void *body, size_t len, const void *tail,
		 size_t tail_len)
{
	struct meta_buffer entry = { 0 };

	require(!meta_entry_begin(&entry, type) && !meta_buffer_put(&entry, body, len) &&
		!meta_buffer_put(&entry, tail, tail_len));
	apply(&entry);
	require(outcome.status == WEFT_ST_OK);
	meta_buffer_free(&entry);
}

/* An empty file "x": inode 2. */
static void make_file(void)
{
	struct weft_e_request_create create = {
		.parent = cpu_to_le64(1ull << WEFT_ID_COUNTER_BITS | 1),
		.create = { .mode = cpu_to_le32(S_IFREG | 0644) },
		.name_len = cpu_to_le16(1),
	};
	struct meta_buffer entry = { 0 };
	struct weft_m_entry *head;

	require(!meta_entry_begin(&entry, WEFT_ME_REQUEST) &&
		!meta_buffer_put(&entry, &create, sizeof(create)) &&
		!meta_buffer_put(&entry, "x", 1));
	head = meta_entry_head(&entry);
	head->session = cpu_to_le64(session);
	head->op = cpu_to_le16(WEFT_REQ_CREATE);
	apply(&entry);
	require(outcome.status == WEFT_ST_OK);
	meta_buffer_free(&entry);
}

/*
 * One volume, mounted; four stores, a group of 2+2 on them. The root is inode 1, the group is 1,
 * the incarnation 1.
 */
static void prepare(void)
{
	struct weft_e_cluster cluster = { .incarnation = cpu_to_le32(1), .name_len = cpu_to_le32(1) };
	struct weft_e_volume volume = {
		.info = { .k = cpu_to_le32(2), .m = cpu_to_le32(2), .inline_max = cpu_to_le32(1900) },
		.name_len = cpu_to_le32(1)};
	struct weft_e_host host = { .strings_len = cpu_to_le32(5) };
	struct weft_e_mount mount = { .volume = cpu_to_le64(1) };
	struct weft_e_group group = { .domain = cpu_to_le64(1), .k = 2, .m = 2 };
	__le32 stores[4];
	char dir[] = "/tmp/weft-fuzz-XXXXXX", path[64];

	log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), "fuzz", LOG_ERROR, true);
	require(mkdtemp(dir) && !meta_state_open(&state, dir, 1 << 26, NULL, NULL));
	snprintf(path, sizeof(path), "%s/data.mdb", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/lock.mdb", dir);
	unlink(path);
	rmdir(dir);
	meta_outcome_init(&outcome);
	make(WEFT_ME_CLUSTER_INIT, &cluster, sizeof(cluster), "c", 1);
	make(WEFT_ME_HOST_SET, &host, sizeof(host), "h\0\0\0", 5);
	for (u32 i = 0; i < 4; i++) {
		struct weft_e_store store = { .uuid = { (u8)i }, .host = cpu_to_le32(1) };

		make(WEFT_ME_STORE_SET, &store, sizeof(store), "", 0);
		stores[i] = cpu_to_le32(i + 1);
	}
	make(WEFT_ME_VOLUME_CREATE, &volume, sizeof(volume), "v", 1);
	make(WEFT_ME_GROUP_CREATE, &group, sizeof(group), stores, sizeof(stores));
	make(WEFT_ME_MOUNT, &mount, sizeof(mount), "", 0);
	session = outcome.number;
	make_file();
	require(!meta_state_commit(&state));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct meta_buffer entry = { 0 };
	struct weft_m_counters counters;
	struct meta_ask ask;
	const char *why;
	u8 *payload;
	u16 op;

	if (!session)
		prepare();
	if (size < 2)
		return 0;
	op = (u16)(data[0] | data[1] << 8);
	counters = state.counters;
	/* The payload of a frame is aligned, whatever stands before it. */
	payload = malloc(size);
	require(payload);
	memcpy(payload, data + 2, size - 2);
	if (meta_request_parse(op, session, 1, 3, payload, size - 2, &entry, &ask, &why) ==
	    WEFT_ST_OK) {
		if (ask.entry) {
			apply(&entry);
			require(outcome.status <= META_MORE);
			meta_txn_abort(&state.txn);
			state.writing = false;
			state.index--;
			state.counters = counters;
		} else {
			tlv_writer_reset(&outcome.answer);
			require(!meta_read(&state, session, &ask, &outcome));
			meta_state_idle(&state);
		}
	}
	meta_buffer_free(&entry);
	free(payload);
	return 0;
}
