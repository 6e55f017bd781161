// SPDX-License-Identifier: GPL-2.0-only
/*
 * map.c - asking the metadata service where a file's content lies
 *
 * Runs in the task that needs it, killably, never with a folio locked: an answer may have to wait for whoever else wants
 * the file. What an answer says is checked before it is used: extents ascending, disjoint, inside their chunk.
 */
#include <linux/bsearch.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/unaligned.h>

#include "io/internal.h"

/* One answer describes as much of this as fits a message. */
#define MAP_WINDOW (64ull << 20)

/* Between two questions, when the answer was "again", or came too late to be used. */
#define PAUSE_MIN_MS 4
#define PAUSE_MAX_MS 500

struct map_chunks {
	struct weft_chunk **chunk; /* sorted by (group, number) */
	unsigned int n;
};

static int chunk_cmp(const void *left, const void *right)
{
	const struct weft_chunk *a = *(const struct weft_chunk * const *)left;
	const struct weft_chunk *b = *(const struct weft_chunk * const *)right;

	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return 0;
}

static void chunks_free(struct map_chunks *chunks)
{
	while (chunks->n)
		weft_chunk_put(chunks->chunk[--chunks->n]);
	kvfree(chunks->chunk);
}

static int chunks_decode(const struct weft_request *req, struct map_chunks *chunks)
{
	const struct nlattr *attr;
	unsigned int n = 0;
	int rem;

	*chunks = (struct map_chunks){};
	weft_answer_for_each(req, attr, rem, WEFT_P_CHUNK)
		n++;
	if (!n)
		return 0;
	chunks->chunk = kvmalloc_array(n, sizeof(*chunks->chunk), GFP_NOFS);
	if (!chunks->chunk)
		return -ENOMEM;
	weft_answer_for_each(req, attr, rem, WEFT_P_CHUNK) {
		struct weft_chunk *chunk = weft_chunk_decode(nla_data(attr), nla_len(attr));

		if (IS_ERR(chunk))
			return PTR_ERR(chunk);
		chunks->chunk[chunks->n++] = chunk;
	}
	sort(chunks->chunk, chunks->n, sizeof(*chunks->chunk), chunk_cmp, NULL);
	return 0;
}

static struct weft_chunk *chunks_find(const struct map_chunks *chunks, u64 group, u64 number)
{
	struct weft_chunk key = { .group = group, .number = number }, *wanted = &key, **found;

	if (!chunks->n)
		return NULL;
	found = bsearch(&wanted, chunks->chunk, chunks->n, sizeof(*chunks->chunk), chunk_cmp);
	return found ? *found : NULL;
}

/* Extents ascend, do not overlap and lie inside a chunk that the same answer describes. */
static int extents_check(const struct weft_extent *extents, unsigned int n, const struct map_chunks *chunks)
{
	u64 end = 0;

	for (; n; n--, extents++) {
		u64 pos = le64_to_cpu(extents->offset), len = le64_to_cpu(extents->length);
		const struct weft_chunk *chunk = chunks_find(chunks, le64_to_cpu(extents->group),
							     le64_to_cpu(extents->number));

		if (!chunk || !len || pos < end || len > chunk->plain_len ||
		    le32_to_cpu(extents->chunk_offset) > chunk->plain_len - len || pos > MAX_LFS_FILESIZE - len)
			return -EPROTO;
		end = pos + len;
	}
	return 0;
}

/* With extent_lock held. @holes: what the answer does not name in [from, next) is a hole. */
static void extents_install(struct weft_inode *inode, const struct weft_extent *extents, unsigned int n,
			    const struct map_chunks *chunks, struct weft_piece **spares, u64 from, u64 next, bool holes)
{
	for (; n; n--, extents++) {
		u64 pos = le64_to_cpu(extents->offset), end = pos + le64_to_cpu(extents->length);
		struct weft_chunk *chunk = chunks_find(chunks, le64_to_cpu(extents->group),
						       le64_to_cpu(extents->number));

		if (holes && from < pos)
			weft_extent_fill(inode, spares, from, min(pos, next), NULL, 0);
		weft_extent_fill(inode, spares, pos, end, chunk, le32_to_cpu(extents->chunk_offset));
		inode->io.mapped_end = max(inode->io.mapped_end, end);
		from = max(from, end);
	}
	if (holes && from < next)
		weft_extent_fill(inode, spares, from, next, NULL, 0);
}

static int inline_install(struct weft_inode *inode, u64 gen, const struct nlattr *data)
{
	void *copy = kmemdup(nla_data(data), nla_len(data), GFP_NOFS);
	int error = 0;

	if (!copy && nla_len(data))
		return -ENOMEM;
	if (!copy)
		copy = kzalloc(1, GFP_NOFS);
	spin_lock(&inode->io.extent_lock);
	if (inode->io.extents_gen != gen) {
		error = -EAGAIN;
	} else {
		inode->io.is_inline = true;
		weft_extent_set_inline(inode, copy, nla_len(data));
		copy = NULL;
	}
	spin_unlock(&inode->io.extent_lock);
	kfree(copy);
	return error;
}

/* -EAGAIN: the answer is older than what was forgotten meanwhile. */
static int map_install(struct weft_inode *inode, u64 gen, u64 from, const struct weft_request *req, bool whole)
{
	const struct nlattr *tb[WEFT_P_NR];
	const struct weft_extent *extents = NULL;
	struct weft_piece *spares;
	struct map_chunks chunks;
	unsigned int n = 0;
	u64 next = from;
	int error = weft_answer_parse(req, tb);

	if (error)
		return error;
	/* Nothing of an encrypted volume is inline: it would not be sealed. */
	if (tb[WEFT_P_DATA] && weft_inode_mount(inode)->crypt.encrypted)
		return -EPROTO;
	if (tb[WEFT_P_DATA])
		return inline_install(inode, gen, tb[WEFT_P_DATA]);
	if (tb[WEFT_P_EXTENTS]) {
		extents = nla_data(tb[WEFT_P_EXTENTS]);
		n = nla_len(tb[WEFT_P_EXTENTS]) / sizeof(*extents);
	}
	if (whole) {
		if (!tb[WEFT_P_NEXT])
			return -EPROTO;
		next = get_unaligned_le64(nla_data(tb[WEFT_P_NEXT]));
		if (next <= from)
			return -EPROTO;
	}
	error = chunks_decode(req, &chunks);
	if (!error)
		error = extents_check(extents, n, &chunks);
	if (error)
		goto out_chunks;
	/* An extent and the hole before it; a few more where known pieces lie between. */
	spares = weft_piece_alloc(2 * n + 8, GFP_NOFS);
	spin_lock(&inode->io.extent_lock);
	if (inode->io.extents_gen != gen) {
		error = -EAGAIN;
	} else {
		if (whole && !inode->io.inline_data)
			inode->io.is_inline = false;
		extents_install(inode, extents, n, &chunks, &spares, from, next, whole);
	}
	spin_unlock(&inode->io.extent_lock);
	weft_piece_free(spares);
	weft_extent_touch(inode);
out_chunks:
	chunks_free(&chunks);
	return error;
}

static int map_ask(struct weft_inode *inode, u64 pos, u64 end)
{
	struct weft_mount *mount = weft_inode_mount(inode);
	struct weft_request *req;
	int error;
	u64 gen;

	spin_lock(&inode->io.extent_lock);
	gen = inode->io.extents_gen;
	spin_unlock(&inode->io.extent_lock);

	req = weft_request_alloc(mount->cluster, mount, WEFT_REQ_EXTENTS, 3, 64, GFP_NOFS);
	if (!req)
		return -ENOMEM;
	req->ino = inode->ino;
	weft_request_add_u64(req, WEFT_P_INO, inode->ino);
	weft_request_add_u64(req, WEFT_P_OFFSET, pos);
	weft_request_add_u64(req, WEFT_P_LENGTH, end - pos);
	error = weft_request_call(req);
	if (!error)
		error = map_install(inode, gen, pos, req, true);
	weft_request_put(req);
	return error;
}

int weft_map_fetch(struct weft_inode *inode, u64 pos, u64 end)
{
	struct weft_mount *mount = weft_inode_mount(inode);
	unsigned long pause = msecs_to_jiffies(PAUSE_MIN_MS);
	int error;

	end = max(end, pos + MAP_WINDOW);
	while ((error = map_ask(inode, pos, end)) == -EAGAIN) {
		if (wait_event_killable_timeout(mount->io.wait, weft_mount_dead(mount), pause) < 0)
			return -EINTR;
		if (weft_mount_dead(mount))
			return -EIO;
		pause = min(2 * pause, msecs_to_jiffies(PAUSE_MAX_MS));
	}
	return error;
}

/*
 * Nothing says how old the answer is, so it is used only for a file whose content this kernel has never changed or
 * forgotten.
 */
void weft_io_inode_prime(struct weft_inode *inode, const struct weft_request *req)
{
	bool fresh;

	spin_lock(&inode->io.extent_lock);
	fresh = !inode->io.extents_gen && !inode->io.sequence && !inode->io.n_extents && !inode->io.inline_data &&
		list_empty(&inode->io.units);
	spin_unlock(&inode->io.extent_lock);
	if (fresh && S_ISREG(inode->vfs.i_mode))
		map_install(inode, 0, 0, req, false);
}
