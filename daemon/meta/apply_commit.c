// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply_commit.c - new content of a file, and where shards are
 *
 * A COMMIT is checked whole before the first change: every chunk that it names must exist and not
 * be on its way out, or come with enough acknowledged shards: k + max(1, m - 1) of its group's k +
 * m, all of them if m is 0 or 1. What a cluster with too few stores may do is said by the groups
 * that it has (narrower, or with less parity), never by an exception to this rule. Otherwise the
 * answer is NEED and nothing has changed. What one of several steps gave or names may be on its way
 * out when the next one comes: then the file has what the steps before brought, the COMMIT ends
 * with NEED for all that is new in it, and none of its sids is taken again (see give_up()).
 *
 * A new chunk with a content id goes into the index (dedup.c), unless a whole chunk with that content
 * is there. If its writer had been told that there is none, that one was committed since, and the
 * extents go to it; the new one is condemned. A writer who had not asked, or had been told not to
 * use it, gets what he brought: of stores that are down only the leader knows.
 *
 * What an earlier session left behind the size goes before the first extent is put (extent.c), and
 * before the size changes. More extents than an entry may touch are put in order of their offsets; the slot keeps how far
 * that went, and the numbers of the chunks, which are given in the first step. A chunk that no
 * extent came to refer to is condemned in the last step.
 */
#include <errno.h>

#include "base/log.h"
#include "meta/meta.h"

#define CHUNKS_MAX (WEFT_PAYLOAD_MAX / sizeof(struct weft_chunk_new))

/* What a PARTIAL slot keeps of each new chunk. */
struct given {
	__le64 group;
	__le64 number;
};
static_assert(CHUNKS_MAX * sizeof(struct given) <= WEFT_SLOT_ANSWER,
	      "a slot holds the chunks of any COMMIT");

struct commit {
	struct meta_apply *apply;
	const struct weft_e_request_commit *body;
	const struct weft_extent *extents;
	const u8 *chunks;
	const u8 *chunks_end;
	const u8 *data;
	u32 data_len;
	u32 n_extents;
	u32 n_chunks;
	struct given *given; /* of the new chunks */
	struct weft_m_inode inode;
	u64 bytes;       /* inode.bytes before */
};

static const struct weft_chunk_new *next_chunk(const struct commit *commit, const u8 **at)
{
	const struct weft_chunk_new *chunk = (const void *)*at;
	size_t len;

	if ((size_t)(commit->chunks_end - *at) < sizeof(*chunk))
		return NULL;
	len = sizeof(*chunk) + ((size_t)chunk->k + chunk->m) * sizeof(struct weft_shard_new);
	if ((size_t)(commit->chunks_end - *at) < len || chunk->k + chunk->m > (int)WEFT_SHARDS_MAX)
		return NULL;
	*at += len;
	return chunk;
}

static const struct weft_shard_new *shards_of(const struct weft_chunk_new *chunk)
{
	return (const void *)(chunk + 1);
}

static int load(struct commit *commit)
{
	const struct meta_entry *entry = commit->apply->entry;
	const u8 *tail;
	size_t len, extents;

	commit->body = meta_entry_body(entry, sizeof(*commit->body), &tail, &len);
	if (!commit->body)
		return -EBADMSG;
	commit->n_extents = le32_to_cpu(commit->body->extents);
	commit->n_chunks = le32_to_cpu(commit->body->chunks);
	commit->data_len = le32_to_cpu(commit->body->data_len);
	extents = (size_t)commit->n_extents * sizeof(*commit->extents);
	if (extents + commit->data_len > len ||
	    commit->n_chunks > len / sizeof(struct weft_chunk_new))
		return -EBADMSG;
	commit->extents = (const void *)tail;
	commit->chunks = tail + extents;
	commit->chunks_end = tail + len - commit->data_len;
	commit->data = commit->chunks_end;
	return 0;
}

/* Enough shards are where they outlive what the group promises. */
static bool is_safe(const struct weft_chunk_new *chunk)
{
	unsigned int n = (unsigned int)chunk->k + chunk->m, stored = 0;
	unsigned int need = chunk->m <= 1 ? n : chunk->k + chunk->m - 1u;

	for (unsigned int i = 0; i < n; i++)
		stored += le32_to_cpu(shards_of(chunk)[i].store) != WEFT_STORE_NONE;
	return stored >= need;
}

/* OK, NEED if this chunk must be written anew, or a negative errno. */
static int check_new(struct commit *commit, const struct weft_chunk_new *chunk)
{
	struct meta_apply *apply = commit->apply;
	struct meta_group group;
	int err;

	if (le64_to_cpu(chunk->sid.session) != apply->entry->session || !is_safe(chunk))
		return WEFT_ST_NEED;
	/* A chunk with these shards may have been made already, and deleted. */
	if (apply->entry->level >= META_LEVEL_DEDUP &&
	    le64_to_cpu(chunk->sid.counter) < le64_to_cpu(apply->session.head.done_below))
		return WEFT_ST_NEED;
	err = meta_group_get(&apply->state->txn, le64_to_cpu(chunk->group), &group);
	if (err)
		return err == -ENOENT ? WEFT_ST_NEED : err;
	if (group.head.k != chunk->k || group.head.m != chunk->m ||
	    le64_to_cpu(group.head.domain) != meta_volume_domain(&apply->volume.head.info))
		return WEFT_ST_NEED;
	return WEFT_ST_OK;
}

static int check_old(struct commit *commit, const struct weft_extent *extent)
{
	struct meta_chunk chunk;
	struct meta_group group;
	int err;

	err = meta_chunk_get(&commit->apply->state->txn, le64_to_cpu(extent->group),
			     le64_to_cpu(extent->number), &chunk);
	if (err)
		return err == -ENOENT ? WEFT_ST_NEED : err;
	err = meta_group_get(&commit->apply->state->txn, chunk.group, &group);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	if (chunk.head.state == WEFT_MC_DELETING ||
	    le64_to_cpu(group.head.domain) != meta_volume_domain(&commit->apply->volume.head.info))
		return WEFT_ST_NEED;
	if (le32_to_cpu(extent->chunk_offset) + le64_to_cpu(extent->length) >
	    le32_to_cpu(chunk.head.plain_len))
		return WEFT_ST_INVAL;
	return WEFT_ST_OK;
}

/* The chunks that exist already. Their names are added to need. OK, INVAL or a negative errno. */
static int check_old_chunks(struct commit *commit, __le64 *need, unsigned int *n)
{
	int ret;

	for (u32 i = 0; i < commit->n_extents; i++) {
		if (!commit->extents[i].group)
			continue;
		ret = check_old(commit, &commit->extents[i]);
		if (ret < 0 || ret == WEFT_ST_INVAL)
			return ret;
		if (ret == WEFT_ST_NEED)
			need[(*n)++] = commit->extents[i].number;
	}
	return WEFT_ST_OK;
}

/* What an earlier step gave it may have been another's chunk, and be on its way out by now. */
static int check_given(struct commit *commit)
{
	struct meta_chunk chunk;
	int err;

	for (u32 i = 0; i < commit->n_chunks; i++) {
		err = meta_chunk_get(&commit->apply->state->txn,
				     le64_to_cpu(commit->given[i].group),
				     le64_to_cpu(commit->given[i].number), &chunk);
		if (err && err != -ENOENT)
			return err;
		if (err || chunk.head.state == WEFT_MC_DELETING)
			return WEFT_ST_NEED;
	}
	return WEFT_ST_OK;
}

/* The new chunks, before the first change. Their indexes are added to need. */
static int check_new_chunks(struct commit *commit, __le64 *need, unsigned int *n)
{
	const u8 *at = commit->chunks;
	const struct weft_chunk_new *chunk;
	int ret;

	for (u32 i = 0; i < commit->n_chunks; i++) {
		chunk = next_chunk(commit, &at);
		if (!chunk)
			return -EBADMSG;
		ret = check_new(commit, chunk);
		if (ret < 0)
			return ret;
		if (ret == WEFT_ST_NEED)
			need[(*n)++] = cpu_to_le64(i);
	}
	return WEFT_ST_OK;
}

#define NEED_MAX (WEFT_PAYLOAD_MAX / sizeof(struct weft_extent) + CHUNKS_MAX)

/* All chunks that the COMMIT names, in its first step. With NEED the answer lists them. */
static int check_first(struct commit *commit)
{
	__le64 need[NEED_MAX];
	unsigned int n = 0;
	int ret;

	ret = check_new_chunks(commit, need, &n);
	if (!ret)
		ret = check_old_chunks(commit, need, &n);
	if (ret || !n)
		return ret;
	tlv_put(&commit->apply->outcome->answer, WEFT_P_NUMBERS, need, n * sizeof(*need));
	return WEFT_ST_NEED;
}

/* New chunks without any extent, after the last step or instead of it. */
static int condemn_unused(struct meta_state *state, const struct given *given, u32 n)
{
	struct meta_chunk chunk;
	int err;

	for (u32 i = 0; i < n; i++) {
		err = meta_chunk_get(&state->txn, le64_to_cpu(given[i].group),
				     le64_to_cpu(given[i].number), &chunk);
		if (err == -ENOENT)
			continue;
		if (err)
			return err;
		if (chunk.head.refs || chunk.head.state != WEFT_MC_LIVE)
			continue;
		err = meta_chunk_condemn(state, &chunk);
		if (err)
			return err;
	}
	return 0;
}

/*
 * The end of a COMMIT between two steps. What was given and nothing refers to goes; what the file has
 * of it goes when that is written anew. So chunks with these sids are there, or were: if the mount
 * brought them again there would be two chunks with the same shards, and the deletion of one would take
 * them from the other. Whatever others of its COMMITs were about to bring below these is NEEDed as well.
 */
static int give_up(struct commit *commit)
{
	struct meta_session *session = &commit->apply->session;
	u64 below = le64_to_cpu(session->head.done_below), counter;
	const struct weft_chunk_new *chunk;
	const u8 *at = commit->chunks;
	int err;

	for (u32 i = 0; i < commit->n_chunks; i++) {
		chunk = next_chunk(commit, &at);
		if (!chunk)
			return -EBADMSG;
		counter = le64_to_cpu(chunk->sid.counter);
		if (counter >= below)
			below = counter + 1;
	}
	session->head.done_below = cpu_to_le64(below);
	err = condemn_unused(commit->apply->state, commit->given, commit->n_chunks);
	return err ? err : meta_session_put(&commit->apply->state->txn, session);
}

/* The same in a later step; before META_LEVEL_DEDUP only chunks of others were looked at. */
static int check_later(struct commit *commit)
{
	bool gives_up = commit->apply->entry->level >= META_LEVEL_DEDUP;
	__le64 need[NEED_MAX];
	unsigned int n = 0;
	int ret, given = WEFT_ST_OK;

	if (gives_up)
		given = check_given(commit);
	if (given < 0)
		return given;
	ret = check_old_chunks(commit, need, &n);
	if (ret || (!n && !given))
		return ret;
	for (u32 i = 0; gives_up && i < commit->n_chunks; i++)
		need[n++] = cpu_to_le64(i);
	tlv_put(&commit->apply->outcome->answer, WEFT_P_NUMBERS, need, n * sizeof(*need));
	ret = gives_up ? give_up(commit) : 0;
	return ret ? ret : WEFT_ST_NEED;
}

/* Whether its content id is taken into account; before that level it was only kept. */
static bool is_hashed(const struct commit *commit, const struct weft_chunk_new *new)
{
	return commit->apply->entry->level >= META_LEVEL_DEDUP &&
	       commit->apply->volume.head.info.dedup_domain && meta_dedup_has_id(new->content_id);
}

static bool keeps_id(const struct commit *commit, const struct weft_chunk_new *new)
{
	return is_hashed(commit, new) || (commit->apply->entry->level < META_LEVEL_DEDUP &&
					  meta_dedup_has_id(new->content_id));
}

/*
 * The one for its content may stand for a new chunk: it has lost nothing, and no less may be lost
 * of it, or has to be there. Groups of a volume differ in that while there are few stores, and
 * between volumes that share a domain.
 */
static bool stands_for(const struct meta_chunk *twin, const struct meta_chunk *chunk)
{
	return !meta_chunk_missing(twin) && twin->head.plain_len == chunk->head.plain_len &&
	       twin->head.m >= chunk->head.m && twin->head.k <= chunk->head.k;
}

/*
 * A chunk with an id is there now: it is the one for its content, or another one is, which its
 * extents go to if they may.
 */
static int enter_chunk(struct commit *commit, const struct weft_chunk_new *new,
		       struct meta_chunk *chunk, struct given *given)
{
	struct meta_state *state = commit->apply->state;
	u64 domain = meta_volume_domain(&commit->apply->volume.head.info);
	struct meta_chunk twin;
	int err;

	err = meta_dedup_find(&state->txn, domain, chunk->content_id, &twin);
	if (err && err != -ENOENT)
		return err;
	if (err || !stands_for(&twin, chunk))
		return meta_dedup_add(state, domain, chunk);
	if (!(le32_to_cpu(new->flags) & WEFT_NF_SHARE))
		return 0;
	*given = (struct given){ cpu_to_le64(twin.group), cpu_to_le64(twin.number) };
	return meta_chunk_condemn(state, chunk);
}

/* Make the record of one new chunk; *given: the one that its extents refer to. */
static int make_chunk(struct commit *commit, const struct weft_chunk_new *new, struct given *given)
{
	struct meta_state *state = commit->apply->state;
	struct meta_chunk chunk = { .group = le64_to_cpu(new->group) };
	struct meta_group group;
	int err;

	err = meta_group_get(&state->txn, chunk.group, &group);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	le64_add(&group.head.number, 1);
	le64_add(&group.head.chunks, 1);
	chunk.number = le64_to_cpu(group.head.number);
	*given = (struct given){ new->group, group.head.number };
	chunk.head = (struct weft_m_chunk){
		.sid = new->sid,
		.plain_len = new->plain_len,
		.stored_len = new->stored_len,
		.shard_len = new->shard_len,
		.key_id = new->key_id,
		.codec = new->codec,
		.cipher = new->cipher,
		.k = new->k,
		.m = new->m,
		.state = WEFT_MC_LIVE,
	};
	memcpy(chunk.head.stored_hash, new->stored_hash, sizeof(chunk.head.stored_hash));
	if (keeps_id(commit, new)) {
		chunk.head.flags = cpu_to_le16(WEFT_MCF_CONTENT_ID);
		memcpy(chunk.content_id, new->content_id, sizeof(chunk.content_id));
	}
	for (unsigned int i = 0; i < (unsigned int)new->k + new->m; i++) {
		chunk.crcs[i] = shards_of(new)[i].table_crc;
		meta_chunk_set_store(&chunk, (u8)i, le32_to_cpu(shards_of(new)[i].store),
				     le32_to_cpu(group.stores[i]));
	}
	err = meta_group_put(&state->txn, &group);
	if (!err)
		err = meta_chunk_put(state, &chunk, NULL);
	if (err || !is_hashed(commit, new))
		return err;
	return enter_chunk(commit, new, &chunk, given);
}

static int make_chunks(struct commit *commit)
{
	const u8 *at = commit->chunks;
	const struct weft_chunk_new *chunk;
	int err;

	for (u32 i = 0; i < commit->n_chunks; i++) {
		chunk = next_chunk(commit, &at);
		if (!chunk)
			return -EBADMSG;
		err = make_chunk(commit, chunk, &commit->given[i]);
		if (err)
			return err;
	}
	return 0;
}

int meta_commit_abandon(struct meta_state *state, const struct meta_slot *slot)
{
	struct given given[CHUNKS_MAX];
	u32 len = le32_to_cpu(slot->head.answer_len);

	if (le16_to_cpu(slot->head.op) != WEFT_REQ_COMMIT ||
	    !(le16_to_cpu(slot->head.flags) & WEFT_MLF_PARTIAL))
		return 0;
	if (len % sizeof(*given) || len > sizeof(given))
		return -EBADMSG;
	memcpy(given, slot->answer, len);
	return condemn_unused(state, given, (u32)(len / sizeof(*given)));
}

/*
 * Replace [from, end) of one extent's range; *reached: how far the budget went. What lies there is
 * cut away first; the part that was reached gets the new content in the same step, so that there is
 * never a hole.
 */
static int put_extent(struct commit *commit, const struct weft_extent *wire, u64 from, u64 *reached)
{
	struct meta_apply *apply = commit->apply;
	u64 offset = le64_to_cpu(wire->offset), end = offset + le64_to_cpu(wire->length);
	struct meta_extent extent;
	int err;

	err = meta_extent_cut(apply->state, &apply->tree, &commit->inode, from, end, reached);
	if (err || *reached == from)
		return err;
	extent = (struct meta_extent){
		.offset = from,
		.length = *reached - from,
		.group = le64_to_cpu(wire->group),
		.number = le64_to_cpu(wire->number),
		.chunk_offset = le32_to_cpu(wire->chunk_offset) + (u32)(from - offset),
	};
	if (!extent.group) {
		if (extent.number >= commit->n_chunks)
			return -EBADMSG;
		extent.group = le64_to_cpu(commit->given[extent.number].group);
		extent.number = le64_to_cpu(commit->given[extent.number].number);
	}
	return meta_extent_add(apply->state, &apply->tree, &commit->inode, &extent);
}

/* Records for adding an extent and for what ends a step. */
#define RECORDS_LAST 20u

/* OK, or META_MORE with the cursor in the slot. */
static int put_extents(struct commit *commit)
{
	struct meta_apply *apply = commit->apply;
	u64 cursor = le64_to_cpu(apply->slot.head.cursor), start, end, reached;
	int err;

	for (u32 i = 0; i < commit->n_extents; i++) {
		start = le64_to_cpu(commit->extents[i].offset);
		end = start + le64_to_cpu(commit->extents[i].length);
		if (end <= cursor)
			continue;
		if (start > cursor)
			cursor = start;
		reached = cursor;
		if (meta_budget_left(apply->state) > RECORDS_LAST) {
			err = put_extent(commit, &commit->extents[i], cursor, &reached);
			if (err)
				return err;
		}
		cursor = reached;
		if (cursor < end) {
			apply->slot.head.cursor = cpu_to_le64(cursor);
			return META_MORE;
		}
	}
	return WEFT_ST_OK;
}

/* The content moves into the inode's record of inline content: OK, META_MORE, or an errno. */
static int put_inline(struct commit *commit)
{
	struct meta_apply *apply = commit->apply;
	u64 ino = le64_to_cpu(commit->inode.attr.ino), reached;
	u8 old[META_VALUE_MAX];
	size_t old_len = 0;
	int err;

	err = meta_extent_truncate(apply->state, &apply->tree, &commit->inode, 0, &reached);
	if (err || reached)
		return err ? err : META_MORE;
	err = meta_inline_get(&apply->state->txn, &apply->tree, ino, old, sizeof(old), &old_len);
	if (err && err != -ENOENT)
		return err;
	le64_add(&commit->inode.attr.bytes, (u64)commit->data_len - old_len);
	if (!commit->data_len) {
		commit->inode.attr.flags &= ~cpu_to_le32(WEFT_AF_INLINE);
		return meta_inline_del(&apply->state->txn, &apply->tree, ino);
	}
	commit->inode.attr.flags |= cpu_to_le32(WEFT_AF_INLINE);
	if (commit->data_len > le64_to_cpu(commit->inode.attr.size))
		commit->inode.attr.size = cpu_to_le64(commit->data_len);
	return meta_inline_put(&apply->state->txn, &apply->tree, ino, commit->data,
			       commit->data_len);
}

/* Bytes from the file's beginning that the extents of this COMMIT cover without a gap. */
static u64 covered(const struct commit *commit)
{
	u64 end = 0;

	for (u32 i = 0; i < commit->n_extents && le64_to_cpu(commit->extents[i].offset) == end; i++)
		end += le64_to_cpu(commit->extents[i].length);
	return end;
}

/* Content leaves the inode's record: the extents must hold all of it. OK, INVAL or an errno. */
static int drop_inline(struct commit *commit)
{
	struct meta_apply *apply = commit->apply;
	u64 ino = le64_to_cpu(commit->inode.attr.ino);
	u8 old[META_VALUE_MAX];
	size_t len = 0;
	int err;

	if (!commit->n_extents || !(le32_to_cpu(commit->inode.attr.flags) & WEFT_AF_INLINE))
		return WEFT_ST_OK;
	err = meta_inline_get(&apply->state->txn, &apply->tree, ino, old, sizeof(old), &len);
	if (err && err != -ENOENT)
		return err;
	if (covered(commit) < len)
		return WEFT_ST_INVAL;
	le64_sub(&commit->inode.attr.bytes, len);
	commit->inode.attr.flags &= ~cpu_to_le32(WEFT_AF_INLINE);
	return meta_inline_del(&apply->state->txn, &apply->tree, ino);
}

/* What lies behind the size is this session's from here on: OK, META_MORE, or a negative errno. */
static int claim(struct commit *commit)
{
	struct meta_apply *apply = commit->apply;
	bool done;
	int err;

	if (apply->entry->level < META_LEVEL_LEFT_BEHIND)
		return WEFT_ST_OK;
	err = meta_extent_claim(apply->state, &apply->tree, &commit->inode, apply->entry->session,
				&done);
	if (err)
		return err;
	return done ? WEFT_ST_OK : META_MORE;
}

static void set_attributes(struct commit *commit)
{
	const struct weft_commit *head = &commit->body->commit;
	struct weft_attr *attr = &commit->inode.attr;
	u32 flags = le32_to_cpu(head->flags);

	if (flags & WEFT_CF_SIZE && le64_to_cpu(head->size) > le64_to_cpu(attr->size))
		attr->size = head->size;
	if (flags & WEFT_CF_MTIME) {
		attr->mtime_sec = head->mtime.sec;
		attr->mtime_nsec = head->mtime.nsec;
	}
	meta_inode_touch(&commit->inode, &head->ctime);
	if (le64_to_cpu(head->sequence) > le64_to_cpu(commit->inode.commit_sequence))
		commit->inode.commit_sequence = head->sequence;
}

/* Sid counters below it will not be heard of again. */
static int note_done(struct commit *commit)
{
	struct meta_session *session = &commit->apply->session;

	if (le64_to_cpu(commit->body->commit.done_below) <= le64_to_cpu(session->head.done_below))
		return 0;
	session->head.done_below = commit->body->commit.done_below;
	return meta_session_put(&commit->apply->state->txn, session);
}

/* Into an encrypted volume nothing goes that is not sealed, and no hash of a content of which nobody says that it is keyed. */
static bool sealed_as_due(const struct commit *commit)
{
	static const u8 no_id[sizeof(((struct weft_chunk_new *)0)->content_id)];
	const u8 *at = commit->chunks;
	const struct weft_chunk_new *chunk;

	for (u32 i = 0; commit->apply->volume.head.info.cipher && i < commit->n_chunks; i++) {
		chunk = next_chunk(commit, &at);
		if (chunk && (chunk->cipher == WEFT_CIPHER_NONE || memcmp(chunk->content_id, no_id, sizeof(no_id))))
			return false;
	}
	return true;
}

static int first_step(struct commit *commit)
{
	struct meta_apply *apply = commit->apply;
	int ret;

	if (!sealed_as_due(commit))
		return WEFT_ST_INVAL;
	ret = check_first(commit);
	if (ret)
		return ret;
	if (commit->data_len > le32_to_cpu(apply->volume.head.info.inline_max))
		return WEFT_ST_INVAL;
	if (!(le32_to_cpu(commit->body->commit.flags) & WEFT_CF_INLINE)) {
		ret = drop_inline(commit);
		if (ret)
			return ret;
	}
	ret = make_chunks(commit);
	if (ret)
		return ret;
	/* The numbers outlive this step in the slot. */
	memcpy(apply->slot.answer, commit->given, commit->n_chunks * sizeof(*commit->given));
	apply->slot.head.answer_len = cpu_to_le32((u32)(commit->n_chunks * sizeof(*commit->given)));
	return WEFT_ST_OK;
}

static int run_steps(struct commit *commit)
{
	struct meta_apply *apply = commit->apply;
	bool inlined = le32_to_cpu(commit->body->commit.flags) & WEFT_CF_INLINE;
	int ret = WEFT_ST_OK, err;

	if (le16_to_cpu(apply->slot.head.flags) & WEFT_MLF_PARTIAL) {
		if (le32_to_cpu(apply->slot.head.answer_len) !=
		    commit->n_chunks * sizeof(*commit->given))
			return -EBADMSG;
		memcpy(commit->given, apply->slot.answer,
		       commit->n_chunks * sizeof(*commit->given));
		ret = check_later(commit);
	} else {
		ret = first_step(commit);
	}
	if (!ret)
		ret = claim(commit);
	if (!ret)
		ret = inlined ? put_inline(commit) : put_extents(commit);
	if (ret != WEFT_ST_OK && ret != META_MORE)
		return ret;
	/* The last step has a budget of its own when it could need one. */
	if (!ret && meta_budget_left(apply->state) < commit->n_chunks * 3ull + RECORDS_LAST) {
		apply->slot.head.cursor = cpu_to_le64(META_SIZE_MAX);
		ret = META_MORE;
	}
	if (ret == WEFT_ST_OK) {
		set_attributes(commit);
		err = condemn_unused(apply->state, commit->given, commit->n_chunks);
		if (!err)
			err = note_done(commit);
		if (err)
			return err;
	}
	err = meta_volume_account(apply->state, apply->tree.volume, 0,
				  (s64)(le64_to_cpu(commit->inode.attr.bytes) - commit->bytes));
	if (!err)
		err = meta_inode_put(&apply->state->txn, &apply->tree, &commit->inode);
	return err ? err : ret;
}

/* New chunks whose content another chunk had: its sid is not theirs. */
static int answer_shared(struct commit *commit)
{
	struct weft_chunk_found found[WEFT_COMMIT_HASHED_MAX];
	const u8 *at = commit->chunks;
	const struct weft_chunk_new *new;
	struct meta_chunk chunk;
	unsigned int n = 0;
	int err;

	for (u32 i = 0; i < commit->n_chunks && n < ARRAY_SIZE(found); i++) {
		new = next_chunk(commit, &at);
		if (!new)
			return -EBADMSG;
		if (!is_hashed(commit, new) || !(le32_to_cpu(new->flags) & WEFT_NF_SHARE))
			continue;
		err = meta_chunk_get(&commit->apply->state->txn,
				     le64_to_cpu(commit->given[i].group),
				     le64_to_cpu(commit->given[i].number), &chunk);
		if (err)
			return err == -ENOENT ? -EBADMSG : err;
		if (!memcmp(&chunk.head.sid, &new->sid, sizeof(new->sid)))
			continue;
		found[n++] = (struct weft_chunk_found){ cpu_to_le32(i),
							cpu_to_le32(WEFT_FOUND_EXISTS),
							commit->given[i].group,
							commit->given[i].number };
	}
	if (n)
		tlv_put(&commit->apply->outcome->answer, WEFT_P_FOUND, found, n * sizeof(*found));
	return 0;
}

int meta_apply_commit(struct meta_apply *apply)
{
	struct commit commit = { .apply = apply };
	struct given given[CHUNKS_MAX];
	__le64 numbers[CHUNKS_MAX];
	int ret;

	ret = load(&commit);
	if (ret)
		return ret;
	if (commit.n_chunks > CHUNKS_MAX)
		return -EBADMSG;
	commit.given = given;
	ret = meta_inode_get(&apply->state->txn, &apply->tree, le64_to_cpu(commit.body->ino),
			     &commit.inode);
	if (ret)
		return ret == -ENOENT ? WEFT_ST_STALE : ret;
	if (!meta_inode_is_file(&commit.inode))
		return meta_inode_is_dir(&commit.inode) ? WEFT_ST_ISDIR : WEFT_ST_INVAL;
	commit.bytes = le64_to_cpu(commit.inode.attr.bytes);
	ret = run_steps(&commit);
	if (ret != WEFT_ST_OK)
		return ret;
	for (u32 i = 0; i < commit.n_chunks; i++)
		numbers[i] = given[i].number;
	tlv_put(&apply->outcome->answer, WEFT_P_ATTR, &commit.inode.attr,
		sizeof(commit.inode.attr));
	tlv_put(&apply->outcome->answer, WEFT_P_NUMBERS, numbers,
		commit.n_chunks * sizeof(*numbers));
	return answer_shared(&commit);
}

/* ---- Where shards are ---- */

/*
 * A shard of a chunk in deletion came late to a store: it has to be deleted there. What was decided
 * on before, and may have found nothing there, does not count (condemned_ns).
 */
static int note_late_shard(struct meta_state *state, struct meta_chunk *chunk, u8 index, u32 store,
			   u32 slot_store)
{
	u32 at = meta_chunk_store(chunk, index, slot_store), bit = 1u << index;
	bool deleted = le32_to_cpu(chunk->head.deleted) & bit;
	struct meta_chunk old = *chunk;

	/* It is still to be deleted there; or elsewhere, and the record names one place only. */
	if (!deleted && at != WEFT_STORE_NONE)
		return 0;
	chunk->head.deleted &= ~cpu_to_le32(bit);
	chunk->head.condemned_ns = cpu_to_le64(state->time_ns);
	meta_chunk_set_store(chunk, index, store, slot_store);
	return meta_chunk_put(state, chunk, &old);
}

/*
 * One report of a shard that is, or is not, on a store. What does not fit the state any more is
 * passed over.
 */
static int apply_report(struct meta_state *state, const struct meta_entry *entry,
			const struct weft_shard_report *report, bool stored, u64 domain)
{
	u32 index = le32_to_cpu(report->index), store = le32_to_cpu(report->store), at, slot;
	struct meta_chunk chunk, old;
	struct meta_group group;
	int err;

	err = meta_chunk_get(&state->txn, le64_to_cpu(report->group), le64_to_cpu(report->number),
			     &chunk);
	if (err)
		return err == -ENOENT ? 0 : err;
	err = meta_group_get(&state->txn, chunk.group, &group);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	if (memcmp(&chunk.head.sid, &report->sid, sizeof(report->sid)) ||
	    index >= (u32)chunk.head.k + chunk.head.m || store == WEFT_STORE_NONE ||
	    (domain && le64_to_cpu(group.head.domain) != domain))
		return 0;
	slot = le32_to_cpu(group.stores[index]);
	if (chunk.head.state == WEFT_MC_DELETING)
		return stored && entry->level >= META_LEVEL_LATE_SHARDS
			       ? note_late_shard(state, &chunk, (u8)index, store, slot)
			       : 0;
	at = meta_chunk_store(&chunk, (u8)index, slot);
	/* Stored: only what was missing, or comes to its slot, changes anything. */
	if (stored && (at == store || (at != WEFT_STORE_NONE && store != slot)))
		return 0;
	/* Missing: nobody's word takes a chunk below what can be read. */
	if (!stored && (at != store || meta_chunk_missing(&chunk) >= chunk.head.m))
		return 0;
	old = chunk;
	meta_chunk_set_store(&chunk, (u8)index, stored ? store : WEFT_STORE_NONE, slot);
	return meta_chunk_put(state, &chunk, &old);
}

static const struct weft_shard_report *reports_of(const struct meta_entry *entry, u32 *count)
{
	const struct weft_e_shards *body;
	const u8 *tail;
	size_t len;

	body = meta_entry_body(entry, sizeof(*body), &tail, &len);
	if (!body || len != (size_t)le32_to_cpu(body->count) * sizeof(struct weft_shard_report))
		return NULL;
	*count = le32_to_cpu(body->count);
	return (const void *)tail;
}

int meta_apply_shards(struct meta_apply *apply)
{
	const struct weft_shard_report *reports;
	u32 count;
	int err;

	reports = reports_of(apply->entry, &count);
	if (!reports || count > WEFT_M_ENTRY_RECORDS)
		return -EBADMSG;
	for (u32 i = 0; i < count; i++) {
		err = apply_report(apply->state, apply->entry, &reports[i],
				   apply->entry->op == WEFT_REQ_SHARDS_STORED,
				   meta_volume_domain(&apply->volume.head.info));
		if (err)
			return err;
	}
	return WEFT_ST_OK;
}

/* A worker made shards: each counts if its checksums are those of the one that was lost. */
int meta_apply_healed(struct meta_state *state, const struct meta_entry *entry,
		      struct meta_outcome *outcome)
{
	const struct weft_shard_report *reports;
	struct meta_chunk chunk;
	u32 count, index;
	int err;

	reports = reports_of(entry, &count);
	if (!reports || count > WEFT_M_ENTRY_RECORDS)
		return -EBADMSG;
	for (u32 i = 0; i < count; i++) {
		err = meta_chunk_get(&state->txn, le64_to_cpu(reports[i].group),
				     le64_to_cpu(reports[i].number), &chunk);
		if (err == -ENOENT)
			continue;
		if (err)
			return err;
		index = le32_to_cpu(reports[i].index);
		if (index >= (u32)chunk.head.k + chunk.head.m ||
		    (chunk.crcs[index] != reports[i].status &&
		     !(chunk.head.state == WEFT_MC_DELETING &&
		       entry->level >= META_LEVEL_LATE_SHARDS))) {
			outcome->number++;
			continue;
		}
		err = apply_report(state, entry, &reports[i], true, 0);
		if (err)
			return err;
	}
	return WEFT_ST_OK;
}
