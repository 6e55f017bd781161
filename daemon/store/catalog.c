// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * catalog.c - what a store has of a group: LIST, DIGEST, VERIFY
 *
 * Shard files are found by reading the group's directories, small shards in the index. LIST keeps the smallest entries
 * behind the cursor in a heap of one page, so a page costs one pass over the group's names and a fixed amount of memory.
 */
#include "store/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/chunk/crc32c.h"
#include "store/segment.h"

#define PAGE_ENTRIES (STORE_LIST_BYTES / sizeof(struct weft_wire_list_entry))

static int name_compare(const struct store_shard_name *a, const struct store_shard_name *b)
{
	if (a->session != b->session)
		return a->session < b->session ? -1 : 1;
	if (a->counter != b->counter)
		return a->counter < b->counter ? -1 : 1;
	return (int)a->index - (int)b->index;
}

static int name_compare_sort(const void *a, const void *b)
{
	return name_compare(a, b);
}

/* The PAGE_ENTRIES smallest names behind the cursor: a heap with the largest on top. */
struct page {
	struct store_shard_name after, *names;
	bool from_start, more;
	size_t n;
};

static void heap_up(struct store_shard_name *names, size_t i)
{
	while (i && name_compare(&names[(i - 1) / 2], &names[i]) < 0) {
		struct store_shard_name swap = names[i];

		names[i] = names[(i - 1) / 2];
		names[(i - 1) / 2] = swap;
		i = (i - 1) / 2;
	}
}

static void heap_down(struct store_shard_name *names, size_t n)
{
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;
		struct store_shard_name swap;

		if (child + 1 < n && name_compare(&names[child], &names[child + 1]) < 0)
			child++;
		if (child >= n || name_compare(&names[i], &names[child]) >= 0)
			return;
		swap = names[i];
		names[i] = names[child];
		names[child] = swap;
		i = child;
	}
}

static void page_add(struct page *page, const struct store_shard_name *name)
{
	if (!page->from_start && name_compare(name, &page->after) <= 0)
		return;
	if (page->n < PAGE_ENTRIES) {
		page->names[page->n] = *name;
		heap_up(page->names, page->n++);
		return;
	}
	page->more = true;
	if (name_compare(name, &page->names[0]) < 0) {
		page->names[0] = *name;
		heap_down(page->names, page->n);
	}
}

static bool page_add_file(void *ctx, const struct store_shard_name *name, uint64_t bytes)
{
	(void)bytes;
	page_add(ctx, name);
	return true;
}

/* The index gives them in order: one more than a page is enough. */
struct page_small {
	struct page *page;
	size_t left;
};

static bool page_add_small(void *ctx, const struct store_key *key, const struct store_place *place)
{
	struct page_small *small = ctx;
	struct store_shard_name name = {key->session, key->counter, place->shard_len, key->index};

	page_add(small->page, &name);
	return --small->left > 0;
}

uint32_t store_catalog_list(struct store_request *request)
{
	const struct weft_wire_frame *frame = &request->frame;
	struct weft_wire_list_entry *entries = (void *)request->buffer;
	struct page page = {
		.after = {.session = frame->session,
			  .counter = frame->counter,
			  .index = frame->index},
		.from_start = !frame->session && !frame->counter && !frame->index,
	};
	struct page_small small = {&page, PAGE_ENTRIES + 1};
	struct store_key after = store_key_of(frame);
	int err;

	page.names = calloc(PAGE_ENTRIES, sizeof(*page.names));
	if (!page.names)
		return WEFT_ST_NOMEM;
	err = store_segment_walk(request->store, frame->group, page.from_start ? NULL : &after,
				 page_add_small, &small);
	if (!err)
		err = store_file_walk(request->store, frame->group, false, page_add_file, &page);
	if (err) {
		free(page.names);
		return WEFT_ST_STORE_IO;
	}
	qsort(page.names, page.n, sizeof(page.names[0]), name_compare_sort);
	memset(entries, 0, page.n * sizeof(*entries));
	for (size_t i = 0; i < page.n; i++) {
		struct store_shard_name *name = &page.names[i];

		if (!name->shard_len)
			name->shard_len = store_file_length(request->store, frame->group, name);
		entries[i].sid.session = cpu_to_le64(name->session);
		entries[i].sid.counter = cpu_to_le64(name->counter);
		entries[i].shard_len = cpu_to_le32(name->shard_len);
		entries[i].index = name->index;
	}
	store_request_add_part(request, entries, page.n * sizeof(*entries));
	request->answer.payload_crc = weft_crc32c(0, entries, page.n * sizeof(*entries));
	if (page.more)
		request->answer.flags |= WEFT_WIRE_MORE;
	free(page.names);
	return WEFT_ST_OK;
}

/* --- DIGEST ------------------------------------------------------------------------------------------------------------ */

struct digest {
	uint64_t count, xor_session, xor_counter, bytes;
};

static void digest_add(struct digest *digest, uint64_t session, uint64_t counter, uint8_t index,
		       uint32_t shard_len)
{
	digest->count++;
	digest->xor_session ^= session;
	digest->xor_counter ^= counter ^ (uint64_t)index << 56;
	digest->bytes += shard_len;
}

static bool digest_file(void *ctx, const struct store_shard_name *name, uint64_t bytes)
{
	(void)bytes;
	digest_add(ctx, name->session, name->counter, name->index, name->shard_len);
	return true;
}

static bool digest_small(void *ctx, const struct store_key *key, const struct store_place *place)
{
	digest_add(ctx, key->session, key->counter, key->index, place->shard_len);
	return true;
}

uint32_t store_catalog_digest(struct store_request *request)
{
	struct weft_wire_digest *answer = (void *)request->small;
	uint64_t group = request->frame.group;
	struct digest digest = {0};
	int err = store_segment_walk(request->store, group, NULL, digest_small, &digest);

	if (!err)
		err = store_file_walk(request->store, group, true, digest_file, &digest);
	if (err)
		return WEFT_ST_STORE_IO;
	answer->count = cpu_to_le64(digest.count);
	answer->xor_session = cpu_to_le64(digest.xor_session);
	answer->xor_counter = cpu_to_le64(digest.xor_counter);
	answer->bytes = cpu_to_le64(digest.bytes);
	store_request_add_part(request, answer, sizeof(*answer));
	request->answer.payload_crc = weft_crc32c(0, answer, sizeof(*answer));
	return WEFT_ST_OK;
}

uint32_t store_catalog_verify(struct store_request *request)
{
	uint32_t status = store_file_verify(request->store, &request->frame);

	return status == WEFT_ST_ABSENT ? store_segment_verify(request->store, &request->frame)
					: status;
}
