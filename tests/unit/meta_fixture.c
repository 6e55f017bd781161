// SPDX-License-Identifier: GPL-2.0-or-later
/* meta_fixture.c - see meta_fixture.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "meta_fixture.h"

#define MAP_SIZE (1ull << 32)
#define WHEN     1700000000ull

static void must(int err)
{
	assert_int_equal(err, 0);
}

void fixture_open(struct meta_fixture *f)
{
	memset(f, 0, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir), "/tmp/weft-meta-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	must(meta_state_open(&f->state, f->dir, MAP_SIZE, NULL, NULL));
	f->time_ns = WHEN * 1000000000ull;
	tlv_writer_init(&f->payload, WEFT_PAYLOAD_MAX);
	meta_outcome_init(&f->outcome);
}

static void remove_dir(const char *dir)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/data.mdb", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/lock.mdb", dir);
	unlink(path);
	rmdir(dir);
}

void fixture_close(struct meta_fixture *f)
{
	meta_state_close(&f->state);
	remove_dir(f->dir);
	tlv_writer_free(&f->payload);
	meta_outcome_free(&f->outcome);
	for (size_t i = 0; i < f->log_len; i++)
		free(f->log[i].bytes);
	free(f->log);
}

void fixture_reopen(struct meta_fixture *f)
{
	must(meta_state_commit(&f->state));
	meta_state_close(&f->state);
	must(meta_state_open(&f->state, f->dir, MAP_SIZE, NULL, NULL));
	assert_int_equal(f->state.index, f->index);
}

static void keep(struct meta_fixture *f, const struct meta_buffer *entry)
{
	f->log = realloc(f->log, (f->log_len + 1) * sizeof(*f->log));
	assert_non_null(f->log);
	f->log[f->log_len].bytes = malloc(entry->len);
	assert_non_null(f->log[f->log_len].bytes);
	memcpy(f->log[f->log_len].bytes, entry->data, entry->len);
	f->log[f->log_len++].len = entry->len;
}

u32 fixture_apply(struct meta_fixture *f, struct meta_buffer *entry)
{
	u64 before;

	f->steps = 0;
	do {
		f->time_ns += 1000000;
		meta_entry_end(entry, f->time_ns);
		if (f->keep_log)
			keep(f, entry);
		tlv_writer_reset(&f->outcome.answer);
		f->outcome.status = 0;
		before = f->state.writing ? f->state.txn.written : 0;
		must(meta_apply(&f->state, ++f->index, 1, entry->data, entry->len, &f->outcome));
		if (f->state.txn.written - before > f->most_records)
			f->most_records = f->state.txn.written - before;
		f->steps++;
		assert_in_range(f->steps, 1, 100000);
	} while (f->outcome.status == META_MORE);
	return f->outcome.status;
}

struct tlv_writer *fixture_payload(struct meta_fixture *f)
{
	tlv_writer_reset(&f->payload);
	return &f->payload;
}

static u32 request(struct meta_fixture *f, u16 op, u32 slot, u64 sequence)
{
	struct meta_buffer entry = { 0 };
	struct meta_ask ask;
	const char *why;
	u32 status;

	must(tlv_finish(&f->payload));
	status = meta_request_parse(op, f->session, sequence, slot, f->payload.data, f->payload.len,
				    &entry, &ask, &why);
	if (!status) {
		assert_true(ask.entry);
		status = fixture_apply(f, &entry);
	}
	meta_buffer_free(&entry);
	return status;
}

u32 fixture_request_as(struct meta_fixture *f, u16 op, u32 slot, u64 sequence)
{
	return request(f, op, slot, sequence);
}

u32 fixture_request(struct meta_fixture *f, u16 op, u32 slot)
{
	return request(f, op, slot, slot == WEFT_SLOT_NONE ? 0 : ++f->sequence[slot]);
}

u32 fixture_read(struct meta_fixture *f, u16 op)
{
	struct meta_buffer entry = { 0 };
	struct meta_ask ask;
	const char *why;
	u32 status;

	must(tlv_finish(&f->payload));
	status = meta_request_parse(op, f->session, 0, WEFT_SLOT_NONE, f->payload.data,
				    f->payload.len, &entry, &ask, &why);
	meta_buffer_free(&entry);
	if (status)
		return status;
	tlv_writer_reset(&f->outcome.answer);
	f->outcome.status = 0;
	must(meta_read(&f->state, f->session, &ask, &f->outcome));
	return f->outcome.status;
}

struct tlv fixture_answer(struct meta_fixture *f, enum weft_p type)
{
	struct tlv known[WEFT_P_NR];

	must(tlv_collect(f->outcome.answer.data, f->outcome.answer.len, known, WEFT_P_NR, true));
	assert_non_null(known[type].data);
	return known[type];
}

static struct weft_time now(const struct meta_fixture *f)
{
	return (struct weft_time){ .sec = cpu_to_le64(f->time_ns / 1000000000u),
				    .nsec = cpu_to_le32((u32)(f->time_ns % 1000000000u)) };
}

static void put_name(struct meta_fixture *f, enum weft_p type, const char *name)
{
	tlv_put_text(&f->payload, (u16)type, name);
}

static void put_time(struct meta_fixture *f)
{
	struct weft_time time = now(f);

	tlv_put(&f->payload, WEFT_P_TIME, &time, sizeof(time));
}

static void take_attr(struct meta_fixture *f, struct weft_attr *attr)
{
	struct tlv tlv = fixture_answer(f, WEFT_P_ATTR);

	assert_int_equal(tlv.len, sizeof(*attr));
	memcpy(attr, tlv.data, sizeof(*attr));
}

u32 fixture_create(struct meta_fixture *f, u64 dir, const char *name, u32 mode, u64 *ino)
{
	struct weft_create create = {
		.mode = cpu_to_le32(mode), .uid = cpu_to_le32(7), .time = now(f)};
	struct weft_attr attr;
	u32 status;

	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_PARENT, dir);
	put_name(f, WEFT_P_NAME, name);
	tlv_put(&f->payload, WEFT_P_CREATE, &create, sizeof(create));
	if (S_ISLNK(mode))
		put_name(f, WEFT_P_TARGET, "some/target");
	status = fixture_request(f, WEFT_REQ_CREATE, 300);
	if (!status && ino) {
		take_attr(f, &attr);
		*ino = le64_to_cpu(attr.ino);
	}
	return status;
}

u32 fixture_unlink(struct meta_fixture *f, u64 dir, const char *name, bool rmdir)
{
	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_PARENT, dir);
	put_name(f, WEFT_P_NAME, name);
	if (rmdir)
		tlv_put_u32(&f->payload, WEFT_P_FLAGS, WEFT_PF_RMDIR);
	put_time(f);
	return fixture_request(f, WEFT_REQ_UNLINK, 300);
}

u32 fixture_rename(struct meta_fixture *f, u64 dir, const char *name, u64 dir2, const char *name2,
		   u32 flags)
{
	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_PARENT, dir);
	put_name(f, WEFT_P_NAME, name);
	tlv_put_u64(&f->payload, WEFT_P_PARENT2, dir2);
	put_name(f, WEFT_P_NAME2, name2);
	tlv_put_u32(&f->payload, WEFT_P_FLAGS, flags);
	put_time(f);
	return fixture_request(f, WEFT_REQ_RENAME, 300);
}

u32 fixture_link(struct meta_fixture *f, u64 ino, u64 dir, const char *name)
{
	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_INO, ino);
	tlv_put_u64(&f->payload, WEFT_P_PARENT, dir);
	put_name(f, WEFT_P_NAME, name);
	put_time(f);
	return fixture_request(f, WEFT_REQ_LINK, 300);
}

u32 fixture_lookup(struct meta_fixture *f, u64 dir, const char *name, struct weft_attr *attr)
{
	u32 status;

	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_PARENT, dir);
	put_name(f, WEFT_P_NAME, name);
	status = fixture_read(f, WEFT_REQ_LOOKUP);
	if (!status)
		take_attr(f, attr);
	return status;
}

u32 fixture_getattr(struct meta_fixture *f, u64 ino, struct weft_attr *attr)
{
	u32 status;

	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_INO, ino);
	status = fixture_read(f, WEFT_REQ_GETATTR);
	if (!status)
		take_attr(f, attr);
	return status;
}

u32 fixture_truncate(struct meta_fixture *f, u64 ino, u64 size)
{
	struct weft_setattr set = {
		.valid = cpu_to_le32(WEFT_SA_SIZE | WEFT_SA_CTIME | WEFT_SA_MTIME),
		.size = cpu_to_le64(size),
		.mtime = now(f),
		.ctime = now(f)};

	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_INO, ino);
	tlv_put(&f->payload, WEFT_P_SETATTR, &set, sizeof(set));
	return fixture_request(f, WEFT_REQ_SETATTR, 301);
}

u32 fixture_forget(struct meta_fixture *f, u64 ino)
{
	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_INO, ino);
	return fixture_request(f, WEFT_REQ_FORGET, 1);
}

/* ---- Entries of the cluster ---- */

static void begin(struct meta_buffer *entry, enum weft_m_entry_type type, const void *body,
		  size_t len)
{
	must(meta_entry_begin(entry, type));
	must(meta_buffer_put(entry, body, len));
}

u32 fixture_mount(struct meta_fixture *f, u8 client, u32 flags, u64 *session)
{
	struct weft_e_mount body = { .client = { client },
				     .volume = cpu_to_le64(f->volume),
				     .flags = cpu_to_le32(flags),
				     .name_len = cpu_to_le32(6) };
	struct meta_buffer entry = { 0 };
	u32 status;

	begin(&entry, WEFT_ME_MOUNT, &body, sizeof(body));
	must(meta_buffer_put(&entry, "client", 6));
	status = fixture_apply(f, &entry);
	meta_buffer_free(&entry);
	if (!status)
		*session = f->outcome.number;
	return status;
}

u32 fixture_end_session(struct meta_fixture *f, u64 session)
{
	struct weft_e_object body = { .object = cpu_to_le64(session) };
	struct meta_buffer entry = { 0 };
	u32 status;

	begin(&entry, WEFT_ME_SESSION_END, &body, sizeof(body));
	status = fixture_apply(f, &entry);
	meta_buffer_free(&entry);
	return status;
}

u32 fixture_group(struct meta_fixture *f, u8 k, u8 m, u32 first_store, u64 *group)
{
	struct weft_e_group body = { .domain = cpu_to_le64(f->volume),
				     .k = k,
				     .m = m,
				     .flags = cpu_to_le16(WEFT_GF_OPEN) };
	struct meta_buffer entry = { 0 };
	__le32 store;
	u32 status;

	begin(&entry, WEFT_ME_GROUP_CREATE, &body, sizeof(body));
	for (u32 i = 0; i < (u32)k + m; i++) {
		store = cpu_to_le32(first_store + i);
		must(meta_buffer_put(&entry, &store, sizeof(store)));
	}
	status = fixture_apply(f, &entry);
	meta_buffer_free(&entry);
	if (!status)
		*group = f->outcome.number;
	return status;
}

static void add_store(struct meta_fixture *f, u32 number)
{
	struct meta_buffer entry = { 0 };
	struct weft_e_host host = { .addresses = cpu_to_le32(1) };
	struct weft_e_store store = { .uuid = { (u8)number, 1 },
				      .starts = cpu_to_le64(1),
				      .path_len = cpu_to_le32(4),
				      .capacity = cpu_to_le64(1ull << 40) };
	char strings[64];
	int len = snprintf(strings, sizeof(strings), "host%u%c%c%c%c10.0.0.%u:7400%c", number, 0, 0,
			   0, 0, number, 0);

	host.strings_len = cpu_to_le32((u32)len);
	begin(&entry, WEFT_ME_HOST_SET, &host, sizeof(host));
	must(meta_buffer_put(&entry, strings, (size_t)len));
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	assert_int_equal(f->outcome.number, number);
	store.host = cpu_to_le32(number);
	begin(&entry, WEFT_ME_STORE_SET, &store, sizeof(store));
	must(meta_buffer_put(&entry, "/srv", 4));
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	assert_int_equal(f->outcome.number, number);
	meta_buffer_free(&entry);
}

static void form(struct meta_fixture *f)
{
	struct weft_e_cluster body = {
		.uuid = { 1 }, .incarnation = cpu_to_le32(1), .name_len = cpu_to_le32(4)};
	struct meta_buffer entry = { 0 };

	begin(&entry, WEFT_ME_CLUSTER_INIT, &body, sizeof(body));
	must(meta_buffer_put(&entry, "test", 4));
	assert_int_equal(fixture_apply(f, &entry), WEFT_ST_OK);
	meta_buffer_free(&entry);
}

u32 fixture_volume(struct meta_fixture *f, const char *name, u32 k, u32 m, u32 dedup_domain, u64 *volume)
{
	struct weft_e_volume body = {
		.info = { .k = cpu_to_le32(k),
			  .m = cpu_to_le32(m),
			  .chunk_size = cpu_to_le32(1 << 22),
			  .chunk_min = cpu_to_le32(1 << 22),
			  .chunk_max = cpu_to_le32(1 << 22),
			  .inline_max = cpu_to_le32(1900),
			  .dedup_domain = cpu_to_le32(dedup_domain) },
		.name_key = { 3, 1, 4 },
		.mode = cpu_to_le32(0755),
		.name_len = cpu_to_le32((u32)strlen(name)),
	};
	struct meta_buffer entry = { 0 };
	u32 status;

	begin(&entry, WEFT_ME_VOLUME_CREATE, &body, sizeof(body));
	must(meta_buffer_put(&entry, name, strlen(name)));
	status = fixture_apply(f, &entry);
	meta_buffer_free(&entry);
	*volume = f->outcome.number;
	return status;
}

void fixture_mounted(struct meta_fixture *f, unsigned int k, unsigned int m, unsigned int stores)
{
	struct meta_volume volume;

	form(f);
	for (unsigned int i = 1; i <= stores; i++)
		add_store(f, i);
	assert_int_equal(fixture_volume(f, "main", k, m, f->dedup ? WEFT_DEDUP_OWN : 0, &f->volume), WEFT_ST_OK);
	must(meta_volume_get(&f->state.txn, f->volume, &volume));
	f->root = le64_to_cpu(volume.head.info.root);
	assert_int_equal(fixture_mount(f, 1, 0, &f->session), WEFT_ST_OK);
}

/* ---- COMMIT ---- */

void fixture_commit_begin(struct meta_fixture *f, u64 ino, u64 size, u32 flags)
{
	struct weft_commit commit = { .flags = cpu_to_le32(flags | WEFT_CF_SIZE | WEFT_CF_MTIME),
				       .size = cpu_to_le64(size), .mtime = now(f), .ctime = now(f) };

	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_INO, ino);
	tlv_put(&f->payload, WEFT_P_COMMIT, &commit, sizeof(commit));
}

void fixture_content_id(u32 content, u8 id[32])
{
	memset(id, 0, 32);
	for (unsigned int i = 0; i < 32 && content; i++)
		id[i] = (u8)(content >> i % 4 * 8) ^ (u8)(i * 37);
}

void fixture_commit_chunk(struct meta_fixture *f, u64 id, u32 plain_len, u32 missing)
{
	fixture_commit_content(f, id, plain_len, missing, 0, 0);
}

void fixture_commit_content(struct meta_fixture *f, u64 id, u32 plain_len, u32 missing, u32 content,
			    u32 flags)
{
	struct meta_group group;
	struct weft_chunk_new chunk = { 0 };
	struct weft_shard_new shard;
	unsigned int n;
	u8 *at;

	must(meta_state_read(&f->state));
	must(meta_group_get(&f->state.txn, id, &group));
	n = (unsigned int)group.head.k + group.head.m;
	chunk.sid.session = cpu_to_le64(f->session);
	chunk.sid.counter = cpu_to_le64(++f->counter);
	chunk.group = cpu_to_le64(id);
	chunk.plain_len = chunk.stored_len = cpu_to_le32(plain_len);
	chunk.shard_len = cpu_to_le32((plain_len / group.head.k + 4096) & ~4095u);
	chunk.k = group.head.k;
	chunk.m = group.head.m;
	chunk.flags = cpu_to_le32(flags);
	fixture_content_id(content, chunk.content_id);
	if (plain_len > 1 && f->counter % 3 == 0) {
		chunk.codec = WEFT_CODEC_LZ4;
		chunk.stored_len = cpu_to_le32(plain_len / 2);
	}
	at = tlv_reserve(&f->payload, WEFT_P_NEWCHUNK, sizeof(chunk) + n * sizeof(shard));
	assert_non_null(at);
	memcpy(at, &chunk, sizeof(chunk));
	for (unsigned int i = 0; i < n; i++) {
		shard.store = missing & 1u << i ? 0 : group.stores[i];
		shard.table_crc = cpu_to_le32(100 + i);
		memcpy(at + sizeof(chunk) + i * sizeof(shard), &shard, sizeof(shard));
	}
}

void fixture_commit_extents(struct meta_fixture *f, const struct weft_extent *extents, size_t n)
{
	tlv_put(&f->payload, WEFT_P_EXTENTS, extents, n * sizeof(*extents));
}

u32 fixture_commit_end(struct meta_fixture *f, u32 slot)
{
	return fixture_request(f, WEFT_REQ_COMMIT, slot);
}

u32 fixture_write(struct meta_fixture *f, u64 ino, u64 group, u64 offset, u32 length, u32 missing)
{
	struct weft_extent extent = { .offset = cpu_to_le64(offset), .length = cpu_to_le64(length) };

	fixture_commit_begin(f, ino, offset + length, 0);
	fixture_commit_chunk(f, group, length, missing);
	fixture_commit_extents(f, &extent, 1);
	return fixture_commit_end(f, 2);
}

/* ---- CLONE ---- */

void fixture_clone_payload(struct meta_fixture *f, u64 source, u64 from, u64 ino, u64 to, u64 length)
{
	struct weft_clone clone = { .source = cpu_to_le64(source),
				    .source_offset = cpu_to_le64(from),
				    .offset = cpu_to_le64(to),
				    .length = cpu_to_le64(length),
				    .mtime = now(f),
				    .ctime = now(f) };

	fixture_payload(f);
	tlv_put_u64(&f->payload, WEFT_P_INO, ino);
	tlv_put(&f->payload, WEFT_P_CLONE, &clone, sizeof(clone));
}

u32 fixture_clone(struct meta_fixture *f, u64 source, u64 from, u64 ino, u64 to, u64 length)
{
	fixture_clone_payload(f, source, from, ino, to, length);
	return fixture_request(f, WEFT_REQ_CLONE, 4);
}

/* ---- What must hold of any state ---- */

struct census {
	u64 live, condemned, deleting, queued, missing, refs, plain, packed, packed_to, stored, raw;
};

static void check_chunk(struct meta_fixture *f, const struct meta_walk *walk, struct census *census)
{
	struct meta_key key = walk->key, time;
	struct meta_chunk chunk;
	bool queued;

	must(meta_chunk_decode(&walk->key, walk->value, walk->value_len, &chunk));
	census->refs += le64_to_cpu(chunk.head.refs);
	queued = chunk.head.state != WEFT_MC_DELETING && meta_chunk_missing(&chunk);
	assert_int_equal(meta_get(&f->state.txn, WEFT_MT_EXCEPTION, &key, NULL, 0,
				  &(struct weft_m_mark){ 0 }, 8, NULL),
			 queued ? 0 : -ENOENT);
	time = meta_key_condemned(f->state.mgrp, le64_to_cpu(chunk.head.condemned_ns), chunk.group,
				  chunk.number);
	assert_int_equal(meta_get(&f->state.txn, WEFT_MT_CONDEMNED, &time, NULL, 0,
				  &(struct weft_m_mark){ 0 }, 8, NULL),
			 chunk.head.state == WEFT_MC_CONDEMNED ? 0 : -ENOENT);
	if (chunk.head.state == WEFT_MC_LIVE)
		assert_true(chunk.head.refs);
	else
		assert_int_equal(chunk.head.refs, 0);
	census->live += chunk.head.state == WEFT_MC_LIVE;
	if (chunk.head.state == WEFT_MC_LIVE) {
		census->plain += le32_to_cpu(chunk.head.plain_len);
		census->stored += le32_to_cpu(chunk.head.stored_len);
		census->raw += (u64)le32_to_cpu(chunk.head.shard_len) *
			       ((u64)chunk.head.k + chunk.head.m);
	}
	if (chunk.head.state == WEFT_MC_LIVE && chunk.head.codec != WEFT_CODEC_RAW) {
		census->packed += le32_to_cpu(chunk.head.plain_len);
		census->packed_to += le32_to_cpu(chunk.head.stored_len);
	}
	census->condemned += chunk.head.state == WEFT_MC_CONDEMNED;
	census->deleting += chunk.head.state == WEFT_MC_DELETING;
	census->queued += queued;
	census->missing += queued ? meta_chunk_missing(&chunk) : 0;
}

static u64 count_records(struct meta_fixture *f, enum weft_m_table table)
{
	struct meta_walk walk;
	u64 n = 0;
	int err;

	must(meta_walk_begin(&walk, &f->state.txn, table));
	for (err = meta_walk_seek(&walk, &(struct meta_key){ .len = 1 }); !err;
	     err = meta_walk_next(&walk))
		n++;
	meta_walk_end(&walk);
	assert_int_equal(err, -ENOENT);
	return n;
}

/* Every record of the index leads to a chunk with that id that is not being deleted. */
static void check_index(struct meta_fixture *f, u64 domain, u64 ids)
{
	struct weft_m_dedup record;
	struct meta_chunk chunk;
	struct meta_walk walk;
	u64 n = 0;
	int err;

	must(meta_walk_begin(&walk, &f->state.txn, WEFT_MT_DEDUP));
	for (err = meta_walk_seek(&walk, &(struct meta_key){ .len = 1 }); !err;
	     err = meta_walk_next(&walk), n++) {
		must(meta_walk_head(&walk, &record, sizeof(record)));
		must(meta_chunk_get(&f->state.txn, le64_to_cpu(record.group),
				    le64_to_cpu(record.number), &chunk));
		assert_int_equal(meta_key_get_u64(&walk.key, 0), domain);
		assert_memory_equal(walk.key.bytes + 8, chunk.content_id, 16);
		assert_true(le16_to_cpu(chunk.head.flags) & WEFT_MCF_CONTENT_ID);
		assert_int_not_equal(chunk.head.state, WEFT_MC_DELETING);
	}
	meta_walk_end(&walk);
	assert_int_equal(err, -ENOENT);
	assert_int_equal(n, ids);
}

static void check_usage(struct meta_fixture *f, const struct weft_volume_info *info,
			const struct census *census)
{
	u64 domain = meta_volume_domain(info), mapped = 0;
	struct weft_m_extent extent;
	struct weft_m_usage usage;
	struct meta_walk walk;
	int err;

	must(meta_walk_begin(&walk, &f->state.txn, WEFT_MT_EXTENT));
	for (err = meta_walk_seek(&walk, &(struct meta_key){ .len = 1 }); !err;
	     err = meta_walk_next(&walk)) {
		must(meta_walk_head(&walk, &extent, sizeof(extent)));
		mapped += le64_to_cpu(extent.length);
	}
	meta_walk_end(&walk);
	must(meta_usage_get(&f->state.txn, domain, &usage));
	assert_int_equal(mapped, le64_to_cpu(usage.mapped_bytes));
	assert_int_equal(census->live, le64_to_cpu(usage.chunks));
	assert_int_equal(census->plain, le64_to_cpu(usage.plain_bytes));
	assert_int_equal(census->stored, le64_to_cpu(usage.stored_bytes));
	assert_int_equal(census->raw, le64_to_cpu(usage.raw_bytes));
	check_index(f, domain, le64_to_cpu(usage.ids));
}

void fixture_check(struct meta_fixture *f)
{
	const struct weft_m_counters *c = &f->state.counters;
	struct census census = { 0 };
	struct meta_volume volume;
	struct meta_walk walk;
	int err;

	must(meta_state_read(&f->state));
	must(meta_walk_begin(&walk, &f->state.txn, WEFT_MT_CHUNK));
	for (err = meta_walk_seek(&walk, &(struct meta_key){ .len = 1 }); !err;
	     err = meta_walk_next(&walk))
		check_chunk(f, &walk, &census);
	meta_walk_end(&walk);
	assert_int_equal(err, -ENOENT);
	assert_int_equal(census.refs, count_records(f, WEFT_MT_EXTENT));
	assert_int_equal(census.live, le64_to_cpu(c->chunks));
	assert_int_equal(census.plain, le64_to_cpu(c->plain_bytes));
	assert_int_equal(census.condemned, le64_to_cpu(c->condemned));
	assert_int_equal(census.condemned, count_records(f, WEFT_MT_CONDEMNED));
	assert_int_equal(census.deleting, le64_to_cpu(c->deleting));
	assert_int_equal(census.deleting, count_records(f, WEFT_MT_DELETING));
	assert_int_equal(census.queued, le64_to_cpu(c->exceptions));
	assert_int_equal(census.queued, count_records(f, WEFT_MT_EXCEPTION));
	assert_int_equal(census.missing, le64_to_cpu(c->missing));
	assert_int_equal(count_records(f, WEFT_MT_ORPHAN) + count_records(f, WEFT_MT_JOB),
			 le64_to_cpu(c->orphans));
	assert_int_equal(count_records(f, WEFT_MT_SESSION), le64_to_cpu(c->sessions));
	if (!count_records(f, WEFT_MT_VOLUME))
		return;
	must(meta_volume_get(&f->state.txn, f->volume, &volume));
	assert_int_equal(census.packed, le64_to_cpu(volume.packed.plain_bytes));
	assert_int_equal(census.packed_to, le64_to_cpu(volume.packed.stored_bytes));
	check_usage(f, &volume.head.info, &census);
}

static int setup(void **state, u8 k, u8 m, unsigned int stores, bool dedup)
{
	struct meta_fixture *f = malloc(sizeof(*f));

	assert_non_null(f);
	fixture_open(f);
	f->dedup = dedup;
	fixture_mounted(f, k, m, stores);
	*state = f;
	return 0;
}

int fixture_setup(void **state, u8 k, u8 m, unsigned int stores)
{
	return setup(state, k, m, stores, false);
}

int fixture_setup_dedup(void **state)
{
	return setup(state, 2, 2, 8, true);
}

int fixture_setup_2_2(void **state)
{
	return fixture_setup(state, 2, 2, 8);
}

int fixture_teardown(void **state)
{
	meta_bugs = 0;
	fixture_check(*state);
	fixture_close(*state);
	free(*state);
	return 0;
}
