// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * request.c - what a kernel asks, checked once and for all
 *
 * Every byte here comes from another machine. What passes becomes an entry of the log (requests
 * that change something) or a struct meta_ask (requests that read, and those that need a decision
 * of the leader first). Apply relies on what is checked here: names, types, sizes, counts, order of
 * extents; it looks at the state only.
 *
 * Pure: no state, no clock; fuzzed.
 */
#include <errno.h>
#include <sys/stat.h>

#include "chunk/crc32c.h"
#include "chunk/header.h"
#include "meta/meta.h"

#define FAIL(code, text) do { *ctx->why = (text); return (code); } while (0)

struct parse {
	struct tlv known[WEFT_P_NR];
	const void *payload;
	size_t len;
	struct meta_buffer *buffer;
	struct meta_ask *ask;
	const char **why;
	bool hashed; /* a NEWCHUNK has a content id */
};

static bool get_u64(const struct parse *ctx, enum weft_p type, u64 *value)
{
	return !tlv_u64(&ctx->known[type], value);
}

static bool get_u32(const struct parse *ctx, enum weft_p type, u32 *value)
{
	return !tlv_u32(&ctx->known[type], value);
}

/* Absent: the value stays. */
static bool get_u32_optional(const struct parse *ctx, enum weft_p type, u32 *value)
{
	return !ctx->known[type].data || get_u32(ctx, type, value);
}

/* A structure of exactly that size. */
static bool get_struct(const struct parse *ctx, enum weft_p type, void *value, size_t size)
{
	const struct tlv *tlv = &ctx->known[type];

	if (!tlv->data || tlv->len != size)
		return false;
	memcpy(value, tlv->data, size);
	return true;
}

static u32 check_name(const struct parse *ctx, enum weft_p type)
{
	const struct tlv *name = &ctx->known[type];
	const u8 *bytes = name->data;

	if (!bytes || !name->len)
		FAIL(WEFT_ST_INVAL, "the request has no name");
	if (name->len > WEFT_NAME_MAX)
		FAIL(WEFT_ST_NAMETOOLONG, "the name is longer than 255 bytes");
	if (memchr(bytes, 0, name->len) || memchr(bytes, '/', name->len))
		FAIL(WEFT_ST_INVAL, "the name has a NUL or a slash");
	if (bytes[0] == '.' && (name->len == 1 || (name->len == 2 && bytes[1] == '.')))
		FAIL(WEFT_ST_INVAL, "the name is \".\" or \"..\"");
	return WEFT_ST_OK;
}

static bool time_ok(const struct weft_time *time)
{
	return le32_to_cpu(time->nsec) < 1000000000u && !time->reserved;
}

static int put_tlv(struct parse *ctx, enum weft_p type)
{
	return meta_buffer_put(ctx->buffer, ctx->known[type].data, ctx->known[type].len);
}

static u32 stored(int err)
{
	return err ? WEFT_ST_NOMEM : WEFT_ST_OK;
}

/* ---- Requests that become entries ---- */

static u32 parse_setattr(struct parse *ctx)
{
	struct weft_e_request_setattr body = { 0 };
	u64 ino, policy;
	u32 valid;
	int err;

	if (!get_u64(ctx, WEFT_P_INO, &ino) ||
	    !get_struct(ctx, WEFT_P_SETATTR, &body.set, sizeof(body.set)))
		FAIL(WEFT_ST_INVAL, "SETATTR needs an inode and attributes");
	valid = le32_to_cpu(body.set.valid);
	if (valid & ~WEFT_SA_KNOWN)
		FAIL(WEFT_ST_INVAL, "SETATTR with attributes that are not known");
	if ((valid & WEFT_SA_ATIME && !time_ok(&body.set.atime)) ||
	    (valid & WEFT_SA_MTIME && !time_ok(&body.set.mtime)) ||
	    (valid & WEFT_SA_CTIME && !time_ok(&body.set.ctime)))
		FAIL(WEFT_ST_INVAL, "SETATTR with a time that is none");
	if (valid & WEFT_SA_SIZE && le64_to_cpu(body.set.size) > META_SIZE_MAX)
		FAIL(WEFT_ST_FBIG, "the size is too large");
	if (valid & WEFT_SA_MODE && le32_to_cpu(body.set.mode) & ~07777u)
		FAIL(WEFT_ST_INVAL, "SETATTR with a mode that is not permissions only");
	if (!(valid & WEFT_SA_POLICY) != !ctx->known[WEFT_P_POLICY].data ||
	    (valid & WEFT_SA_POLICY && (!get_u64(ctx, WEFT_P_POLICY, &policy) || policy >> 63)))
		FAIL(WEFT_ST_INVAL, "SETATTR with a policy that is none");
	body.ino = cpu_to_le64(ino);
	err = meta_buffer_put(ctx->buffer, &body, sizeof(body));
	if (!err && valid & WEFT_SA_POLICY)
		err = put_tlv(ctx, WEFT_P_POLICY);
	return stored(err);
}

static bool type_ok(u32 mode, bool has_target)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return !has_target && !(mode & ~(S_IFMT | 07777u));
	case S_IFLNK:
		return has_target && !(mode & ~(S_IFMT | 07777u));
	}
	return false;
}

static u32 parse_create(struct parse *ctx)
{
	const struct tlv *target = &ctx->known[WEFT_P_TARGET], *name = &ctx->known[WEFT_P_NAME];
	struct weft_e_request_create body = { 0 };
	u64 parent;
	u32 ret;
	int err;

	if (!get_u64(ctx, WEFT_P_PARENT, &parent) ||
	    !get_struct(ctx, WEFT_P_CREATE, &body.create, sizeof(body.create)))
		FAIL(WEFT_ST_INVAL, "CREATE needs a parent and what to make");
	ret = check_name(ctx, WEFT_P_NAME);
	if (ret)
		return ret;
	if (!type_ok(le32_to_cpu(body.create.mode), target->data) || body.create.reserved ||
	    !time_ok(&body.create.time))
		FAIL(WEFT_ST_INVAL, "CREATE of a type that is not known");
	if (target->data && (!target->len || memchr(target->data, 0, target->len)))
		FAIL(WEFT_ST_INVAL, "the target of the symbolic link is empty or has a NUL");
	if (target->len > WEFT_SYMLINK_MAX)
		FAIL(WEFT_ST_NAMETOOLONG, "the target of the symbolic link is too long");
	body.parent = cpu_to_le64(parent);
	body.name_len = cpu_to_le16(name->len);
	body.target_len = cpu_to_le16(target->len);
	err = meta_buffer_put(ctx->buffer, &body, sizeof(body));
	if (!err)
		err = put_tlv(ctx, WEFT_P_NAME);
	if (!err && target->len)
		err = put_tlv(ctx, WEFT_P_TARGET);
	return stored(err);
}

static u32 parse_name(struct parse *ctx, bool link)
{
	struct weft_e_request_name body = { 0 };
	u64 parent, ino = 0;
	u32 ret, flags = 0;
	int err;

	if (!get_u64(ctx, WEFT_P_PARENT, &parent) || (link && !get_u64(ctx, WEFT_P_INO, &ino)))
		FAIL(WEFT_ST_INVAL, "the request needs a parent and an inode");
	if (!link && ctx->known[WEFT_P_INO].data && !get_u64(ctx, WEFT_P_INO, &ino))
		FAIL(WEFT_ST_INVAL, "the inode is malformed");
	if (!get_struct(ctx, WEFT_P_TIME, &body.time, sizeof(body.time)) || !time_ok(&body.time))
		FAIL(WEFT_ST_INVAL, "the request has no time");
	if (!get_u32_optional(ctx, WEFT_P_FLAGS, &flags) ||
	    flags & ~(link ? 0u : (u32)WEFT_PF_RMDIR))
		FAIL(WEFT_ST_INVAL, "the request has flags that are not known");
	ret = check_name(ctx, WEFT_P_NAME);
	if (ret)
		return ret;
	body.parent = cpu_to_le64(parent);
	body.ino = cpu_to_le64(ino);
	body.flags = cpu_to_le32(flags);
	body.name_len = cpu_to_le16(ctx->known[WEFT_P_NAME].len);
	err = meta_buffer_put(ctx->buffer, &body, sizeof(body));
	if (!err)
		err = put_tlv(ctx, WEFT_P_NAME);
	return stored(err);
}

static u32 parse_rename(struct parse *ctx)
{
	struct weft_e_request_rename body = { 0 };
	u64 parent, parent2;
	u32 ret, flags = 0;
	int err;

	if (!get_u64(ctx, WEFT_P_PARENT, &parent) || !get_u64(ctx, WEFT_P_PARENT2, &parent2))
		FAIL(WEFT_ST_INVAL, "RENAME needs two parents");
	if (!get_struct(ctx, WEFT_P_TIME, &body.time, sizeof(body.time)) || !time_ok(&body.time))
		FAIL(WEFT_ST_INVAL, "the request has no time");
	if (!get_u32_optional(ctx, WEFT_P_FLAGS, &flags) ||
	    flags & ~(u32)(WEFT_PF_NOREPLACE | WEFT_PF_EXCHANGE) ||
	    flags == (WEFT_PF_NOREPLACE | WEFT_PF_EXCHANGE))
		FAIL(WEFT_ST_INVAL, "RENAME with flags that are not known");
	ret = check_name(ctx, WEFT_P_NAME);
	if (!ret)
		ret = check_name(ctx, WEFT_P_NAME2);
	if (ret)
		return ret;
	body.parent = cpu_to_le64(parent);
	body.parent2 = cpu_to_le64(parent2);
	body.flags = cpu_to_le32(flags);
	body.name_len = cpu_to_le16(ctx->known[WEFT_P_NAME].len);
	body.name2_len = cpu_to_le16(ctx->known[WEFT_P_NAME2].len);
	err = meta_buffer_put(ctx->buffer, &body, sizeof(body));
	if (!err)
		err = put_tlv(ctx, WEFT_P_NAME);
	if (!err)
		err = put_tlv(ctx, WEFT_P_NAME2);
	return stored(err);
}

static u32 parse_forget(struct parse *ctx)
{
	struct weft_e_request_forget body;
	u64 ino;

	if (!get_u64(ctx, WEFT_P_INO, &ino))
		FAIL(WEFT_ST_INVAL, "FORGET needs an inode");
	body.ino = cpu_to_le64(ino);
	return stored(meta_buffer_put(ctx->buffer, &body, sizeof(body)));
}

/* ---- COMMIT ---- */

/* What a NEWCHUNK says of its content. */
static u32 check_content(struct parse *ctx, const struct weft_chunk_new *chunk)
{
	bool hashed = meta_dedup_has_id(chunk->content_id);
	u32 flags = le32_to_cpu(chunk->flags);

	if (flags & ~(u32)WEFT_NF_KNOWN || (flags & WEFT_NF_SHARE && !hashed))
		FAIL(WEFT_ST_INVAL, "COMMIT with a chunk whose flags make no sense");
	if (hashed && le32_to_cpu(chunk->plain_len) < WEFT_DEDUP_MIN)
		FAIL(WEFT_ST_INVAL, "COMMIT with a content id of a chunk that is too short for one");
	ctx->hashed |= hashed;
	return WEFT_ST_OK;
}

static u32 check_new_chunk(struct parse *ctx, const struct tlv *tlv, u32 *length)
{
	struct weft_chunk_new chunk;
	u32 plain, stored_len, shard;

	if (tlv->len < sizeof(chunk))
		FAIL(WEFT_ST_INVAL, "COMMIT with a chunk that is cut short");
	memcpy(&chunk, tlv->data, sizeof(chunk));
	if (!chunk.k || chunk.k + chunk.m > (int)WEFT_SHARDS_MAX ||
	    tlv->len != sizeof(chunk) + ((size_t)chunk.k + chunk.m) * sizeof(struct weft_shard_new))
		FAIL(WEFT_ST_INVAL, "COMMIT with a chunk whose shards do not fit its k and m");
	plain = le32_to_cpu(chunk.plain_len);
	stored_len = le32_to_cpu(chunk.stored_len);
	shard = le32_to_cpu(chunk.shard_len);
	if (!plain || plain > WEFT_CHUNK_MAX || !stored_len || (u64)shard * chunk.k < stored_len ||
	    !chunk.group)
		FAIL(WEFT_ST_INVAL, "COMMIT with a chunk whose lengths are impossible");
	if (weft_header_lengths_check(plain, stored_len, chunk.codec, chunk.cipher,
				      le32_to_cpu(chunk.key_id), NULL))
		FAIL(WEFT_ST_INVAL, "COMMIT with a chunk in a form that is not known");
	*length = plain;
	return check_content(ctx, &chunk);
}

/*
 * The repeated NEWCHUNKs, in order: checked, counted, and their plaintext lengths for checking the
 * extents.
 */
static u32 scan_chunks(struct parse *ctx, bool store, u32 *lengths, size_t max, u32 *count)
{
	struct tlv_reader reader;
	struct tlv tlv;
	u32 ret;

	*count = 0;
	tlv_reader_init(&reader, ctx->payload, ctx->len);
	while (tlv_next(&reader, &tlv) == 1) {
		if (tlv.type != WEFT_P_NEWCHUNK)
			continue;
		if (*count == max)
			FAIL(WEFT_ST_INVAL, "COMMIT with too many chunks");
		if (store) {
			if (meta_buffer_put(ctx->buffer, tlv.data, tlv.len))
				return WEFT_ST_NOMEM;
		} else {
			ret = check_new_chunk(ctx, &tlv, &lengths[*count]);
			if (ret)
				return ret;
		}
		++*count;
	}
	/* Each of these may touch more records. */
	if (ctx->hashed && *count > WEFT_COMMIT_HASHED_MAX)
		FAIL(WEFT_ST_INVAL, "COMMIT with too many chunks for one with content ids");
	return WEFT_ST_OK;
}

static u32 check_extents(struct parse *ctx, const u32 *lengths, u32 chunks)
{
	const struct tlv *tlv = &ctx->known[WEFT_P_EXTENTS];
	u64 end = 0, offset, length, number;
	struct weft_extent extent;

	if (tlv->len % sizeof(extent))
		FAIL(WEFT_ST_INVAL, "COMMIT with extents that are cut short");
	for (size_t at = 0; at < tlv->len; at += sizeof(extent)) {
		memcpy(&extent, (const u8 *)tlv->data + at, sizeof(extent));
		offset = le64_to_cpu(extent.offset);
		length = le64_to_cpu(extent.length);
		number = le64_to_cpu(extent.number);
		if (!length || length > WEFT_CHUNK_MAX || offset > META_SIZE_MAX - length ||
		    extent.reserved)
			FAIL(WEFT_ST_INVAL, "COMMIT with an extent that is no range");
		if (offset < end)
			FAIL(WEFT_ST_INVAL, "COMMIT with extents that overlap or are out of order");
		if (!extent.group && number >= chunks)
			FAIL(WEFT_ST_INVAL,
			     "COMMIT with an extent of a chunk that it does not bring");
		if (!extent.group && le32_to_cpu(extent.chunk_offset) + length > lengths[number])
			FAIL(WEFT_ST_INVAL, "COMMIT with an extent longer than its chunk");
		end = offset + length;
	}
	return WEFT_ST_OK;
}

static u32 check_commit(struct parse *ctx, struct weft_e_request_commit *body)
{
	const struct tlv *data = &ctx->known[WEFT_P_DATA];
	u32 flags;
	u64 ino;

	if (!get_u64(ctx, WEFT_P_INO, &ino) ||
	    !get_struct(ctx, WEFT_P_COMMIT, &body->commit, sizeof(body->commit)))
		FAIL(WEFT_ST_INVAL, "COMMIT needs an inode and a head");
	flags = le32_to_cpu(body->commit.flags);
	if (flags & ~(u32)WEFT_CF_KNOWN || body->commit.reserved || !time_ok(&body->commit.ctime) ||
	    (flags & WEFT_CF_MTIME && !time_ok(&body->commit.mtime)))
		FAIL(WEFT_ST_INVAL, "COMMIT with a malformed head");
	if (flags & WEFT_CF_SIZE && le64_to_cpu(body->commit.size) > META_SIZE_MAX)
		FAIL(WEFT_ST_FBIG, "the size is too large");
	if (!(flags & WEFT_CF_INLINE) != !data->data)
		FAIL(WEFT_ST_INVAL,
		     "COMMIT with inline content and no mark of it, or the mark and no content");
	if (data->data && ctx->known[WEFT_P_EXTENTS].len)
		FAIL(WEFT_ST_INVAL, "COMMIT with both inline content and extents");
	if (data->len > META_VALUE_MAX)
		FAIL(WEFT_ST_INVAL, "COMMIT with more inline content than a volume may allow");
	body->ino = cpu_to_le64(ino);
	return WEFT_ST_OK;
}

static u32 parse_commit(struct parse *ctx)
{
	u32 lengths[WEFT_PAYLOAD_MAX / sizeof(struct weft_chunk_new)];
	const struct tlv *data = &ctx->known[WEFT_P_DATA], *extents = &ctx->known[WEFT_P_EXTENTS];
	struct weft_e_request_commit body = { 0 };
	u32 ret, chunks;
	int err;

	ret = check_commit(ctx, &body);
	if (!ret)
		ret = scan_chunks(ctx, false, lengths, ARRAY_SIZE(lengths), &chunks);
	if (!ret)
		ret = check_extents(ctx, lengths, chunks);
	if (ret)
		return ret;
	body.data_len = cpu_to_le32(data->len);
	body.chunks = cpu_to_le32(chunks);
	body.extents = cpu_to_le32((u32)(extents->len / sizeof(struct weft_extent)));
	err = meta_buffer_put(ctx->buffer, &body, sizeof(body));
	if (!err)
		err = put_tlv(ctx, WEFT_P_EXTENTS);
	if (err)
		return WEFT_ST_NOMEM;
	ret = scan_chunks(ctx, true, lengths, ARRAY_SIZE(lengths), &chunks);
	if (ret)
		return ret;
	return stored(put_tlv(ctx, WEFT_P_DATA));
}

static u32 parse_shards(struct parse *ctx)
{
	struct weft_e_shards *body, head = { 0 };
	size_t at = ctx->buffer->len;
	struct tlv_reader reader;
	struct tlv tlv;
	u32 count = 0;

	if (meta_buffer_put(ctx->buffer, &head, sizeof(head)))
		return WEFT_ST_NOMEM;
	tlv_reader_init(&reader, ctx->payload, ctx->len);
	while (tlv_next(&reader, &tlv) == 1) {
		if (tlv.type != WEFT_P_SHARD)
			continue;
		if (tlv.len != sizeof(struct weft_shard_report))
			FAIL(WEFT_ST_INVAL, "a report of a shard with a wrong size");
		/* Each may touch three records. */
		if (++count > WEFT_M_ENTRY_RECORDS / 3)
			FAIL(WEFT_ST_INVAL, "too many reports of shards in one request");
		if (meta_buffer_put(ctx->buffer, tlv.data, tlv.len))
			return WEFT_ST_NOMEM;
	}
	body = (struct weft_e_shards *)(ctx->buffer->data + at);
	body->count = cpu_to_le32(count);
	return WEFT_ST_OK;
}

/* Both ranges are there, and nothing is cloned onto itself. */
static u32 check_clone(struct parse *ctx, u64 ino, const struct weft_clone *clone)
{
	u64 from = le64_to_cpu(clone->source_offset), to = le64_to_cpu(clone->offset);
	u64 length = le64_to_cpu(clone->length);

	if (!length || length > META_SIZE_MAX || from > META_SIZE_MAX - length)
		FAIL(WEFT_ST_INVAL, "CLONE of a range that is none");
	if (to > META_SIZE_MAX - length)
		FAIL(WEFT_ST_FBIG, "the destination would be too large");
	if (le64_to_cpu(clone->source) == ino && from < to + length && to < from + length)
		FAIL(WEFT_ST_INVAL, "CLONE of a range to one that overlaps it");
	if (!time_ok(&clone->mtime) || !time_ok(&clone->ctime))
		FAIL(WEFT_ST_INVAL, "CLONE with a time that is none");
	return WEFT_ST_OK;
}

static u32 parse_clone(struct parse *ctx)
{
	struct weft_e_request_clone body = { 0 };
	u64 ino;
	u32 ret;

	if (!get_u64(ctx, WEFT_P_INO, &ino) ||
	    !get_struct(ctx, WEFT_P_CLONE, &body.clone, sizeof(body.clone)))
		FAIL(WEFT_ST_INVAL, "CLONE needs an inode and a range of another");
	ret = check_clone(ctx, ino, &body.clone);
	if (ret)
		return ret;
	body.ino = cpu_to_le64(ino);
	return stored(meta_buffer_put(ctx->buffer, &body, sizeof(body)));
}

/* ---- Requests that do not ---- */

static u32 ask_name(struct parse *ctx)
{
	u32 ret = check_name(ctx, WEFT_P_NAME);

	if (ret)
		return ret;
	ctx->ask->name_len = (u8)ctx->known[WEFT_P_NAME].len;
	memcpy(ctx->ask->name, ctx->known[WEFT_P_NAME].data, ctx->ask->name_len);
	ctx->ask->name[ctx->ask->name_len] = 0;
	return WEFT_ST_OK;
}

static u32 ask_mount(struct parse *ctx)
{
	if (!get_u32_optional(ctx, WEFT_P_FLAGS, &ctx->ask->flags) ||
	    ctx->ask->flags & ~(u32)WEFT_PF_READONLY)
		FAIL(WEFT_ST_INVAL, "MOUNT with flags that are not known");
	if (!get_struct(ctx, WEFT_P_CLIENT, ctx->ask->client, sizeof(ctx->ask->client)))
		FAIL(WEFT_ST_INVAL, "MOUNT needs the UUID of the mount");
	return ask_name(ctx);
}

static u32 ask_want(struct parse *ctx)
{
	const struct tlv *stores = &ctx->known[WEFT_P_STORES];
	struct weft_group_want want;
	__le32 store;

	if (!get_struct(ctx, WEFT_P_WANT, &want, sizeof(want)) || !want.k ||
	    want.k + want.m > (int)WEFT_SHARDS_MAX)
		FAIL(WEFT_ST_INVAL, "GROUP_WANT for an impossible width");
	if (stores->len % sizeof(store))
		FAIL(WEFT_ST_INVAL, "GROUP_WANT with a malformed list of stores");
	ctx->ask->want_k = want.k;
	ctx->ask->want_m = want.m;
	ctx->ask->length = le64_to_cpu(want.bytes);
	/* A wish: what a long list names last is not respected, but a group there will be. */
	for (size_t i = 0; i < stores->len / sizeof(store) && i < ARRAY_SIZE(ctx->ask->avoid); i++) {
		memcpy(&store, (const u8 *)stores->data + i * sizeof(store), sizeof(store));
		ctx->ask->avoid[ctx->ask->avoids++] = le32_to_cpu(store);
	}
	return WEFT_ST_OK;
}

static u32 ask_chunks(struct parse *ctx)
{
	const struct tlv *tlv = &ctx->known[WEFT_P_ASK];
	struct weft_chunk_ask ask;
	u32 plain;

	ctx->ask->length = tlv->len / sizeof(ask);
	if (!ctx->ask->length || tlv->len % sizeof(ask) ||
	    ctx->ask->length > WEFT_CHUNKS_ASKED_MAX)
		FAIL(WEFT_ST_INVAL, "CHUNKS asks for 1 to 64 contents");
	for (size_t at = 0; at < tlv->len; at += sizeof(ask)) {
		memcpy(&ask, (const u8 *)tlv->data + at, sizeof(ask));
		plain = le32_to_cpu(ask.plain_len);
		if (plain < WEFT_DEDUP_MIN || plain > WEFT_CHUNK_MAX || ask.reserved ||
		    !meta_dedup_has_id(ask.content_id))
			FAIL(WEFT_ST_INVAL, "CHUNKS asks for a content that has no id");
	}
	return stored(put_tlv(ctx, WEFT_P_ASK));
}

static u32 parse_ask(struct parse *ctx, u16 op)
{
	struct meta_ask *ask = ctx->ask;

	switch (op) {
	case WEFT_REQ_MOUNT:
		return ask_mount(ctx);
	case WEFT_REQ_LOOKUP:
		if (!get_u64(ctx, WEFT_P_PARENT, &ask->ino))
			FAIL(WEFT_ST_INVAL, "LOOKUP needs a parent");
		return ask_name(ctx);
	case WEFT_REQ_GETATTR:
	case WEFT_REQ_READLINK:
		if (!get_u64(ctx, WEFT_P_INO, &ask->ino))
			FAIL(WEFT_ST_INVAL, "the request needs an inode");
		return WEFT_ST_OK;
	case WEFT_REQ_READDIR:
		if (!get_u64(ctx, WEFT_P_INO, &ask->ino) ||
		    !get_u64(ctx, WEFT_P_COOKIE, &ask->offset))
			FAIL(WEFT_ST_INVAL, "READDIR needs an inode and a position");
		ask->length = WEFT_PAYLOAD_MAX;
		if (ctx->known[WEFT_P_LENGTH].data && !get_u64(ctx, WEFT_P_LENGTH, &ask->length))
			FAIL(WEFT_ST_INVAL, "READDIR with a malformed length");
		return WEFT_ST_OK;
	case WEFT_REQ_EXTENTS:
		if (!get_u64(ctx, WEFT_P_INO, &ask->ino) ||
		    !get_u64(ctx, WEFT_P_OFFSET, &ask->offset) ||
		    !get_u64(ctx, WEFT_P_LENGTH, &ask->length))
			FAIL(WEFT_ST_INVAL, "EXTENTS needs an inode and a range");
		return WEFT_ST_OK;
	case WEFT_REQ_GROUP:
		if (!get_u64(ctx, WEFT_P_GROUP, &ask->group))
			FAIL(WEFT_ST_INVAL, "GROUP needs a group");
		return WEFT_ST_OK;
	case WEFT_REQ_GROUP_WANT:
		return ask_want(ctx);
	case WEFT_REQ_CHUNKS:
		return ask_chunks(ctx);
	case WEFT_REQ_STATFS:
		return WEFT_ST_OK;
	}
	FAIL(WEFT_ST_OPNOTSUPP, "this metadata service does not know the request");
}

static bool makes_entry(u16 op)
{
	switch (op) {
	case WEFT_REQ_UMOUNT:
	case WEFT_REQ_SETATTR:
	case WEFT_REQ_CREATE:
	case WEFT_REQ_LINK:
	case WEFT_REQ_UNLINK:
	case WEFT_REQ_RENAME:
	case WEFT_REQ_FORGET:
	case WEFT_REQ_COMMIT:
	case WEFT_REQ_CLONE:
	case WEFT_REQ_SHARDS_STORED:
	case WEFT_REQ_SHARDS_MISSING:
		return true;
	}
	return false;
}

/* Running it twice is the same as once, so it needs no number. */
static bool is_idempotent(u16 op)
{
	return op == WEFT_REQ_UMOUNT || op == WEFT_REQ_FORGET || op == WEFT_REQ_SHARDS_STORED ||
	       op == WEFT_REQ_SHARDS_MISSING;
}

static u32 parse_entry(struct parse *ctx, u16 op)
{
	switch (op) {
	case WEFT_REQ_SETATTR:
		return parse_setattr(ctx);
	case WEFT_REQ_CREATE:
		return parse_create(ctx);
	case WEFT_REQ_LINK:
		return parse_name(ctx, true);
	case WEFT_REQ_UNLINK:
		return parse_name(ctx, false);
	case WEFT_REQ_RENAME:
		return parse_rename(ctx);
	case WEFT_REQ_FORGET:
		return parse_forget(ctx);
	case WEFT_REQ_COMMIT:
		return parse_commit(ctx);
	case WEFT_REQ_CLONE:
		return parse_clone(ctx);
	case WEFT_REQ_SHARDS_STORED:
	case WEFT_REQ_SHARDS_MISSING:
		return parse_shards(ctx);
	}
	return WEFT_ST_OK; /* UMOUNT has no body */
}

u32 meta_request_parse(u16 op, u64 session, u64 sequence, u32 slot, const void *payload, size_t len,
		       struct meta_buffer *buffer, struct meta_ask *ask, const char **why)
{
	struct parse parse = {
		.payload = payload, .len = len, .buffer = buffer, .ask = ask, .why = why};
	struct parse *ctx = &parse;
	struct weft_m_entry *head;
	int err;

	memset(ask, 0, sizeof(*ask));
	ask->op = op;
	*why = NULL;
	if (len > WEFT_PAYLOAD_MAX)
		FAIL(WEFT_ST_TOO_BIG, "the request is longer than allowed");
	err = tlv_collect(payload, len, parse.known, WEFT_P_NR, true);
	if (err)
		FAIL(err == -EOPNOTSUPP ? WEFT_ST_OPNOTSUPP : WEFT_ST_PROTO,
		     "the request has an attribute that is malformed or not known");
	if (!makes_entry(op))
		return parse_ask(ctx, op);
	if (slot != WEFT_SLOT_NONE ? slot >= WEFT_SLOTS || !sequence : !is_idempotent(op))
		FAIL(WEFT_ST_INVAL, "the request has no number");
	if (meta_entry_begin(buffer, WEFT_ME_REQUEST))
		return WEFT_ST_NOMEM;
	head = meta_entry_head(buffer);
	head->session = cpu_to_le64(session);
	head->sequence = cpu_to_le64(sequence);
	head->slot = cpu_to_le32(slot);
	head->op = cpu_to_le16(op);
	head->request_crc = cpu_to_le32(weft_crc32c(0, payload, len));
	ask->entry = true;
	return parse_entry(ctx, op);
}
