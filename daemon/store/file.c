// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * file.c - shards of WEFT_STORE_FILE_MIN bytes and more: one file each
 *
 * PUT:  open an unnamed file - write - fdatasync - link - fsync - answer
 *
 * Invariants: a name never stands for a file whose bytes were not durable before it; PUT is answered when the name is
 * durable, too (the fsync after the link: journals of ext4, XFS and btrfs carry the name with the file; elsewhere the
 * directory is synced as well). So after a crash a shard file is whole or not there, and one that does not check is a
 * fault of the disk. It counts as absent: the next PUT moves it to bad/ and takes its place.
 */
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "kernel/chunk/crctable.h"
#include "kernel/chunk/header.h"
#include "store/fault.h"
#include "store/segment.h"

#define FIRST_READ 4096u /* holds header and table of most shards */
#define LINK_TRIES 3

bool store_fault_name_unsynced;

static void put_opened(struct store_op *op);
static void put_linked(struct store_op *op);

static struct store_request *request_of(struct store_op *op)
{
	return (struct store_request *)((char *)op - offsetof(struct store_request, op));
}

/* --- names ---------------------------------------------------------------------------------------------------------- */

#define NAME_FORMAT "%016lx-%016lx-%02x"
#define DIR_LEN	    26 /* "shards/GROUP/HH" */

/* Spreads the shards of a group over 256 directories; part of the format. */
static unsigned int name_hash(uint64_t session, uint64_t counter)
{
	uint64_t x = (session ^ counter * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;

	return (unsigned int)(x >> 56);
}

static void file_path(char path[80], uint64_t group, uint64_t session, uint64_t counter,
		      uint8_t index)
{
	snprintf(path, 80, "shards/%016lx/%02x/" NAME_FORMAT, (unsigned long)group,
		 name_hash(session, counter), (unsigned long)session, (unsigned long)counter,
		 index);
}

static bool name_parse(const char *text, struct store_shard_name *name)
{
	unsigned long session, counter;
	unsigned int index;
	int used = 0;

	if (sscanf(text, "%16lx-%16lx-%2x%n", &session, &counter, &index, &used) != 3 ||
	    text[used] || index >= WEFT_SHARDS_MAX)
		return false;
	*name = (struct store_shard_name){
		.session = session, .counter = counter, .index = (uint8_t)index};
	return true;
}

static uint32_t area_len(uint32_t head_len, uint32_t shard_len)
{
	return (head_len + weft_crctable_len(shard_len) + WEFT_STORE_HEAD_ALIGN - 1) &
	       ~(WEFT_STORE_HEAD_ALIGN - 1);
}

/* --- reading whole, blocking: for repeats of a PUT, and VERIFY ------------------------------------------------------------ */

struct file_image {
	uint8_t *bytes;
	size_t size;
	struct weft_shard_info info;
	const uint8_t *table, *data;
};

/* 0; -EBADMSG with *why if the file does not check; another negative errno. The image is freed by the caller in any case. */
static int image_read(struct file_image *image, int fd, const struct weft_wire_frame *name,
		      const char **why)
{
	struct weft_wire_frame frame = *name;
	struct stat st;
	size_t got = 0;

	*image = (struct file_image){0};
	if (fstat(fd, &st))
		return -errno;
	*why = "the length of the file is wrong";
	if (st.st_size < (off_t)WEFT_STORE_HEAD_ALIGN ||
	    st.st_size > (off_t)(STORE_AREA_MAX + WEFT_SHARD_LEN_MAX))
		return -EBADMSG;
	image->size = (size_t)st.st_size;
	image->bytes = malloc(image->size);
	if (!image->bytes)
		return -ENOMEM;
	while (got < image->size) {
		ssize_t n = pread(fd, image->bytes + got, image->size - got, (off_t)got);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		got += n < 0 ? 0 : (size_t)n;
	}
	if (weft_header_decode(&image->info, image->bytes, image->size, why))
		return -EBADMSG;
	frame.head_len = image->info.header_len;
	frame.shard_len = image->info.shard_len;
	if (area_len(frame.head_len, frame.shard_len) + (size_t)frame.shard_len != image->size) {
		*why = "the file was cut short or has grown";
		return -EBADMSG;
	}
	image->table = image->bytes + frame.head_len;
	image->data = image->bytes + area_len(frame.head_len, frame.shard_len);
	return store_shard_check(&frame, image->bytes, image->data, image->table, why) == WEFT_ST_OK
		       ? 0
		       : -EBADMSG;
}

uint32_t store_file_verify(struct store *store, const struct weft_wire_frame *name)
{
	struct file_image image;
	const char *why = "";
	char path[80];
	int fd, err;

	file_path(path, name->group, name->session, name->counter, name->index);
	fd = openat(store->dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? WEFT_ST_ABSENT : WEFT_ST_STORE_IO;
	err = image_read(&image, fd, name, &why);
	free(image.bytes);
	close(fd);
	if (err == -EBADMSG || err == -EIO)
		store_report_corrupt(store, name, path,
				     err == -EIO ? "the disk cannot read it" : why);
	return !err				? WEFT_ST_OK
	       : err == -EBADMSG || err == -EIO ? WEFT_ST_CORRUPT
						: WEFT_ST_STORE_IO;
}

/* --- PUT --------------------------------------------------------------------------------------------------------------------- */

static void put_end(struct store_request *request, int err)
{
	uint32_t status = WEFT_ST_OK;

	if (request->file >= 0)
		close(request->file);
	request->file = -1;
	store_space_put(request->store, request->frame.payload_len);
	if (err == -ENOSPC || err == -EDQUOT) {
		status = WEFT_ST_STORE_FULL;
	} else if (err == -EEXIST) {
		status = WEFT_ST_CONFLICT;
	} else if (err) {
		static _Thread_local struct log_limit limit;

		if (log_limit(&limit, 5, 10))
			log_error("store %s: cannot store a shard: %s  file=%s",
				  request->store->path, strerror(-err), request->name);
		atomic_fetch_add(&request->store->errors, 1);
		status = WEFT_ST_STORE_IO;
	}
	store_request_finish(request, status);
}

static int dir_sync(struct store *store, const char *path, size_t len)
{
	char dir[80];
	int fd, err = 0;

	memcpy(dir, path, len);
	dir[len] = '\0';
	fd = openat(store->dir, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

/* The group's directory and its 1 of 256, durable. */
static int put_make_dirs(struct store_op *op)
{
	struct store_request *request = request_of(op);
	struct store *store = request->store;
	const size_t lens[] = {6, 23, DIR_LEN}; /* "shards", "shards/GROUP", "shards/GROUP/HH" */
	char dir[80];

	for (size_t i = 1; i < 3; i++) {
		memcpy(dir, request->name, lens[i]);
		dir[lens[i]] = '\0';
		if (mkdirat(store->dir, dir, 0700)) {
			if (errno != EEXIST)
				return -errno;
			continue;
		}
		int err = dir_sync(store, request->name, lens[i - 1]);

		if (err)
			return err;
	}
	return 0;
}

static void put_open(struct store_request *request)
{
	request->name[DIR_LEN] = '\0'; /* the directory only, until put_opened() */
	request->op.kind = STORE_OP_OPEN;
	request->op.fd = request->store->dir;
	request->op.open.path = request->name;
	request->op.open.flags = O_TMPFILE | O_WRONLY;
	request->op.done = put_opened;
	store_op_submit(request->loop, &request->op);
}

static void put_dirs_made(struct store_op *op)
{
	struct store_request *request = request_of(op);

	if (op->result)
		put_end(request, op->result);
	else
		put_open(request);
}

static int put_sync_dir(struct store_op *op)
{
	struct store_request *request = request_of(op);

	return dir_sync(request->store, request->name, DIR_LEN);
}

static void put_named(struct store_request *request)
{
	uint32_t head = area_len(request->frame.head_len, request->frame.shard_len);

	if (request->linked)
		store_count_files(request->store, 1, (int64_t)head + request->frame.shard_len);
	put_end(request, 0);
}

static void put_dir_synced(struct store_op *op)
{
	struct store_request *request = request_of(op);

	if (op->result) {
		store_fail(request->store, "fsync of a directory", op->result);
		put_end(request, op->result);
		return;
	}
	put_named(request);
}

static void put_name_synced(struct store_op *op)
{
	struct store_request *request = request_of(op);

	if (op->result) {
		store_fail(request->store, "fsync", op->result);
		put_end(request, op->result);
	} else if (request->store->names_with_file) {
		put_named(request);
	} else {
		op->call = put_sync_dir;
		op->done = put_dir_synced;
		store_op_call(request->loop, op);
	}
}

static void put_link(struct store_request *request)
{
	request->op.kind = STORE_OP_LINK;
	request->op.fd = request->file;
	request->op.link.dir = request->store->dir;
	request->op.link.path = request->name;
	request->op.done = put_linked;
	store_op_submit(request->loop, &request->op);
}

/*
 * A shard of that name is there: 0 if it has the same bytes (durable when this returns), -EEXIST if it has others, -EAGAIN
 * if it was bad and is gone.
 */
static int put_compare(struct store_op *op)
{
	struct store_request *request = request_of(op);
	const struct weft_wire_frame *frame = &request->frame;
	struct store *store = request->store;
	struct file_image image;
	const char *why = "";
	char bad[80];
	int fd, err;

	fd = openat(store->dir, request->name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	err = image_read(&image, fd, frame, &why);
	if (!err) {
		if (image.info.header_len != frame->head_len ||
		    image.info.shard_len != frame->shard_len ||
		    memcmp(image.bytes, request->buffer, frame->head_len) != 0 ||
		    memcmp(image.table, request->buffer + weft_wire_crc_start(frame),
			   frame->crc_len) != 0)
			err = -EEXIST;
		else if (fsync(fd))
			err = -errno;
		else if (!store->names_with_file)
			err = dir_sync(store, request->name, DIR_LEN);
	} else if (err == -EBADMSG || err == -EIO) {
		store_report_corrupt(store, frame, request->name, why);
		snprintf(bad, sizeof(bad), "bad/%016lx-%s", (unsigned long)frame->group,
			 request->name + DIR_LEN + 1);
		err = renameat(store->dir, request->name, store->dir, bad) ? -errno : -EAGAIN;
		if (err == -EAGAIN)
			store_count_files(store, -1, -(int64_t)image.size);
	}
	free(image.bytes);
	close(fd);
	return err;
}

static void put_compared(struct store_op *op)
{
	struct store_request *request = request_of(op);

	if (op->result == -EAGAIN && request->tries++ < LINK_TRIES)
		put_link(request);
	else
		put_end(request, op->result == -EAGAIN ? -EIO : op->result);
}

static void put_linked(struct store_op *op)
{
	struct store_request *request = request_of(op);

	if (op->result == -EEXIST) {
		op->call = put_compare;
		op->done = put_compared;
		store_op_call(request->loop, op);
		return;
	}
	if (op->result) {
		put_end(request, op->result);
		return;
	}
	request->linked = true;
	if (store_fault_name_unsynced) {
		put_named(request);
		return;
	}
	op->kind = STORE_OP_SYNC;
	op->fd = request->file;
	op->sync.data_only = false;
	op->done = put_name_synced;
	store_op_submit(request->loop, op);
}

static void put_data_synced(struct store_op *op)
{
	struct store_request *request = request_of(op);

	if (op->result) {
		store_fail(request->store, "fdatasync", op->result);
		put_end(request, op->result);
		return;
	}
	put_link(request);
}

static void put_written(struct store_op *op)
{
	struct store_request *request = request_of(op);

	if (op->result < 0) {
		put_end(request, op->result);
		return;
	}
	op->kind = STORE_OP_SYNC;
	op->fd = request->file;
	op->sync.data_only = true;
	op->done = put_data_synced;
	store_op_submit(request->loop, op);
}

static void put_opened(struct store_op *op)
{
	struct store_request *request = request_of(op);
	const struct weft_wire_frame *frame = &request->frame;
	uint32_t area = area_len(frame->head_len, frame->shard_len);

	if (op->result == -ENOENT && request->tries++ == 0) {
		op->call = put_make_dirs;
		op->done = put_dirs_made;
		store_op_call(request->loop, op);
		return;
	}
	if (op->result < 0) {
		put_end(request, op->result);
		return;
	}
	request->file = op->result;
	request->tries = 0;
	request->name[DIR_LEN] = '/';
	request->iov[0] = (struct iovec){request->area, area};
	request->iov[1] =
		(struct iovec){request->buffer + weft_wire_data_start(frame), frame->length};
	op->kind = STORE_OP_WRITE;
	op->fd = request->file;
	op->rw.iov = request->iov;
	op->rw.n_iov = 2;
	op->rw.offset = 0;
	op->done = put_written;
	store_op_submit(request->loop, op);
}

void store_file_put(struct store_request *request)
{
	const struct weft_wire_frame *frame = &request->frame;
	uint32_t area = area_len(frame->head_len, frame->shard_len);

	request->area = request->buffer + ((frame->payload_len + 63u) & ~63u);
	memcpy(request->area, request->buffer, frame->head_len);
	memcpy(request->area + frame->head_len, request->buffer + weft_wire_crc_start(frame),
	       frame->crc_len);
	memset(request->area + frame->head_len + frame->crc_len, 0,
	       area - frame->head_len - frame->crc_len);
	file_path(request->name, frame->group, frame->session, frame->counter, frame->index);
	put_open(request);
}

/* --- GET and STAT --------------------------------------------------------------------------------------------------------- */

static void get_end(struct store_request *request, uint32_t status, const char *why)
{
	if (request->file >= 0)
		close(request->file);
	request->file = -1;
	if (status == WEFT_ST_CORRUPT)
		store_report_corrupt(request->store, &request->frame, request->name, why);
	store_request_finish(request, status);
}

static void get_read(struct store_request *request, void *buf, size_t len, uint64_t offset,
		     void (*done)(struct store_op *op))
{
	request->iov[0] = (struct iovec){buf, len};
	request->op.kind = STORE_OP_READ;
	request->op.fd = request->file;
	request->op.rw.iov = request->iov;
	request->op.rw.n_iov = 1;
	request->op.rw.offset = offset;
	request->op.done = done;
	store_op_submit(request->loop, &request->op);
}

static bool get_read_failed(struct store_request *request, uint32_t wanted)
{
	if (request->op.result < 0)
		get_end(request, request->op.result == -EIO ? WEFT_ST_CORRUPT : WEFT_ST_STORE_IO,
			"the disk cannot read it");
	else if ((uint32_t)request->op.result < wanted)
		get_end(request, WEFT_ST_CORRUPT, "the file was cut short");
	else
		return false;
	return true;
}

static void get_answer(struct store_request *request, const struct weft_shard_info *info)
{
	uint32_t status = store_answer_shard(request, request->buffer, info->header_len,
					     info->shard_len, request->buffer + STORE_AREA_MAX,
					     request->buffer + info->header_len);

	get_end(request, status, "a block of data does not match its CRC");
}

static void get_data_read(struct store_op *op)
{
	struct store_request *request = request_of(op);
	struct weft_shard_info info;

	weft_header_decode(&info, request->buffer, STORE_AREA_MAX, NULL);
	if (!get_read_failed(request, weft_wire_range_clamp(request->frame.offset,
							    request->frame.length, info.shard_len)))
		get_answer(request, &info);
}

/* Header and table are in the buffer: check them, then read the data. */
static void get_area_ready(struct store_request *request, const struct weft_shard_info *info)
{
	const struct weft_wire_frame *frame = &request->frame;
	uint32_t length = weft_wire_range_clamp(frame->offset, frame->length, info->shard_len);

	if (info->index != frame->index || info->group != frame->group ||
	    info->sid_session != frame->session || info->sid_counter != frame->counter)
		get_end(request, WEFT_ST_CORRUPT, "the shard header is that of another shard");
	else if (!weft_crctable_sealed(request->buffer + info->header_len,
				       weft_block_count(info->shard_len)))
		get_end(request, WEFT_ST_CORRUPT, "the checksum of the CRC table is wrong");
	else if (frame->op == WEFT_OP_STAT || !length)
		get_answer(request, info);
	else
		get_read(request, request->buffer + STORE_AREA_MAX, length,
			 area_len(info->header_len, info->shard_len) + frame->offset,
			 get_data_read);
}

static void get_rest_read(struct store_op *op)
{
	struct store_request *request = request_of(op);
	struct weft_shard_info info;

	weft_header_decode(&info, request->buffer, STORE_AREA_MAX, NULL);
	if (!get_read_failed(request, area_len(info.header_len, info.shard_len) - FIRST_READ))
		get_area_ready(request, &info);
}

static void get_head_read(struct store_op *op)
{
	struct store_request *request = request_of(op);
	struct weft_shard_info info;
	const char *why = "";
	uint32_t area;

	if (get_read_failed(request, FIRST_READ))
		return;
	if (weft_header_decode(&info, request->buffer, FIRST_READ, &why)) {
		get_end(request, WEFT_ST_CORRUPT, why);
		return;
	}
	area = area_len(info.header_len, info.shard_len);
	if (area > FIRST_READ)
		get_read(request, request->buffer + FIRST_READ, area - FIRST_READ, FIRST_READ,
			 get_rest_read);
	else
		get_area_ready(request, &info);
}

static int get_from_segments(struct store_op *op)
{
	return (int)store_segment_get(request_of(op));
}

static void get_from_segments_done(struct store_op *op)
{
	store_request_finish(request_of(op), (uint32_t)op->result);
}

static void get_opened(struct store_op *op)
{
	struct store_request *request = request_of(op);

	if (op->result == -ENOENT) {
		op->call = get_from_segments;
		op->done = get_from_segments_done;
		store_op_call(request->loop, op);
		return;
	}
	if (op->result < 0) {
		get_end(request, WEFT_ST_STORE_IO, NULL);
		return;
	}
	request->file = op->result;
	get_read(request, request->buffer, FIRST_READ, 0, get_head_read);
}

void store_file_get(struct store_request *request)
{
	const struct weft_wire_frame *frame = &request->frame;

	file_path(request->name, frame->group, frame->session, frame->counter, frame->index);
	request->op.kind = STORE_OP_OPEN;
	request->op.fd = request->store->dir;
	request->op.open.path = request->name;
	request->op.open.flags = O_RDONLY;
	request->op.done = get_opened;
	store_op_submit(request->loop, &request->op);
}

/* --- DEL and walks --------------------------------------------------------------------------------------------------------- */

int store_file_delete(struct store *store, const struct weft_wire_frame *name)
{
	struct stat st;
	char path[80];
	int err;

	file_path(path, name->group, name->session, name->counter, name->index);
	if (fstatat(store->dir, path, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 1 : -errno;
	if (unlinkat(store->dir, path, 0))
		return errno == ENOENT ? 1 : -errno;
	store_count_files(store, -1, -(int64_t)st.st_size);
	err = dir_sync(store, path, DIR_LEN);
	if (err)
		store_fail(store, "fsync of a directory", err);
	return err;
}

static uint32_t file_shard_len(int dir, const char *name)
{
	struct weft_shard_header header;
	uint32_t len = 0;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (pread(fd, &header, sizeof(header), 0) == sizeof(header) &&
	    le32_to_cpu(header.magic) == WEFT_SHARD_MAGIC)
		len = le32_to_cpu(header.shard_len);
	close(fd);
	return len;
}

uint32_t store_file_length(struct store *store, uint64_t group, const struct store_shard_name *name)
{
	char path[80];

	file_path(path, group, name->session, name->counter, name->index);
	return file_shard_len(store->dir, path);
}

/* One of a group's 256 directories. 0, 1 when each() ended it, or a negative errno. */
static int walk_dir(int group_dir, const char *text, bool with_length,
		    bool (*each)(void *ctx, const struct store_shard_name *name, uint64_t bytes),
		    void *ctx)
{
	int fd = openat(group_dir, text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	bool go_on = true;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (go_on && (entry = readdir(dir))) {
		struct store_shard_name name;
		struct stat st = {0};

		if (!name_parse(entry->d_name, &name))
			continue;
		if (with_length)
			name.shard_len = file_shard_len(dirfd(dir), entry->d_name);
		else if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		go_on = each(ctx, &name, (uint64_t)st.st_size);
	}
	closedir(dir);
	return go_on ? 0 : 1;
}

static int walk_group(int shards_dir, const char *text, bool with_length,
		      bool (*each)(void *ctx, const struct store_shard_name *name, uint64_t bytes),
		      void *ctx)
{
	int fd = openat(shards_dir, text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int err = 0;
	DIR *dir;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (!err && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			err = walk_dir(dirfd(dir), entry->d_name, with_length, each, ctx);
	closedir(dir);
	return err;
}

int store_file_walk(struct store *store, uint64_t group, bool with_length,
		    bool (*each)(void *ctx, const struct store_shard_name *name, uint64_t bytes),
		    void *ctx)
{
	char path[80];
	int err;

	snprintf(path, sizeof(path), "shards/%016lx", (unsigned long)group);
	err = walk_group(store->dir, path, with_length, each, ctx);
	return err < 0 ? err : 0;
}

struct count_ctx {
	int64_t *shards, *bytes;
};

static bool count_one(void *ctx, const struct store_shard_name *name, uint64_t bytes)
{
	struct count_ctx *count = ctx;

	(*count->shards)++;
	*count->bytes += (int64_t)bytes;
	return true;
}

int store_file_count(struct store *store, int64_t *shards, int64_t *bytes)
{
	struct count_ctx count = {shards, bytes};
	int fd = openat(store->dir, "shards", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	int err = 0;
	DIR *dir;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (!err && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			err = walk_group(dirfd(dir), entry->d_name, false, count_one, &count);
	closedir(dir);
	return err;
}
