// SPDX-License-Identifier: GPL-2.0-or-later
/* find.c - where in shard files, segments and directories of stores the shards are. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/chunk/crctable.h"
#include "tools/chunk/chunk.h"
#include "uapi/weft_store.h"

/* The longest shard file. */
#define FILE_MAX                                                                                          \
	(WEFT_SHARD_HEADER_MAX + 4u * (WEFT_SHARD_LEN_MAX / WEFT_CRC_BLOCK + 1) + WEFT_STORE_HEAD_ALIGN + \
	 WEFT_SHARD_LEN_MAX)

/* At most len bytes from offset on; how many, or a negative errno. */
static ssize_t read_at(int fd, u8 *bytes, size_t len, off_t offset)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, bytes + got, len - got, offset + (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* At most max bytes of a file from offset on, in memory that is the caller's. */
static int file_read(int fd, size_t max, off_t offset, u8 **bytes, size_t *len)
{
	struct stat st;
	ssize_t got;

	if (fstat(fd, &st))
		return -errno;
	if (st.st_size <= offset)
		max = 0;
	else if ((u64)(st.st_size - offset) < max)
		max = (size_t)(st.st_size - offset);
	*bytes = malloc(max ? max : 1);
	if (!*bytes)
		return -ENOMEM;
	got = read_at(fd, *bytes, max, offset);
	if (got >= 0) {
		*len = (size_t)got;
		return 0;
	}
	free(*bytes);
	return (int)got;
}

static int place_add(struct chunk_places *places, const struct chunk_place *place)
{
	if (places->n == places->room) {
		size_t room = places->room ? 2 * places->room : 256;
		struct chunk_place *list = reallocarray(places->list, room, sizeof(*list));

		if (!list)
			return -ENOMEM;
		places->list = list;
		places->room = room;
	}
	places->list[places->n++] = *place;
	return 0;
}

/* A copy of path that lives as long as the places. */
static const char *path_keep(struct chunk_places *places, const char *path)
{
	if (places->n_paths == places->path_room) {
		size_t room = places->path_room ? 2 * places->path_room : 64;
		char **paths = reallocarray(places->paths, room, sizeof(*paths));

		if (!paths)
			return NULL;
		places->paths = paths;
		places->path_room = room;
	}
	places->paths[places->n_paths] = strdup(path);
	return places->paths[places->n_paths] ? places->paths[places->n_paths++] : NULL;
}

static int shard_find(struct chunk_places *places, const char *path, int fd)
{
	struct chunk_place place = { .whole = true };
	u8 head[WEFT_SHARD_HEADER_MAX];
	ssize_t got = read_at(fd, head, sizeof(head), 0);
	const char *why;

	if (got < 0)
		return (int)got;
	if (weft_header_decode(&place.info, head, (size_t)got, &why)) {
		places->warn(path, why);
		return 0;
	}
	place.info.frames = NULL;
	place.path = path_keep(places, path);
	return place.path ? place_add(places, &place) : -ENOMEM;
}

/* Segments of one directory are of one store, also where a header that would say which is damaged. */
static void store_guess(const char *path, u8 store[16])
{
	const char *end = strrchr(path, '/');
	u64 hash = 0xcbf29ce484222325u;

	for (const char *c = path; end && c < end; c++)
		hash = (hash ^ (u8)*c) * 0x100000001b3u;
	memset(store, 0xff, 16);
	memcpy(store, &hash, sizeof(hash));
}

static int segment_records(struct chunk_places *places, const char *path, const u8 *bytes, size_t len, u64 id,
			   const u8 store[16])
{
	const char *kept = path_keep(places, path);
	struct chunk_record record;
	size_t pos = 0;
	int err = kept ? 0 : -ENOMEM;

	while (!err && chunk_segment_next(bytes, len, id, &pos, &record)) {
		struct chunk_place place = {
			.info = record.shard.info,
			.path = kept,
			.in_segment = true,
			.deleted = record.deleted,
			.whole = record.whole,
			.segment = id,
			.offset = record.offset,
			.size = record.size,
		};

		if (record.deleted)
			place.info = (struct weft_shard_info){ .group = record.group,
							       .sid_session = record.session,
							       .sid_counter = record.counter,
							       .index = record.index };
		place.info.frames = NULL;
		memcpy(place.store, store, 16);
		err = place_add(places, &place);
	}
	return err;
}

static int segment_find(struct chunk_places *places, const char *path, int fd, bool named, u64 id)
{
	u8 *bytes, store[16];
	size_t len;
	int err;

	err = file_read(fd, WEFT_SEGMENT_SIZE, 0, &bytes, &len);
	if (err)
		return err;
	if (!chunk_segment_header(bytes, len, &id, store)) {
		places->warn(path, named ? "its header is damaged; its records are read nevertheless"
					 : "its header is damaged");
		store_guess(path, store);
	}
	if (id)
		err = segment_records(places, path, bytes, len, id, store);
	free(bytes);
	return err;
}

/* What a file's name says: a segment's id, that of a shard (true), or nothing. */
static bool name_says(const char *path, u64 *segment)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	unsigned long a, b;
	unsigned int c;
	int used = 0;

	if (sscanf(name, "%16lx.seg%n", &a, &used) == 1 && used == 20 && !name[used])
		*segment = a;
	used = 0;
	return sscanf(name, "%16lx-%16lx-%2x%n", &a, &b, &c, &used) == 3 && used == 36 && !name[used];
}

static int file_find(struct chunk_places *places, const char *path, bool asked_for)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	u64 segment = 0;
	__le32 magic = 0;
	bool shard;

	if (fd < 0)
		return -errno;
	shard = name_says(path, &segment);
	read_at(fd, (u8 *)&magic, sizeof(magic), 0);
	if (segment || le32_to_cpu(magic) == WEFT_SEGMENT_MAGIC)
		err = segment_find(places, path, fd, segment, segment);
	else if (shard || le32_to_cpu(magic) == WEFT_SHARD_MAGIC)
		err = shard_find(places, path, fd);
	else if (asked_for)
		places->warn(path, "it is neither a shard nor a segment");
	close(fd);
	return err;
}

int chunk_find(struct chunk_places *places, const char *path)
{
	char *const paths[] = { (char *)path, NULL };
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
	FTSENT *entry;
	int err = 0;

	if (!fts)
		return -errno;
	while (!err && (entry = fts_read(fts))) {
		int failed = 0;

		switch (entry->fts_info) {
		case FTS_D:
			if (entry->fts_level > 0 && !strcmp(entry->fts_name, "bad"))
				fts_set(fts, entry, FTS_SKIP);
			break;
		case FTS_F:
			failed = file_find(places, entry->fts_path, entry->fts_level == 0);
			break;
		case FTS_DNR:
		case FTS_ERR:
		case FTS_NS:
			failed = -entry->fts_errno;
			break;
		}
		if (failed == -ENOMEM)
			err = failed;
		else if (failed)
			places->warn(entry->fts_path, strerror(-failed));
	}
	fts_close(fts);
	return err;
}

/* --- order -------------------------------------------------------------------------------------------------------- */

static int u64_compare(u64 a, u64 b)
{
	return (a > b) - (a < b);
}

static int shard_compare(const struct chunk_place *a, const struct chunk_place *b)
{
	int ret = u64_compare(a->info.sid_session, b->info.sid_session);

	ret = ret ? ret : u64_compare(a->info.sid_counter, b->info.sid_counter);
	ret = ret ? ret : u64_compare(a->info.group, b->info.group);
	return ret ? ret : a->info.index - b->info.index;
}

/* Shards, those of one behind each other by store, and in the order in which a store wrote them. */
static int place_compare(const void *x, const void *y)
{
	const struct chunk_place *a = x, *b = y;
	int ret = shard_compare(a, b);

	ret = ret ? ret : a->in_segment - b->in_segment;
	ret = ret ? ret : memcmp(a->store, b->store, sizeof(a->store));
	ret = ret ? ret : u64_compare(a->segment, b->segment);
	return ret ? ret : u64_compare(a->offset, b->offset);
}

static bool same_in_store(const struct chunk_place *a, const struct chunk_place *b)
{
	return a->in_segment && b->in_segment && !shard_compare(a, b) && !memcmp(a->store, b->store, sizeof(a->store));
}

void chunk_find_end(struct chunk_places *places)
{
	size_t kept = 0;

	if (places->n)
		qsort(places->list, places->n, sizeof(*places->list), place_compare);
	for (size_t i = 0; i < places->n; i++) {
		const struct chunk_place *place = &places->list[i];
		bool counts = !place->deleted;

		for (size_t j = i + 1; counts && j < places->n && same_in_store(place, &places->list[j]); j++)
			counts = !places->list[j].whole;
		if (counts)
			places->list[kept++] = *place;
	}
	places->n = kept;
}

bool chunk_place_same(const struct chunk_place *a, const struct chunk_place *b)
{
	return a->info.sid_session == b->info.sid_session && a->info.sid_counter == b->info.sid_counter;
}

void chunk_places_free(struct chunk_places *places)
{
	for (size_t i = 0; i < places->n_paths; i++)
		free(places->paths[i]);
	free(places->paths);
	free(places->list);
}

int chunk_load(const struct chunk_place *place, struct chunk_shard *shard, u8 **bytes, const char **why)
{
	struct chunk_record record;
	size_t len = 0;
	int fd = open(place->path, O_RDONLY | O_CLOEXEC), err;

	*bytes = NULL;
	*why = "it cannot be read";
	if (fd < 0)
		return -errno;
	err = file_read(fd, place->in_segment ? place->size : FILE_MAX, place->offset, bytes, &len);
	close(fd);
	if (err) {
		*bytes = NULL;
		return err;
	}
	if (!place->in_segment)
		return chunk_shard_file(shard, *bytes, len, why);
	*why = "it has changed meanwhile";
	if (!chunk_segment_at(*bytes, len, place->segment, 0, &record) || record.deleted)
		return -EBADMSG;
	*shard = record.shard;
	return 0;
}
