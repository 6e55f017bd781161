// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * disk.c - the model behind disk.h
 *
 * A file is its current bytes plus, for each block that was written since the last sync, the
 * versions that it had: the synced one first. A name is a reference to a file; the directory is a
 * list of names plus the changes to it since it was synced. A power cut picks versions and forgets
 * the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "disk.h"

/* Earlier contents of a block, oldest (synced) first. */
struct block {
	uint64_t number;
	size_t n;
	uint8_t **versions;
};

struct sim_file {
	struct sim_file *next; /* of all files */
	uint8_t *bytes; /* current */
	uint64_t size;
	uint64_t room;
	uint64_t *sizes; /* since the last sync, the synced one first; empty: not changed */
	size_t n_sizes;
	struct block *blocks; /* written since the last sync */
	size_t n_blocks;
	size_t *block_of; /* index into blocks + 1 for each block number; 0: none */
	size_t n_block_of;
};

struct name {
	char name[64];
	struct sim_file *file;
};

struct directory {
	struct name *names;
	size_t n;
};

enum change_kind { CHANGE_ADD, CHANGE_RENAME, CHANGE_REMOVE };

struct change {
	enum change_kind kind;
	char name[64];
	char to[64];
	struct sim_file *file;
};

struct sim_disk {
	struct rlog_io io; /* first */
	uint64_t random;
	unsigned int tear;
	struct sim_file *files;
	struct directory current;
	struct directory synced;
	struct change *changes; /* between the two */
	size_t n_changes;
	uint64_t operations;
	uint64_t cut_at;
	bool cut;
	struct sim_file **handles;
	size_t n_handles;
};

uint64_t sim_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t sim_below(uint64_t *state, uint64_t n)
{
	return sim_random(state) % n;
}

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "out of memory\n");
		abort();
	}
	return p;
}

/* --- directories --- */

static struct name *dir_find(struct directory *dir, const char *name)
{
	for (size_t i = 0; i < dir->n; i++)
		if (!strcmp(dir->names[i].name, name))
			return &dir->names[i];
	return NULL;
}

static void dir_remove(struct directory *dir, const char *name)
{
	struct name *found = dir_find(dir, name);

	if (!found)
		return;
	*found = dir->names[--dir->n];
}

static void dir_add(struct directory *dir, const char *name, struct sim_file *file)
{
	dir_remove(dir, name);
	dir->names = must(realloc(dir->names, (dir->n + 1) * sizeof(*dir->names)));
	snprintf(dir->names[dir->n].name, sizeof(dir->names[dir->n].name), "%s", name);
	dir->names[dir->n++].file = file;
}

static void dir_change(struct directory *dir, const struct change *change)
{
	struct name *found;

	switch (change->kind) {
	case CHANGE_ADD:
		dir_add(dir, change->name, change->file);
		break;
	case CHANGE_RENAME:
		found = dir_find(dir, change->name);
		if (found && found->file == change->file) {
			dir_add(dir, change->to, change->file);
			dir_remove(dir, change->name);
		}
		break;
	case CHANGE_REMOVE:
		found = dir_find(dir, change->name);
		if (found && found->file == change->file)
			dir_remove(dir, change->name);
		break;
	}
}

static void change(struct sim_disk *disk, enum change_kind kind, const char *name, const char *to,
		   struct sim_file *file)
{
	struct change *c;

	disk->changes =
		must(realloc(disk->changes, (disk->n_changes + 1) * sizeof(*disk->changes)));
	c = &disk->changes[disk->n_changes++];
	*c = (struct change){ .kind = kind, .file = file };
	snprintf(c->name, sizeof(c->name), "%s", name);
	snprintf(c->to, sizeof(c->to), "%s", to);
	dir_change(&disk->current, c);
}

/* --- files --- */

/* Counts an operation that changes something. -EIO: power has gone; *partly: with this one. */
static int operate(struct sim_disk *disk, bool *partly)
{
	*partly = false;
	if (disk->cut)
		return -EIO;
	if (disk->operations++ == disk->cut_at) {
		disk->cut = true;
		*partly = true;
	}
	return 0;
}

static void file_settle(struct sim_file *file)
{
	for (size_t i = 0; i < file->n_blocks; i++) {
		for (size_t v = 0; v < file->blocks[i].n; v++)
			free(file->blocks[i].versions[v]);
		free(file->blocks[i].versions);
	}
	file->n_blocks = 0;
	if (file->n_block_of)
		memset(file->block_of, 0, file->n_block_of * sizeof(*file->block_of));
	file->n_sizes = 0;
}

static void file_free(struct sim_file *file)
{
	file_settle(file);
	free(file->blocks);
	free(file->block_of);
	free(file->sizes);
	free(file->bytes);
	free(file);
}

static void file_room(struct sim_file *file, uint64_t size, unsigned int tear)
{
	uint64_t room = (size + 4095) / 4096 * 4096;
	size_t blocks = room / tear;

	if (room > file->room) {
		if (room < 2 * file->room)
			room = 2 * file->room;
		blocks = room / tear;
		file->bytes = must(realloc(file->bytes, room));
		memset(file->bytes + file->room, 0, room - file->room);
		file->room = room;
	}
	if (blocks > file->n_block_of) {
		file->block_of = must(realloc(file->block_of, blocks * sizeof(*file->block_of)));
		memset(file->block_of + file->n_block_of, 0,
		       (blocks - file->n_block_of) * sizeof(*file->block_of));
		file->n_block_of = blocks;
	}
}

static void file_set_size(struct sim_file *file, uint64_t size)
{
	if (size == file->size)
		return;
	file->sizes = must(realloc(file->sizes, (file->n_sizes + 1) * sizeof(*file->sizes)));
	file->sizes[file->n_sizes++] = file->size;
	file->size = size;
}

/* Keeps what block number holds now as one of its versions. */
static void keep_version(struct sim_file *file, uint64_t number, unsigned int tear)
{
	struct block *block;
	uint8_t *copy = must(malloc(tear));

	memcpy(copy, file->bytes + number * tear, tear);
	if (!file->block_of[number]) {
		file->blocks =
			must(realloc(file->blocks, (file->n_blocks + 1) * sizeof(*file->blocks)));
		file->blocks[file->n_blocks] = (struct block){ .number = number };
		file->block_of[number] = ++file->n_blocks;
	}
	block = &file->blocks[file->block_of[number] - 1];
	block->versions = must(realloc(block->versions, (block->n + 1) * sizeof(*block->versions)));
	block->versions[block->n++] = copy;
}

/* What was written to [offset, offset + len) is durable: its blocks have one version. */
static void settle_range(struct sim_file *file, uint64_t offset, uint64_t len, unsigned int tear)
{
	for (uint64_t b = offset / tear; b * tear < offset + len; b++) {
		struct block *block;

		if (!file->block_of[b])
			continue;
		block = &file->blocks[file->block_of[b] - 1];
		for (size_t v = 0; v < block->n; v++)
			free(block->versions[v]);
		block->n = 0;
	}
}

int sim_file_write(struct sim_disk *disk, struct sim_file *file, const void *buf, size_t len,
		   uint64_t offset, bool durable)
{
	unsigned int tear = disk->tear;
	bool partly;
	int ret = operate(disk, &partly);

	if (ret)
		return ret;
	file_room(file, offset + len, tear);
	for (uint64_t b = offset / tear; b * tear < offset + len; b++)
		keep_version(file, b, tear);
	memcpy(file->bytes + offset, buf, len);
	if (offset + len > file->size)
		file_set_size(file, offset + len);
	if (partly)
		return -EIO;
	if (durable) {
		settle_range(file, offset, len, tear);
		file->n_sizes = 0;
	}
	return 0;
}

int sim_file_sync(struct sim_disk *disk, struct sim_file *file)
{
	bool partly;
	int ret = operate(disk, &partly);

	if (ret || partly)
		return -EIO;
	file_settle(file);
	return 0;
}

int sim_file_truncate(struct sim_disk *disk, struct sim_file *file, uint64_t size)
{
	bool partly;
	int ret = operate(disk, &partly);

	if (ret)
		return ret;
	file_room(file, size, disk->tear);
	file_set_size(file, size);
	return partly ? -EIO : 0;
}

struct sim_file *sim_disk_file(struct sim_disk *disk, const char *name, bool create)
{
	struct name *found = dir_find(&disk->current, name);
	struct sim_file *file;

	if (found || !create)
		return found ? found->file : NULL;
	file = must(calloc(1, sizeof(*file)));
	file->next = disk->files;
	disk->files = file;
	change(disk, CHANGE_ADD, name, "", file);
	return file;
}

/* --- struct rlog_io --- */

static struct sim_disk *disk_of(struct rlog_io *io)
{
	return (struct sim_disk *)io;
}

static int io_open(struct rlog_io *io, const char *name, bool create)
{
	struct sim_disk *disk = disk_of(io);
	struct sim_file *file = sim_disk_file(disk, name, false);
	bool partly;

	if (create) {
		if (file)
			return -EEXIST;
		if (operate(disk, &partly))
			return -EIO;
		file = sim_disk_file(disk, name, true);
		if (partly)
			return -EIO;
	}
	if (!file)
		return -ENOENT;
	for (size_t i = 0; i < disk->n_handles; i++)
		if (!disk->handles[i]) {
			disk->handles[i] = file;
			return (int)i;
		}
	disk->handles =
		must(realloc(disk->handles, (disk->n_handles + 1) * sizeof(*disk->handles)));
	disk->handles[disk->n_handles] = file;
	return (int)disk->n_handles++;
}

static void io_close(struct rlog_io *io, int file)
{
	disk_of(io)->handles[file] = NULL;
}

static int64_t io_size(struct rlog_io *io, int file)
{
	return (int64_t)disk_of(io)->handles[file]->size;
}

static int io_read(struct rlog_io *io, int handle, void *buf, size_t len, uint64_t offset)
{
	struct sim_file *file = disk_of(io)->handles[handle];

	if (offset + len > file->size)
		return -EIO;
	memcpy(buf, file->bytes + offset, len);
	return 0;
}

static int io_write(struct rlog_io *io, int file, const void *buf, size_t len, uint64_t offset,
		    bool durable)
{
	if (len % WEFT_LOG_BLOCK || offset % WEFT_LOG_BLOCK || (uintptr_t)buf % WEFT_LOG_BLOCK) {
		fprintf(stderr, "a write that is not aligned\n");
		abort();
	}
	return sim_file_write(disk_of(io), disk_of(io)->handles[file], buf, len, offset, durable);
}

static int io_sync(struct rlog_io *io, int file)
{
	return sim_file_sync(disk_of(io), disk_of(io)->handles[file]);
}

static int io_rename(struct rlog_io *io, const char *from, const char *to)
{
	struct sim_disk *disk = disk_of(io);
	struct name *found = dir_find(&disk->current, from);
	bool partly;

	if (!found)
		return -ENOENT;
	if (operate(disk, &partly))
		return -EIO;
	change(disk, CHANGE_RENAME, from, to, found->file);
	return partly ? -EIO : 0;
}

static int io_unlink(struct rlog_io *io, const char *name)
{
	struct sim_disk *disk = disk_of(io);
	struct name *found = dir_find(&disk->current, name);
	bool partly;

	if (!found)
		return -ENOENT;
	if (operate(disk, &partly))
		return -EIO;
	change(disk, CHANGE_REMOVE, name, "", found->file);
	return partly ? -EIO : 0;
}

static void dir_copy(struct directory *to, const struct directory *from)
{
	to->names = must(realloc(to->names, (from->n + 1) * sizeof(*to->names)));
	if (from->n)
		memcpy(to->names, from->names, from->n * sizeof(*to->names));
	to->n = from->n;
}

static int io_sync_dir(struct rlog_io *io)
{
	struct sim_disk *disk = disk_of(io);
	bool partly;

	if (operate(disk, &partly) || partly)
		return -EIO;
	dir_copy(&disk->synced, &disk->current);
	disk->n_changes = 0;
	return 0;
}

static int io_list(struct rlog_io *io, int (*each)(void *arg, const char *name), void *arg)
{
	struct sim_disk *disk = disk_of(io);
	int ret = 0;

	for (size_t i = 0; i < disk->current.n && !ret; i++)
		ret = each(arg, disk->current.names[i].name);
	return ret;
}

static int io_space(struct rlog_io *io, uint64_t *total)
{
	*total = 1ull << 40;
	return 0;
}

static const struct rlog_io_ops sim_ops = {
	.name = "simulated",
	.open = io_open,
	.close = io_close,
	.size = io_size,
	.read = io_read,
	.write = io_write,
	.sync = io_sync,
	.rename = io_rename,
	.unlink = io_unlink,
	.sync_dir = io_sync_dir,
	.list = io_list,
	.space = io_space,
};

struct rlog_io *sim_disk_io(struct sim_disk *disk)
{
	return &disk->io;
}

/* --- power --- */

static void file_cut(struct sim_disk *disk, struct sim_file *file)
{
	for (size_t i = 0; i < file->n_blocks; i++) {
		struct block *block = &file->blocks[i];
		size_t v = sim_below(&disk->random, block->n + 1);

		/* The last version is the current one. */
		if (v < block->n)
			memcpy(file->bytes + block->number * disk->tear, block->versions[v],
			       disk->tear);
	}
	if (file->n_sizes) {
		size_t v = sim_below(&disk->random, file->n_sizes + 1);

		if (v < file->n_sizes)
			file->size = file->sizes[v];
		/* What lay behind the end is gone. */
		if (file->size < file->room)
			memset(file->bytes + file->size, 0, file->room - file->size);
	}
	file_settle(file);
}

static void collect_files(struct sim_disk *disk)
{
	struct sim_file **at = &disk->files;

	while (*at) {
		struct sim_file *file = *at;
		bool named = false;

		for (size_t i = 0; i < disk->current.n; i++)
			named |= disk->current.names[i].file == file;
		if (named) {
			at = &file->next;
			continue;
		}
		*at = file->next;
		file_free(file);
	}
}

static void power_on(struct sim_disk *disk)
{
	disk->cut = false;
	disk->cut_at = UINT64_MAX;
	disk->n_handles = 0;
}

void sim_disk_power_cut(struct sim_disk *disk)
{
	/* A journal keeps the changes up to some point; others any of them. */
	size_t up_to = sim_below(&disk->random, disk->n_changes + 1);
	bool journal = sim_below(&disk->random, 2);

	for (struct sim_file *file = disk->files; file; file = file->next)
		file_cut(disk, file);
	dir_copy(&disk->current, &disk->synced);
	for (size_t i = 0; i < disk->n_changes; i++)
		if (journal ? i < up_to : sim_below(&disk->random, 2))
			dir_change(&disk->current, &disk->changes[i]);
	disk->n_changes = 0;
	dir_copy(&disk->synced, &disk->current);
	collect_files(disk);
	power_on(disk);
}

void sim_disk_kill(struct sim_disk *disk)
{
	power_on(disk);
}

void sim_disk_cut_after(struct sim_disk *disk, uint64_t n)
{
	disk->cut_at = disk->operations + n;
}

void sim_disk_cut(struct sim_disk *disk)
{
	disk->cut = true;
}

bool sim_disk_is_cut(const struct sim_disk *disk)
{
	return disk->cut;
}

uint64_t sim_disk_operations(const struct sim_disk *disk)
{
	return disk->operations;
}

bool sim_disk_rot(struct sim_disk *disk, const char *name, uint64_t offset)
{
	struct sim_file *file = sim_disk_file(disk, name, false);

	if (!file || offset >= file->size)
		return false;
	file->bytes[offset] ^= 0x5a;
	return true;
}

const uint8_t *sim_disk_bytes(struct sim_disk *disk, const char *name, uint64_t *size)
{
	struct sim_file *file = sim_disk_file(disk, name, false);

	*size = file ? file->size : 0;
	return file ? file->bytes : NULL;
}

void sim_disk_names(struct sim_disk *disk, void (*each)(void *arg, const char *name), void *arg)
{
	for (size_t i = 0; i < disk->current.n; i++)
		each(arg, disk->current.names[i].name);
}

int sim_disk_write_out(struct sim_disk *disk, const char *directory)
{
	char path[512];

	for (size_t i = 0; i < disk->current.n; i++) {
		struct sim_file *file = disk->current.names[i].file;
		FILE *out;
		bool bad;

		snprintf(path, sizeof(path), "%s/%s", directory, disk->current.names[i].name);
		out = fopen(path, "w");
		if (!out)
			return -errno;
		bad = file->size && fwrite(file->bytes, file->size, 1, out) != 1;
		if (fclose(out) || bad)
			return -EIO;
	}
	return 0;
}

struct sim_disk *sim_disk_alloc(uint64_t seed, unsigned int tear_bytes)
{
	struct sim_disk *disk = must(calloc(1, sizeof(*disk)));

	disk->io.ops = &sim_ops;
	disk->random = seed;
	disk->tear = tear_bytes;
	disk->cut_at = UINT64_MAX;
	return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
	if (!disk)
		return;
	while (disk->files) {
		struct sim_file *file = disk->files;

		disk->files = file->next;
		file_free(file);
	}
	free(disk->current.names);
	free(disk->synced.names);
	free(disk->changes);
	free(disk->handles);
	free(disk);
}
