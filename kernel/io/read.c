// SPDX-License-Identifier: GPL-2.0-only
/*
 * read.c - filling folios from chunks
 *
 * A read request covers a run of locked folios. Its range is split by the extents into parts, each of which fetches bytes
 * of one chunk; a folio ends its read when all of its bytes came, in any order.
 *
 * What must stay true:
 *   - No request to the daemon is made with a folio locked. Readahead reads what the cached extents describe and leaves
 *     the rest; ->read_folio() that finds its range unknown unlocks the folio, asks, and has the caller look again
 *     (AOP_TRUNCATED_PAGE).
 *   - A request has its own copies of every folio's position and length. A folio may be looked at only while bytes of it
 *     are outstanding: behind that it is unlocked, can be evicted and reused at another place.
 *   - Behind the last folio_end_read() the inode may be gone; only the mount, which counts jobs, is there.
 *   - Bytes behind i_size are zeros. An error marks only the folios whose bytes it concerns.
 */
#include <linux/highmem.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "io/internal.h"

#define READ_FOLIOS_MAX 512
#define READ_PART_MAX   (4u << 20)

struct read_folio {
	struct folio *folio;
	u64 pos;
	u32 len;
	atomic_t left;          /* bytes that have not come */
	bool failed;            /* set before left falls */
};

struct weft_read {
	struct weft_inode *inode;  /* while a folio is locked */
	struct weft_mount *mount;
	refcount_t ref;            /* the submitter's and one a part */
	atomic_t parts;            /* under way, and one while parts are being made */
	struct completion done;    /* all parts are */
	int error;                 /* of any part */
	bool unknown;              /* part of the range is not known (any more) */
	struct weft_chunk *stale;  /* a store said "not here": the chunk as it was known */
	u64 stale_pos;
	unsigned int n_folios, max_folios;
	struct read_folio folios[];
};

struct read_part {
	struct weft_get get;
	struct weft_read *read;
	u64 pos;
	struct bio_vec bvec[];
};

static struct weft_read *read_alloc(struct inode *inode, unsigned int max_folios, gfp_t gfp)
{
	struct weft_read *read = kvzalloc(struct_size(read, folios, max_folios), gfp);

	if (!read)
		return NULL;
	read->inode = weft_inode(inode);
	read->mount = weft_mount(inode->i_sb);
	refcount_set(&read->ref, 1);
	atomic_set(&read->parts, 1);
	init_completion(&read->done);
	read->max_folios = max_folios;
	weft_job_begin(read->mount);
	return read;
}

static void read_put(struct weft_read *read)
{
	struct weft_mount *mount = read->mount;

	if (!refcount_dec_and_test(&read->ref))
		return;
	if (read->stale)
		weft_chunk_put(read->stale);
	kvfree(read);
	weft_job_end(mount);
}

static void read_add(struct weft_read *read, struct folio *folio)
{
	struct read_folio *entry = &read->folios[read->n_folios++];

	entry->folio = folio;
	entry->pos = folio_pos(folio);
	entry->len = folio_size(folio);
	atomic_set(&entry->left, entry->len);
}

/* Index of the folio that holds pos. */
static unsigned int read_find(const struct weft_read *read, u64 pos)
{
	unsigned int low = 0, high = read->n_folios - 1;

	while (low < high) {
		unsigned int mid = (low + high + 1) / 2;

		if (read->folios[mid].pos <= pos)
			low = mid;
		else
			high = mid - 1;
	}
	return low;
}

/* [pos, pos + len) came, or failed. The last bytes of a folio unlock it. */
static void read_collect(struct weft_read *read, u64 pos, u32 len, bool failed)
{
	unsigned int i = read_find(read, pos);

	for (; len; i++) {
		struct read_folio *entry = &read->folios[i];
		u32 n = min_t(u64, len, entry->pos + entry->len - pos);

		if (failed)
			WRITE_ONCE(entry->failed, true);
		if (!atomic_sub_return(n, &entry->left)) {
			flush_dcache_folio(entry->folio);
			folio_end_read(entry->folio, !READ_ONCE(entry->failed));
		}
		pos += n;
		len -= n;
	}
}

static void read_part_end(struct weft_read *read)
{
	if (atomic_dec_and_test(&read->parts))
		complete_all(&read->done);
}

/* The chunk is not where we thought. The folio is still locked, so the inode is there. */
static void read_stale(struct weft_read *read, const struct read_part *part)
{
	struct weft_inode *inode = read->inode;
	u64 end = part->pos + part->get.length;

	spin_lock(&inode->io.extent_lock);
	weft_extent_forget(inode, part->pos, end);
	spin_unlock(&inode->io.extent_lock);
	weft_chunk_get(part->get.chunk);
	if (cmpxchg(&read->stale, NULL, part->get.chunk))
		weft_chunk_put(part->get.chunk);
	else
		read->stale_pos = part->pos;
}

/* The bytes are good, but a store that should have some of them has not: ask for the mapping anew next time. */
static void read_forget(struct weft_read *read, const struct read_part *part)
{
	struct weft_inode *inode = read->inode;

	spin_lock(&inode->io.extent_lock);
	weft_extent_forget(inode, part->pos, part->pos + part->get.length);
	spin_unlock(&inode->io.extent_lock);
}

static void part_done(struct weft_get *get)
{
	struct read_part *part = container_of(get, struct read_part, get);
	struct weft_read *read = part->read;

	if (get->remap && get->error)
		read_stale(read, part);
	else if (get->remap)
		read_forget(read, part);
	else if (get->error)
		WRITE_ONCE(read->error, get->error == -EINTR ? -EIO : get->error);
	read_collect(read, part->pos, get->length, get->error);
	weft_chunk_put(get->chunk);
	kvfree(part);
	read_part_end(read);
	read_put(read);
}

/* Makes the part for what span says; its folios have bytes outstanding. Takes over span's chunk. */
static int part_submit(struct weft_read *read, const struct weft_span *span)
{
	unsigned int first = read_find(read, span->pos);
	unsigned int n = read_find(read, span->end - 1) - first + 1, i;
	struct read_part *part = kvmalloc(struct_size(part, bvec, n), GFP_NOFS | __GFP_NOWARN);

	if (!part) {
		weft_chunk_put(span->chunk);
		return -ENOMEM;
	}
	part->read = read;
	part->pos = span->pos;
	for (i = 0; i < n; i++) {
		struct read_folio *entry = &read->folios[first + i];
		u64 pos = max(span->pos, entry->pos);
		u64 end = min(span->end, entry->pos + entry->len);

		bvec_set_folio(&part->bvec[i], entry->folio, end - pos, pos - entry->pos);
	}
	part->get = (struct weft_get){
		.mount = read->mount,
		.chunk = span->chunk,
		.offset = span->chunk_offset,
		.length = span->end - span->pos,
		.bvec = part->bvec,
		.n_bvec = n,
		.ino = read->inode->ino,
		.file_offset = span->pos,
		.done = part_done,
	};
	refcount_inc(&read->ref);
	atomic_inc(&read->parts);
	weft_get_submit(&part->get);
	return 0;
}

static void read_zero(struct weft_read *read, u64 pos, u64 end)
{
	while (pos < end) {
		struct read_folio *entry = &read->folios[read_find(read, pos)];
		u64 to = min(end, entry->pos + entry->len);

		folio_zero_range(entry->folio, pos - entry->pos, to - pos);
		pos = to;
	}
}

static bool read_inline(struct weft_read *read, u64 pos, u64 end)
{
	while (pos < end) {
		struct read_folio *entry = &read->folios[read_find(read, pos)];
		u64 to = min3(end, entry->pos + entry->len, round_down(pos, PAGE_SIZE) + PAGE_SIZE);
		void *at = kmap_local_folio(entry->folio, pos - entry->pos);
		bool known = weft_extent_copy_inline(read->inode, pos, at, to - pos);

		kunmap_local(at);
		if (!known)
			return false;
		pos = to;
	}
	return true;
}

/* What stands at pos: done at once, or on its way. Returns where the next begins. */
static u64 read_span(struct weft_read *read, u64 pos, u64 end)
{
	struct weft_span span;
	bool failed = false;

	weft_extent_lookup(read->inode, pos, min(end, pos + READ_PART_MAX), &span);
	switch (span.kind) {
	case WEFT_SPAN_CHUNK:
		if (!part_submit(read, &span))
			return span.end;
		WRITE_ONCE(read->error, -ENOMEM);
		failed = true;
		break;
	case WEFT_SPAN_HOLE:
		read_zero(read, pos, span.end);
		break;
	case WEFT_SPAN_INLINE:
		failed = !read_inline(read, pos, span.end);
		read->unknown |= failed;
		break;
	case WEFT_SPAN_MISS:
		failed = true;
		read->unknown = true;
		break;
	}
	read_collect(read, pos, span.end - pos, failed);
	return span.end;
}

/* Reads all folios that were added; each ends its read by itself. The caller keeps its reference. */
static void read_issue(struct weft_read *read)
{
	const struct read_folio *last = &read->folios[read->n_folios - 1];
	u64 pos = read->folios[0].pos, end = last->pos + last->len;
	u64 size = min_t(u64, i_size_read(&read->inode->vfs), end);

	while (pos < size)
		pos = read_span(read, pos, size);
	if (pos < end) {
		read_zero(read, pos, end);
		read_collect(read, pos, end - pos, false);
	}
	read_part_end(read);
}

/*
 * Reads as far as extents are known. What is left over is taken out of the cache by the caller; whoever needs it comes
 * by ->read_folio().
 */
void weft_readahead(struct readahead_control *rac)
{
	struct inode *inode = rac->mapping->host;
	u64 pos = readahead_pos(rac), end = pos + readahead_length(rac);
	u64 known = weft_extent_covered(weft_inode(inode), pos, end);
	struct weft_read *read = NULL;
	struct folio *folio;

	while (pos < known && (folio = readahead_folio(rac))) {
		pos += folio_size(folio);
		if (!read)
			read = read_alloc(inode, min(readahead_count(rac) + folio_nr_pages(folio), READ_FOLIOS_MAX),
					  GFP_NOFS | __GFP_NORETRY | __GFP_NOWARN);
		if (pos > known || !read) {
			folio_unlock(folio);
			break;
		}
		read_add(read, folio);
		if (read->n_folios < read->max_folios)
			continue;
		read_issue(read);
		read_put(read);
		read = NULL;
	}
	if (!read)
		return;
	if (read->n_folios)
		read_issue(read);
	read_put(read);
}

/* Does the answer that came meanwhile say the same of the chunk that was not where it said? */
static bool stale_unchanged(struct weft_read *read)
{
	struct weft_span span;
	bool same = false;

	weft_extent_lookup(read->inode, read->stale_pos, read->stale_pos + 1, &span);
	if (span.kind == WEFT_SPAN_CHUNK) {
		const struct weft_chunk *a = read->stale, *b = span.chunk;

		same = a->group == b->group && a->number == b->number && a->n_exceptions == b->n_exceptions &&
		       !memcmp(a->exceptions, b->exceptions, a->n_exceptions * sizeof(a->exceptions[0]));
		weft_chunk_put(span.chunk);
	}
	return same;
}

int weft_read_fill(struct weft_inode *inode, struct folio *folio)
{
	u64 pos = folio_pos(folio), end = pos + folio_size(folio);
	struct weft_read *read;
	int error;

	if (weft_extent_covered(inode, pos, end) < end) {
		folio_unlock(folio);
		return weft_map_fetch(inode, pos, end);
	}
	read = read_alloc(&inode->vfs, 1, GFP_NOFS);
	if (!read) {
		folio_unlock(folio);
		return -ENOMEM;
	}
	read_add(read, folio);
	read_issue(read);
	error = wait_for_completion_killable(&read->done) ? -EINTR : READ_ONCE(read->error);
	if (!error && read->stale) {
		error = weft_map_fetch(inode, pos, end);
		if (!error && stale_unchanged(read)) {
			weft_count(read->mount, WEFT_MC_READ_ERRORS, 1);
			error = -EIO;
		}
	}
	read_put(read);
	return error;
}

int weft_read_folio(struct file *file, struct folio *folio)
{
	int error;

	folio_get(folio);
	error = weft_read_fill(weft_inode(folio->mapping->host), folio);
	if (!error && !folio_test_uptodate(folio))
		error = AOP_TRUNCATED_PAGE;
	folio_put(folio);
	return error;
}
