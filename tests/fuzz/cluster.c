// SPDX-License-Identifier: GPL-2.0-or-later
/* cluster.c - a small cluster for fuzz targets; see cluster.h */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "cluster.h"

static char directory[64];
static struct {
	u64 index, time_ns;
	struct weft_m_counters counters;
} formed;

const char *cluster_directory(void)
{
	log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), "fuzz", LOG_ERROR, true);
	snprintf(directory, sizeof(directory), "%s/weft-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	require(mkdtemp(directory));
	return directory;
}

void cluster_directory_remove(void)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/data.mdb", directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/lock.mdb", directory);
	unlink(path);
	rmdir(directory);
}

int cluster_apply(struct meta_state *state, const void *entry, size_t len, struct meta_outcome *outcome)
{
	tlv_writer_reset(&outcome->answer);
	outcome->status = 0;
	return meta_apply(state, state->index + 1, 1, entry, len, outcome);
}

static u64 make(struct meta_state *state, enum weft_m_entry_type type, const void *body, size_t len, const void *tail,
		size_t tail_len, u64 session)
{
	struct meta_buffer entry = { 0 };
	struct meta_outcome outcome;
	u64 number;

	meta_outcome_init(&outcome);
	require(!meta_entry_begin(&entry, type) && !meta_buffer_put(&entry, body, len) &&
		!meta_buffer_put(&entry, tail, tail_len));
	meta_entry_head(&entry)->session = cpu_to_le64(session);
	meta_entry_head(&entry)->op = cpu_to_le16(session ? WEFT_REQ_CREATE : 0);
	meta_entry_end(&entry, 1);
	require(!cluster_apply(state, entry.data, entry.len, &outcome) && outcome.status == WEFT_ST_OK);
	number = outcome.number;
	meta_buffer_free(&entry);
	meta_outcome_free(&outcome);
	return number;
}

u64 cluster_form(struct meta_state *state)
{
	struct weft_e_cluster cluster = { .incarnation = cpu_to_le32(1), .name_len = cpu_to_le32(1) };
	struct weft_e_volume volume = {
		.info = { .k = cpu_to_le32(2), .m = cpu_to_le32(2), .inline_max = cpu_to_le32(1900),
			  .dedup_domain = cpu_to_le32(WEFT_DEDUP_OWN) },
		.name_len = cpu_to_le32(1)};
	struct weft_e_host host = { .strings_len = cpu_to_le32(5) };
	struct weft_e_mount mount = { .volume = cpu_to_le64(1) };
	struct weft_e_group group = { .domain = cpu_to_le64(1), .k = 2, .m = 2 };
	struct weft_e_request_create create = {
		.parent = cpu_to_le64(1ull << WEFT_ID_COUNTER_BITS | 1),
		.create = { .mode = cpu_to_le32(S_IFREG | 0644) },
		.name_len = cpu_to_le16(1),
	};
	__le32 stores[4];
	u64 session;

	make(state, WEFT_ME_CLUSTER_INIT, &cluster, sizeof(cluster), "c", 1, 0);
	make(state, WEFT_ME_HOST_SET, &host, sizeof(host), "h\0\0\0", 5, 0);
	for (u32 i = 0; i < 4; i++) {
		struct weft_e_store store = { .uuid = { (u8)i }, .host = cpu_to_le32(1) };

		make(state, WEFT_ME_STORE_SET, &store, sizeof(store), "", 0, 0);
		stores[i] = cpu_to_le32(i + 1);
	}
	make(state, WEFT_ME_VOLUME_CREATE, &volume, sizeof(volume), "v", 1, 0);
	make(state, WEFT_ME_GROUP_CREATE, &group, sizeof(group), stores, sizeof(stores), 0);
	session = make(state, WEFT_ME_MOUNT, &mount, sizeof(mount), "", 0, 0);
	make(state, WEFT_ME_REQUEST, &create, sizeof(create), "x", 1, session);
	require(!meta_state_commit(state));
	formed.index = state->index;
	formed.time_ns = state->time_ns;
	formed.counters = state->counters;
	return session;
}

void cluster_undo(struct meta_state *state)
{
	if (state->writing)
		meta_txn_abort(&state->txn);
	state->writing = false;
	meta_state_idle(state);
	state->index = formed.index;
	state->time_ns = formed.time_ns;
	state->counters = formed.counters;
}
