// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply_cluster.c - entries about the cluster itself: its birth, volumes, hosts, stores, groups,
 * mounts, and the steps of work that goes on in the background
 *
 * Numbers are given here and never come again. What the leader decided (which stores form a group,
 * whose session has expired) stands in the entry; apply only refuses what does not fit the state.
 */
#include <errno.h>
#include <sys/stat.h>

#include "base/log.h"
#include "meta/meta.h"

int meta_apply_cluster_init(struct meta_state *state, const struct meta_entry *entry,
			    struct meta_outcome *outcome)
{
	const struct weft_e_cluster *body;
	const u8 *tail;
	size_t len;

	body = meta_entry_body(entry, sizeof(*body), &tail, &len);
	if (!body || len != le32_to_cpu(body->name_len) || len >= sizeof(state->cluster_name))
		return -EBADMSG;
	if (state->formed)
		return WEFT_ST_EXIST;
	state->cluster = (struct weft_m_cluster){
		.format = cpu_to_le32(WEFT_META_FORMAT),
		.level = cpu_to_le32(entry->level), /* never of the program: voters differ in that */
		.incarnation = body->incarnation,
		.site = body->site,
		.created_ns = cpu_to_le64(state->time_ns),
		.name_len = body->name_len,
	};
	memcpy(state->cluster.uuid, body->uuid, sizeof(body->uuid));
	memcpy(state->cluster_name, tail, len);
	state->cluster_name[len] = 0;
	state->formed = true;
	return WEFT_ST_OK;
}

static void root_time(const struct meta_state *state, struct weft_time *time)
{
	time->sec = cpu_to_le64(state->time_ns / 1000000000u);
	time->nsec = cpu_to_le32((u32)(state->time_ns % 1000000000u));
}

static int put_root(struct meta_state *state, struct meta_volume *volume, u32 mode)
{
	struct meta_tree tree = { state->mgrp, volume->volume };
	struct weft_create create = { .mode = cpu_to_le32(S_IFDIR | (mode & 07777)) };
	struct weft_m_inode root;

	root_time(state, &create.time);
	meta_inode_init(state, &root, &create);
	root.attr.parent = root.attr.ino;
	volume->head.info.root = root.attr.ino;
	return meta_inode_put(&state->txn, &tree, &root);
}

/*
 * Which dedup domain the new volume is of: its own, or another's, whose volumes are coded alike. What
 * is sealed by a volume's own key is shared with nobody. OK, INVAL or a negative errno.
 */
static int join_domain(struct meta_state *state, struct weft_volume_info *info)
{
	u32 domain = le32_to_cpu(info->dedup_domain);
	struct meta_volume first;
	int err;

	if (domain == WEFT_DEDUP_OWN)
		domain = (u32)le64_to_cpu(info->volume);
	info->dedup_domain = cpu_to_le32(domain);
	if (!domain || domain == le64_to_cpu(info->volume))
		return meta_usage_begin(state, le64_to_cpu(info->volume));
	err = meta_volume_get(&state->txn, domain, &first);
	if (err)
		return err == -ENOENT ? WEFT_ST_INVAL : err;
	if (first.head.info.dedup_domain != info->dedup_domain ||
	    first.head.info.k != info->k || first.head.info.m != info->m ||
	    first.head.info.cipher || info->cipher)
		return WEFT_ST_INVAL;
	return WEFT_ST_OK;
}

int meta_apply_volume_create(struct meta_state *state, const struct meta_entry *entry,
			     struct meta_outcome *outcome)
{
	const struct weft_e_volume *body;
	struct weft_m_number number;
	struct meta_volume volume;
	struct meta_key key;
	const u8 *tail;
	size_t len;
	u64 other;
	int err;

	body = meta_entry_body(entry, sizeof(*body), &tail, &len);
	if (!body || len != le32_to_cpu(body->name_len) || !len || len >= sizeof(volume.name))
		return -EBADMSG;
	memset(&volume, 0, sizeof(volume));
	memcpy(volume.name, tail, len);
	err = meta_volume_find(&state->txn, volume.name, &other);
	if (err != -ENOENT)
		return err ? err : WEFT_ST_EXIST;

	volume.volume = le64_to_cpu(state->counters.volume) + 1;
	volume.head.info = body->info;
	volume.head.info.volume = cpu_to_le64(volume.volume);
	volume.head.info.incarnation = state->cluster.incarnation;
	volume.head.info.mgrp = cpu_to_le32(state->mgrp);
	if (entry->level >= META_LEVEL_DEDUP) {
		err = join_domain(state, &volume.head.info);
		if (err)
			return err;
	}
	/* What is refused takes no number: each up to the counter is a volume. */
	le64_add(&state->counters.volume, 1);
	memcpy(volume.head.name_key, body->name_key, sizeof(body->name_key));
	volume.head.created_ns = cpu_to_le64(state->time_ns);
	volume.head.name_len = body->name_len;
	err = put_root(state, &volume, le32_to_cpu(body->mode));
	if (err)
		return err;
	key = meta_key_bytes(volume.name, len);
	number.number = cpu_to_le64(volume.volume);
	err = meta_put(&state->txn, WEFT_MT_VOLUME_NAME, &key, &number, sizeof(number), NULL, 0);
	if (!err)
		err = meta_volume_put(&state->txn, &volume);
	if (err)
		return err;
	outcome->number = volume.volume;
	if (state->hooks)
		state->hooks->volume(state->owner, volume.volume);
	return WEFT_ST_OK;
}

int meta_apply_host_set(struct meta_state *state, const struct meta_entry *entry,
			struct meta_outcome *outcome)
{
	const struct weft_e_host *body;
	struct weft_m_number number;
	struct meta_host host = { 0 };
	struct meta_key key;
	const u8 *tail;
	size_t len;
	u32 id;
	int err;

	body = meta_entry_body(entry, sizeof(*body), &tail, &len);
	if (!body || len != le32_to_cpu(body->strings_len) || len > sizeof(host.strings) ||
	    !meta_host_strings_ok((const char *)tail, len,
				  META_HOST_ADDRESS + le32_to_cpu(body->addresses)))
		return -EBADMSG;
	err = meta_host_find(&state->txn, (const char *)tail, &id);
	if (!err) {
		err = meta_host_get(&state->txn, id, &host);
		if (err)
			return err == -ENOENT ? -EBADMSG : err;
	} else if (err == -ENOENT) {
		le32_add(&state->counters.host, 1);
		id = le32_to_cpu(state->counters.host);
		host.head.created_ns = cpu_to_le64(state->time_ns);
		key = meta_key_bytes(tail, strlen((const char *)tail));
		number.number = cpu_to_le64(id);
		err = meta_put(&state->txn, WEFT_MT_HOST_NAME, &key, &number, sizeof(number), NULL,
			       0);
	}
	if (err)
		return err;
	host.host = id;
	host.head.addresses = body->addresses;
	host.head.strings_len = body->strings_len;
	memcpy(host.strings, tail, len);
	err = meta_host_put(&state->txn, &host);
	if (err)
		return err;
	outcome->number = id;
	if (state->hooks)
		state->hooks->host(state->owner, id);
	return WEFT_ST_OK;
}

int meta_apply_store_set(struct meta_state *state, const struct meta_entry *entry,
			 struct meta_outcome *outcome)
{
	const struct weft_e_store *body;
	struct weft_m_number number;
	struct meta_store store = { 0 };
	struct meta_host host;
	struct meta_key key;
	const u8 *tail;
	size_t len;
	u32 id;
	int err;

	body = meta_entry_body(entry, sizeof(*body), &tail, &len);
	if (!body || len != le32_to_cpu(body->path_len) || len >= sizeof(store.path))
		return -EBADMSG;
	err = meta_host_get(&state->txn, le32_to_cpu(body->host), &host);
	if (err)
		return err == -ENOENT ? WEFT_ST_INVAL : err;
	err = meta_store_find(&state->txn, body->uuid, &id);
	if (!err) {
		err = meta_store_get(&state->txn, id, &store);
		if (err)
			return err == -ENOENT ? -EBADMSG : err;
	} else if (err == -ENOENT) {
		le32_add(&state->counters.store, 1);
		id = le32_to_cpu(state->counters.store);
		store.head.created_ns = cpu_to_le64(state->time_ns);
		memcpy(store.head.uuid, body->uuid, sizeof(body->uuid));
		key = meta_key_bytes(body->uuid, sizeof(body->uuid));
		number.number = cpu_to_le64(id);
		err = meta_put(&state->txn, WEFT_MT_STORE_UUID, &key, &number, sizeof(number), NULL,
			       0);
	}
	if (err)
		return err;
	store.store = id;
	store.head.host = body->host;
	store.head.starts = body->starts;
	store.head.capacity = body->capacity;
	store.head.disk = body->disk;
	store.head.path_len = body->path_len;
	memcpy(store.path, tail, len);
	err = meta_store_put(&state->txn, &store);
	if (err)
		return err;
	outcome->number = id;
	if (state->hooks)
		state->hooks->store(state->owner, id);
	return WEFT_ST_OK;
}

int meta_apply_group_create(struct meta_state *state, const struct meta_entry *entry,
			    struct meta_outcome *outcome)
{
	const struct weft_e_group *body;
	struct meta_group group = { 0 };
	struct meta_volume volume;
	unsigned int slots;
	const u8 *tail;
	size_t len;
	int err;

	body = meta_entry_body(entry, sizeof(*body), &tail, &len);
	slots = body ? (unsigned int)body->k + body->m : 0;
	if (!body || !body->k || slots > WEFT_SHARDS_MAX || len != slots * sizeof(group.stores[0]))
		return -EBADMSG;
	err = meta_volume_get(&state->txn, le64_to_cpu(body->domain), &volume);
	if (err)
		return err == -ENOENT ? WEFT_ST_NO_VOLUME : err;
	le64_add(&state->counters.group, 1);
	group.group =
		(u64)state->mgrp << WEFT_GROUP_COUNTER_BITS | le64_to_cpu(state->counters.group);
	group.head = (struct weft_m_group){
		.domain = body->domain,
		.k = body->k,
		.m = body->m,
		.flags = body->flags,
		.created_ns = cpu_to_le64(state->time_ns),
	};
	memcpy(group.stores, tail, len);
	for (unsigned int i = 0; i < slots; i++)
		if (!group.stores[i] ||
		    le32_to_cpu(group.stores[i]) > le32_to_cpu(state->counters.store))
			return WEFT_ST_INVAL;
	err = meta_group_put(&state->txn, &group);
	if (err)
		return err;
	outcome->number = group.group;
	if (state->hooks)
		state->hooks->group(state->owner, group.group);
	return WEFT_ST_OK;
}

int meta_apply_group_set(struct meta_state *state, const struct meta_entry *entry,
			 struct meta_outcome *outcome)
{
	const struct weft_e_group_set *body;
	struct meta_group group;
	const u8 *tail;
	size_t len;
	u32 flags;
	int err;

	body = meta_entry_body(entry, sizeof(*body), &tail, &len);
	if (!body)
		return -EBADMSG;
	err = meta_group_get(&state->txn, le64_to_cpu(body->group), &group);
	if (err)
		return err == -ENOENT ? WEFT_ST_NOENT : err;
	flags = (le16_to_cpu(group.head.flags) | le32_to_cpu(body->set)) &
		~le32_to_cpu(body->clear);
	group.head.flags = cpu_to_le16((u16)flags);
	err = meta_group_put(&state->txn, &group);
	if (!err && state->hooks)
		state->hooks->group(state->owner, group.group);
	return err;
}

static u64 next_session(struct meta_state *state)
{
	u64 site = le32_to_cpu(state->cluster.site),
	    incarnation = le32_to_cpu(state->cluster.incarnation);

	le64_add(&state->counters.session, 1);
	return site << (WEFT_ID_COUNTER_BITS + WEFT_ID_INCARN_BITS + WEFT_ID_MGRP_BITS) |
	       (u64)state->mgrp << (WEFT_ID_COUNTER_BITS + WEFT_ID_INCARN_BITS) |
	       incarnation << WEFT_ID_COUNTER_BITS | le64_to_cpu(state->counters.session);
}

static int make_session(struct meta_state *state, const struct weft_e_mount *body, const u8 *name,
			size_t len, struct meta_volume *volume, u64 *id)
{
	struct meta_key client = meta_key_client(state->mgrp, body->client);
	struct meta_session session = { 0 };
	struct weft_m_number number;
	int err;

	*id = session.session = next_session(state);
	session.head = (struct weft_m_session){
		.volume = body->volume,
		.created_ns = cpu_to_le64(state->time_ns),
		.flags = body->flags,
		.name_len = cpu_to_le32((u32)len),
	};
	memcpy(session.head.client, body->client, sizeof(body->client));
	memcpy(session.name, name, len);
	number.number = cpu_to_le64(session.session);
	err = meta_put(&state->txn, WEFT_MT_CLIENT, &client, &number, sizeof(number), NULL, 0);
	if (!err)
		err = meta_session_put(&state->txn, &session);
	if (err)
		return err;
	le64_add(&state->counters.sessions, 1);
	volume->head.session = cpu_to_le64(session.session);
	err = meta_volume_put(&state->txn, volume);
	if (!err && state->hooks) {
		state->hooks->session(state->owner, session.session, false);
		state->hooks->volume(state->owner, volume->volume);
	}
	return err;
}

int meta_apply_mount(struct meta_state *state, const struct meta_entry *entry,
		     struct meta_outcome *outcome)
{
	const struct weft_e_mount *body;
	struct meta_volume volume;
	struct meta_session session;
	struct weft_m_inode root;
	struct meta_tree tree;
	const u8 *tail;
	size_t len;
	u64 id;
	int err;

	body = meta_entry_body(entry, sizeof(*body), &tail, &len);
	if (!body || len != le32_to_cpu(body->name_len) || len >= sizeof(session.name))
		return -EBADMSG;
	err = meta_volume_get(&state->txn, le64_to_cpu(body->volume), &volume);
	if (err)
		return err == -ENOENT ? WEFT_ST_NO_VOLUME : err;
	tree = (struct meta_tree){ state->mgrp, volume.volume };
	err = meta_inode_get(&state->txn, &tree, le64_to_cpu(volume.head.info.root), &root);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	err = meta_session_find(&state->txn, state->mgrp, body->client, &id);
	if (!err) {
		err = meta_session_get(&state->txn, id, &session);
		if (err)
			return err == -ENOENT ? -EBADMSG : err;
		if (session.head.volume != body->volume)
			return WEFT_ST_INVAL;
	} else if (err == -ENOENT) {
		if (volume.head.session)
			return WEFT_ST_VOLUME_BUSY;
		err = make_session(state, body, tail, len, &volume, &id);
	}
	if (err)
		return err;
	outcome->number = id;
	tlv_put_u64(&outcome->answer, WEFT_P_SESSION, id);
	tlv_put(&outcome->answer, WEFT_P_VOLUME, &volume.head.info, sizeof(volume.head.info));
	tlv_put(&outcome->answer, WEFT_P_ATTR, &root.attr, sizeof(root.attr));
	return tlv_finish(&outcome->answer);
}

static const struct weft_e_object *object_body(const struct meta_entry *entry)
{
	const u8 *tail;
	size_t len;

	return meta_entry_body(entry, sizeof(struct weft_e_object), &tail, &len);
}

int meta_apply_session_end(struct meta_state *state, const struct meta_entry *entry,
			   struct meta_outcome *outcome)
{
	const struct weft_e_object *body = object_body(entry);
	struct meta_session session;
	int err;

	if (!body)
		return -EBADMSG;
	err = meta_session_get(&state->txn, le64_to_cpu(body->object), &session);
	if (err)
		return err == -ENOENT ? WEFT_ST_OK : err;
	return meta_session_end_step(state, &session);
}

int meta_apply_umount(struct meta_apply *apply)
{
	return meta_session_end_step(apply->state, &apply->session);
}

int meta_apply_reap(struct meta_state *state, const struct meta_entry *entry,
		    struct meta_outcome *outcome)
{
	const struct weft_e_object *body = object_body(entry);
	struct meta_tree tree;
	bool done = false;
	int err;

	if (!body)
		return -EBADMSG;
	tree = (struct meta_tree){ state->mgrp, le64_to_cpu(body->volume) };
	err = meta_orphan_reap(state, &tree, le64_to_cpu(body->object), &done);
	if (err == -ENOENT)
		return WEFT_ST_OK;
	if (err)
		return err;
	return done ? WEFT_ST_OK : (int)META_MORE;
}

static const struct weft_e_chunk *chunks_of(const struct meta_entry *entry, u32 *count)
{
	const struct weft_e_chunks *body;
	const u8 *tail;
	size_t len;

	body = meta_entry_body(entry, sizeof(*body), &tail, &len);
	if (!body || len != (size_t)le32_to_cpu(body->count) * sizeof(struct weft_e_chunk) ||
	    le32_to_cpu(body->count) > WEFT_M_ENTRY_RECORDS / 4)
		return NULL;
	*count = le32_to_cpu(body->count);
	return (const void *)tail;
}

/* The grace time is over for these, if nothing came to refer to them meanwhile. */
int meta_apply_deleting(struct meta_state *state, const struct meta_entry *entry,
			struct meta_outcome *outcome)
{
	const struct weft_e_chunk *chunks;
	struct meta_chunk chunk;
	u32 count;
	int err;

	chunks = chunks_of(entry, &count);
	if (!chunks)
		return -EBADMSG;
	for (u32 i = 0; i < count; i++) {
		err = meta_chunk_get(&state->txn, le64_to_cpu(chunks[i].group),
				     le64_to_cpu(chunks[i].number), &chunk);
		if (err == -ENOENT)
			continue;
		if (err)
			return err;
		if (chunk.head.state != WEFT_MC_CONDEMNED || chunk.head.refs ||
		    chunk.head.condemned_ns != chunks[i].condemned_ns)
			continue;
		err = meta_chunk_delete_begin(state, &chunk);
		if (err)
			return err;
		outcome->number++;
	}
	return WEFT_ST_OK;
}

/* Stores have deleted shards; a chunk without any left is gone. */
int meta_apply_deleted(struct meta_state *state, const struct meta_entry *entry,
		       struct meta_outcome *outcome)
{
	const struct weft_e_chunk *chunks;
	struct meta_chunk chunk, old;
	u32 count, all;
	int err;

	chunks = chunks_of(entry, &count);
	if (!chunks)
		return -EBADMSG;
	for (u32 i = 0; i < count; i++) {
		err = meta_chunk_get(&state->txn, le64_to_cpu(chunks[i].group),
				     le64_to_cpu(chunks[i].number), &chunk);
		if (err == -ENOENT)
			continue;
		if (err)
			return err;
		if (chunk.head.state != WEFT_MC_DELETING ||
		    (entry->level >= META_LEVEL_LATE_SHARDS &&
		     chunk.head.condemned_ns != chunks[i].condemned_ns))
			continue;
		old = chunk;
		chunk.head.deleted |= chunks[i].deleted;
		all = (u32)((1ull << (chunk.head.k + chunk.head.m)) - 1);
		if ((le32_to_cpu(chunk.head.deleted) & all) == all)
			err = meta_chunk_delete_end(state, &chunk);
		else
			err = meta_chunk_put(state, &chunk, &old);
		if (err)
			return err;
	}
	return WEFT_ST_OK;
}
