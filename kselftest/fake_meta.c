// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A metadata service in memory: one volume with directories, files with inline content, links. No
 * chunks but one that it may claim: requests for groups are answered with NO_GROUP; but it may say
 * of contents that there is a chunk with them, and take COMMITs that name it. It trusts the kernel;
 * tables are small and searched from end to end.
 */
#include "fake.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define META_INLINE_MAX 2000
#define META_CHUNK_LEN  65536u
#define META_CHUNK_GROUP 5

struct meta_name {
	struct meta_name *next;
	uint64_t cookie, ino;
	size_t len;
	char text[WEFT_NAME_MAX];
};

struct meta_inode {
	struct weft_attr attr;
	struct meta_name *names; /* by cookie */
	uint64_t next_cookie;
	char *target;
	uint8_t *data;
	size_t data_len;
};

struct fake_meta {
	struct meta_inode **inodes; /* by number; 0 and 1: unused */
	uint64_t n_inodes;
	uint64_t change, forgotten;
	uint64_t last_session;
	unsigned int sessions;
	uint64_t *open; /* numbers of the sessions */
	uint32_t cipher, inline_max, setting;
	_Atomic int claim; /* what EXTENTS says: CLAIM_*, or a chunk's key */
	enum fake_found found;
	uint64_t asked, named; /* contents; bits of chunks */
	unsigned int needs;
};

#define CLAIM_NOTHING (-1)
#define CLAIM_INLINE  (-2)

static struct meta_inode *inode_of(const struct fake_meta *meta, uint64_t ino)
{
	return ino < meta->n_inodes ? meta->inodes[ino] : NULL;
}

static struct meta_inode *inode_new(struct fake_meta *meta, const struct weft_create *create,
				    uint64_t parent)
{
	struct meta_inode *inode = calloc(1, sizeof(*inode));
	uint32_t mode = le32toh(create->mode);

	meta->inodes = realloc(meta->inodes, (meta->n_inodes + 1) * sizeof(*meta->inodes));
	inode->attr.ino = htole64(meta->n_inodes);
	inode->attr.mode = create->mode;
	inode->attr.uid = create->uid;
	inode->attr.gid = create->gid;
	inode->attr.rdev_major = create->rdev_major;
	inode->attr.rdev_minor = create->rdev_minor;
	inode->attr.nlink = htole32(S_ISDIR(mode) ? 2 : 1);
	inode->attr.parent = S_ISDIR(mode) ? htole64(parent) : 0;
	inode->attr.change = htole64(++meta->change);
	inode->attr.atime_sec = inode->attr.mtime_sec = inode->attr.ctime_sec =
		inode->attr.btime_sec = create->time.sec;
	inode->attr.atime_nsec = inode->attr.mtime_nsec = inode->attr.ctime_nsec =
		inode->attr.btime_nsec = create->time.nsec;
	inode->next_cookie = 3;
	if (S_ISREG(mode))
		inode->attr.flags = htole32(WEFT_AF_INLINE);
	meta->inodes[meta->n_inodes++] = inode;
	return inode;
}

static void inode_free(struct meta_inode *inode)
{
	struct meta_name *name;

	if (!inode)
		return;
	while ((name = inode->names)) {
		inode->names = name->next;
		free(name);
	}
	free(inode->target);
	free(inode->data);
	free(inode);
}

static void touch(struct fake_meta *meta, struct meta_inode *inode, const struct weft_time *time)
{
	inode->attr.change = htole64(++meta->change);
	if (!time)
		return;
	inode->attr.ctime_sec = time->sec;
	inode->attr.ctime_nsec = time->nsec;
	if (S_ISDIR(le32toh(inode->attr.mode))) {
		inode->attr.mtime_sec = time->sec;
		inode->attr.mtime_nsec = time->nsec;
	}
}

static void nlink_add(struct meta_inode *inode, int n)
{
	inode->attr.nlink = htole32(le32toh(inode->attr.nlink) + n);
}

static struct meta_name **name_find(struct meta_inode *dir, const char *text, size_t len)
{
	struct meta_name **at;

	for (at = &dir->names; *at; at = &(*at)->next)
		if ((*at)->len == len && !memcmp((*at)->text, text, len))
			break;
	return at;
}

static void name_add(struct meta_inode *dir, const char *text, size_t len, uint64_t ino)
{
	struct meta_name *name = calloc(1, sizeof(*name)), **at = &dir->names;

	name->cookie = dir->next_cookie++;
	name->ino = ino;
	name->len = len;
	memcpy(name->text, text, len);
	while (*at)
		at = &(*at)->next;
	*at = name;
}

static void name_del(struct meta_name **at)
{
	struct meta_name *name = *at;

	*at = name->next;
	free(name);
}

static void add_attr(struct fake_payload *payload, uint16_t type, const struct meta_inode *inode)
{
	fake_attr(payload, type, &inode->attr, sizeof(inode->attr));
}

static void add_inode(struct fake_payload *payload, const struct meta_inode *inode)
{
	add_attr(payload, WEFT_P_ATTR, inode);
	if (inode->target)
		fake_attr(payload, WEFT_P_TARGET, inode->target, strlen(inode->target));
	else if (S_ISREG(le32toh(inode->attr.mode)) && inode->data_len)
		fake_attr(payload, WEFT_P_DATA, inode->data, inode->data_len);
}

/* The directory and name of a request; false when they make no sense. */
static bool place_of(const struct fake_meta *meta, const struct fake_request *req, uint16_t parent,
		     uint16_t name, struct meta_inode **dir, const char **text, size_t *len)
{
	*dir = inode_of(meta, fake_find_u64(req, parent));
	*text = fake_find(req->payload, req->len, name, len);
	return *dir && *text && *len <= WEFT_NAME_MAX && S_ISDIR(le32toh((*dir)->attr.mode));
}

static uint32_t answer_mount(struct fake_meta *meta, const struct fake_request *req,
			     struct fake_payload *payload)
{
	struct weft_volume_info volume = {
		.uuid = "a fake volume...",
		.volume = htole64(1),
		.root = htole64(2),
		.k = htole32(2),
		.m = htole32(1),
		.chunker = htole32(WEFT_CHUNKER_FIXED),
		.chunk_size = htole32(1 << 20),
		.chunk_min = htole32(1 << 20),
		.chunk_max = htole32(1 << 20),
		.ec_min = htole32(65536),
		.inline_max = htole32(meta->inline_max),
		.cipher = htole32(meta->cipher),
		.reserved = { htole32(meta->setting) },
		.incarnation = htole32(1),
		.dedup_domain = htole32(meta->found != FAKE_FOUND_OFF),
	};
	uint64_t session = htole64(++meta->last_session);
	size_t len;
	const char *name = fake_find(req->payload, req->len, WEFT_P_NAME, &len);

	if (!name || len != 4 || memcmp(name, "home", 4)) {
		static const char text[] =
			"no such volume here; this is the fake daemon's own sentence";

		fake_attr(payload, WEFT_P_TEXT, text, sizeof(text) - 1);
		return WEFT_ST_NO_VOLUME;
	}
	meta->open = realloc(meta->open, (meta->sessions + 1) * sizeof(*meta->open));
	meta->open[meta->sessions++] = meta->last_session;
	fake_attr(payload, WEFT_P_SESSION, &session, sizeof(session));
	fake_attr(payload, WEFT_P_VOLUME, &volume, sizeof(volume));
	add_attr(payload, WEFT_P_ATTR, inode_of(meta, 2));
	return WEFT_ST_OK;
}

/*
 * The session may be one of a daemon before this one: its end is asked for until somebody answers.
 */
static uint32_t answer_umount(struct fake_meta *meta, const struct fake_request *req)
{
	for (unsigned int i = 0; i < meta->sessions; i++) {
		if (meta->open[i] == req->session) {
			meta->open[i] = meta->open[--meta->sessions];
			return WEFT_ST_OK;
		}
	}
	return WEFT_ST_SESSION_LOST;
}

static uint32_t answer_lookup(struct fake_meta *meta, const struct fake_request *req,
			      struct fake_payload *payload)
{
	struct meta_inode *dir;
	struct meta_name *name;
	const char *text;
	size_t len;

	if (!place_of(meta, req, WEFT_P_PARENT, WEFT_P_NAME, &dir, &text, &len))
		return WEFT_ST_NOTDIR;
	name = *name_find(dir, text, len);
	if (!name)
		return WEFT_ST_NOENT;
	add_inode(payload, inode_of(meta, name->ino));
	return WEFT_ST_OK;
}

static uint32_t answer_create(struct fake_meta *meta, const struct fake_request *req,
			      struct fake_payload *payload)
{
	const struct weft_create *create = fake_find(req->payload, req->len, WEFT_P_CREATE, NULL);
	struct meta_inode *dir, *inode;
	const char *text, *target;
	size_t len, target_len;

	if (!create || !place_of(meta, req, WEFT_P_PARENT, WEFT_P_NAME, &dir, &text, &len))
		return WEFT_ST_INVAL;
	if (*name_find(dir, text, len))
		return WEFT_ST_EXIST;
	inode = inode_new(meta, create, le64toh(dir->attr.ino));
	if (S_ISDIR(le32toh(create->mode)) || S_ISREG(le32toh(create->mode)))
		inode->attr.policy = dir->attr.policy;
	target = fake_find(req->payload, req->len, WEFT_P_TARGET, &target_len);
	if (target) {
		inode->target = strndup(target, target_len);
		inode->attr.size = htole64(target_len);
	}
	name_add(dir, text, len, le64toh(inode->attr.ino));
	if (S_ISDIR(le32toh(create->mode)))
		nlink_add(dir, 1);
	touch(meta, dir, &create->time);
	add_inode(payload, inode);
	add_attr(payload, WEFT_P_PATTR, dir);
	return WEFT_ST_OK;
}

static uint32_t answer_link(struct fake_meta *meta, const struct fake_request *req,
			    struct fake_payload *payload)
{
	struct meta_inode *dir, *inode = inode_of(meta, fake_find_u64(req, WEFT_P_INO));
	const struct weft_time *time = fake_find(req->payload, req->len, WEFT_P_TIME, NULL);
	const char *text;
	size_t len;

	if (!inode || !place_of(meta, req, WEFT_P_PARENT, WEFT_P_NAME, &dir, &text, &len))
		return WEFT_ST_INVAL;
	if (*name_find(dir, text, len))
		return WEFT_ST_EXIST;
	name_add(dir, text, len, le64toh(inode->attr.ino));
	nlink_add(inode, 1);
	touch(meta, inode, time);
	touch(meta, dir, time);
	add_attr(payload, WEFT_P_ATTR, inode);
	add_attr(payload, WEFT_P_PATTR, dir);
	return WEFT_ST_OK;
}

/* A name of the inode goes. */
static void drop_name(struct meta_inode *dir, struct meta_inode *inode)
{
	if (S_ISDIR(le32toh(inode->attr.mode))) {
		inode->attr.nlink = 0;
		nlink_add(dir, -1);
	} else {
		nlink_add(inode, -1);
	}
}

static uint32_t answer_unlink(struct fake_meta *meta, const struct fake_request *req,
			      struct fake_payload *payload)
{
	const struct weft_time *time = fake_find(req->payload, req->len, WEFT_P_TIME, NULL);
	bool rmdir = fake_find_u64(req, WEFT_P_FLAGS) & WEFT_PF_RMDIR;
	struct meta_inode *dir, *inode;
	struct meta_name **name;
	const char *text;
	size_t len;

	if (!place_of(meta, req, WEFT_P_PARENT, WEFT_P_NAME, &dir, &text, &len))
		return WEFT_ST_INVAL;
	name = name_find(dir, text, len);
	if (!*name)
		return WEFT_ST_NOENT;
	inode = inode_of(meta, (*name)->ino);
	if (rmdir != S_ISDIR(le32toh(inode->attr.mode)))
		return rmdir ? WEFT_ST_NOTDIR : WEFT_ST_ISDIR;
	if (inode->names)
		return WEFT_ST_NOTEMPTY;
	name_del(name);
	drop_name(dir, inode);
	touch(meta, inode, time);
	touch(meta, dir, time);
	add_attr(payload, WEFT_P_ATTR, inode);
	add_attr(payload, WEFT_P_PATTR, dir);
	return WEFT_ST_OK;
}

static uint32_t answer_rename(struct fake_meta *meta, const struct fake_request *req,
			      struct fake_payload *payload)
{
	const struct weft_time *time = fake_find(req->payload, req->len, WEFT_P_TIME, NULL);
	uint32_t flags = fake_find_u64(req, WEFT_P_FLAGS);
	struct meta_inode *dir, *dir2, *inode, *other = NULL;
	struct meta_name **from, **to;
	const char *text, *text2;
	size_t len, len2;

	if (!place_of(meta, req, WEFT_P_PARENT, WEFT_P_NAME, &dir, &text, &len) ||
	    !place_of(meta, req, WEFT_P_PARENT2, WEFT_P_NAME2, &dir2, &text2, &len2))
		return WEFT_ST_INVAL;
	from = name_find(dir, text, len);
	to = name_find(dir2, text2, len2);
	if (!*from || ((flags & WEFT_PF_EXCHANGE) && !*to))
		return WEFT_ST_NOENT;
	if (*to && (flags & WEFT_PF_NOREPLACE))
		return WEFT_ST_EXIST;
	inode = inode_of(meta, (*from)->ino);
	if (*to) {
		other = inode_of(meta, (*to)->ino);
		if (other->names && !(flags & WEFT_PF_EXCHANGE))
			return WEFT_ST_NOTEMPTY;
		touch(meta, other, time);
	}
	if (flags & WEFT_PF_EXCHANGE) {
		(*from)->ino = le64toh(other->attr.ino);
		(*to)->ino = le64toh(inode->attr.ino);
	} else {
		uint64_t ino = (*from)->ino;

		if (other) {
			drop_name(dir2, other);
			(*to)->ino = ino;
		} else {
			name_add(dir2, text2, len2, ino);
		}
		name_del(name_find(dir, text, len));
		if (S_ISDIR(le32toh(inode->attr.mode))) {
			inode->attr.parent = dir2->attr.ino;
			nlink_add(dir, -1);
			nlink_add(dir2, 1);
		}
	}
	touch(meta, inode, time);
	touch(meta, dir, time);
	touch(meta, dir2, time);
	add_attr(payload, WEFT_P_ATTR, inode);
	add_attr(payload, WEFT_P_PATTR, dir);
	add_attr(payload, WEFT_P_PATTR2, dir2);
	if (other)
		add_attr(payload, WEFT_P_ATTR2, other);
	return WEFT_ST_OK;
}

static uint32_t answer_setattr(struct fake_meta *meta, const struct fake_request *req,
			       struct fake_payload *payload)
{
	const struct weft_setattr *set = fake_find(req->payload, req->len, WEFT_P_SETATTR, NULL);
	struct meta_inode *inode = inode_of(meta, fake_find_u64(req, WEFT_P_INO));
	uint32_t valid, type;

	if (!set || !inode)
		return WEFT_ST_STALE;
	valid = le32toh(set->valid);
	type = le32toh(inode->attr.mode) & S_IFMT;
	if (valid & WEFT_SA_MODE)
		inode->attr.mode = htole32(type | le32toh(set->mode));
	if (valid & WEFT_SA_UID)
		inode->attr.uid = set->uid;
	if (valid & WEFT_SA_GID)
		inode->attr.gid = set->gid;
	if (valid & WEFT_SA_SIZE) {
		uint64_t size = le64toh(set->size);

		inode->attr.size = set->size;
		if (inode->data_len > size)
			inode->data_len = size;
	}
	if (valid & WEFT_SA_POLICY)
		inode->attr.policy = htole64(fake_find_u64(req, WEFT_P_POLICY));
	if (valid & WEFT_SA_MTIME) {
		inode->attr.mtime_sec = set->mtime.sec;
		inode->attr.mtime_nsec = set->mtime.nsec;
	}
	if (valid & WEFT_SA_ATIME) {
		inode->attr.atime_sec = set->atime.sec;
		inode->attr.atime_nsec = set->atime.nsec;
	}
	touch(meta, inode, NULL);
	inode->attr.ctime_sec = set->ctime.sec;
	inode->attr.ctime_nsec = set->ctime.nsec;
	add_attr(payload, WEFT_P_ATTR, inode);
	return WEFT_ST_OK;
}

static uint32_t answer_readdir(struct fake_meta *meta, const struct fake_request *req,
			       struct fake_payload *payload)
{
	struct meta_inode *dir = inode_of(meta, fake_find_u64(req, WEFT_P_INO));
	uint64_t cookie = fake_find_u64(req, WEFT_P_COOKIE);
	uint32_t eof = htole32(WEFT_PF_EOF);
	struct weft_dirent *entry;
	struct meta_name *name;

	if (!dir || !S_ISDIR(le32toh(dir->attr.mode)))
		return WEFT_ST_NOTDIR;
	for (name = dir->names; name; name = name->next) {
		if (name->cookie < cookie)
			continue;
		if (payload->len > 16384)
			return WEFT_ST_OK;
		entry = fake_attr(payload, WEFT_P_DIRENT, NULL, sizeof(*entry) + name->len);
		entry->cookie = htole64(name->cookie);
		entry->attr = inode_of(meta, name->ino)->attr;
		entry->name_len = htole16(name->len);
		memcpy(entry + 1, name->text, name->len);
	}
	fake_attr(payload, WEFT_P_FLAGS, &eof, sizeof(eof));
	return WEFT_ST_OK;
}

/* Content that the COMMIT says is in chunks: OK, NEED, or NO_GROUP if it is in none that was told of. */
static uint32_t commit_named(struct fake_meta *meta, const struct fake_request *req,
			     struct fake_payload *payload)
{
	size_t len;
	const struct weft_extent *extents = fake_find(req->payload, req->len, WEFT_P_EXTENTS, &len);
	uint64_t named = 0;

	for (size_t i = 0; i < len / sizeof(*extents); i++) {
		if (le64toh(extents[i].group) != META_CHUNK_GROUP ||
		    le64toh(extents[i].number) > 63)
			return WEFT_ST_NO_GROUP;
		named |= 1ull << le64toh(extents[i].number);
	}
	if (named && meta->needs) {
		__atomic_fetch_sub(&meta->needs, 1, __ATOMIC_RELAXED);
		fake_attr(payload, WEFT_P_NUMBERS, &extents->number, sizeof(extents->number));
		return WEFT_ST_NEED;
	}
	__atomic_fetch_or(&meta->named, named, __ATOMIC_RELAXED);
	return WEFT_ST_OK;
}

static void add_found(struct fake_meta *meta, struct fake_payload *payload, uint32_t index,
		      uint32_t plain_len)
{
	struct weft_chunk_found found = { .index = htole32(index), .what = htole32(WEFT_FOUND_EXISTS),
					  .group = htole64(META_CHUNK_GROUP),
					  .number = htole64(++meta->asked) };
	struct weft_chunk_info info = { .group = found.group, .number = found.number,
					.sid = { htole64(1), found.number }, .k = 2, .m = 1 };

	if (meta->found == FAKE_FOUND_LENGTH)
		plain_len += 8192;
	info.plain_len = info.stored_len = htole32(plain_len);
	info.shard_len = htole32((plain_len / 2 + 4095) & ~4095u);
	switch (meta->found) {
	case FAKE_FOUND_NEW:
		found = (struct weft_chunk_found){ .index = htole32(index),
						   .what = htole32(WEFT_FOUND_NEW) };
		break;
	case FAKE_FOUND_INDEX:
		found.index = htole32(index + 1000000 * (index + 1));
		break;
	case FAKE_FOUND_GEOMETRY:
		info.shard_len = htole32(4096);
		break;
	case FAKE_FOUND_NUMBER:
		info.number = htole64(meta->asked + 1);
		break;
	default:
		break;
	}
	fake_attr(payload, WEFT_P_FOUND, &found, sizeof(found));
	if (meta->found != FAKE_FOUND_NO_CHUNK && meta->found != FAKE_FOUND_NEW)
		fake_attr(payload, WEFT_P_CHUNK, &info, sizeof(info));
}

/* One content in a question is enough here, so that FOUND is an array of one. */
static uint32_t answer_chunks(struct fake_meta *meta, const struct fake_request *req,
			      struct fake_payload *payload)
{
	size_t len;
	const struct weft_chunk_ask *asks = fake_find(req->payload, req->len, WEFT_P_ASK, &len);

	if (asks && len >= sizeof(*asks))
		add_found(meta, payload, 0, le32toh(asks->plain_len));
	return WEFT_ST_OK;
}

static uint32_t answer_commit(struct fake_meta *meta, const struct fake_request *req,
			      struct fake_payload *payload)
{
	const struct weft_commit *commit = fake_find(req->payload, req->len, WEFT_P_COMMIT, NULL);
	struct meta_inode *inode = inode_of(meta, fake_find_u64(req, WEFT_P_INO));
	size_t len;
	const void *data = fake_find(req->payload, req->len, WEFT_P_DATA, &len);

	if (!inode || !commit)
		return WEFT_ST_STALE;
	if (le32toh(commit->flags) & WEFT_CF_INLINE) {
		free(inode->data);
		inode->data = malloc(len + 1);
		inode->data_len = data ? len : 0;
		if (data)
			memcpy(inode->data, data, len);
	} else if (fake_find(req->payload, req->len, WEFT_P_EXTENTS, NULL)) {
		uint32_t status = commit_named(meta, req, payload);

		if (status)
			return status;
	}
	if ((le32toh(commit->flags) & WEFT_CF_SIZE) &&
	    le64toh(commit->size) > le64toh(inode->attr.size))
		inode->attr.size = commit->size;
	if (le32toh(commit->flags) & WEFT_CF_MTIME) {
		inode->attr.mtime_sec = commit->mtime.sec;
		inode->attr.mtime_nsec = commit->mtime.nsec;
	}
	touch(meta, inode, NULL);
	add_attr(payload, WEFT_P_ATTR, inode);
	return WEFT_ST_OK;
}

/* Inline content is cloned as a whole, and there is no other. */
static uint32_t answer_clone(struct fake_meta *meta, const struct fake_request *req,
			     struct fake_payload *payload)
{
	const struct weft_clone *clone = fake_find(req->payload, req->len, WEFT_P_CLONE, NULL);
	struct meta_inode *inode = inode_of(meta, fake_find_u64(req, WEFT_P_INO)), *source;

	source = clone ? inode_of(meta, le64toh(clone->source)) : NULL;
	if (!source || !inode)
		return WEFT_ST_STALE;
	if (clone->source_offset || clone->offset || clone->length != source->attr.size ||
	    source == inode)
		return WEFT_ST_INVAL;
	free(inode->data);
	inode->data = malloc(source->data_len + 1);
	inode->data_len = source->data_len;
	memcpy(inode->data, source->data, source->data_len);
	inode->attr.size = source->attr.size;
	inode->attr.mtime_sec = clone->mtime.sec;
	inode->attr.mtime_nsec = clone->mtime.nsec;
	touch(meta, inode, &clone->ctime);
	add_attr(payload, WEFT_P_ATTR, inode);
	fake_attr(payload, WEFT_P_LENGTH, &clone->length, sizeof(clone->length));
	return WEFT_ST_OK;
}

static void add_chunk(struct fake_payload *payload, uint32_t key_id)
{
	uint32_t stored = META_CHUNK_LEN + (key_id ? 16 : 0);
	struct weft_chunk_info info = {
		.group = htole64(5),
		.number = htole64(1),
		.sid = { htole64(1), htole64(1) },
		.plain_len = htole32(META_CHUNK_LEN),
		.stored_len = htole32(stored),
		.shard_len = htole32(((stored + 1) / 2 + WEFT_SHARD_ALIGN_ONE - 1) / WEFT_SHARD_ALIGN_ONE *
				     WEFT_SHARD_ALIGN_ONE),
		.key_id = htole32(key_id),
		.cipher = key_id ? WEFT_CIPHER_AES256_GCM : WEFT_CIPHER_NONE,
		.k = 2,
		.m = 1,
	};
	struct weft_extent extent = {
		.length = htole64(META_CHUNK_LEN),
		.group = info.group,
		.number = info.number,
	};

	fake_attr(payload, WEFT_P_CHUNK, &info, sizeof(info));
	fake_attr(payload, WEFT_P_EXTENTS, &extent, sizeof(extent));
}

static uint32_t answer_extents(struct fake_meta *meta, const struct fake_request *req,
			       struct fake_payload *payload)
{
	struct meta_inode *inode = inode_of(meta, fake_find_u64(req, WEFT_P_INO));
	uint64_t next = fake_find_u64(req, WEFT_P_OFFSET) + fake_find_u64(req, WEFT_P_LENGTH);

	if (!inode)
		return WEFT_ST_STALE;
	if (meta->claim >= 0)
		add_chunk(payload, meta->claim);
	else if (meta->claim == CLAIM_INLINE)
		fake_attr(payload, WEFT_P_DATA, "x", 1);
	else if (inode->data_len)
		fake_attr(payload, WEFT_P_DATA, inode->data, inode->data_len);
	next = htole64(next);
	fake_attr(payload, WEFT_P_NEXT, &next, sizeof(next));
	return WEFT_ST_OK;
}

static uint32_t answer_statfs(struct fake_payload *payload)
{
	struct weft_statfs statfs = {
		.bytes_total = htole64(1ULL << 40),
		.bytes_free = htole64(1ULL << 39),
		.bytes_avail = htole64(1ULL << 39),
		.files = htole64(1 << 20),
		.files_free = htole64(1 << 19),
	};

	fake_attr(payload, WEFT_P_STATFS, &statfs, sizeof(statfs));
	return WEFT_ST_OK;
}

static uint32_t answer_inode(struct fake_meta *meta, const struct fake_request *req,
			     struct fake_payload *payload)
{
	struct meta_inode *inode = inode_of(meta, fake_find_u64(req, WEFT_P_INO));

	if (!inode)
		return WEFT_ST_STALE;
	if (req->op == WEFT_REQ_READLINK && inode->target)
		fake_attr(payload, WEFT_P_TARGET, inode->target, strlen(inode->target));
	else
		add_inode(payload, inode);
	return WEFT_ST_OK;
}

uint32_t fake_meta_answer(struct fake_meta *meta, const struct fake_request *req,
			  struct fake_payload *payload)
{
	payload->len = 0;
	switch (req->op) {
	case WEFT_REQ_MOUNT:
		return answer_mount(meta, req, payload);
	case WEFT_REQ_UMOUNT:
		return answer_umount(meta, req);
	case WEFT_REQ_LOOKUP:
		return answer_lookup(meta, req, payload);
	case WEFT_REQ_GETATTR:
	case WEFT_REQ_READLINK:
		return answer_inode(meta, req, payload);
	case WEFT_REQ_SETATTR:
		return answer_setattr(meta, req, payload);
	case WEFT_REQ_CREATE:
		return answer_create(meta, req, payload);
	case WEFT_REQ_LINK:
		return answer_link(meta, req, payload);
	case WEFT_REQ_UNLINK:
		return answer_unlink(meta, req, payload);
	case WEFT_REQ_RENAME:
		return answer_rename(meta, req, payload);
	case WEFT_REQ_READDIR:
		return answer_readdir(meta, req, payload);
	case WEFT_REQ_FORGET:
		meta->forgotten++;
		return WEFT_ST_OK;
	case WEFT_REQ_COMMIT:
		return answer_commit(meta, req, payload);
	case WEFT_REQ_CLONE:
		return answer_clone(meta, req, payload);
	case WEFT_REQ_CHUNKS:
		return answer_chunks(meta, req, payload);
	case WEFT_REQ_EXTENTS:
		return answer_extents(meta, req, payload);
	case WEFT_REQ_STATFS:
		return answer_statfs(payload);
	case WEFT_REQ_GROUP:
	case WEFT_REQ_GROUP_WANT:
		return WEFT_ST_NO_GROUP;
	}
	return WEFT_ST_UNKNOWN_OP;
}

struct fake_meta *fake_meta_new(void)
{
	struct weft_create root = { .mode = htole32(S_IFDIR | 0755) };
	struct fake_meta *meta = calloc(1, sizeof(*meta));

	meta->n_inodes = 2;
	meta->inline_max = META_INLINE_MAX;
	meta->claim = CLAIM_NOTHING;
	/* Different in each process, so that what is left of another service is recognised. */
	meta->last_session = (uint64_t)getpid() << 32;
	meta->inodes = calloc(2, sizeof(*meta->inodes));
	inode_new(meta, &root, 2);
	return meta;
}

void fake_meta_free(struct fake_meta *meta)
{
	for (uint64_t ino = 0; ino < meta->n_inodes; ino++)
		inode_free(meta->inodes[ino]);
	free(meta->inodes);
	free(meta->open);
	free(meta);
}

void fake_meta_cipher(struct fake_meta *meta, uint32_t cipher, uint32_t inline_max)
{
	meta->cipher = cipher;
	meta->inline_max = inline_max;
}

void fake_meta_setting(struct fake_meta *meta, uint32_t setting)
{
	meta->setting = setting;
}

void fake_meta_chunk(struct fake_meta *meta, uint32_t key_id)
{
	meta->claim = key_id;
}

void fake_meta_inline(struct fake_meta *meta)
{
	meta->claim = CLAIM_INLINE;
}

void fake_meta_dedup(struct fake_meta *meta, enum fake_found found, unsigned int needs)
{
	meta->found = found;
	meta->needs = needs;
}

uint64_t fake_meta_named(const struct fake_meta *meta)
{
	return __atomic_load_n(&meta->named, __ATOMIC_RELAXED);
}

unsigned int fake_meta_needs(const struct fake_meta *meta)
{
	return __atomic_load_n(&meta->needs, __ATOMIC_RELAXED);
}

uint64_t fake_meta_forgotten(const struct fake_meta *meta)
{
	return __atomic_load_n(&meta->forgotten, __ATOMIC_RELAXED);
}

unsigned int fake_meta_sessions(const struct fake_meta *meta)
{
	return __atomic_load_n(&meta->sessions, __ATOMIC_RELAXED);
}

uint64_t fake_meta_session(const struct fake_meta *meta)
{
	return __atomic_load_n(&meta->last_session, __ATOMIC_RELAXED);
}
