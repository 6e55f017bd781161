// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dir.c - a store's directory: who it belongs to, who uses it, and how much room it has
 *
 * Invariants: the directory is locked (flock on the directory itself) from store_open() to store_close(), so two daemons
 * never use one. STORE is replaced as a whole: written beside, synced, renamed, directory synced; its start counter is on
 * disk before anything is served.
 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"
#include "kernel/chunk/crc32c.h"
#include "store/append.h"
#include "store/segment.h"

#define EXT4_MAGIC  0xef53
#define XFS_MAGIC   0x58465342
#define BTRFS_MAGIC 0x9123683e
#define TMPFS_MAGIC 0x01021994

static int store_file_write(struct store *store, uint32_t number, uint32_t host,
			    uint32_t incarnation)
{
	struct weft_store_file file = {0};
	int fd, err = 0;

	file.magic = cpu_to_le32(WEFT_STORE_MAGIC);
	file.format = cpu_to_le16(WEFT_STORE_FORMAT);
	memcpy(file.uuid, store->uuid, sizeof(file.uuid));
	memcpy(file.cluster, store->cluster, sizeof(file.cluster));
	file.starts = cpu_to_le64(store->starts);
	file.incarnation = cpu_to_le32(incarnation);
	file.number = cpu_to_le32(number);
	file.host = cpu_to_le32(host);
	file.crc = cpu_to_le32(weft_crc32c(0, &file, sizeof(file)));

	fd = openat(store->dir, "STORE.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, &file, sizeof(file)) != sizeof(file) || fsync(fd))
		err = errno ? -errno : -EIO;
	close(fd);
	if (!err && (renameat(store->dir, "STORE.new", store->dir, "STORE") || fsync(store->dir)))
		err = -errno;
	return err;
}

static bool store_file_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

/* 0: read. -ENOENT: a new directory. Else refused, with a log line. */
static int store_file_read(struct store *store, struct weft_store_file *file)
{
	const char *why = NULL;
	uint32_t crc;
	ssize_t n;
	int fd = openat(store->dir, "STORE", O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		if (errno == ENOENT)
			return -ENOENT;
		log_error("store %s: cannot read STORE: %s", store->path, strerror(errno));
		return -errno;
	}
	n = read(fd, file, sizeof(*file));
	close(fd);
	if (n < (ssize_t)sizeof(*file))
		memset(file, 0, sizeof(*file));
	crc = le32_to_cpu(file->crc);
	file->crc = 0;
	if (n != sizeof(*file) || le32_to_cpu(file->magic) != WEFT_STORE_MAGIC)
		why = "STORE is not a file of a weft store; is this the right directory?";
	else if (le16_to_cpu(file->format) > WEFT_STORE_FORMAT || file->features)
		why = "it was written by a newer version of weft; update this host";
	else if (weft_crc32c(0, file, sizeof(*file)) != crc)
		why = "STORE does not match its checksum; restore that file, or empty the "
		      "directory and let the shards be rebuilt";
	else if (file->reserved0 || !store_file_zero(file->reserved1, sizeof(file->reserved1)))
		why = "STORE has fields that this version does not know; update this host";
	else if (!file->format)
		why = "STORE has a format that no version of weft wrote; restore that file, or empty "
		      "the directory and let the shards be rebuilt";
	else if (memcmp(file->cluster, store->conf->cluster, sizeof(file->cluster)) != 0)
		why = "it belongs to another cluster; give this host another directory, or empty "
		      "this one if nobody needs its shards";
	if (why) {
		log_error("store %s refused: %s", store->path, why);
		return -EPROTO;
	}
	return 0;
}

/* Shards but no STORE: not a new directory. */
static int store_identify(struct store *store)
{
	struct weft_store_file file;
	int err = store_file_read(store, &file);

	if (err == -ENOENT) {
		if (!faccessat(store->dir, "shards", F_OK, 0) ||
		    !faccessat(store->dir, "segments", F_OK, 0)) {
			log_error("store %s refused: it has shards but no file STORE; restore that "
				  "file, or empty the directory",
				  store->path);
			return -EPROTO;
		}
		if (getrandom(store->uuid, sizeof(store->uuid), 0) != sizeof(store->uuid))
			return -EIO;
		store->uuid[6] = (store->uuid[6] & 0x0f) | 0x40;
		store->uuid[8] = (store->uuid[8] & 0x3f) | 0x80;
		memcpy(store->cluster, store->conf->cluster, sizeof(store->cluster));
		return 0;
	}
	if (err)
		return err;
	memcpy(store->uuid, file.uuid, sizeof(store->uuid));
	memcpy(store->cluster, file.cluster, sizeof(store->cluster));
	store->starts = le64_to_cpu(file.starts);
	atomic_store(&store->number, le32_to_cpu(file.number));
	atomic_store(&store->host, le32_to_cpu(file.host));
	atomic_store(&store->incarnation, le32_to_cpu(file.incarnation));
	return 0;
}

static int store_prepare_dirs(struct store *store)
{
	static const char *const names[] = {"shards", "segments", "index", "bad"};
	struct statfs fs;
	int fd;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (mkdirat(store->dir, names[i], 0700) && errno != EEXIST)
			return -errno;
	fd = openat(store->dir, "shards", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0) {
		int err = -errno;

		log_error("store %s refused: its file system has no unnamed files (O_TMPFILE); use "
			  "ext4, XFS or btrfs",
			  store->path);
		return err;
	}
	close(fd);
	if (fstatfs(store->dir, &fs))
		return -errno;
	store->names_with_file = fs.f_type == EXT4_MAGIC || fs.f_type == XFS_MAGIC ||
				 fs.f_type == (long)BTRFS_MAGIC || fs.f_type == TMPFS_MAGIC;
	return fsync(store->dir) ? -errno : 0;
}

static int store_lock(struct store *store)
{
	if (!flock(store->dir, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK) {
		log_error("store %s refused: another weftd uses it; stop that one first",
			  store->path);
		return -EBUSY;
	}
	return -errno;
}

void store_space_refresh(struct store *store)
{
	struct statvfs fs;
	uint64_t capacity, available, used = (uint64_t)atomic_load(&store->used);

	if (fstatvfs(store->dir, &fs))
		return;
	capacity = (uint64_t)fs.f_blocks * fs.f_frsize;
	available = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (store->conf->capacity && store->conf->capacity < capacity) {
		uint64_t rest = used < store->conf->capacity ? store->conf->capacity - used : 0;

		capacity = store->conf->capacity;
		available = rest < available ? rest : available;
	}
	atomic_store(&store->capacity, capacity);
	atomic_store(&store->available, available);
}

bool store_space_get(struct store *store, uint64_t bytes, bool rebuild)
{
	const struct store_conf *conf = store->conf;
	unsigned int percent = rebuild ? conf->reserve_percent : conf->rebuild_percent;
	uint64_t reserve = atomic_load(&store->capacity) / 100 * percent;
	int64_t reserved = atomic_fetch_add(&store->reserved, (int64_t)bytes) + (int64_t)bytes;

	if (atomic_load(&store->available) >= reserve + (uint64_t)reserved)
		return true;
	atomic_fetch_sub(&store->reserved, (int64_t)bytes);
	return false;
}

void store_space_put(struct store *store, uint64_t bytes)
{
	atomic_fetch_sub(&store->reserved, (int64_t)bytes);
}

void store_count_files(struct store *store, int64_t files, int64_t bytes)
{
	atomic_fetch_add(&store->files, files);
	atomic_fetch_add(&store->file_bytes, bytes);
	atomic_fetch_add(&store->shards, files);
	atomic_fetch_add(&store->used, bytes);
}

void store_fail(struct store *store, const char *what, int err)
{
	uint32_t ok = WEFT_ST_OK;

	atomic_fetch_add(&store->errors, 1);
	if (atomic_compare_exchange_strong(&store->status, &ok, WEFT_ST_STORE_IO))
		log_error("store %s takes no more shards: %s failed: %s; check the disk, then "
			  "restart weftd",
			  store->path, what, strerror(-err));
}

void store_report_corrupt(struct store *store, const struct weft_wire_frame *frame,
			  const char *where, const char *why)
{
	static _Thread_local struct log_limit limit;

	atomic_fetch_add(&store->errors, 1);
	if (log_limit(&limit, 20, 10))
		log_error("shard %016lx:%016lx:%u of group %lx is corrupt: %s  file=%s/%s",
			  (unsigned long)frame->session, (unsigned long)frame->counter,
			  frame->index, (unsigned long)frame->group, why, store->path, where);
}

int store_set_number(struct store *store, uint32_t number, uint32_t host, uint32_t incarnation)
{
	int err = store_file_write(store, number, host, incarnation);

	if (err) {
		store_fail(store, "writing STORE", err);
		return err;
	}
	atomic_store(&store->number, number);
	atomic_store(&store->host, host);
	atomic_store(&store->incarnation, incarnation);
	return 0;
}

/* The directory is open: lock it, see whose it is, and note this start in it. */
static int store_claim(struct store *store)
{
	const struct store_conf *conf = store->conf;
	uint32_t incarnation;
	int err = store_lock(store);

	if (!err)
		err = store_identify(store);
	if (err)
		return err;
	incarnation = atomic_load(&store->incarnation);
	if (conf->incarnation && conf->incarnation < incarnation) {
		log_error("store %s refused: it has seen a newer incarnation of the cluster than the "
			  "metadata service names; was that restored from a backup?",
			  store->path);
		return -EPROTO;
	}
	if (conf->incarnation > incarnation)
		incarnation = conf->incarnation;
	atomic_store(&store->incarnation, incarnation);
	/* A start writes a little, also on a disk that others have filled: into the room kept for that. */
	store_room_clear(store->dir);
	store->starts++;
	err = store_file_write(store, atomic_load(&store->number), atomic_load(&store->host),
			       incarnation);
	if (!err)
		err = store_prepare_dirs(store);
	if (err)
		log_error("store %s: cannot be prepared: %s", store->path, strerror(-err));
	return err;
}

int store_open(struct store **out, const char *path, const struct store_conf *conf,
	       struct store_loop *home)
{
	struct store *store = calloc(1, sizeof(*store));
	int err = -ENOMEM;

	if (!store)
		return -ENOMEM;
	store->conf = conf;
	store->path = strdup(path);
	if (!store->path)
		goto err_free;
	if (mkdir(path, 0700) && errno != EEXIST) {
		err = -errno;
		log_error("store %s: cannot make the directory: %s", path, strerror(-err));
		goto err_free;
	}
	store->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->dir < 0) {
		err = -errno;
		log_error("store %s: cannot open the directory: %s", path, strerror(-err));
		goto err_free;
	}
	err = store_claim(store);
	if (err)
		goto err_close;
	store_space_refresh(store);
	err = store_segments_open(store, home);
	if (err)
		goto err_close;
	err = store_keeper_start(store);
	if (err)
		goto err_segments;
	log_info("store %s is open  starts=%lu shards=%ld", path, (unsigned long)store->starts,
		 (long)atomic_load(&store->shards));
	*out = store;
	return 0;
err_segments:
	store_segments_close(store);
err_close:
	close(store->dir);
err_free:
	free(store->path);
	free(store);
	return err;
}

void store_close(struct store *store)
{
	store_keeper_stop(store);
	store_segments_close(store);
	close(store->dir);
	free(store->path);
	free(store);
}
